"""`knightshift demo`: both cells, a whole night each on the simulated scanner, and their reports."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from rich.console import Console

from knightshift.cli.processing import ReportChoices, report_to
from knightshift.cli.scanning import ScanChoices, acquire_run
from knightshift.core.errors import InputError
from knightshift.core.run_folder import MANIFEST

CELLS = ("pristine", "shorted")
"""Shipped phantoms: the cell before and after the short circuit."""

_T2_RANGE = (0.0, 20e-3)
"""Both reports have the same colours [s]."""


def run_demo(output: Path, *, seed: int) -> None:
    """Acquire and report each cell into ``output/<cell>``, the second beside the first.

    An older demo in the same place is replaced.
    """
    console = Console()
    for cell in CELLS:
        started = time.monotonic()
        folder = output / cell
        runs = _empty_runs_folder(folder)
        console.print(f"[bold]{cell} cell[/bold]: a night of 11.5 h on the simulated scanner, virtual clock")
        choices = ScanChoices(phantom=cell, virtual_clock=True, seed=seed)
        night = acquire_run("overnight_t2", runs, choices)
        spectrum = acquire_run("spectrum", runs, choices, quiet=True)
        other = None if cell == CELLS[0] else output / CELLS[0]
        report_to(night.path, folder, ReportChoices(spectrum=spectrum.path, t2_range=_T2_RANGE, compare=other))
        console.print(f"  ({time.monotonic() - started:.0f} s of your time)\n", highlight=False)
    sys.stdout.flush()


def _empty_runs_folder(folder: Path) -> Path:
    """Make room for the runs; only a folder that holds nothing but runs is removed."""
    runs = folder / "runs"
    if runs.exists():
        strangers = [path for path in runs.iterdir() if not (path / MANIFEST).is_file()]
        if strangers:
            raise InputError(f"{strangers[0]}: is not a run of an older demo: move it away or choose another folder")
        shutil.rmtree(runs)
    return runs
