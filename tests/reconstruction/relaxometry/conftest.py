"""Synthetic decays, and a cell of two electrodes with and without a dendrite, seen through a truncated k-space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import ImageSeries

ECHO_TIMES = np.array([4e-3, 8e-3, 13e-3, 20e-3, 30e-3])
_FINE = (8, 4)  # fine cells per voxel along z and y
_MATRIX = (96, 48)


@dataclass(frozen=True)
class Cell:
    """What the synthetic cell is made of; signals in units of the noise."""

    t2_mean: float = 7.5e-3
    t2_fwhm: float = 2e-3
    t2_highest: float = 10e-3
    face_snr: float = 100.0
    dendrite_snr: float | None = None


def _field(random: np.random.Generator, shape: tuple[int, ...], width: tuple[float, ...]) -> np.ndarray:
    """Smooth random field of mean zero and standard deviation one."""
    rough = gaussian_filter(random.normal(size=shape), width)
    return (rough - rough.mean()) / rough.std()


def _sharp(cell: Cell, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Density and T2 on the fine grid: four thin rough faces (metal is seen to its skin depth) and the dendrite."""
    shape = (_MATRIX[0] * _FINE[0], _MATRIX[1] * _FINE[1])
    z, y = np.meshgrid(*((np.arange(n) + 0.5) / f for n, f in zip(shape, _FINE, strict=True)), indexing="ij")
    spread = cell.t2_fwhm / 2.355 * _field(random, shape, (3.2 * _FINE[0], 0.8 * _FINE[1]))
    t2 = np.clip(cell.t2_mean + spread, 5e-3, cell.t2_highest)
    density = np.zeros(shape)
    for electrode in (21, 75):
        roughness = 0.17 * _field(random, shape[1:], (1.5 * _FINE[1],))
        for face in (-3.5, 3.5):
            depth = (electrode + face + roughness + 0.02 * (y - 24) - z) * np.sign(face)
            density[(depth > 0) & (depth < 0.5) & (np.abs(y - 24) < 20)] = cell.face_snr / 0.5
    if cell.dendrite_snr is not None:
        dendrite = (np.abs(z - 56.5) < 0.75) & (y > 34.5) & (y < 43.5)
        density[dendrite], t2[dendrite] = cell.dendrite_snr, 16.2e-3
    return density, t2


def _make(cell: Cell, seed: int) -> ImageSeries:
    random = np.random.default_rng(seed)
    density, t2 = _sharp(cell, random)
    keep = tuple(slice((n - m) // 2, (n + m) // 2) for n, m in zip(density.shape, _MATRIX, strict=True))
    images = []
    for echo_time in ECHO_TIMES:
        kspace = np.fft.fftshift(np.fft.fft2(density * np.exp(-echo_time / t2)))[keep]
        images.append(np.fft.ifft2(np.fft.ifftshift(kspace)) / np.prod(_FINE))
    z, y = np.meshgrid(*map(np.arange, _MATRIX), indexing="ij")
    turned = np.array(images)[:, None] * np.exp(1j * (0.5 + 0.02 * z + 0.01 * y))
    noise = random.normal(size=(2, *turned.shape))
    geometry = ImageGeometry((2e-3, 23e-6, 100e-6), np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]]), np.zeros(3))
    return ImageSeries(turned + noise[0] + 1j * noise[1], ECHO_TIMES, geometry, np.ones(len(ECHO_TIMES)))


@pytest.fixture(scope="session")
def pristine() -> Callable[[int], ImageSeries]:
    """A night of the pristine cell, by seed."""
    return lambda seed: _make(Cell(), seed)


@pytest.fixture(scope="session")
def shorted() -> Callable[[int], ImageSeries]:
    """A night of the shorted cell: broader T2, a dendrite of 1.5 x 9 voxels at 16.2 ms and SNR 4 at the last echo."""
    return lambda seed: _make(Cell(t2_fwhm=3.2e-3, t2_highest=12e-3, dendrite_snr=27.0), seed)


@pytest.fixture(scope="session")
def disordered() -> Callable[[int], ImageSeries]:
    """A cell with the broader T2 of a shorted one, but without a dendrite."""
    return lambda seed: _make(Cell(t2_fwhm=3.2e-3, t2_highest=12e-3), seed)


@dataclass(frozen=True)
class NoisyVoxels:
    """Many voxels of one T2; the signal at the first echo is one."""

    echo_times: np.ndarray
    signal: np.ndarray
    noise_std: float
    t2: float


@pytest.fixture(scope="session")
def noisy_voxels() -> Callable[..., NoisyVoxels]:
    """Voxels with a given T2 and SNR on the first of five echoes 4 to 20 ms, as a complex image."""

    def make(t2: float, snr: float, shape: tuple[int, int] = (160, 160), seed: int = 2020) -> NoisyVoxels:
        random = np.random.default_rng(seed)
        echo_times = 4e-3 * np.arange(1, 6)
        decay = np.exp(-(echo_times - echo_times[0]) / t2)[:, None, None]
        noise = random.normal(size=(2, 5, *shape)) / snr
        return NoisyVoxels(echo_times, decay * np.exp(0.7j) + noise[0] + 1j * noise[1], 1 / snr, t2)

    return make
