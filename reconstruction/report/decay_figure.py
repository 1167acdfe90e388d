"""Decay curves of chosen voxels with their fits, against the noise level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.relaxometry import T2Fit
from knightshift.reconstruction.report.panels import Margins, label_outer, make_panels
from knightshift.reconstruction.report.style import BLACK, BLUE, GREEN, GREY, ONE_COLUMN, ORANGE, TWO_COLUMNS, styled

_MS = 1e3
_LOWEST = 0.4
"""Lower end of the axis, in units of the noise."""


@dataclass(frozen=True)
class ChosenVoxel:
    """A voxel whose decay is shown."""

    title: str
    """Where it is: region and position."""
    index: tuple[int, int, int]
    """``(slice, phase_encode, readout)``."""
    isolated: bool
    """Whether it belongs to the isolated population: drawn in the marking colour."""


@styled
def decay_figure(fit: T2Fit, voxels: list[ChosenVoxel]) -> Figure:
    """Draw signal over noise against echo time, on a logarithmic axis on which a single exponential is a straight line.

    The noise level is the dashed line at 1; a point below the axis is drawn as a triangle at its foot.

    Parameters
    ----------
    fit
        A T2 fit of images with axes ``(slice, phase_encode, readout)``.
    voxels
        At least one; side by side, at most four to a row.
    """
    columns = min(len(voxels), 4)
    width = ONE_COLUMN if columns == 1 else TWO_COLUMNS
    aspect = {1: 0.7, 2: 0.6, 3: 0.8}.get(columns, 1.05)
    panels = make_panels(width, len(voxels), columns, aspect, Margins(right=0.1, left=0.45, between_rows=0.3))
    strongest = max(float(np.nanmax(_in_noise(fit, voxel.index))) for voxel in voxels)
    for axes, voxel in zip(panels.axes, voxels, strict=True):
        _draw_decay(axes, fit, voxel)
        axes.set_ylim(_LOWEST, 2.0 * max(strongest, 1.0))
    label_outer(panels)
    return panels.figure


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
        label = f"{voxel.title.partition(' (')[0]}: {_result(fit, voxel.index)}"
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
    axes.text(0.98, 0.95, _result(fit, voxel.index), transform=axes.transAxes, ha="right", va="top", color=color)
    axes.set_xlim(0, 1.08 * float(times[-1]))
    axes.set_title(voxel.title, loc="left", pad=3)
    _label(axes)


def _result(fit: T2Fit, index: tuple[int, int, int]) -> str:
    return f"T₂ = {fit.t2[index] * _MS:.1f} ± {fit.t2_std[index] * _MS:.1f} ms"
