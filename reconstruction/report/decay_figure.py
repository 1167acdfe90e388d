"""Decay curves of chosen voxels with their fits, against the noise level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.relaxometry import T2Fit
from knightshift.reconstruction.relaxometry.rician import rician_mean
from knightshift.reconstruction.report.panels import Margins, label_outer, make_panels
from knightshift.reconstruction.report.style import BLACK, BLUE, GREEN, GREY, ONE_COLUMN, ORANGE, TWO_COLUMNS, styled
from knightshift.reconstruction.t2_symbol import T2

_MS = 1e3
_LOWEST = 0.4
"""Lower end of the axis, in units of the noise."""
_LONGEST_TITLE = 30
"""A title of more characters has its place on a line of its own."""
_DECAY_SHARE, _STRIP_SHARE = 0.73, 0.23
"""Of the height of a panel: the decay, and its residuals below."""


@dataclass(frozen=True)
class ChosenVoxel:
    """A voxel whose decay is shown."""

    title: str
    """Where it is: region and position."""
    index: tuple[int, int, int]
    """``(slice, phase_encode, readout)``."""
    isolated: bool
    """Whether it belongs to the isolated population: drawn in the marking colour."""
    symbol: str = T2
    """What the T2 is called."""


@styled
def decay_figure(fit: T2Fit, voxels: list[ChosenVoxel]) -> Figure:
    """Draw signal over noise against echo time, on a logarithmic axis on which a single exponential is a straight line.

    The noise level is the dashed line at 1; a point below the axis is drawn as a triangle at its foot. Below each decay
    is what the fit leaves, in units of the noise.

    Parameters
    ----------
    fit
        A T2 fit of images with axes ``(slice, phase_encode, readout)``.
    voxels
        At least one; side by side, at most four to a row.
    """
    columns = min(len(voxels), 4)
    width = ONE_COLUMN if columns == 1 else TWO_COLUMNS
    aspect = {1: 0.9, 2: 0.8, 3: 1.05}.get(columns, 1.35)
    crowded = columns > 1 and max(len(voxel.title) for voxel in voxels) > _LONGEST_TITLE
    margins = Margins(right=0.1, left=0.45, top=0.34 if crowded else 0.2, between_rows=0.55 if crowded else 0.42)
    panels = make_panels(width, len(voxels), columns, aspect, margins)
    strongest = max(float(np.nanmax(_in_noise(fit, voxel.index))) for voxel in voxels)
    for axes, voxel in zip(panels.axes, voxels, strict=True):
        _draw_decay(axes, fit, voxel)
        if crowded:
            axes.set_title(voxel.title.replace(" (", "\n("), loc="left", pad=3)
        axes.set_ylim(_LOWEST, 2.0 * max(strongest, 1.0))
    label_outer(panels)
    widest = max(float(np.max(np.abs(_residuals(fit, voxel.index)))) for voxel in voxels)
    for place, (axes, voxel) in enumerate(zip(panels.axes, voxels, strict=True)):
        below = _strip_below(axes)
        _draw_residuals(below, fit, voxel)
        below.set_ylim(-1.2 * max(widest, 2.0), 1.2 * max(widest, 2.0))
        below.set_xlabel("echo time (ms)" if place + columns >= len(voxels) else "")
        if place % columns:
            below.tick_params(labelleft=False)
        else:
            below.set_ylabel("residual / σ")
    return panels.figure


def _strip_below(axes: Axes) -> Axes:
    """Give the lower part of a panel to axes of their own that share its echo times."""
    box = axes.get_position()
    axes.set_position((box.x0, box.y0 + (1 - _DECAY_SHARE) * box.height, box.width, _DECAY_SHARE * box.height))
    axes.tick_params(labelbottom=False)
    axes.set_xlabel("")
    return axes.figure.add_axes((box.x0, box.y0, box.width, _STRIP_SHARE * box.height), sharex=axes)


def _draw_residuals(axes: Axes, fit: T2Fit, voxel: ChosenVoxel) -> None:
    left = _residuals(fit, voxel.index)
    for level in (-1, 0, 1):
        axes.axhline(level, color=GREY, linewidth=0.6, linestyle="--" if level else "-")
    axes.vlines(fit.echo_times * _MS, 0, left, color=ORANGE if voxel.isolated else BLUE, linewidth=0.9)
    axes.plot(fit.echo_times * _MS, left, "o", color=BLACK, markersize=2.5)


def _residuals(fit: T2Fit, index: tuple[int, int, int]) -> RealArray:
    """Tell what the fit of one voxel leaves, in units of the noise, shape ``(echo,)``."""
    expected: RealArray = fit.curve(index, fit.echo_times) / fit.noise_std
    if fit.options.estimator == "rician":  # the curve is the decay without noise, the signal has it
        expected = rician_mean(expected)
    return np.asarray(_in_noise(fit, index) - expected)


def draw_decays(axes: Axes, fit: T2Fit, voxels: list[ChosenVoxel]) -> None:
    """Draw the decays of several voxels over each other, each in its colour, into axes of another figure."""
    strongest = max(float(np.nanmax(_in_noise(fit, voxel.index))) for voxel in voxels)
    axes.set_yscale("log", nonpositive="clip")
    axes.axhspan(_LOWEST, 1.0, color=GREY, alpha=0.15, linewidth=0)
    axes.axhline(1.0, color=GREY, linewidth=0.8, linestyle="--")
    marked, plain_colors = iter((ORANGE, "#E69F00")), iter((BLUE, GREEN))
    for voxel in voxels:
        color = next(marked if voxel.isolated else plain_colors)
        values = _in_noise(fit, voxel.index)
        visible = values > _LOWEST
        _draw_fit(axes, fit, voxel, color)
        times = fit.echo_times[visible] * _MS
        label = f"{voxel.title.partition(' (')[0]}: {_result(fit, voxel)}"
        axes.errorbar(times, values[visible], yerr=1.0, fmt="o", markersize=3, color=color, elinewidth=0.7, label=label)
    axes.set_ylim(_LOWEST, 6.0 * max(strongest, 1.0))  # room for the legend
    axes.set_xlim(0, 1.08 * float(fit.echo_times[-1]) * _MS)
    axes.legend(loc="upper right", handlelength=1.2)
    _label(axes)


def _draw_fit(axes: Axes, fit: T2Fit, voxel: ChosenVoxel, color: str) -> None:
    fine = np.linspace(0, 1.08 * float(fit.echo_times[-1]), 200)
    if fit.options.train is None:
        noise = np.interp(fine, fit.echo_times, fit.noise_std)
        axes.plot(fine * _MS, fit.curve(voxel.index, fine) / noise, color=color)
    else:  # between the echoes of a train there is no signal: straight lines lead from one to the next
        axes.plot(fit.echo_times * _MS, fit.curve(voxel.index, fit.echo_times) / fit.noise_std, color=color)


def _label(axes: Axes) -> None:
    axes.text(0.01 * axes.get_xlim()[1], 0.93, "noise level σ", ha="left", va="top", fontsize=6.5, color="#5A5A5A")
    axes.set_xlabel("echo time (ms)")
    axes.set_ylabel("signal / noise σ")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _in_noise(fit: T2Fit, index: tuple[int, int, int]) -> RealArray:
    """Signal of one voxel in units of the noise, shape ``(echo,)``."""
    return np.asarray(fit.signal[(slice(None), *index)] / fit.noise_std)


def _draw_decay(axes: Axes, fit: T2Fit, voxel: ChosenVoxel) -> None:
    color = ORANGE if voxel.isolated else BLUE
    times, values = fit.echo_times * _MS, _in_noise(fit, voxel.index)
    axes.set_yscale("log", nonpositive="clip")
    axes.axhspan(_LOWEST, 1.0, color=GREY, alpha=0.15, linewidth=0)
    axes.axhline(1.0, color=GREY, linewidth=0.8, linestyle="--")
    _draw_fit(axes, fit, voxel, color)
    visible = values > _LOWEST
    bars = {"color": BLACK, "ecolor": BLACK, "elinewidth": 0.7, "capsize": 1.8, "capthick": 0.7}
    axes.errorbar(times[visible], values[visible], yerr=1.0, fmt="o", markersize=3, **bars)  # type: ignore[arg-type]
    axes.plot(times[~visible], np.full(np.count_nonzero(~visible), 1.12 * _LOWEST), "v", color=BLACK, markersize=3)
    axes.text(0.98, 0.95, _result(fit, voxel), transform=axes.transAxes, ha="right", va="top", color=color)
    axes.set_xlim(0, 1.08 * float(times[-1]))
    axes.set_title(voxel.title, loc="left", pad=3)
    _label(axes)


def _result(fit: T2Fit, voxel: ChosenVoxel) -> str:
    index = voxel.index
    return f"{voxel.symbol} = {fit.t2[index] * _MS:.1f} ± {fit.t2_std[index] * _MS:.1f} ms"
