"""A run of ours as a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from knightshift.core.arrays import BoolArray
from knightshift.core.errors import ConfigError
from knightshift.core.passes import PassRecord
from knightshift.core.program import Measurement, PassProgram
from knightshift.core.run_folder import Commit, Run, open_run
from knightshift.hardware.replay.recording import RecordedPass


@dataclass(frozen=True)
class RunRecording:
    """The passes of a run that were committed when it was opened."""

    run: Run
    """The run."""
    commits: Mapping[int, Commit]
    """Commit records by pass index."""
    first: PassRecord
    """The first committed pass: how many receivers there are, and at which gain."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a run folder, also while another process writes it.

        Raises
        ------
        ConfigError
            If it is no run, or has no pass yet.
        DamagedDataError
            If manifest, journal, a program or the first pass is damaged.
        """
        run = open_run(folder)
        commits = run.commits()
        if not commits:
            raise ConfigError(f"{folder}: the run has no pass yet: there is nothing to replay")
        return cls(run, commits, run.read_committed(next(iter(commits.values()))))

    @property
    def device(self) -> str:
        """Scanner and name of the run."""
        return f"{self.run.manifest.scanner.device}, run {self.run.manifest.run_id}"

    @cached_property
    def programs(self) -> tuple[PassProgram, ...]:
        """Programs of the run. Raises `DamagedDataError`."""
        return self.measurement().programs

    @property
    def n_channels(self) -> int:
        """Receivers."""
        return int(self.first.samples.shape[1])

    @property
    def receiver_gain(self) -> float:
        """Receiver gain of the first pass [dB]."""
        return self.first.receiver_gain

    @property
    def indices(self) -> tuple[int, ...]:
        """Committed passes, in order."""
        return tuple(self.commits)

    def read_pass(self, index: int) -> RecordedPass:
        """Read one pass, verified against its commit record. Raises `DamagedDataError`."""
        record = self.run.read_committed(self.commits[index])
        return RecordedPass(
            program_digest=self.run.manifest.program_of(index).digest,
            frequency=record.frequency,
            receiver_gain=record.receiver_gain,
            samples=record.samples,
            counters=record.counters,
            overrange=_overrange_readouts(record),
        )

    def measurement(self) -> Measurement:
        """Put together what the run was to measure. Raises `DamagedDataError`."""
        return self.run.measurement()


def _overrange_readouts(record: PassRecord) -> BoolArray:
    """Tell which readouts of a flagged pass hit the full scale, shape ``(readout,)``.

    A pass file keeps the flag of the pass alone; the converter clips at one level, which is then the largest value.
    """
    if "overrange" not in record.flags:
        return np.zeros(len(record.samples), dtype=bool)
    parts = np.ascontiguousarray(record.samples).view(np.float32)
    largest = np.abs(parts).max(axis=(1, 2))
    clipped: BoolArray = largest == largest.max()
    return clipped
