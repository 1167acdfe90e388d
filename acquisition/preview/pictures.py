"""Draw a snapshot: one PNG for the echoes, one for T2, one for SNR, and the numbers; each appears whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from knightshift.acquisition.preview.snapshot import Snapshot
from knightshift.core.arrays import RealArray
from knightshift.core.durable import make_folder, write_durably
from knightshift.core.human_units import quantity
from knightshift.reconstruction.relaxometry import t2_histogram
from knightshift.reconstruction.report.chosen_voxels import slice_to_show
from knightshift.reconstruction.report.comparison_section import t2_slice_of
from knightshift.reconstruction.report.intensity_figures import echoes_figure
from knightshift.reconstruction.report.panels import Margins, make_panels
from knightshift.reconstruction.report.style import BLACK, BLUE, GREEN, GREY, ONE_COLUMN, ORANGE, render, styled
from knightshift.reconstruction.report.t2_figures import T2Population, histogram_figure, t2_map_figure, t2_range_of
from knightshift.reconstruction.t2_symbol import in_symbol, t2_symbol

NUMBERS = "preview.json"
"""The numbers of a preview, written last: what it names is there."""
_LINES = ("-", "--", "-.", ":")
_COLORS = (BLACK, BLUE, GREEN, ORANGE, GREY)


def write_preview(snapshot: Snapshot, folder: Path, made: float) -> tuple[Path, ...]:
    """Write echoes, T2 map, histogram and SNR as PNG, as far as there is anything to show, and ``preview.json``.

    Parameters
    ----------
    snapshot
        What to show.
    folder
        Made if it is not there; the files of an older preview in it are replaced, each whole at once.
    made
        Now, seconds since the Unix epoch (UTC).

    Returns
    -------
    tuple of Path
        What was written, the numbers last.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    make_folder(folder)
    written = []
    for name, figure in _figures(snapshot):
        write_durably(folder / name, render(figure, "png"))
        written.append(folder / name)
    facts = snapshot.facts(made) | {"figures": [path.name for path in written]}
    write_durably(folder / NUMBERS, (json.dumps(facts, indent=2, allow_nan=False) + "\n").encode())
    return (*written, folder / NUMBERS)


def _figures(snapshot: Snapshot) -> Iterator[tuple[str, Figure]]:
    series, fit = snapshot.series, snapshot.fit
    if series is None:
        return
    has_t2 = fit is not None and bool(fit.ok.any())
    index = slice_to_show(fit, None) if fit is not None and has_t2 else 0
    yield "echoes.png", echoes_figure(series, index)
    if fit is not None and has_t2:
        t2_range, symbol = t2_range_of(fit.t2, fit.t2_std), t2_symbol(series)
        yield "t2_map.png", t2_map_figure(t2_slice_of(series, fit, None, index), t2_range)
        histogram = t2_histogram(fit.t2[fit.ok], fit.t2_std[fit.ok])
        everything = T2Population(in_symbol("voxels with T2", symbol), histogram, False, symbol)
        yield "histogram.png", histogram_figure([everything], t2_range)
    if snapshot.growth is not None:
        yield "snr.png", snr_figure(*snapshot.growth, series.echo_times)


@styled
def snr_figure(n_passes: RealArray, snr: RealArray, echo_times: RealArray) -> Figure:
    """Draw SNR against the passes so far, both axes logarithmic, with the square root through the last point.

    Parameters
    ----------
    n_passes
        Passes of each echo, shape ``(point,)``.
    snr
        Of each echo, shape ``(echo, point)``.
    echo_times
        [s], shape ``(echo,)``.
    """
    panels = make_panels(ONE_COLUMN, 1, 1, 0.75, Margins(left=0.55, right=0.15, top=0.1))
    axes = panels.axes[0]
    for echo, (curve, time) in enumerate(zip(snr, echo_times, strict=True)):
        color, line = _COLORS[echo % len(_COLORS)], _LINES[echo // len(_COLORS) % len(_LINES)]
        shown = curve > 0
        if not shown.any():
            continue
        name = quantity(float(time), "s", 4)
        axes.plot(n_passes[shown], curve[shown], line, color=color, marker="o", markersize=2.2, label=name)
        law = curve[-1] * np.sqrt(n_passes / n_passes[-1])
        axes.plot(n_passes, law, color=color, linewidth=0.5, linestyle=(0, (1, 2)))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("passes of each echo time")
    axes.set_ylabel("SNR of voxels with signal")
    axes.legend(title="echo time", title_fontsize=7, loc="lower right", handlelength=1.6)
    return panels.figure
