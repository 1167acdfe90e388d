"""Every shipped protocol as Pulseq, 1.4 and 1.5, played by MRzeroCore: a simulator that is not ours.

Two points off the centre, of known T2, are measured through the files as they are exported. The table says how far the
echo times found are from those of the protocol (excitation to the largest sample of the central line), how far from
their places the image has the points, and which T2 the echoes give. MRzeroCore is AGPL and never a dependency of ours:
it is installed into a scratch environment, as in ``benchmarks/simulator.py``.

Run ``python benchmarks/exported_sequences.py [--environment FOLDER] [--protocols quick_look ...]``.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from simulator import environment, peer

from knightshift.core.limits import ScannerLimits
from knightshift.core.program import Encoding, PassProgram
from knightshift.core.yaml_files import read_config, shipped_names
from knightshift.sequences import as_pulseq_version, build, load_protocol, sequence_of

T1, T2 = 17e-3, 12e-3  # [s]
SPINS = 31
"""Along x; a prime, so that no number of crusher cycles but its multiples brings them back into phase."""
OFF = (3, 2)
"""Pixels from the centre of one point along (phase_encode, readout); the other is mirrored along the readout."""
WEAKER = 0.6
"""Density of the mirrored point over that of the first."""


def write_sample(folder: Path, encoding: Encoding, sequence: Any) -> None:
    """Write the two points as maps over ``(x, y, z)``, each a row of spins along x over one cycle of the crusher."""
    areas = [abs(block.gx.area) for block in _blocks(sequence) if block.gx is not None]
    spacing = {"x": 1 / min((area for area in areas if area > 1), default=1e3) / SPINS}
    shape, places = [SPINS, 3, 3], {}
    for number, pixels in enumerate(OFF, start=1):
        axis = encoding.axes[number]
        spacing[axis] = pixels * encoding.field_of_view[number] / encoding.matrix[number]
        places[axis] = 2  # of -1, 0 and 1 times the spacing
    density = np.zeros(shape)
    density[:, places["y"], places["z"]] = 1 / SPINS
    places[encoding.axes[2]] = 0
    density[:, places["y"], places["z"]] = WEAKER / SPINS
    times = {"t1": np.full(shape, T1), "t2": np.full(shape, T2)}
    np.savez(folder / "maps.npz", density=density, voxel_size=[spacing[axis] for axis in "xyz"], **times)


def _blocks(sequence: Any) -> list[Any]:
    return [sequence.get_block(number) for number in sequence.block_events]


@dataclass(frozen=True)
class Found:
    """What one file gave."""

    echo_times: np.ndarray
    """Of each contrast [s], shape ``(echo,)``."""
    peaks: np.ndarray
    """Magnitude of the brighter point, shape ``(echo,)``."""
    misplaced: float
    """Largest distance of a point from its place [pixel]."""


def measure(python: Path, program: PassProgram, encoding: Encoding, limits: ScannerLimits) -> Found:
    """Play one file and look at echoes and image."""
    sequence = sequence_of(program, limits)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pass.seq").write_text(program.pulseq)
        write_sample(folder, encoding, sequence)
        samples = peer(python, folder, "MRzeroCore, Bloch").samples.reshape(program.n_readouts, program.samples)
    labels = sequence.evaluate_labels(evolution="adc")
    lines, echoes = (np.asarray(labels[name]).astype(int) for name in ("LIN", "ECO"))
    if encoding.kind == "spectrum":
        peaks = np.abs(samples[:1, 0])
        return Found(_times_to(sequence, program, samples, encoding)[:1], peaks, 0.0)
    echoes -= echoes.min()  # a file of a stepped echo time holds one contrast, with its own label
    kspace = np.zeros((echoes.max() + 1, encoding.matrix[1], program.samples), dtype=complex)
    np.add.at(kspace, (echoes, lines), samples)
    image = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=(1, 2))), axes=(1, 2)))
    centre = np.array([encoding.matrix[1] // 2, program.samples // 2])
    peaks, misplaced = [], []
    for contrast in image:
        found = np.array(np.unravel_index(contrast.argmax(), contrast.shape)) - centre
        misplaced.append(min(np.abs(found - OFF).max(), np.abs(found + OFF).max()))  # a peer may turn the other way
        peaks.append(contrast.max())
    central = lines == encoding.matrix[1] // 2
    times = _times_to(sequence, program, samples, encoding)
    echo_times = np.array([times[central & (echoes == echo)].mean() for echo in range(len(image))])
    return Found(echo_times, np.array(peaks), float(max(misplaced)))


def _times_to(sequence: Any, program: PassProgram, samples: np.ndarray, encoding: Encoding) -> np.ndarray:
    """Time from the excitation to the largest sample near the promised centre of each readout [s]."""
    _, _, excitations, _, sampled = sequence.calculate_kspace()
    sampled = np.asarray(sampled).reshape(program.n_readouts, program.samples)
    last = np.searchsorted(excitations, sampled[:, 0]) - 1
    if encoding.kind == "spectrum":
        return sampled[:, 0] - np.asarray(excitations)[last]
    reach = program.samples // (4 * OFF[1])
    near = round(encoding.center_sample) + np.arange(-reach, reach + 1)
    magnitude = np.abs(samples[:, near])
    top = np.clip(magnitude.argmax(axis=1), 1, len(near) - 2)
    rows = np.arange(len(samples))
    left, middle, right = (magnitude[rows, top + shift] for shift in (-1, 0, 1))
    between = 0.5 * (left - right) / (left - 2 * middle + right)
    return sampled[rows, near[top]] + between * encoding.dwell_time - np.asarray(excitations)[last]


def row(name: str, version: str, python: Path, limits: ScannerLimits) -> str:
    """Play all files of one protocol: one line of the table."""
    measurement = as_pulseq_version(build(load_protocol(name), limits), version)
    encoding = measurement.encoding
    found = [measure(python, program, encoding, limits) for program in measurement.programs]
    times = np.concatenate([one.echo_times for one in found])
    peaks = np.concatenate([one.peaks for one in found])
    late = np.abs(times - np.array(encoding.echo_times)).max() * 1e6
    misplaced = max(one.misplaced for one in found)
    t2 = -1 / np.polyfit(times, np.log(peaks), 1)[0] if len(times) > 1 else np.nan
    deviation = f"{100 * (t2 / T2 - 1):+10.2f} %" if np.isfinite(t2) else f"{'-':>12}"
    return f"{name:20} {version:>6} {len(found):6d} {late:16.2f} {misplaced:16.0f} {deviation}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environment", type=Path, help="an environment that has the peer already")
    parser.add_argument("--protocols", nargs="*", default=shipped_names("protocols"))
    parser.add_argument("--versions", nargs="*", default=["1.4", "1.5"])
    choices = parser.parse_args()
    limits: ScannerLimits = read_config(ScannerLimits, "limits", "microimaging_9t4")
    print(f"two points of T2 {T2 * 1e3:g} ms, {SPINS} spins each, played by MRzeroCore")
    print(
        f"{'protocol':20} {'Pulseq':>6} {'files':>6} {'echo time off us':>16} {'misplaced pixels':>16} {'T2 off':>12}"
    )
    with environment(choices.environment) as python:
        for name in choices.protocols if python else ():
            for version in choices.versions:
                print(row(name, version, python, limits), flush=True)


if __name__ == "__main__":
    main()
