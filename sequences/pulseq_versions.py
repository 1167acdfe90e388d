"""The older form of a Pulseq file, 1.4, for tools that do not read 1.5; compared after it was read back."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from knightshift.core.errors import ProtocolError
from knightshift.core.program import Measurement, PassProgram
from knightshift.sequences.pulseq_library import pp
from knightshift.sequences.pulseq_system import sequence_of

VERSIONS = ("1.4", "1.5")
"""Forms of Pulseq that can be written; programs are 1.5."""
_LARGEST_TIME_ERROR = 1e-9
_LARGEST_K_ERROR = 1e-5


def as_pulseq_version(measurement: Measurement, version: str) -> Measurement:
    """Give `measurement` with its programs as text of another version of Pulseq.

    Raises
    ------
    ProtocolError
        If the version is not one of `VERSIONS`, or what was written does not come back with the same timing and the
        same k-space positions.
    """
    if version not in VERSIONS:
        raise ProtocolError(f"Pulseq version {version!r} cannot be written: choose one of {', '.join(VERSIONS)}")
    if version == "1.5":
        return measurement
    return replace(measurement, programs=tuple(_as_1_4(program) for program in measurement.programs))


def _as_1_4(program: PassProgram) -> PassProgram:
    before = sequence_of(program)
    for name in ("Gamma", "B0", "WorkingFrequency"):  # as text: pypulseq would round numbers to nine digits
        before.set_definition(name, f"{float(before.definitions[name]):.17g}")
    with tempfile.TemporaryDirectory(prefix="knightshift-") as folder:
        path = Path(folder) / "pass.seq"
        before.write(str(path), create_signature=True, v141_compat=True, check_timing=False)
        older = replace(program, pulseq=path.read_text(encoding="utf-8"))
    _check_same(before, sequence_of(older), program.name)
    return older


def _check_same(before: pp.Sequence, after: pp.Sequence, name: str) -> None:
    """Hold what was read back against what was written: durations of all blocks, and k-space of all samples."""
    durations = [np.array(list(sequence.block_durations.values())) for sequence in (before, after)]
    if durations[0].size != durations[1].size or np.abs(durations[0] - durations[1]).max() > _LARGEST_TIME_ERROR:
        raise ProtocolError(f"{name}: the blocks of the Pulseq 1.4 file do not last as long as they should: export 1.5")
    positions = [sequence.calculate_kspace()[0] for sequence in (before, after)]
    largest = np.abs(positions[0]).max()
    error = np.abs(positions[0] - positions[1]).max() if positions[0].shape == positions[1].shape else np.inf
    if error > _LARGEST_K_ERROR * largest:
        raise ProtocolError(
            f"{name}: k-space of the Pulseq 1.4 file is off by {error:.4g} of {largest:.4g} 1/m: export 1.5"
        )
