"""From images that somebody else reconstructed to a series: their noise, and what they lack."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import InputError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry.noise import estimate_noise

NO_ECHO_TIMES = "the echo times: they count as zero"


@dataclass(frozen=True)
class StoredImages:
    """Images as they were found."""

    source: Path
    """Where."""
    format: str
    """What wrote them."""
    images: ComplexArray
    """complex64, shape ``(echo, slice, phase_encode, readout)``."""
    geometry: ImageGeometry
    """Where the voxels are."""
    frame: str
    """Frame of `geometry`."""
    echo_times: RealArray | None = None
    """Echo times [s], shape ``(echo,)``; None: not known."""
    inversion_times: RealArray | None = None
    """Inversion times [s], shape ``(echo,)``, where these step."""
    nucleus: str | None = None
    """Isotope."""
    working_frequency: float | None = None
    """Frequency of the receiver [Hz]."""
    methods: tuple[str, ...] = ()
    """What the reader did, one sentence a step."""
    missing: tuple[str, ...] = ()
    """What the files do not say, besides echo times and phase."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Further facts."""


def series_of(stored: StoredImages) -> ImageSeries:
    """Make a series: the noise is seen in the background, and what is missing is listed."""
    values = stored.images
    n_echoes = len(values)
    try:
        noise, words = estimate_noise(values), "The noise was estimated from the background of each image."
    except InputError as error:
        noise, words = np.full(n_echoes, np.nan), f"The noise could not be measured: {error}."
    times, no_times = (
        (stored.echo_times, ()) if stored.echo_times is not None else (np.zeros(n_echoes), (NO_ECHO_TIMES,))
    )
    series = ImageSeries(
        images=values,
        echo_times=times,
        inversion_times=stored.inversion_times,
        geometry=stored.geometry,
        noise_std=noise,
        axes=("slice", "phase_encode", "readout"),
        nucleus=stored.nucleus,
        working_frequency=stored.working_frequency,
        methods=(*stored.methods, words),
        provenance={"source": str(stored.source), "format": stored.format, "frame": stored.frame} | stored.provenance,
    )
    no_phase = ("the phase: these are magnitudes, fit them with estimator rician or gaussian",) * series.are_magnitudes
    return replace(series, missing=(*stored.missing, *no_times, *no_phase))
