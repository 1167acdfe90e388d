"""Figures of T1, T1rho and T2 that are fitted against a delay: curves with residuals, and T1 maps with their error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry.misfit import misfit_of_curve
from knightshift.reconstruction.relaxometry.recovery import RelaxationFit
from knightshift.reconstruction.relaxometry.result import T2Status
from knightshift.reconstruction.report.image_axes import (
    ImagePlane,
    add_color_bar,
    draw_image,
    draw_scale_bar,
    plane_of_slice,
    round_up,
)
from knightshift.reconstruction.report.panels import Margins, Panels, label_outer, make_panels
from knightshift.reconstruction.report.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    T2_MAP,
    TWO_COLUMNS,
    UNCERTAINTY_MAP,
    new_figure,
    styled,
)

_MAX_COLUMNS = 3
_MAX_ROWS = 4
"""Slices of a T1 map that are shown."""
_SHOWN_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class ShownCurve:
    """A peak or voxel whose curve is drawn."""

    title: str
    """What it is."""
    fit: RelaxationFit
    """The fit that it is in."""
    index: tuple[int, ...] = ()
    """Which voxel; empty for the fit of a single peak."""


@styled
def curves_figure(quantity: str, curves: Sequence[ShownCurve]) -> Figure:
    """Draw signal against delay with the fit, and below it what the fit leaves, in words too where it is systematic.

    Parameters
    ----------
    quantity
        What is fitted: ``"T1"``.
    curves
        At least one.
    """
    columns = min(len(curves), _MAX_COLUMNS)
    rows = -(-len(curves) // columns)
    figure = new_figure(TWO_COLUMNS * columns / _MAX_COLUMNS + 0.5, 2.4 * rows + 0.1)
    figure.set_layout_engine("constrained")
    for place, part in zip(curves, figure.subfigures(rows, columns, squeeze=False).flat, strict=False):
        above, below = part.subplots(2, 1, sharex=True, height_ratios=[3, 1.2])
        _draw_curve(above, below, quantity, place)
    return figure


def _draw_curve(above: Axes, below: Axes, quantity: str, shown: ShownCurve) -> None:
    fit, index = shown.fit, shown.index
    scale, unit = (1e3, "ms") if fit.delays.max() < 1 else (1.0, "s")
    signal: RealArray = np.moveaxis(fit.signal, 0, -1)[index]
    size = float(np.nanmax(np.abs(signal))) or 1.0
    for axes in (above, below):
        axes.axhline(0, color=GREY, linewidth=0.6)
    above.plot(fit.delays * scale, signal / size, "o", color=BLACK, markersize=3)
    above.set_title(shown.title, loc="left")
    above.set_ylabel("signal (of the largest)")
    below.set_xlabel(f"delay ({unit})")
    below.set_ylabel("residual (%)")
    place = {"x": 0.97, "transform": above.transAxes, "ha": "right"}
    if not fit.ok[index]:
        above.text(y=0.3, s=T2Status(int(fit.status[index])).words, color=ORANGE, **place)  # type: ignore[arg-type]
        return
    fine = np.linspace(0, 1.03 * float(fit.delays.max()), 300)
    above.plot(fine * scale, fit.expected(index, fine) / size, color=BLUE)
    left = 100 * (signal - fit.expected(index, fit.delays)) / size
    below.vlines(fit.delays * scale, 0, left, color=BLUE, linewidth=0.9)
    below.plot(fit.delays * scale, left, "o", color=BLACK, markersize=2.5)
    misfit = misfit_of_curve(fit, index)
    if misfit is not None and misfit.departs:
        words = f"departs from one exponential by\n{misfit.numbers}"
        below.set_title(words, loc="left", color=ORANGE, fontsize=6, pad=2)
    below.set_ylim(*(np.array([-1.25, 1.25]) * max(float(np.nanmax(np.abs(left))), 1e-6)))
    words = f"{quantity} = {time_with_error(float(fit.time[index]), float(fit.time_std[index]))}"
    falls = fit.curve != "recovery"  # the text goes where the curve is not
    above.text(y=0.85 if falls else 0.25, s=words, color=BLUE, **place)  # type: ignore[arg-type]


def with_error(value: float, error: float) -> str:
    """Write a value and its standard deviation with two digits of the latter: ``"72.7 ± 1.4"``."""
    if not (np.isfinite(error) and error > 0):
        return f"{value:.4g} ± ?"
    if error < 1e-4 * abs(value):
        return f"{value:.5g} ± {error:.1g}"
    decimals = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def time_with_error(time: float, error: float) -> str:
    """Write a relaxation time [s] with its standard deviation [s], in ms below a second."""
    scale, unit = (1.0, "s") if time >= 1 else (1e3, "ms")
    return f"{with_error(time * scale, error * scale)} {unit}"


@styled
def t1_map_figure(fit: RelaxationFit, series: ImageSeries) -> Figure:
    """Draw T1 beside its standard deviation, a row for each slice, all on one scale; of many slices, four.

    Parameters
    ----------
    fit
        T1 of images with axes ``(slice, phase_encode, readout)``.
    series
        The images.
    """
    count = len(fit.time)
    slices = sorted({round(place) for place in np.linspace(0, count - 1, min(count, _MAX_ROWS))})
    plane = plane_of_slice(series, slices[0])
    margins = Margins(between_columns=0.85, between_rows=0.3)
    panels = make_panels(TWO_COLUMNS, 2 * len(slices), 2, plane.aspect, margins)
    limits = (_top(fit.time, 0.99), _top(fit.time_std, 0.95))
    for row, index in enumerate(slices):
        plane = plane_of_slice(series, index)
        _draw_map(panels, 2 * row, plane, fit.time[index], (limits[0], T2_MAP, "T₁ (s)"))
        _draw_map(panels, 2 * row + 1, plane, fit.time_std[index], (limits[1], UNCERTAINTY_MAP, "SD of T₁ (s)"))
        draw_scale_bar(panels.axes[2 * row], plane, BLACK)
        if count > 1:
            panels.axes[2 * row].set_title(f"slice {index + 1}", loc="left", pad=3)
    label_outer(panels)
    return panels.figure


def _top(values: RealArray, quantile: float) -> float:
    finite = values[np.isfinite(values)]
    return round_up(float(np.quantile(finite, quantile))) if finite.size else 1.0


def _draw_map(panels: Panels, index: int, plane: ImagePlane, values: RealArray, look: tuple[float, str, str]) -> None:
    top, color_map, label = look
    axes = panels.axes[index]
    drawn = draw_image(axes, values, plane, cmap=color_map, vmin=0, vmax=top)
    beyond = bool((values[np.isfinite(values)] > top).any())
    add_color_bar(drawn, panels.color_bar_axes(axes), label, "max" if beyond else "neither")


def typical_curves(fit: RelaxationFit) -> tuple[ShownCurve, ...]:
    """Choose voxels of short, middling and long T1 among the half that is known best; none where none has a T1."""
    if not fit.ok.any():
        return ()
    error = np.where(fit.ok, fit.time_std / np.where(fit.ok, fit.time, 1.0), np.inf)
    good = fit.ok & (error <= np.median(error[fit.ok]))
    chosen = []
    for wanted in np.quantile(fit.time[good], _SHOWN_QUANTILES):
        nearest = int(np.argmin(np.where(good, np.abs(fit.time - wanted), np.inf)))
        index = tuple(int(i) for i in np.unravel_index(nearest, fit.time.shape))
        where = f"slice {index[0] + 1}, row {index[1] + 1}, column {index[2] + 1}"
        chosen.append(ShownCurve(where, fit, index))
    return tuple(chosen)
