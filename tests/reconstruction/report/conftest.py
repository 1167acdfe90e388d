"""Cells that look like the paper's: two thin electrode faces, and in the shorted one a dendrite of 2 x 8 voxels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import T2Fit, fit_series
from knightshift.reconstruction.relaxometry.populations import find_populations
from knightshift.reconstruction.report import RejectedPass, ReportInputs, RunFacts

ECHO_TIMES = np.array([4e-3, 8e-3, 13e-3, 20e-3, 30e-3])
VOXEL_SIZE = (1e-3, 23e-6, 100e-6)
SHAPE = (1, 96, 48)
NOISE_STD = 0.012


def electrode_mask() -> np.ndarray:
    """Two metal plates, of each of which only the faces give signal, 4 mm wide."""
    mask = np.zeros(SHAPE, dtype=bool)
    for first in (30, 42, 54, 66):
        mask[0, first : first + 2, 4:44] = True
    return mask


def dendrite_mask() -> np.ndarray:
    """A spalled piece at the edge, two voxels thick along z."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[0, 58:60, 36:44] = True
    return mask


def make_series(*, shorted: bool, seed: int = 1, noise_std: float = NOISE_STD) -> ImageSeries:
    """Complex images of one cell, with noise and a phase that varies slowly over the image."""
    random = np.random.default_rng(seed)
    spread = 1.4e-3 if shorted else 0.8e-3
    electrodes, dendrite = electrode_mask(), dendrite_mask()
    t2 = np.where(electrodes, random.normal(7.5e-3, spread, SHAPE), 10e-3)
    density = electrodes.astype(float)
    if shorted:
        t2 = np.where(dendrite, 16e-3, t2)
        density = np.where(dendrite, 0.5, density)
    decay = density * np.exp(-ECHO_TIMES[:, None, None, None] / t2)
    phase = np.exp(1j * (0.7 + 0.01 * np.arange(SHAPE[1]))[:, None])
    noise = random.normal(0, noise_std, (2, *decay.shape))
    images = decay * phase + noise[0] + 1j * noise[1]
    return ImageSeries(
        images=images.astype(np.complex64),
        echo_times=ECHO_TIMES,
        geometry=make_geometry(),
        noise_std=np.full(len(ECHO_TIMES), noise_std),
        nucleus="23Na",
        working_frequency=105.98e6,
        methods=("The passes were summed in the complex domain.", "Images were made by an inverse FFT."),
        provenance={"source": "synthetic", "passes_per_echo": "345"},
    )


def make_geometry() -> ImageGeometry:
    """Slice along x, phase encode along z, readout along y, isocentre at index N/2."""
    directions = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])
    origin = np.array([0.0, -SHAPE[2] // 2 * VOXEL_SIZE[2], -SHAPE[1] // 2 * VOXEL_SIZE[1]])
    return ImageGeometry(voxel_size=VOXEL_SIZE, directions=directions, origin=origin)


@pytest.fixture
def series_of() -> Callable[..., ImageSeries]:
    """Make the images of a cell: ``series_of(shorted=True)``."""
    return make_series


@pytest.fixture
def fit_of() -> Callable[[ImageSeries], T2Fit]:
    """Fit T2 with the default options."""
    return fit_series


@pytest.fixture
def dendrite() -> np.ndarray:
    """Where the dendrite of a shorted cell is."""
    return dendrite_mask()


EVENING = 1767639600.0
"""2026-01-05 19:00 UTC, in seconds since the Unix epoch."""

PROTOCOL = {
    "kind": "spin_echo_series",
    "name": "overnight_t2",
    "nucleus": "23Na",
    "shift": 1126e-6,
    "field_of_view": {"y": 4.8e-3, "z": 2.208e-3},
    "matrix": {"y": 48, "z": 96},
    "slice_thickness": None,
    "echo_times": list(ECHO_TIMES),
    "repetition_time": 0.12,
    "duration": 41400.0,
    "dwell_time": 8e-6,
    "excitation_flip_angle": np.pi / 2,
}


def make_inputs(*, shorted: bool) -> ReportInputs:
    """All that a report of one night is made of."""
    series = make_series(shorted=shorted)
    fit = fit_series(series)
    run = RunFacts(
        run_id="20260105-overnight",
        protocol=PROTOCOL,
        passes_planned=1725,
        passes_used=1722,
        started=EVENING,
        finished=EVENING + 41400.0,
        acquiring=41400.0,
        resumes=1,
        rejected=tuple(RejectedPass(index, "overrange", 24.0) for index in (12, 700, 701)),
        scanner="simulated: 9.4 T, version 0.1.0",
        versions={"python": "3.11.0"},
        digests={"manifest.json": "a" * 64},
    )
    title = "Shorted cell" if shorted else "Pristine cell"
    populations = find_populations(fit, series.geometry)
    return ReportInputs(series=series, title=title, fit=fit, populations=populations, run=run, t2_range=(0.0, 20e-3))


@pytest.fixture(scope="session")
def both_cells() -> dict[str, ReportInputs]:
    """Inputs of a pristine and of a shorted cell."""
    return {"pristine": make_inputs(shorted=False), "shorted": make_inputs(shorted=True)}
