"""`knightshift inspect`: what raw data hold, and what they do not say."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from knightshift.reconstruction.readers import inspect_raw


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
