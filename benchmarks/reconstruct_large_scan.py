"""Memory and time of the whole ``knightshift reconstruct`` command on a large ParaVision scan of our own making.

The scan is a sparse file: only its central lines hold anything, so that it takes little of the disk. What is printed is
the most memory the command had in use at a time, the interpreter and its libraries included.

Run ``python benchmarks/reconstruct_large_scan.py --gigabytes 2``.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N_LINES = N_SAMPLES = 1024
LINES_WITH_SIGNAL = 16
SLICE_BYTES = 8 * N_LINES * N_SAMPLES


def write_scan(folder: Path, n_slices: int) -> None:
    """Write a multi-slice scan in the layout of ParaVision 6: acqp, method and fid."""
    size = f"( 2 )\n{N_SAMPLES} {N_LINES}"
    steps = " ".join(str(line - N_LINES // 2) for line in range(N_LINES))
    acqp = {
        "ACQ_sw_version": "<PV 6.0.1>", "ACQ_dim": "2", "ACQ_dim_desc": "( 2 )\nSpatial Spatial",
        "ACQ_size": f"( 2 )\n{2 * N_SAMPLES} {N_LINES}", "NI": str(n_slices), "NR": "1", "NSLICES": str(n_slices),
        "BYTORDA": "little", "GO_block_size": "Standard_KBlock_Format", "ACQ_echo_time": "( 1 )\n10",
        "ACQ_slice_offset": f"( {n_slices} )\n{' '.join(str(0.2 * index) for index in range(n_slices))}",
        "ACQ_slice_thick": "0.2", "NUCLEUS": "<1H>", "SFO1": "400.1",
    }  # fmt: skip
    method = {
        "Method": "<Bruker:FLASH>", "PVM_Matrix": size, "PVM_EncMatrix": size, "PVM_Fov": "( 2 )\n20 20",
        "PVM_EncSteps1": f"( {N_LINES} )\n{steps}", "PVM_SPackArrNSlices": f"( 1 )\n{n_slices}",
        "PVM_SPackArrGradOrient": "( 1, 3, 3 )\n1 0 0 0 1 0 0 0 1", "PVM_SPackArrSliceDistance": "( 1 )\n0.2",
    }  # fmt: skip
    for name, parameters in (("acqp", acqp), ("method", method)):
        lines = [f"##${label}={value}" for label, value in parameters.items()]
        (folder / name).write_text("\n".join(["##TITLE=Parameter List", *lines, "##END=", ""]))
    rng = np.random.default_rng(0)
    with (folder / "fid").open("wb") as file:
        file.truncate(n_slices * SLICE_BYTES)
        for line in range(N_LINES // 2 - LINES_WITH_SIGNAL // 2, N_LINES // 2 + LINES_WITH_SIGNAL // 2):
            file.seek(line * n_slices * 8 * N_SAMPLES)
            file.write(rng.integers(-10_000, 10_000, (n_slices, 2 * N_SAMPLES)).astype("<i4").tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    n_slices = max(1, round(parser.parse_args().gigabytes * 1e9 / SLICE_BYTES))
    with tempfile.TemporaryDirectory() as name:
        scan = Path(name) / "scan"
        scan.mkdir()
        write_scan(scan, n_slices)
        command = [sys.executable, "-m", "knightshift.cli", "reconstruct", str(scan), "-o", str(Path(name) / "images")]
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    size = n_slices * SLICE_BYTES
    print(f"{size / 1e9:.2f} GB of raw data: peak memory {peak / 1e9:.2f} GB ({peak / size:.2f} x), {seconds:.0f} s")


if __name__ == "__main__":
    main()
