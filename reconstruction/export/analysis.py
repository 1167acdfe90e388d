"""What an export is made of: images, their T2 map, its regions, and what the acquisition tells beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from knightshift.reconstruction.image_fit import T2Request, fit_images
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.loading import load_series, run_or_none
from knightshift.reconstruction.relaxometry import Populations, RicherFit, T2Fit, find_populations


@dataclass(frozen=True)
class AcquisitionFacts:
    """What a side-car tells of the acquisition beside the images; None where it is not known."""

    repetition_time: float | None = None
    """Excitation to excitation [s]."""
    b0: float | None = None
    """Static field [T]."""
    device: str | None = None
    """Make, model and serial number of the scanner."""
    protocol: str | None = None
    """Name of the protocol."""
    kind: str | None = None
    """Family of the sequence: ``spin_echo_series`` and so on."""
    flip_angle: float | None = None
    """Nominal flip angle of the excitation [rad]."""
    dwell_time: float | None = None
    """Time between samples [s]."""


@dataclass(frozen=True)
class Analysis:
    """Images and what was made of them."""

    source: Path
    """What the images were read from."""
    series: ImageSeries
    """The images."""
    fit: T2Fit | None
    """T2 of every voxel; None for a single echo, or images at several inversion times."""
    populations: Populations | None
    """Regions of the map; None where no voxel has a T2."""
    richer: RicherFit | None = None
    """A decay of more parameters, where one was asked for."""
    acquisition: AcquisitionFacts = AcquisitionFacts()
    """What is known of the acquisition."""


def analyse(source: Path, request: T2Request | None = None) -> Analysis:
    """Load or reconstruct images, and fit T2 where there are several echo times.

    Raises
    ------
    InputError, UnsupportedDataError, DamagedDataError
        As `knightshift.reconstruction.loading.load_series` and the fit say.
    """
    series = load_series(source)
    return analyse_series(series, source, request)


def analyse_series(series: ImageSeries, source: Path, request: T2Request | None = None) -> Analysis:
    """Fit T2 to images that are at hand, as `analyse` does."""
    request, facts = request or T2Request(), _facts(source)
    if len(series.echo_times) < 2 or series.inversion_times is not None:
        request.check_unused()
        given = series if request.noise is None else series.with_noise(request.noise)
        return Analysis(source, given, None, None, acquisition=facts)
    found = fit_images(series, request)
    populations = find_populations(found.fit, series.geometry) if found.fit.ok.any() else None
    return Analysis(source, found.told, found.fit, populations, found.richer, facts)


def _facts(source: Path) -> AcquisitionFacts:
    run = run_or_none(source)
    if run is None:
        return AcquisitionFacts()
    manifest = run.manifest
    return AcquisitionFacts(
        repetition_time=manifest.encoding.repetition_time,
        b0=manifest.programs[0].b0,
        device=manifest.scanner.device,
        protocol=_text(manifest.protocol.get("name")),
        kind=_text(manifest.protocol.get("kind")),
        flip_angle=_number(manifest.protocol.get("excitation_flip_angle")),
        dwell_time=manifest.encoding.dwell_time,
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
