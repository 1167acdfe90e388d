"""One look for all figures: widths of a journal column, fonts, colours that colour-blind readers can tell apart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, ParamSpec

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from knightshift.core.durable import write_durably
from knightshift.reconstruction.report.fonts import figure_fonts

ONE_COLUMN = 85 / 25.4
"""Width of one journal column [inch]."""
TWO_COLUMNS = 178 / 25.4
"""Width of a journal page [inch]."""
DPI = 300
"""Resolution of the PNG files [pixels per inch]."""

# Okabe & Ito, "Color Universal Design" (2008).
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
GREY = "#8C8C8C"
BLACK = "#1A1A1A"
NO_VALUE = "#D9D9D9"
"""Voxels without a value: neutral, and in no colour map that is used."""

INTENSITY_MAP = "gray"
T2_MAP = "viridis"
UNCERTAINTY_MAP = "plasma"

Format = Literal["png", "pdf"]

_RC: dict[Any, Any] = {
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": BLACK,
    "text.color": BLACK,
    "axes.labelcolor": BLACK,
    "xtick.color": BLACK,
    "ytick.color": BLACK,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "image.interpolation": "nearest",  # a voxel is a voxel
    "pdf.fonttype": 42,  # text stays text in the vector file
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "text.parse_math": False,  # a name with dollar signs is a name
}

P = ParamSpec("P")
_SETTINGS = threading.RLock()
"""matplotlib's settings are those of the process: one figure at a time is drawn in ours."""


def _look() -> dict[Any, Any]:
    return {**_RC, "font.family": figure_fonts()}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function that makes a figure make it in the style of the house, whatever the user's settings are."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _SETTINGS, mpl.rc_context(_look()):
            return draw(*args, **kwargs)

    return in_style


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure, `width` by `height` inches, that needs no display."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def render(figure: Figure, file_format: Format) -> bytes:
    """Render a figure; the same figure gives the same bytes, for no date goes into the file."""
    metadata = {"CreationDate": None} if file_format == "pdf" else {"Software": None}
    buffer = BytesIO()
    with _SETTINGS, mpl.rc_context(_look()):
        figure.savefig(buffer, format=file_format, dpi=DPI, metadata=metadata, facecolor="white")
    return buffer.getvalue()


def save_figure(figure: Figure, directory: Path, name: str) -> bytes:
    """Write ``name.png`` and ``name.pdf`` (vector) into `directory`; gives back the PNG for the HTML report.

    Raises
    ------
    StorageError
        If the files cannot be written.
    """
    png = render(figure, "png")
    write_durably(directory / f"{name}.png", png)
    write_durably(directory / f"{name}.pdf", render(figure, "pdf"))
    return png
