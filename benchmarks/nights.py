"""Nights of both cells with several seeds: what each finds, beside what the phantom holds.

    python benchmarks/nights.py --seeds 10

Each row is a night of 11.5 h on the simulated scanner (virtual clock): T2 of the electrodes (median, quartiles, FWHM),
and of the dendrite with its place.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from knightshift.cli.processing import ReportChoices, report_to
from knightshift.cli.scanning import ScanChoices, acquire_run
from knightshift.hardware.simulated import load_phantom

_HEAD = (
    f"{'cell':9} {'seed':>4} | {'median':>6} {'quartiles':>11} {'FWHM':>5} | "
    "dendrite: voxels, median T2, SNR at the last echo, offset y, z"
)


def _night(cell: str, seed: int, folder: Path) -> dict[str, Any]:
    choices = ScanChoices(phantom=cell, virtual_clock=True, seed=seed)
    run = acquire_run("overnight_t2", folder / "runs", choices, quiet=True)
    report_to(run.path, folder, ReportChoices())
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def _row(cell: str, seed: int, summary: dict[str, Any]) -> str:
    by_role = {region["role"]: region for region in reversed(summary["regions"])}
    bulk = by_role["bulk"]
    low, high = (1e3 * edge for edge in bulk["iqr_t2_s"])
    median, fwhm = 1e3 * bulk["median_t2_s"], 1e3 * bulk["fwhm_t2_s"]
    text = f"{cell:9} {seed:4d} | {median:6.2f} {low:5.2f}-{high:5.2f} {fwhm:5.2f} | "
    found = [region for region in summary["regions"] if region["role"] == "dendrite"]
    if not found:
        return text + "none"
    truth = {region.name: region for region in load_phantom(cell).regions()}.get("dendrite")
    parts = []
    for region in found:
        y, z = (region["centroid_um"][axis] for axis in "yz")
        off = "" if truth is None else f", {y - 1e6 * truth.center[0]:+.0f}, {z - 1e6 * truth.center[1]:+.0f} um"
        snr = region["snr_per_echo"][-1]
        parts.append(f"{region['n_voxels']} voxels, {1e3 * region['median_t2_s']:.2f} ms, {snr:.1f}{off}")
    return text + "; ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--cells", nargs="+", default=["pristine", "shorted"])
    arguments = parser.parse_args()
    rows = []
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for cell in arguments.cells:
            folder = Path(tempfile.mkdtemp(prefix="knightshift-night-"))
            rows.append(_row(cell, seed, _night(cell, seed, folder)))
            shutil.rmtree(folder)
    print(_HEAD, *rows, sep="\n")


if __name__ == "__main__":
    main()
