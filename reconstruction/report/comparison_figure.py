"""Two runs on one page: maps side by side on one scale, histograms over each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.report.image_axes import add_color_bar, draw_b0_arrow, draw_scale_bar
from knightshift.reconstruction.report.intensity_figures import draw_intensity
from knightshift.reconstruction.report.panels import Margins, make_panels
from knightshift.reconstruction.report.style import BLACK, BLUE, ORANGE, TWO_COLUMNS, styled
from knightshift.reconstruction.report.t2_figures import T2Slice, draw_t2
from knightshift.reconstruction.t2_symbol import t2_symbol_of_both

_MS = 1e3
_BARS = 40
_LONGEST_TITLE = 40


@dataclass(frozen=True)
class ShownRun:
    """What a comparison shows of one run."""

    title: str
    """What to call it."""
    series: ImageSeries
    """Its images."""
    slice_index: int
    """The slice that is shown."""
    t2_slice: T2Slice
    """Its T2 map there."""
    t2: RealArray
    """T2 of all voxels that have one [s], shape ``(voxel,)``."""


@styled
def comparison_figure(first: ShownRun, second: ShownRun, t2_range: tuple[float, float]) -> Figure:
    """Draw intensity and T2 map of both, column by column.

    Parameters
    ----------
    first, second
        The two runs.
    t2_range
        Ends of the one colour bar [s].
    """
    aspect = max(min(one.t2_slice.plane.aspect, 1.4) for one in (first, second))
    margins = Margins(left=0.7, right=0.62, top=0.24, between_columns=1.3, between_rows=0.45)
    panels = make_panels(TWO_COLUMNS, 4, 2, aspect, margins)
    for column, one in enumerate((first, second)):
        above, below = panels.axes[column], panels.axes[column + 2]
        plane = one.t2_slice.plane
        drawn = draw_intensity(above, one.series, one.slice_index, plane)
        add_color_bar(drawn, panels.color_bar_axes(above), "intensity (%)", "max")
        draw_t2(panels, column + 2, one.t2_slice, t2_range)
        for axes, color in ((above, "white"), (below, BLACK)):
            draw_scale_bar(axes, plane, color)
            draw_b0_arrow(axes, plane, color)
        above.set_title(_short(one.title), loc="left", pad=4)
    return panels.figure


@styled
def histograms_figure(first: ShownRun, second: ShownRun, t2_range: tuple[float, float]) -> Figure:
    """Draw the T2 histograms of both over each other, as shares of their voxels.

    Parameters
    ----------
    first, second
        The two runs.
    t2_range
        Ends of the axis [s]; what lies beyond is told in the legend.
    """
    margins = Margins(left=0.55, right=0.2, top=0.1)
    panels = make_panels(TWO_COLUMNS, 1, 1, 0.38, margins)
    axes = panels.axes[0]
    edges = np.linspace(*t2_range, _BARS + 1)
    _draw_shares(axes, first, edges, BLUE)
    _draw_shares(axes, second, edges, ORANGE)
    axes.set_xlim(t2_range[0] * _MS, t2_range[1] * _MS)
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
    axes.set_xlabel(f"{t2_symbol_of_both(first.series, second.series)} (ms)")
    axes.set_ylabel(f"voxels per {(edges[1] - edges[0]) * _MS:.3g} ms (%)")
    axes.legend(loc="upper right", handlelength=1.2)
    return panels.figure


def _draw_shares(axes: Axes, one: ShownRun, edges: RealArray, color: str) -> None:
    counts, _ = np.histogram(one.t2, edges)
    beyond = one.t2.size - int(counts.sum())
    label = f"{_short(one.title)}: {one.t2.size} voxels" + (f", {beyond} beyond the axis" if beyond else "")
    share = 100 * counts / max(one.t2.size, 1)
    axes.stairs(share, edges * _MS, color=color, fill=True, alpha=0.35)
    axes.stairs(share, edges * _MS, color=color, linewidth=1.1, label=label)
    axes.axvline(float(np.median(one.t2)) * _MS, color=color, linewidth=0.8, linestyle="--")


def _short(title: str) -> str:
    return title if len(title) <= _LONGEST_TITLE else f"{title[: _LONGEST_TITLE - 1]}…"
