"""`knightshift fit` on what is no series of echoes: pseudo-2D spectra, and images at several inversion times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from knightshift.core.errors import InputError
from knightshift.core.quantities import UNITS_REQUIRED, PositiveSeconds
from knightshift.core.run_folder import MANIFEST
from knightshift.reconstruction.echo_trains import as_echo_train
from knightshift.reconstruction.export import load_images, save_images
from knightshift.reconstruction.export.images_file import are_inversion_images
from knightshift.reconstruction.export.relaxation import save_pseudo_2d, write_t1_maps
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.loading import images_path
from knightshift.reconstruction.pseudo_2d import Pseudo2DFit, Pseudo2DOptions, fit_pseudo_2d
from knightshift.reconstruction.readers import RawKind, detect, read_raw
from knightshift.reconstruction.reconstruct import images_of_scan
from knightshift.reconstruction.relaxometry.recovery import fit_inversion_series
from knightshift.reconstruction.relaxometry.result import T2Status
from knightshift.reconstruction.report.relaxation_figures import time_with_error, with_error

_OPTIONS = {"loop_time": "loop-time", "regions": "region", "echo_train": "echo-train"}
_MAX_LIST_BYTES, _MAX_ECHOES = 1 << 20, 1 << 20


@dataclass(frozen=True)
class FitRequest:
    """What a user may choose about a fit; None is the default of what is fitted."""

    estimator: str | None = None
    """How T2 of images is estimated."""
    offset: str | None = None
    """Constant added to the decay."""
    experiment: str | None = None
    """What the steps of a pseudo-2D experiment measure."""
    loop_time: str | None = None
    """Duration of one loop of a ``vclist``, with its unit."""
    regions: tuple[str, ...] = ()
    """Ranges of shift: ``"0.8 to 0.9 ppm"``."""
    memory_mb: int | None = None
    """Memory that a fit of images may take [MB]."""
    noise: float | None = None
    """Noise of the real part of images, in their units."""
    delays: str | None = None
    """Delay of every step of spectra: ``"10 ms, 90 ms"``, or a file with one a line."""
    echo_train: str | None = None
    """Echoes and their distance, where these are not in the data: ``"128 x 300 us"``."""


def fit_any(source: Path, output: Path, request: FitRequest) -> None:
    """Fit the relaxation time that `source` measures: T1, T1rho or T2 of peaks, T1 or T2 of images."""
    found = _other_than_echoes(source)
    if isinstance(found, FidSeries):
        _fit_spectra(found, output, request)
        return
    for name in ("experiment", "loop_time", "regions", "delays", "echo_train"):
        if getattr(request, name):
            raise InputError(f"{source}: --{_OPTIONS.get(name, name)} is for spectra, and these are images")
    if found is not None:
        _fit_inversion(source, found, output, request)
        return
    from knightshift.cli.processing import ReportChoices, fit_to

    choices = ReportChoices(request.estimator or "complex", request.offset or "none", request.noise)
    fit_to(source, output, choices, memory_mb=request.memory_mb)


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
    for name in ("estimator", "noise"):
        if getattr(request, name) is not None:
            raise InputError(f"{series.source}: --{name} is for images: spectra are fitted by least squares")
    if request.echo_train is not None:
        series = as_echo_train(series, *_train(request.echo_train))
    result = fit_pseudo_2d(series, _options(request))
    written = save_pseudo_2d(result, output)
    console = Console()
    console.print(_table(result), highlight=False)
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _options(request: FitRequest) -> Pseudo2DOptions:
    choices = {"experiment": request.experiment, "loop_time": request.loop_time, "offset": request.offset or "auto"}
    plain: dict[str, Any] = {**choices, "regions": [_region(text) for text in request.regions]}
    if request.delays is not None:
        plain["delays"] = _listed(request.delays)
    try:
        return Pseudo2DOptions.model_validate(plain, context={UNITS_REQUIRED: True})
    except ValidationError as error:
        found = [
            (str(item["loc"][0]), item["msg"]) if item["loc"] else ("options", item["msg"]) for item in error.errors()
        ]
        words = "; ".join(f"{name}: {what.removeprefix('Value error, ')}" for name, what in found)
        raise InputError(f"the fit of spectra: {words}") from error


def _listed(text: str) -> list[str]:
    """Split ``"10 ms, 90 ms"``, or the lines of a file."""
    path = Path(text)
    if "," not in text and path.is_file():
        if path.stat().st_size > _MAX_LIST_BYTES:
            raise InputError(f"{path}: {path.stat().st_size} bytes are no list of delays")
        return [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return [word.strip() for word in text.split(",")]


def _train(text: str) -> tuple[int, float]:
    """Split ``"128 x 300 us"``."""
    count, word, spacing = text.partition(" x ")
    if not word or not count.strip().isdigit() or not 2 <= int(count) <= _MAX_ECHOES:
        raise InputError(f"--echo-train {text!r}: write e.g. '128 x 300 us'")
    try:
        return int(count), float(TypeAdapter(PositiveSeconds).validate_python(spacing, context={UNITS_REQUIRED: True}))
    except ValidationError as error:
        raise InputError(f"--echo-train {text!r}: {error.errors()[0]['msg']}") from error


def _region(text: str) -> tuple[str, str]:
    """Split ``"0.8 to 0.9 ppm"``."""
    low, word, high = text.partition(" to ")
    if not word or not high.strip().endswith("ppm"):
        raise InputError(f"--region {text!r}: write e.g. '0.8 to 0.9 ppm'")
    return f"{low.removesuffix('ppm').strip()} ppm", high.strip()


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
    if request.estimator is not None or request.offset is not None or request.noise is not None:
        raise InputError(f"{source}: --estimator, --offset and --noise are for T2: here the inversion time steps")
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
