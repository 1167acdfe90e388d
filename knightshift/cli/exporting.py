"""`knightshift export`: images, maps, regions and k-space for other programs."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from knightshift.core.errors import InputError
from knightshift.reconstruction.export.bids import BidsLabels
from knightshift.reconstruction.export.formats import ExportFormat, export


def export_to(source: Path, formats: list[str], output: Path, subject: str, session: str | None) -> None:
    """Write `source` in the formats asked for into `output`, and say what was written."""
    names = [one.value for one in ExportFormat]
    for name in formats:
        if name not in names:
            raise InputError(f"--to {name}: is not known: one of {', '.join(names)}")
    chosen = tuple(dict.fromkeys(map(ExportFormat, formats)))
    console = Console()
    for path in export(source, chosen, output, BidsLabels(subject, session)):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
