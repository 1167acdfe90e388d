"""`knightshift export`: images, maps, regions and k-space for other programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from knightshift.cli.fit_request import ImageChoices
from knightshift.core.errors import InputError
from knightshift.reconstruction.export.bids import BidsLabels
from knightshift.reconstruction.export.formats import ExportFormat, export


@dataclass(frozen=True)
class ExportChoices:
    """What a user may choose about an export."""

    subject: str = "01"
    """For BIDS: label of the sample."""
    session: str | None = None
    """For BIDS: label of the session."""
    images: ImageChoices = field(default_factory=ImageChoices)
    """How T2 is fitted."""


def export_to(source: Path, formats: list[str], output: Path, choices: ExportChoices) -> None:
    """Write `source` in the formats asked for into `output`, and say what was written."""
    names = [one.value for one in ExportFormat]
    for name in formats:
        if name not in names:
            raise InputError(f"--to {name}: is not known: one of {', '.join(names)}")
    chosen = tuple(dict.fromkeys(map(ExportFormat, formats)))
    labels, request = BidsLabels(choices.subject, choices.session), choices.images.request()
    if set(chosen) == {ExportFormat.MRD} and (given := choices.images.given()):
        raise InputError(f"{given} for T2 maps: MRD holds k-space")
    console = Console()
    for path in export(source, chosen, output, labels, request=request):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
