"""`knightshift export`: images, maps, regions and k-space for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from knightshift.cli.fit_request import t2_options
from knightshift.core.errors import InputError
from knightshift.reconstruction.export.bids import BidsLabels
from knightshift.reconstruction.export.formats import ExportFormat, export
from knightshift.reconstruction.loading import load_series


@dataclass(frozen=True)
class ExportChoices:
    """What a user may choose about an export."""

    subject: str = "01"
    """For BIDS: label of the sample."""
    session: str | None = None
    """For BIDS: label of the session."""
    estimator: str = "complex"
    """How T2 is estimated."""
    offset: str = "none"
    """Constant added to the decay."""
    noise: float | None = None
    """Noise of the real part of the images, in their units; None: as it was measured."""


def export_to(source: Path, formats: list[str], output: Path, choices: ExportChoices) -> None:
    """Write `source` in the formats asked for into `output`, and say what was written."""
    names = [one.value for one in ExportFormat]
    for name in formats:
        if name not in names:
            raise InputError(f"--to {name}: is not known: one of {', '.join(names)}")
    chosen = tuple(dict.fromkeys(map(ExportFormat, formats)))
    labels, options = BidsLabels(choices.subject, choices.session), t2_options(choices.estimator, choices.offset)
    series = None if choices.noise is None else load_series(source).with_noise(choices.noise)
    console = Console()
    for path in export(source, chosen, output, labels, options=options, series=series):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
