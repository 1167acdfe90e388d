"""The simulator: one pass of a multi-echo image, beside MRzeroCore and blochsimulator on the same file and phantom.

64 x 64 pixels with 16 isochromats each, five echoes. The peers are AGPL and GPL, never a dependency of ours: they are
installed into a scratch environment that is thrown away, and run in processes of their own; where they cannot be
installed, a line says so. All get the same Pulseq file and the same 65,536 points; the agreement is the rms difference
of all samples over their rms, after one complex factor. Slow peers play fewer lines and are compared on those.

Run ``python benchmarks/simulator.py [--lines 64] [--environment FOLDER] [--no-peers]``.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pypulseq as pp

PIXELS, PER_PIXEL, ECHOES = 64, 16, 5
FIELD_OF_VIEW, DEPTH = 6.4e-3, 4e-3  # [m]
PACKAGES = ("torch==2.13.0", "MRzeroCore", "blochsimulator", "pypulseq==1.5.0.post1")
PEERS = {
    "blochsimulator": ("blochsimulator_peer.py", (), 8),
    "MRzeroCore, Bloch": ("mrzero_peer.py", ("isochromats",), 1),
    "MRzeroCore, PDG": ("mrzero_peer.py", ("pdg",), 1),
}
"""Script, arguments, and so many lines at most."""
PATIENCE = 300.0
_FOLDER = Path(__file__).parent / "simulator_peers"


def sequence_of(n_lines: int) -> Any:
    """Make a CPMG image: readout along y, phase encoding along z rewound, one cycle of crusher along x each side."""
    gamma = 11.262e6
    system = pp.Opts(
        gamma=gamma, B0=9.3982, max_grad=1.5 * gamma, grad_unit="Hz/m", max_slew=1e4 * gamma, slew_unit="Hz/m/s",
        rf_dead_time=0.0, rf_ringdown_time=0.0, adc_dead_time=0.0,
    )  # fmt: skip
    sequence, dwell, ramp = pp.Sequence(system), 10e-6, 200e-6
    flat = PIXELS * dwell
    read = pp.make_trapezoid("y", flat_area=PIXELS / FIELD_OF_VIEW, flat_time=flat, rise_time=ramp, system=system)
    half = read.area / 2 + 0.5 / FIELD_OF_VIEW  # k = 0 on sample n/2, which sits at (n/2 + 1/2) dwell
    prephase = pp.make_trapezoid("y", area=half, duration=1e-3, system=system)
    crusher = pp.make_trapezoid("x", area=1 / DEPTH, duration=1e-3, system=system)
    balance = pp.make_trapezoid("y", area=2 * half - read.area, duration=1e-3, system=system)
    excite = pp.make_block_pulse(np.pi / 2, duration=20e-6, system=system, use="excitation")
    refocus = pp.make_block_pulse(
        np.pi * 5 / 6, duration=20e-6, phase_offset=np.pi / 2, system=system, use="refocusing"
    )
    adc = pp.make_adc(PIXELS, dwell=dwell, delay=ramp, system=system)
    for line in range(n_lines):
        area = (line - n_lines // 2) / FIELD_OF_VIEW
        encode, rewind = (pp.make_trapezoid("z", area=sign * area, duration=1e-3, system=system) for sign in (1, -1))
        sequence.add_block(excite)
        sequence.add_block(prephase, crusher)
        sequence.add_block(pp.make_delay(0.4e-3))
        for _ in range(ECHOES):
            sequence.add_block(refocus)
            sequence.add_block(encode, crusher)
            sequence.add_block(read, adc)
            sequence.add_block(rewind, crusher, balance)
        sequence.add_block(pp.make_trapezoid("x", area=20 / DEPTH, duration=10e-3, system=system))
        sequence.add_block(pp.make_delay(0.1))
    for name, value in (("Nucleus", "23Na"), ("Gamma", gamma), ("B0", 9.3982)):
        sequence.set_definition(name, value)
    return sequence


def maps() -> dict[str, np.ndarray]:
    """Density, T1 and T2 on a grid ``(x, y, z)``: three ellipses of different material, and nothing outside."""
    y, z = np.meshgrid(*2 * [(np.arange(PIXELS) - PIXELS // 2) / (PIXELS / 2)], indexing="ij")
    density, t2 = np.ones((PIXELS, PIXELS)), np.full((PIXELS, PIXELS), 7e-3)
    for center, size, values in (((-0.3, 0.2), 0.25, (0.6, 12e-3)), ((0.35, -0.1), 0.3, (1.4, 5e-3))):
        inside = ((y - center[0]) / size) ** 2 + ((z - center[1]) / (1.6 * size)) ** 2 < 1
        density[inside], t2[inside] = values
    stacked = {"density": density, "t1": np.full_like(density, 17e-3), "t2": t2}
    grid = {name: np.repeat(values[None], PER_PIXEL, axis=0) for name, values in stacked.items()}
    voxel = np.array([DEPTH / PER_PIXEL, FIELD_OF_VIEW / PIXELS, FIELD_OF_VIEW / PIXELS])
    return grid | {"voxel_size": voxel}


PHANTOM = """name: benchmark
voxel_maps:
  - name: points
    density: {file: maps.npz, array: density}
    t1: {file: maps.npz, array: t1, unit: s}
    t2: {file: maps.npz, array: t2, unit: s}
    axes: [x, y, z]
    voxel_size: {x: "250 um", y: "100 um", z: "100 um"}
"""


def prepare(folder: Path, n_lines: int) -> None:
    """Write the sequence, the maps and our description of them."""
    sequence_of(n_lines).write(str(folder / "pass.seq"))
    np.savez(folder / "maps.npz", **maps())
    (folder / "phantom.yaml").write_text(PHANTOM)


@dataclass(frozen=True)
class Result:
    """What one program took, and what it gave."""

    seconds: float
    """On the clock."""
    busy: float
    """Processor time of all threads [s]: what counts on a machine that others use too."""
    samples: np.ndarray
    """All samples, in order."""


def ours(folder: Path) -> Result:
    """Play with our simulator, reading of the file included."""
    from knightshift.core.yaml_files import validate
    from knightshift.hardware.pulseq_program import WhatPulseqLacks, program_from_file
    from knightshift.hardware.pulseq_text import read_pulseq
    from knightshift.hardware.simulated import SimulatorSettings, load_phantom
    from knightshift.hardware.simulated.signals import SignalLibrary

    receiver = {"sensitivity": 1.0, "noise_density": 0.0, "filter_width": 2.0}
    settings = {"receiver": receiver, "isochromats": {"spins_along_x": 1}, "threads": 2}
    library = SignalLibrary(load_phantom(folder / "phantom.yaml"), 9.3982, validate(SimulatorSettings, settings, ""))
    began, busy_from = time.perf_counter(), time.process_time()
    program = program_from_file(folder / "pass.seq", WhatPulseqLacks())
    tables = read_pulseq(program.pulseq, program.working_frequency)
    signal = library.signal(program, tables, program.working_frequency).samples
    return Result(time.perf_counter() - began, time.process_time() - busy_from, signal.ravel())


def peer(python: Path, folder: Path, name: str) -> Result:
    """Play with a peer, in a process of its own."""
    script, arguments, _ = PEERS[name]
    done = subprocess.run(
        [python, _FOLDER / script, folder, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    seconds, busy = json.loads(done.stdout.strip().splitlines()[-1])
    newest = max((path for path in folder.glob("*.npy")), key=lambda path: path.stat().st_mtime)
    return Result(float(seconds), float(busy), np.load(newest))


def agreement(signal: np.ndarray, reference: np.ndarray) -> float:
    """Rms difference over rms, after one complex factor; a peer that turns the other way is conjugated."""
    best = np.inf
    for turned in (signal, signal.conj()):
        factor = np.vdot(turned, reference) / np.vdot(turned, turned)
        best = min(best, float(np.linalg.norm(factor * turned - reference) / np.linalg.norm(reference)))
    return best


@contextmanager
def environment(given: Path | None) -> Iterator[Path | None]:
    """Python of an environment that holds the peers; a scratch one unless `given`. None if they cannot be had."""
    if given is not None:
        yield given / "bin" / "python"
        return
    with tempfile.TemporaryDirectory(prefix="simulator-peers-") as scratch:
        venv.create(scratch, with_pip=True)
        python = Path(scratch) / "bin" / "python"
        try:
            command = [python, "-m", "pip", "install", "--quiet", *PACKAGES]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
            print(f"peers skipped: they cannot be installed here ({' '.join(reason)})")
            yield None
        else:
            yield python


def row(name: str, lines: int, result: Result, per_line: float, difference: str) -> str:
    """One line of the table; `per_line` is our processor time a line [s]."""
    ratio = result.busy / lines / per_line
    rate = PIXELS**2 * PER_PIXEL * lines * ECHOES * PIXELS / result.busy
    return f"{name:18} {lines:5d} {result.seconds:8.2f} {result.busy:8.2f} {ratio:7.1f} {rate:14.2e}   {difference}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=PIXELS)
    parser.add_argument("--environment", type=Path, help="an environment that has the peers already")
    parser.add_argument("--no-peers", action="store_true")
    choices = parser.parse_args()
    points = f"{PER_PIXEL} isochromats each ({PIXELS**2 * PER_PIXEL:,})"
    print(f"{PIXELS} x {PIXELS} pixels, {points}, {ECHOES} echoes, {PIXELS} samples")
    print("seconds on the clock; processor seconds, their ratio per line, and points x samples per processor second")
    print(f"{'program':18} {'lines':>5} {'clock':>8} {'busy':>8} {'ratio':>7} {'rate':>14}   difference from ours")
    with tempfile.TemporaryDirectory(prefix="simulator-") as name:
        folder = Path(name)
        prepare(folder, choices.lines)
        own = ours(folder)
        per_line = own.busy / choices.lines
        print(row("knightshift", choices.lines, own, per_line, "-"), flush=True)
        if choices.no_peers:
            print("peers skipped: --no-peers")
            return
        with environment(choices.environment) as python:
            for peer_name in PEERS if python else ():
                lines = min(PEERS[peer_name][2], choices.lines)
                prepare(folder, lines)
                reference = ours(folder).samples
                try:
                    result = peer(python, folder, peer_name)
                except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                    words = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
                    print(f"{peer_name:20} skipped: {' '.join(words)}")
                    continue
                difference = f"{agreement(result.samples, reference):.1e}"
                print(row(peer_name, lines, result, per_line, difference), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    main()
