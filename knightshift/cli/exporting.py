"""`knightshift export`: images, maps, regions and k-space for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from knightshift.cli.fit_request import t2_options
from knightshift.core.errors import InputError
from knightshift.reconstruction.export.bids import BidsLabels
from knightshift.reconstruction.export.formats import ExportFormat, export
from knightshift.reconstruction.export.mask_file import read_mask
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
    mask: Path | None = None
    """Voxels in which T2 is fitted."""


def export_to(source: Path, formats: list[str], output: Path, choices: ExportChoices) -> None:
    """Write `source` in the formats asked for into `output`, and say what was written."""
    names = [one.value for one in ExportFormat]
    for name in formats:
        if name not in names:
            raise InputError(f"--to {name}: is not known: one of {', '.join(names)}")
    chosen = tuple(dict.fromkeys(map(ExportFormat, formats)))
    labels, options = BidsLabels(choices.subject, choices.session), t2_options(choices.estimator, choices.offset)
    if choices.mask is not None and set(chosen) == {ExportFormat.MRD}:
        raise InputError("--mask is for T2 maps: MRD holds k-space")
    series = None if choices.noise is None and choices.mask is None else load_series(source)
    if series is not None and choices.noise is not None:
        series = series.with_noise(choices.noise)
    mask = None if series is None or choices.mask is None else read_mask(choices.mask, series)
    console = Console()
    for path in export(source, chosen, output, labels, options=options, series=series, mask=mask):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
