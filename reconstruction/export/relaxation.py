"""Relaxation times of spectra and of inversion-recovery images on disk: tables, figures and maps."""

from __future__ import annotations

import csv
import io
import json
import logging
from pathlib import Path

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.durable import make_folder, write_durably
from knightshift.core.json_numbers import number_or_none
from knightshift.reconstruction.export.nifti import nifti_bytes
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.pseudo_2d import PeakFit, Pseudo2DFit
from knightshift.reconstruction.relaxometry.misfit import Misfit, misfit_of_curve, misfit_of_t1
from knightshift.reconstruction.relaxometry.recovery import RelaxationFit
from knightshift.reconstruction.relaxometry.result import T2Status
from knightshift.reconstruction.report.relaxation_figures import (
    ShownCurve,
    curves_figure,
    t1_map_figure,
    typical_curves,
)
from knightshift.reconstruction.report.style import save_figure

_LOGGER = logging.getLogger(__name__)


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
    for peak in result.peaks:
        _tell(misfit_of_curve(peak.fit), f"{peak.name}: ")
    curves = [ShownCurve(peak.name, peak.fit) for peak in result.peaks]
    save_figure(curves_figure(result.quantity, curves), folder, "relaxation")
    return tuple(folder / name for name in ("fit.json", "fit.csv", "relaxation.png", "relaxation.pdf"))


def _tell(misfit: Misfit | None, what: str = "") -> None:
    if misfit is not None and misfit.departs:
        _LOGGER.warning("%s%s", what, misfit.sentence())


def _make(folder: Path) -> None:
    make_folder(folder)


def _peak_as_plain(peak: PeakFit) -> dict[str, object]:
    fit, misfit = peak.fit, misfit_of_curve(peak.fit)
    return {
        "peak": peak.name,
        "time_s": number_or_none(fit.time),
        "time_std_s": number_or_none(fit.time_std),
        "rate_per_s": number_or_none(fit.rate),
        "rate_std_per_s": number_or_none(fit.rate_std),
        "amplitude": number_or_none(fit.amplitude),
        "offset": number_or_none(fit.offset),
        "curve": fit.curve,
        "status": T2Status(int(fit.status)).name,
        "residual_probability": None if misfit is None else misfit.probability,
        "signal": [number_or_none(value) for value in fit.signal],
    }


def write_t1_maps(fit: RelaxationFit, series: ImageSeries, folder: Path) -> tuple[Path, ...]:
    """Write ``t1_map``, ``t1_std`` and ``t1_status`` as ``.nii.gz``, each with a JSON side-car, and the figures.

    ``t1_map`` shows T1 beside its standard deviation, ``t1_curves`` the recovery of three voxels (PNG and PDF).

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
    _tell(misfit_of_t1(fit))
    save_figure(t1_map_figure(fit, series), folder, "t1_map")
    paths += [folder / "t1_map.png", folder / "t1_map.pdf"]
    if curves := typical_curves(fit):
        save_figure(curves_figure("T1", curves), folder, "t1_curves")
        paths += [folder / "t1_curves.png", folder / "t1_curves.pdf"]
    return tuple(paths)


T1_SENTENCE = (
    "T1 was fitted voxel by voxel with M - B exp(-TI / T1), M and B free, after every voxel was brought to the phase "
    "that makes it real."
)
"""How the T1 maps are made, for the methods paragraph."""
