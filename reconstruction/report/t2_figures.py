"""Figures of T2: the map beside its uncertainty, and the histogram of its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from knightshift.core.arrays import BoolArray, IntArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry.histogram import T2Histogram
from knightshift.reconstruction.report.image_axes import (
    ImagePlane,
    PlaneAxis,
    add_color_bar,
    draw_b0_arrow,
    draw_image,
    draw_outline,
    draw_scale_bar,
    round_up,
)
from knightshift.reconstruction.report.panels import Margins, Panels, label_outer, make_panels
from knightshift.reconstruction.report.style import (
    BLACK,
    BLUE,
    ONE_COLUMN,
    ORANGE,
    T2_MAP,
    TWO_COLUMNS,
    UNCERTAINTY_MAP,
    styled,
)
from knightshift.reconstruction.t2_symbol import T2

_MS = 1e3
_KNOWN = 0.25
_HALO = withStroke(linewidth=1.8, foreground="white")
"""Keeps text legible over bars."""
_BULK_SHARE, _ISOLATED_SHARE = 0.64, 0.27
"""Of the height of a histogram: the bulk, and the isolated population above it."""
_WORDS = 1.2
"""What the width of a peak takes in words [inch]."""
_FLAT = 0.7
"""Panels lower than this share of their width stand above each other."""


@dataclass(frozen=True)
class T2Slice:
    """What the T2 figures show of one slice."""

    t2: RealArray
    """T2 [s], shape ``(phase_encode, readout)``; NaN where no value is to be shown."""
    t2_std: RealArray
    """Its standard deviation [s], same shape."""
    outline: BoolArray
    """Voxels to outline (the dendrite), same shape; all False for none."""
    plane: ImagePlane
    """Where the voxels are."""
    symbol: str = T2
    """What the T2 is called."""


def t2_range_of(t2: RealArray, t2_std: RealArray) -> tuple[float, float]:
    """Choose the range of a T2 colour bar [s]: from zero to a round number above the 99th percentile of known voxels.

    A voxel counts as known if its standard deviation is below a quarter of its T2: the long values that noise makes
    would stretch the colours until nothing can be told apart.

    Parameters
    ----------
    t2, t2_std
        Any shape; NaN is passed over.
    """
    finite = np.isfinite(t2)
    known = finite & (t2_std < _KNOWN * t2)
    values = t2[known if known.any() else finite]
    return (0.0, round_up(float(np.percentile(values, 99)))) if values.size else (0.0, 20e-3)


@styled
def t2_map_figure(shown: T2Slice, t2_range: tuple[float, float]) -> Figure:
    """Draw the T2 map and its standard deviation: side by side, or below it where the image is wide and flat.

    Parameters
    ----------
    shown
        One slice.
    t2_range
        Ends of the colour bar [s]; values beyond are clipped and the bar is drawn with an arrow.
    """
    margins = Margins(between_columns=0.85, top=0.1, between_rows=0.12)
    panels = make_panels(TWO_COLUMNS, 2, 1 if shown.plane.aspect < _FLAT else 2, shown.plane.aspect, margins)
    top = _spread_limit(shown) * _MS
    draw_t2(panels, 0, shown, t2_range)
    draw_map(panels, 1, shown.plane, shown.t2_std * _MS, (0.0, top), (UNCERTAINTY_MAP, f"SD of {shown.symbol} (ms)"))
    _outline(panels.axes[1], shown)
    label_outer(panels)
    draw_scale_bar(panels.axes[0], shown.plane, BLACK)
    draw_b0_arrow(panels.axes[0], shown.plane, BLACK)
    return panels.figure


@styled
def t2_detail_figure(shown: T2Slice, t2_range: tuple[float, float]) -> Figure:
    """Draw the T2 map enlarged round the outlined voxels, so that each voxel can be seen.

    Parameters
    ----------
    shown
        One slice with an outline.
    t2_range
        Ends of the colour bar [s].

    Raises
    ------
    InputError
        If nothing is outlined.
    """
    if not shown.outline.any():
        raise InputError("no voxel is outlined: there is nothing to enlarge")
    (left, right), (bottom, top) = _detail_box(shown)
    panels = make_panels(ONE_COLUMN, 1, 1, (top - bottom) / (right - left), Margins(top=0.1))
    draw_map(
        panels, 0, shown.plane, shown.t2 * _MS, (t2_range[0] * _MS, t2_range[1] * _MS), (T2_MAP, f"{shown.symbol} (ms)")
    )
    length, _ = shown.plane.unit
    panels.axes[0].set_xlim(left / length, right / length)
    panels.axes[0].set_ylim(bottom / length, top / length)
    _outline(panels.axes[0], shown)
    return panels.figure


def _detail_box(shown: T2Slice) -> tuple[tuple[float, float], tuple[float, float]]:
    """Find a frame round the outlined voxels [m], horizontal and vertical: half as large again, and not too flat."""
    rows, columns = np.nonzero(shown.outline)
    x = _edges(shown.plane.horizontal, columns, shown.outline.shape[1])
    y = _edges(shown.plane.vertical, rows, shown.outline.shape[0])
    width = max(1.5 * (x[1] - x[0]), 2.5 * (y[1] - y[0]))
    height = max(1.5 * (y[1] - y[0]), 0.45 * width)
    (across, up) = ((low + high) / 2 for low, high in (x, y))
    return (across - width / 2, across + width / 2), (up - height / 2, up + height / 2)


def _edges(axis: PlaneAxis, indices: IntArray, count: int) -> tuple[float, float]:
    step = (axis.stop - axis.start) / count
    ends = axis.start + step * int(indices.min()), axis.start + step * (int(indices.max()) + 1)
    return min(ends), max(ends)


def _spread_limit(shown: T2Slice) -> float:
    """Choose the upper end of the uncertainty bar [s]: round, above 95 % of the voxels and of the outlined ones."""
    finite = np.isfinite(shown.t2_std) & (shown.t2_std > 0)
    groups = [shown.t2_std[finite], shown.t2_std[finite & shown.outline]]
    highest = max((float(np.percentile(group, 95)) for group in groups if group.size), default=1e-3)
    return round_up(highest)


def draw_t2(panels: Panels, index: int, shown: T2Slice, t2_range: tuple[float, float]) -> None:
    """Draw a T2 map with its colour bar and the outline into one panel of a figure.

    Parameters
    ----------
    panels
        Of the figure.
    index
        Which panel.
    shown
        One slice.
    t2_range
        Ends of the colour bar [s].
    """
    limits = (t2_range[0] * _MS, t2_range[1] * _MS)
    draw_map(panels, index, shown.plane, shown.t2 * _MS, limits, (T2_MAP, f"{shown.symbol} (ms)"))
    _outline(panels.axes[index], shown)


def draw_map(
    panels: Panels,
    index: int,
    plane: ImagePlane,
    values: RealArray,
    limits: tuple[float, float],
    look: tuple[str, str],
) -> None:
    """Draw a map with its colour bar into one panel of a figure.

    Parameters
    ----------
    panels, index
        The figure, and which panel.
    plane
        Where the voxels are.
    values
        In the units of the bar, shape ``(phase_encode, readout)``; NaN is grey.
    limits
        Ends of the bar.
    look
        Colours and name of the bar.
    """
    axes, (color_map, label) = panels.axes[index], look
    drawn = draw_image(axes, values, plane, cmap=color_map, vmin=limits[0], vmax=limits[1])
    finite = values[np.isfinite(values)]
    below, above = bool(np.any(finite < limits[0])), bool(np.any(finite > limits[1]))
    extend = {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}
    add_color_bar(drawn, panels.color_bar_axes(axes), label, extend[below, above])


def _outline(axes: Axes, shown: T2Slice) -> None:
    if shown.outline.any():
        draw_outline(axes, shown.outline, shown.plane, ORANGE)


@dataclass(frozen=True)
class T2Population:
    """One population of a T2 histogram."""

    name: str
    """``"electrodes"``, ``"dendrite"``."""
    histogram: T2Histogram
    """How its T2 is distributed; bars of all populations are equally wide."""
    isolated: bool
    """Whether its T2 sets it apart: drawn in the marking colour."""
    symbol: str = T2
    """What the T2 is called."""


@styled
def histogram_figure(populations: list[T2Population], t2_range: tuple[float, float]) -> Figure:
    """Draw the histogram of T2 with the FWHM as an arrow, the isolated population in a strip of its own above.

    Parameters
    ----------
    populations
        At least one.
    t2_range
        Ends of the axis [s]; voxels beyond are counted in the legend.
    """
    apart = any(population.isolated for population in populations)
    panels = make_panels(ONE_COLUMN, 1, 1, 0.85 if apart else 0.65, Margins(left=0.5, right=0.15, top=0.08))
    draw_histogram(panels.axes[0], populations, t2_range)
    return panels.figure


def draw_histogram(
    axes: Axes, populations: list[T2Population], t2_range: tuple[float, float], *, small: bool = False
) -> Axes:
    """Draw what `histogram_figure` shows into axes of another figure, with fewer words where these are `small`.

    Gives back the uppermost axes, for a title.
    """
    above = _strip_above(axes) if any(population.isolated for population in populations) else None
    for population in populations:
        place = above if above is not None and population.isolated else axes
        _draw_bars(place, population, t2_range, small=small)
    for place in (axes,) if above is None else (axes, above):
        place.set_xlim(t2_range[0] * _MS, t2_range[1] * _MS)
        place.set_ylim(0, (1.6 if small else 1.3) * place.get_ylim()[1])  # room for the words
    for population in populations:
        if above is not None and population.isolated:
            _mark_median(above, population)
        elif np.isfinite(population.histogram.fwhm):
            _draw_width(axes, population.histogram, _bar_width(population))
    axes.locator_params(steps=[1, 2, 5, 10])
    axes.set_xlabel(f"{populations[0].symbol} (ms)")
    axes.set_ylabel(f"voxels per {_bar_width(populations[0]) * _MS:.3g} ms")
    return axes if above is None else above


def _strip_above(axes: Axes) -> Axes:
    """Give the upper part of a panel to a population of its own: among hundreds of voxels a few cannot be seen."""
    box = axes.get_position()
    axes.set_position((box.x0, box.y0, box.width, _BULK_SHARE * box.height))
    strip = axes.figure.add_axes(
        (box.x0, box.y0 + (1 - _ISOLATED_SHARE) * box.height, box.width, _ISOLATED_SHARE * box.height), sharex=axes
    )
    strip.tick_params(labelbottom=False)
    strip.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    return strip


def _bar_width(population: T2Population) -> float:
    return float(population.histogram.edges[1] - population.histogram.edges[0])


def _draw_bars(axes: Axes, population: T2Population, t2_range: tuple[float, float], *, small: bool) -> None:
    color = ORANGE if population.isolated else BLUE
    shown = population.histogram
    inside = (shown.edges[:-1] >= t2_range[0] - 1e-9) & (shown.edges[1:] <= t2_range[1] + 1e-9)
    beyond = int(shown.counts[~inside].sum()) + shown.n_beyond
    words = f"{population.name}: {int(shown.counts.sum()) + shown.n_beyond} voxels"
    words += f", median {shown.median * _MS:.1f} ms" if population.isolated else ""
    words += f", {beyond} beyond the axis" if beyond and not small else ""
    width = _bar_width(population)
    bars: dict[str, Any] = {"color": color, "alpha": 0.75, "edgecolor": "white", "linewidth": 0.3}
    axes.bar(shown.edges[:-1] * _MS, shown.counts, width * _MS, align="edge", **bars)
    if np.isfinite(shown.fwhm) and not population.isolated:  # a handful of voxels has no width worth a curve
        axes.plot(shown.times * _MS, shown.density * width, color=color, linewidth=0.9)
    in_the_middle = shown.median > 0.4 * t2_range[1] + 0.6 * t2_range[0]
    x, side = (0.02, "left") if in_the_middle and population.isolated else (0.99, "right")
    look: dict[str, Any] = {"color": color, "ha": side, "va": "top", "fontsize": 7, "path_effects": [_HALO]}
    axes.text(x, 0.99, words, transform=axes.transAxes, **look)


def _mark_median(axes: Axes, population: T2Population) -> None:
    axes.axvline(population.histogram.median * _MS, ymax=0.72, color=BLACK, linewidth=0.8, linestyle="--")


def _draw_width(axes: Axes, shown: T2Histogram, bar_width: float) -> None:
    """Draw the FWHM where the smooth density is at half its maximum (the kernel's own width is already out)."""
    half = float(shown.density.max()) / 2
    left_foot, right_foot = _feet(shown)
    middle = (left_foot + right_foot) / 2
    left, right, height = (middle - shown.fwhm / 2) * _MS, (middle + shown.fwhm / 2) * _MS, half * bar_width
    head = float(np.clip(150 * (right - left) / np.ptp(axes.get_xlim()), 1.5, 7))  # no longer than the arrow
    arrow = {"arrowstyle": "<|-|>", "color": BLACK, "lw": 0.9, "mutation_scale": head, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (left, height), (right, height), arrowprops=arrow)
    text = f"FWHM {shown.fwhm * _MS:.1f} ± {shown.fwhm_std * _MS:.1f} ms"
    place, look = _place_of_words(axes, shown, (left, right, height))
    axes.annotate(text, place, textcoords="offset points", fontsize=7, **look).set_path_effects([_HALO])


def _place_of_words(
    axes: Axes, shown: T2Histogram, arrow: tuple[float, float, float]
) -> tuple[tuple[float, float], dict[str, Any]]:
    """Find room for the words of an arrow `(left, right, height)`: on its right, or above the peak."""
    (left_end, right_end), (left, right, height) = axes.get_xlim(), arrow
    inches = axes.get_position().width * axes.figure.get_figwidth()  # type: ignore[union-attr]
    words, gap = (length * (right_end - left_end) / inches for length in (_WORDS, 4 / 72))
    edges = shown.edges * _MS
    beside = (edges[1:] > right + gap) & (edges[:-1] < right + words)
    if right + words < right_end and shown.counts[beside].max(initial=0) < 0.9 * height:
        return (right, height), {"xytext": (4, 0), "va": "center", "ha": "left"}
    middle = float(np.clip((left + right) / 2, left_end + words / 2, max(left_end, right_end - words / 2)))
    below = (edges[1:] > middle - words / 2) & (edges[:-1] < middle + words / 2)
    return (middle, max(2 * height, float(shown.counts[below].max(initial=0)))), {
        "xytext": (0, 2),
        "va": "bottom",
        "ha": "center",
    }


def _feet(shown: T2Histogram) -> tuple[float, float]:
    """Find where the highest peak crosses its half maximum [s]."""
    top = int(shown.density.argmax())
    below = np.flatnonzero(shown.density < shown.density[top] / 2)
    return float(shown.times[below[below < top][-1] + 1]), float(shown.times[below[below > top][0] - 1])
