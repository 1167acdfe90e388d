"""Memory and time of ``knightshift reconstruct`` and ``fit`` on large scans of our own making.

For each scan and command: the most memory in use at a time against the raw data, all of it and without what the
interpreter and its libraries take for a scan of nothing; and processor time, of the whole command and from the file to
the images alone. The latter is divided by that of the bare FFTW plan on the same array, and by that of the plan and
one reading of the file. ``64`` is ``--memory-mb``; ``cleaned`` removes offsets and spikes, and whitens.

Run ``python benchmarks/reconstruct_large_scan.py --megabytes 512``; ``--only 3d`` takes the scans of that name.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from large_scans import ScanSize, write_agilent, write_paravision, write_run

TO_IMAGES = """
import sys, time
from knightshift.reconstruction.console_images import images_of_scan
from knightshift.reconstruction.readers import read_raw
from knightshift.reconstruction import console_images
console_images.background_noise = lambda images: (0, "not measured")
scan = read_raw(__import__("pathlib").Path(sys.argv[1]))
for _ in range(2):  # the first time FFTW is loaded, and plans are made
    begin = time.process_time()
    images_of_scan(scan)
print(time.process_time() - begin)
"""
BARE = """
import sys, time
import numpy as np, pyfftw
path, shape, axes = sys.argv[1], tuple(map(int, sys.argv[2].split(","))), tuple(map(int, sys.argv[3].split(",")))
array = pyfftw.empty_aligned(shape, "complex64")
plan = pyfftw.FFTW(array, array, axes=axes, direction="FFTW_BACKWARD", flags=("FFTW_MEASURE",), planning_timelimit=5)
array[...] = 1
begin = time.process_time()
plan.execute()
transformed = time.process_time()
array.view(np.float32).ravel()[:] = np.memmap(path, "i4", offset=0)[: 2 * array.size]
print(transformed - begin, time.process_time() - transformed)
"""


@dataclass(frozen=True)
class Case:
    """One scan."""

    write: Callable[[Path, ScanSize], Path]
    shape: tuple[int, ...]
    """``(echo, slice, receiver, line, sample)`` of about 128 MB."""
    is_3d: bool = False

    def size(self, megabytes: float) -> ScanSize:
        """Count the slices, or passes, of a scan of so many megabytes."""
        n_echoes, n_slices, n_receivers, n_lines, n_samples = self.shape
        n_slices = 16 * max(1, round(n_slices * megabytes / 134 / 16))  # bare plans are slow for large prime factors
        return ScanSize(n_slices, n_lines, n_samples, n_echoes, n_receivers, self.is_3d)


def write_passes(folder: Path, size: ScanSize) -> Path:
    """Write a run of 1000 passes or so, whose slices are passes."""
    return write_run(folder, ScanSize(1, size.n_lines, size.n_samples, n_echoes=5), size.n_slices)


CASES = {
    "ParaVision slices": Case(write_paravision, (1, 64, 1, 512, 512)),
    "ParaVision slices, 4 receivers": Case(write_paravision, (1, 16, 4, 512, 512)),
    "ParaVision 3d": Case(write_paravision, (1, 256, 1, 256, 256), is_3d=True),
    "ParaVision 3d, 4 receivers": Case(write_paravision, (1, 128, 4, 128, 256), is_3d=True),
    "ParaVision 3d, 5 echoes": Case(write_paravision, (5, 102, 1, 128, 256), is_3d=True),
    "Agilent 3d": Case(write_agilent, (1, 256, 1, 256, 256), is_3d=True),
    "run of ours": Case(write_passes, (1, 1000, 1, 128, 128)),
}


def run(*command: str) -> tuple[float, float, str]:
    """Peak memory [bytes], processor time [s] and output of a command."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return 1024.0 * usage.ru_maxrss, usage.ru_utime + usage.ru_stime, output


knightshift = partial(run, sys.executable, "-m", "knightshift.cli")


def print_case(name: str, case: Case, megabytes: float, place: Path) -> None:
    """Print one line for each command on one scan."""
    size = case.size(megabytes)
    scan = case.write(place / "scan", size)
    little = case.write(place / "little", ScanSize(16, 32, 32, size.n_echoes, size.n_receivers, case.is_3d))
    ours = ""
    if case.write is not write_passes:
        seconds = float(run(sys.executable, "-c", TO_IMAGES, str(scan))[2])
        shape = (size.n_echoes, size.n_receivers, size.n_slices, size.n_lines, size.n_samples)
        axes = "2,3,4" if case.is_3d else "3,4"
        bare = run(sys.executable, "-c", BARE, str(scan / "fid"), ",".join(map(str, shape)), axes)[2]
        transform, reading = map(float, bare.split())
        ours = f"{seconds:7.2f} {seconds / transform:7.1f} {seconds / (transform + reading):7.1f}"
    small = ("--memory-mb", "64")
    cleaning = place / "cleaning.yaml"
    cleaning.write_text("remove_dc_offset: true\nremove_spikes: true\nwhiten: true\n")
    commands: list[tuple[str, tuple[str, ...]]] = [("reconstruct", ()), ("reconstruct 64", small)]
    commands += [("cleaned 64", (*small, "--recipe", str(cleaning)))] * (size.n_receivers > 1)
    commands += [("fit 64", small)] * (size.n_echoes > 1)
    for label, options in commands:
        command = "fit" if label.startswith("fit") else "reconstruct"
        baseline, _, _ = knightshift(command, str(little), "-o", str(place / "none"), *options)
        peak, seconds, _ = knightshift(command, str(scan), "-o", str(place / "out"), *options)
        told = f"{peak / size.n_bytes:6.2f} {(peak - baseline) / size.n_bytes:6.2f} {seconds:7.1f}"
        print(f"{name:31} {label:15} {size.n_bytes / 1e6:6.0f} {peak / 1e6:6.0f} {told} {ours}")
        name, ours = "", ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=512.0)
    parser.add_argument("--only", default="", metavar="WORD")
    arguments = parser.parse_args()
    print("peak: MB, and times the raw data with and without the libraries; s: processor time of the command;")
    print("images: s from file to images, over the bare plan, and over plan and one reading")
    print(f"{'scan':31} {'command':15} {'MB':>6} {'peak':>6} {'x':>6} {'net x':>6} {'s':>7} {'images':>7}")
    for name, case in CASES.items():
        if arguments.only in name:
            with tempfile.TemporaryDirectory() as place:
                print_case(name, case, arguments.megabytes, Path(place))


if __name__ == "__main__":
    main()
