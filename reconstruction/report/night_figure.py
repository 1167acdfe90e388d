"""The curves of a night on one time axis: frequency, temperature, levels, reference FIDs, signal-to-noise ratio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.report.inputs import ReportInputs, RunFacts
from knightshift.reconstruction.report.night_curves import Curve, Sort
from knightshift.reconstruction.report.panels import Margins, make_panels
from knightshift.reconstruction.report.style import BLACK, BLUE, GREEN, GREY, ORANGE, TWO_COLUMNS, styled
from knightshift.reconstruction.running_snr import RunningSnr

_COLORS = (BLUE, ORANGE, GREEN, BLACK, GREY)
_CELSIUS = 273.15
_HELD = frozenset({"temperature", "level", "other"})
"""A reading of a monitor holds until the next; all else was measured at its moment only."""
_MOST_TICKS = 9
_STEPS = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440))


def _percent_of_median(value: RealArray) -> RealArray:
    median = float(np.median(value))
    return 100 * value / median if median else value


_PANELS: dict[Sort, tuple[str, Callable[[RealArray], RealArray]]] = {
    "temperature": ("temperature\n(°C)", lambda value: value - _CELSIUS),
    "level": ("level\n(%)", lambda value: 100 * value),
    "amplitude": ("reference\namplitude (%)", _percent_of_median),
    "phase": ("reference\nphase (°)", lambda value: np.degrees(np.unwrap(value) - value[0])),
    "linewidth": ("line width\n(Hz)", lambda value: value),
    "noise": ("noise\n(%)", _percent_of_median),
    "other": ("other\nreadings", lambda value: value),
}
"""What the panel of a sort is labelled, and how its values are drawn."""


@dataclass(frozen=True)
class _Panel:
    label: str
    draw: Callable[[Axes], None]


def night_panels(inputs: ReportInputs) -> list[str]:
    """Name what the figure of the night would show, in order; empty where nothing was followed."""
    return [panel.label.replace("\n", " ") for panel in _panels(inputs)]


@styled
def night_figure(inputs: ReportInputs) -> Figure:
    """Draw everything that was followed through a run against local time, a panel for each sort.

    Suspensions are orange bands, interruptions grey ones. At the foot of each panel, passes without weight are orange
    ticks, spoilt attempts black ones.

    Parameters
    ----------
    inputs
        Of a run, with at least one pass.
    """
    run = inputs.run
    assert run is not None
    assert run.started is not None
    assert run.finished is not None
    panels = _panels(inputs)
    margins = Margins(left=0.75, right=0.15, top=0.10, between_rows=0.10)
    figure_panels = make_panels(TWO_COLUMNS, len(panels), 1, 0.13, margins)
    for panel, axes in zip(panels, figure_panels.axes, strict=True):
        panel.draw(axes)
        axes.set_ylabel(panel.label)
        _mark_pauses(axes, run)
        _time_axis(axes, run.started, run.finished)
        axes.locator_params(axis="y", nbins=4)
        if axes is not figure_panels.axes[-1]:
            axes.tick_params(labelbottom=False)
            axes.set_xlabel("")
        if len(axes.get_legend_handles_labels()[0]) > 1:
            axes.legend(loc="best", handlelength=1.2, ncols=4, fontsize=6.5)
    return figure_panels.figure


def _panels(inputs: ReportInputs) -> list[_Panel]:
    run = inputs.run
    if run is None or run.started is None:
        return []
    curves = run.night.curves
    panels = []
    if any(curve.sort == "frequency" for curve in curves) or inputs.drift is not None:
        panels.append(_Panel("frequency\n(Hz)", lambda axes: _draw_frequency(axes, inputs)))
    for sort, (label, shown) in _PANELS.items():
        some = [curve for curve in curves if curve.sort == sort]
        if some:
            panels.append(_Panel(label, _drawer(some, shown)))
    if inputs.running_snr is not None:
        found = inputs.running_snr
        panels.append(_Panel("signal /\nnoise", lambda axes: _draw_snr(axes, found)))
    return panels


def _drawer(curves: Sequence[Curve], shown: Callable[[RealArray], RealArray]) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        for curve, color in zip(curves, _COLORS, strict=False):
            time, value = curve.time, shown(curve.value)
            if curve.sort in _HELD:
                axes.plot(time, value, color=color, linewidth=1.0, drawstyle="steps-post", label=curve.name)
            else:
                axes.plot(time, value, ".", color=color, markersize=2.5, label=curve.name)
        more = len(curves) - len(_COLORS)
        if more > 0:
            axes.plot([], [], linestyle="", label=f"and {more} more")

    return draw


def _draw_frequency(axes: Axes, inputs: ReportInputs) -> None:
    """Draw frequencies as differences from the first working frequency: only these can be seen."""
    run = inputs.run
    assert run is not None
    curves = [curve for curve in run.night.curves if curve.sort == "frequency"]
    receiver = next((curve for curve in curves if curve.name == "receiver"), None)
    first = float((receiver or curves[0]).value[0]) if curves else 0.0
    for curve in curves:
        if curve is receiver:
            axes.plot(curve.time, curve.value - first, color=BLACK, label="receiver", drawstyle="steps-post")
        else:
            axes.plot(curve.time, curve.value - first, ".", color=BLUE, markersize=2.5, label=curve.name)
    if inputs.drift is not None:
        axes.plot(inputs.drift.time, inputs.drift.frequency_offset, color=ORANGE, label="from the images")
    low, high = axes.get_ylim()
    if high - low < 2:  # a frequency that was never touched is a line, not noise of the number format
        axes.set_ylim((low + high) / 2 - 1, (low + high) / 2 + 1)


def _draw_snr(axes: Axes, found: RunningSnr) -> None:
    axes.plot(found.time, found.expected, color=GREY, linewidth=0.9, linestyle="--", label="expected, √n")
    axes.plot(found.time, found.measured, "o", color=BLUE, markersize=2.5, label="measured")
    axes.set_ylim(bottom=0)


def _mark_pauses(axes: Axes, run: RunFacts) -> None:
    night = run.night
    for pause in night.suspensions:
        end = pause.began + (pause.duration or 0.0)
        axes.axvspan(pause.began, end, color=ORANGE, alpha=0.18, linewidth=0)
    for earlier, later in zip(night.epochs, night.epochs[1:], strict=False):
        axes.axvspan(earlier.ended, later.began, color=GREY, alpha=0.3, linewidth=0)
        axes.axvline(later.began, color=GREY, linewidth=0.6, linestyle=":")
    lost = [one.time for one in run.rejected if one.time is not None]
    for moments, color in ((lost, ORANGE), ([again.time for again in night.repetitions], BLACK)):
        axes.plot(moments, [0.05] * len(moments), "|", color=color, markersize=4, transform=axes.get_xaxis_transform())


def _time_axis(axes: Axes, started: float, finished: float) -> None:
    """Label the axis with the clock on the wall; a change of the clock moves the labels, not the curves."""
    began, ended = (datetime.fromtimestamp(moment).astimezone() for moment in (started, finished))
    span = timedelta(seconds=finished - started)
    step = next((step for step in _STEPS if span / step <= _MOST_TICKS), _STEPS[-1])
    midnight = began.replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight + step * -(-(began - midnight) // step)
    moments = [first + step * number for number in range(_MOST_TICKS + 1)]
    ticks = [moment.timestamp() for moment in moments if began <= moment <= ended]
    edge = 0.01 * max(finished - started, 1.0)
    axes.set_xlim(started - edge, finished + edge)
    labels = [f"{datetime.fromtimestamp(tick).astimezone():%H:%M}" for tick in ticks]
    axes.set_xticks(ticks, labels)
    axes.set_xlabel(f"time of day, {began:%Z}" + (f" to {ended:%Z}" if began.tzname() != ended.tzname() else ""))
