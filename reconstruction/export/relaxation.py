"""Relaxation times of spectra and of inversion-recovery images on disk: tables, figures and maps."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from knightshift.core.arrays import RealArray
from knightshift.core.durable import make_folder, write_durably
from knightshift.reconstruction.export.nifti import nifti_bytes
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.pseudo_2d import PeakFit, Pseudo2DFit
from knightshift.reconstruction.relaxometry.recovery import RelaxationFit
from knightshift.reconstruction.relaxometry.result import T2Status
from knightshift.reconstruction.report.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    TWO_COLUMNS,
    new_figure,
    save_figure,
    styled,
)

_MAX_COLUMNS = 3


def save_pseudo_2d(result: Pseudo2DFit, folder: Path) -> tuple[Path, ...]:
    """Write ``fit.json`` (SI units), ``fit.csv`` (one line a peak) and the figure ``relaxation.png`` and ``.pdf``.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    _make(folder)
    peaks = [_peak_as_plain(peak) for peak in result.peaks]
    plain = {
        "quantity": result.quantity,
        "experiment": result.experiment,
        "source": str(result.series.source),
        "format": result.series.format,
        "nucleus": result.series.nucleus,
        "delays_s": result.delays.tolist(),
        "peaks": peaks,
        "methods": list(result.methods),
        "missing": list(result.series.missing),
    }
    write_durably(folder / "fit.json", (json.dumps(plain, indent=2, allow_nan=False) + "\n").encode())
    table = io.StringIO()
    columns = [name for name in peaks[0] if name != "signal"]
    writer = csv.DictWriter(table, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(peaks)
    write_durably(folder / "fit.csv", table.getvalue().encode())
    save_figure(relaxation_figure(result), folder, "relaxation")
    return tuple(folder / name for name in ("fit.json", "fit.csv", "relaxation.png", "relaxation.pdf"))


def _make(folder: Path) -> None:
    make_folder(folder)


def with_error(value: float, error: float) -> str:
    """Write a value and its standard deviation with two digits of the latter: ``"72.7 ± 1.4"``."""
    if not (np.isfinite(error) and error > 0):
        return f"{value:.4g} ± ?"
    if error < 1e-4 * abs(value):
        return f"{value:.5g} ± {error:.1g}"
    decimals = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def _finite(value: object) -> float | None:
    """Turn a number into one for JSON, which knows no NaN."""
    number = float(value)  # type: ignore[arg-type]
    return number if np.isfinite(number) else None


def _peak_as_plain(peak: PeakFit) -> dict[str, object]:
    fit = peak.fit
    return {
        "peak": peak.name,
        "time_s": _finite(fit.time),
        "time_std_s": _finite(fit.time_std),
        "rate_per_s": _finite(fit.rate),
        "rate_std_per_s": _finite(fit.rate_std),
        "amplitude": _finite(fit.amplitude),
        "offset": _finite(fit.offset),
        "curve": fit.curve,
        "status": T2Status(int(fit.status)).name,
        "signal": [_finite(value) for value in fit.signal],
    }


@styled
def relaxation_figure(result: Pseudo2DFit) -> Figure:
    """Draw signal against delay with the fitted curve, one panel for each peak."""
    columns = min(len(result.peaks), _MAX_COLUMNS)
    rows = -(-len(result.peaks) // columns)
    figure = new_figure(TWO_COLUMNS * columns / _MAX_COLUMNS + 0.5, 2.0 * rows + 0.3)
    figure.set_layout_engine("constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for index, axes in enumerate(panels.flat):
        if index < len(result.peaks):
            _draw_peak(axes, result, result.peaks[index])
        else:
            axes.set_axis_off()
    return figure


def _draw_peak(axes: Axes, result: Pseudo2DFit, peak: PeakFit) -> None:
    scale, unit = (1e3, "ms") if result.delays.max() < 1 else (1.0, "s")
    fit = peak.fit
    size = float(np.nanmax(np.abs(fit.signal))) or 1.0
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.plot(result.delays * scale, fit.signal / size, "o", color=BLACK, markersize=3)
    axes.set_title(peak.name, loc="left")
    axes.set_xlabel(f"delay ({unit})")
    axes.set_ylabel("signal (of the largest)")
    if not fit.ok:
        axes.text(0.97, 0.5, T2Status(int(fit.status)).words, transform=axes.transAxes, ha="right", color=ORANGE)
        return
    fine = np.linspace(0, 1.03 * float(result.delays.max()), 300)
    axes.plot(fine * scale, fit.expected((), fine) / size, color=BLUE)
    words = f"{result.quantity} = {with_error(float(fit.time) * scale, float(fit.time_std) * scale)} {unit}"
    axes.text(0.97, 0.5, words, transform=axes.transAxes, ha="right", color=BLUE)


def write_t1_maps(fit: RelaxationFit, series: ImageSeries, folder: Path) -> tuple[Path, ...]:
    """Write ``t1_map``, ``t1_std`` and ``t1_status`` as ``.nii.gz``, each with a JSON side-car, and ``t1_map.png``.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    _make(folder)
    status_words = ", ".join(f"{int(status)}: {status.words}" for status in T2Status)
    maps: dict[str, tuple[RealArray, str, str]] = {
        "t1_map": (fit.time, "s", "T1 of each voxel; NaN where t1_status is not 0"),
        "t1_std": (fit.time_std, "s", "standard deviation of T1"),
        "t1_status": (fit.status.astype(np.float32), "1", status_words),
    }
    stacks = series.slice_stacks
    paths = []
    for name, (values, units, meaning) in maps.items():
        for number, stack in enumerate(stacks, start=1):
            stem = name if len(stacks) == 1 else f"{name}_stack{number}"
            path = folder / f"{stem}.nii.gz"
            write_durably(path, nifti_bytes(values[list(stack.slices)], stack.geometry, f"{name}, units: {units}"))
            sidecar = {"Units": units, "Description": meaning, "Methods": " ".join(series.methods) + " " + T1_SENTENCE}
            write_durably(folder / f"{stem}.json", (json.dumps(sidecar, indent=2) + "\n").encode())
            paths.append(path)
    save_figure(t1_figure(fit, series), folder, "t1_map")
    return (*paths, folder / "t1_map.png", folder / "t1_map.pdf")


T1_SENTENCE = (
    "T1 was fitted voxel by voxel with M - B exp(-TI / T1), M and B free, after every voxel was brought to the phase "
    "that makes it real."
)
"""How the T1 maps are made, for the methods paragraph."""


@styled
def t1_figure(fit: RelaxationFit, series: ImageSeries) -> Figure:
    """Draw the T1 map of every slice on one scale."""
    n_slices = fit.time.shape[0]
    columns = min(n_slices, _MAX_COLUMNS)
    rows = -(-n_slices // columns)
    figure = new_figure(2.3 * columns + 0.8, 2.3 * rows)
    figure.set_layout_engine("constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    highest = float(np.nanquantile(fit.time, 0.99)) if fit.ok.any() else 1.0
    for index, axes in enumerate(panels.flat):
        axes.set_axis_off()
        if index < n_slices:
            size = series.geometry.voxel_size
            drawn = axes.imshow(fit.time[index], vmin=0, vmax=highest, aspect=size[1] / size[2])
            axes.set_title(f"slice {index + 1}", loc="left")
    figure.colorbar(drawn, ax=panels, label="T1 (s)")
    return figure
