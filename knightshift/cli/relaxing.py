"""`knightshift fit` on what is no series of echoes: pseudo-2D spectra, and images at several inversion times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from knightshift.cli.fit_request import FitRequest, echo_train, spectra_options
from knightshift.core.errors import InputError
from knightshift.core.run_folder import MANIFEST
from knightshift.reconstruction.echo_trains import as_echo_train
from knightshift.reconstruction.export import load_images, save_images
from knightshift.reconstruction.export.images_file import are_inversion_images
from knightshift.reconstruction.export.relaxation import save_pseudo_2d, write_t1_maps
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.loading import images_path
from knightshift.reconstruction.pseudo_2d import Pseudo2DFit, fit_pseudo_2d
from knightshift.reconstruction.readers import RawKind, detect, read_raw
from knightshift.reconstruction.reconstruct import images_of_scan
from knightshift.reconstruction.relaxometry.recovery import fit_inversion_series
from knightshift.reconstruction.relaxometry.result import T2Status
from knightshift.reconstruction.report.relaxation_figures import time_with_error, with_error

_OPTIONS = {"loop_time": "loop-time", "regions": "region", "echo_train": "echo-train"}


def fit_any(source: Path, output: Path, request: FitRequest) -> None:
    """Fit the relaxation time that `source` measures: T1, T1rho or T2 of peaks, T1 or T2 of images."""
    found = _other_than_echoes(source)
    if isinstance(found, FidSeries):
        _fit_spectra(found, output, request)
        return
    for name in ("experiment", "loop_time", "regions", "echo_train"):
        if getattr(request, name):
            raise InputError(f"{source}: --{_OPTIONS.get(name, name)} is for spectra, and these are images")
    times = spectra_options(FitRequest(delays=request.delays)).delays
    if times is not None and (found is not None or min(times, default=0) <= 0):
        raise InputError(f"{source}: --delays of images are their echo times, above zero")
    if found is not None:
        _fit_inversion(source, found, output, request)
        return
    from knightshift.cli.processing import ReportChoices, fit_to

    fit_to(source, output, ReportChoices(request, echo_times=times), memory_mb=request.memory_mb)


def _other_than_echoes(source: Path) -> FidSeries | ImageSeries | None:
    """Read spectra, or images at several inversion times; None for what `knightshift.cli.processing` fits."""
    if (stored := images_path(source)) is not None:
        return load_images(stored) if stored.is_file() and are_inversion_images(stored) else None
    if (source / MANIFEST).is_file() or detect(source) in (RawKind.RUN, RawKind.PARAVISION):
        return None
    raw = read_raw(source)
    if isinstance(raw, FidSeries):
        return raw
    if raw.inversion_times is None:
        return None
    return raw if isinstance(raw, ImageSeries) else images_of_scan(raw)


def _fit_spectra(series: FidSeries, output: Path, request: FitRequest) -> None:
    if given := request.given("--offset"):
        raise InputError(f"{series.source}: {given} for images: spectra are fitted by least squares")
    if request.echo_train is not None:
        series = as_echo_train(series, *echo_train(request.echo_train))
    result = fit_pseudo_2d(series, spectra_options(request))
    written = save_pseudo_2d(result, output)
    console = Console()
    console.print(_table(result), highlight=False)
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _table(result: Pseudo2DFit) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("peak", result.quantity, "rate", "curve"):
        table.add_column(heading)
    for peak in result.peaks:
        fit = peak.fit
        if not fit.ok:
            table.add_row(peak.name, T2Status(int(fit.status)).words, "", fit.curve)
            continue
        time = time_with_error(float(fit.time), float(fit.time_std))
        table.add_row(peak.name, time, f"{with_error(float(fit.rate), float(fit.rate_std))} 1/s", fit.curve)
    return table


def _fit_inversion(source: Path, series: ImageSeries, output: Path, request: FitRequest) -> None:
    if given := request.given():
        raise InputError(f"{source}: {given} for T2: here the inversion time steps")
    fit = fit_inversion_series(series)
    save_images(series, output)
    written = write_t1_maps(fit, series, output)
    console = Console()
    if fit.ok.any():
        low, median, high = np.quantile(fit.time[fit.ok], (0.25, 0.5, 0.75))
        words = f"median T1 {median:.3g} s (middle half {low:.3g} to {high:.3g} s)"
        console.print(f"{int(fit.ok.sum())} voxels of the object: {words}", highlight=False)
    else:
        console.print("no voxel has a T1", highlight=False)
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
