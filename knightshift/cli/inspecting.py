"""`knightshift inspect` and `export-mrd`: what raw data hold, and k-space for other programs."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from knightshift.core.errors import InputError
from knightshift.core.run_folder import open_run
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.readers import RawKind, detect, inspect_raw, read_raw


def print_inspection(source: Path) -> None:
    """Print what was understood of `source`, and what was not."""
    inspection = inspect_raw(source)
    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in (("kind", inspection.kind.value), *inspection.rows):
        table.add_row(name, value)
    console.print(table, highlight=False, markup=False)
    for line in inspection.missing:
        console.print(f"not in the raw data: {line}", highlight=False, markup=False, soft_wrap=True)
    if inspection.refused:
        console.print(f"not read: {inspection.refused}", highlight=False, markup=False, soft_wrap=True)


def export_mrd(source: Path, output: Path) -> None:
    """Write the k-space of `source` (the sum of the passes, for a run of ours) as an MRD file."""
    from knightshift.reconstruction.export.mrd import write_mrd
    from knightshift.reconstruction.run_scan import scan_of_run

    scan = scan_of_run(open_run(source)) if detect(source) is RawKind.RUN else read_raw(source)
    if not isinstance(scan, KSpaceScan):
        raise InputError(f"{source}: holds no k-space of images, so there is nothing for MRD")
    write_mrd(scan, output)
    Console().print(f"wrote {output}", highlight=False, soft_wrap=True)
