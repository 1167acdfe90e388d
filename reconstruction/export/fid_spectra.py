"""Spectra of the FIDs of another console on disk: a table that every program reads, and a figure."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from knightshift.core.arrays import RealArray
from knightshift.core.durable import make_folder, write_durably
from knightshift.core.human_units import isotope, quantity
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.report.panels import Margins, make_panels
from knightshift.reconstruction.report.style import T2_MAP, TWO_COLUMNS, save_figure, styled

_SHOWN_SHARE = 0.05
"""The axis shows where the spectra are above this share of the highest point, and half as much around."""
_FEWEST_POINTS = 40
_MOST_NAMED = 8
"""Steps that the legend names."""


def save_fid_spectra(series: FidSeries, folder: Path) -> tuple[Path, ...]:
    """Write ``spectra.csv`` (shift, offset, and real and imaginary part of every step) and ``spectra.png``, ``.pdf``.

    FIDs are transformed as they are; nothing is phased, so that the figure shows magnitudes. Spectra that a console has
    processed keep its phase.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    make_folder(folder)
    spectra = series.spectra
    columns, names = [series.offsets], ["offset_Hz"]
    if series.shifts is not None:
        columns, names = [series.shifts * 1e6, *columns], ["shift_ppm", *names]
    for step, spectrum in enumerate(spectra, start=1):
        columns += [spectrum.real, spectrum.imag]
        names += [f"real_{step}", f"imaginary_{step}"]
    table = io.StringIO()
    np.savetxt(table, np.column_stack(columns), fmt="%.9g", delimiter=",", header=",".join(names), comments="")
    write_durably(folder / "spectra.csv", table.getvalue().encode())
    save_figure(spectra_figure(series), folder, "spectra")
    return tuple(folder / f"spectra.{ending}" for ending in ("csv", "png", "pdf"))


@styled
def spectra_figure(series: FidSeries) -> Figure:
    """Draw the spectrum of every step over each other: magnitudes of FIDs, real parts of processed spectra."""
    spectra = series.spectra
    processed = series.frequencies is not None
    heights = spectra.real if processed else np.abs(spectra)
    highest = float(np.max(np.abs(heights))) or 1.0
    axis = series.offsets if series.shifts is None else series.shifts * 1e6
    panels = make_panels(TWO_COLUMNS, 1, 1, 0.42, Margins(left=0.55, right=0.15, top=0.08))
    axes = panels.axes[0]
    colors = mpl.colormaps[T2_MAP](np.linspace(0, 0.9, len(heights)))
    named = {round(place) for place in np.linspace(0, len(heights) - 1, min(len(heights), _MOST_NAMED))}
    for step, (height, color) in enumerate(zip(heights, colors, strict=True)):
        label = _step_name(series, step) if len(heights) > 1 and step in named else None
        axes.plot(axis, height / highest, color=color, linewidth=0.9, label=label)
    low, high = _window(axis, np.max(np.abs(heights), axis=0))
    axes.set_xlim(high, low)
    unit = "offset from the receiver (Hz)" if series.shifts is None else "shift (ppm)"
    axes.set_xlabel(f"{isotope(series.nucleus or '')} {unit}".strip())
    axes.set_ylabel(f"{'real part' if processed else 'magnitude'} (of the largest)")
    if len(heights) > 1:
        axes.legend(loc="upper right", handlelength=1.2)
    return panels.figure


def _step_name(series: FidSeries, step: int) -> str:
    return f"step {step + 1}" if series.delays is None else quantity(float(series.delays[step]), "s", 3)


def _window(axis: RealArray, height: RealArray) -> tuple[float, float]:
    """Find the part of the axis that holds the lines, and half as much around it."""
    above = np.flatnonzero(height >= _SHOWN_SHARE * height.max())
    first, last = int(above[0]), int(above[-1])
    around = max(_FEWEST_POINTS, (last - first) // 2)
    return float(axis[max(0, first - around)]), float(axis[min(len(axis) - 1, last + around)])
