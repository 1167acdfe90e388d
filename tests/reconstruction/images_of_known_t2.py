"""Small series of images whose T2, B1 and T1 are known: echo trains in an uneven B1, and two pools."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.export.images_file import write_images_file
from knightshift.reconstruction.export.nifti import nifti_affine
from knightshift.reconstruction.images import ImageSeries, SharedExcitation
from knightshift.reconstruction.relaxometry import EchoTrain, T2Options, VoxelTrains

SHAPE = (6, 10, 12)
OBJECT = (slice(None), slice(2, 8), slice(2, 10))
NOISE = 1 / 200
T2, T1 = 16e-3, 0.1
TRAIN = EchoTrain(echo_spacing=6e-3, n_echoes=10, t1=T1)
MAGNITUDES = T2Options(estimator="gaussian", threads=1)


def b1_map() -> np.ndarray:
    """B1 that changes along every axis, each in its own way."""
    z, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in SHAPE), indexing="ij")
    return np.asarray(0.65 + 0.2 * x + 0.1 * y**2 + 0.04 * z)


def t1_map() -> np.ndarray:
    return np.asarray(T1 * (1 + 0.5 * b1_map()))


def series_of(decays: np.ndarray, echo_times: np.ndarray, **changes: Any) -> ImageSeries:
    random = np.random.default_rng(3)
    signal = np.zeros((len(echo_times), *SHAPE))
    signal[(slice(None), *OBJECT)] = decays[(slice(None), *OBJECT)]
    noise = random.normal(0, NOISE, (2, *signal.shape))
    geometry = ImageGeometry((1e-3, 50e-6, 100e-6), np.eye(3)[[0, 2, 1]], np.array([0.0, -0.8e-3, -0.3e-3]))
    images = (signal * np.exp(0.4j) + noise[0] + 1j * noise[1]).astype(np.complex64)
    return replace(ImageSeries(images, echo_times, geometry, np.full(len(echo_times), NOISE), nucleus="1H"), **changes)


def train_series(t1: np.ndarray | None = None) -> ImageSeries:
    """Echoes of a train of 180 degrees of a liquid, in the B1 of `b1_map`."""
    everywhere = np.ones(SHAPE, dtype=bool)
    decays = VoxelTrains(TRAIN, b1_map(), t1).decays(np.full(everywhere.size, T2), everywhere)
    shared = SharedExcitation(6e-3, np.pi / 2, np.pi, 0.0)
    return series_of(decays.reshape(-1, *SHAPE), TRAIN.echo_times, train=shared)


def two_pools() -> ImageSeries:
    """One exponential on one side, 3 and 16 ms on the other."""
    times = np.array([2e-3, 4e-3, 7e-3, 11e-3, 17e-3, 27e-3, 40e-3])
    decays = np.empty((len(times), *SHAPE))
    decays[..., :6] = np.exp(-times / 10e-3)[:, None, None, None]
    decays[..., 6:] = (0.6 * np.exp(-times / 3e-3) + 0.4 * np.exp(-times / 16e-3))[:, None, None, None]
    return series_of(decays, times)


def corner() -> np.ndarray:
    """Ask for an L with no symmetry."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1:4, 3:7, 4:9] = 1
    mask[4, 3, 4:7] = 1
    return mask


def stored(series: ImageSeries, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    write_images_file(series, folder / "images.h5")
    return folder / "images.h5"


def nifti_of(values: np.ndarray, series: ImageSeries, path: Path) -> Path:
    nib.save(nib.Nifti1Image(values.T.astype(np.float32), nifti_affine(series.geometry)), path)
    return path
