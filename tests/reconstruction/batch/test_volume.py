"""A volume larger than the memory allowed, fitted in slabs: the same map, whatever the slabs."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.core.errors import DamagedDataError, ShapeError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.batch.records import BatchOptions
from knightshift.reconstruction.batch.volume import fit_slab
from knightshift.reconstruction.export.images_file import load_images, load_slab, write_images_in_slabs
from knightshift.reconstruction.export.volume_maps import (
    MAPS_FILE,
    new_maps_file,
    slab_edges,
    slab_maps,
    turns_of_volume,
)
from knightshift.reconstruction.image_fit import T2Request, fit_images
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import T2Options, T2Status, fit_series
from knightshift.reconstruction.relaxometry.phase import turns_of_echoes

ECHO_TIMES = np.array([4e-3, 8e-3, 16e-3])
NOISE = 0.02


def volume(n_slices: int) -> ImageSeries:
    """A ball of T2 = 9 ms with a phase that varies, in noise."""
    rng = np.random.default_rng(6)
    z, y, x = np.meshgrid(np.linspace(-1, 1, n_slices), np.linspace(-1, 1, 12), np.linspace(-1, 1, 10), indexing="ij")
    ball = (x**2 + y**2 + z**2 < 0.8) * np.exp(1j * (x + 2 * y))
    images = ball * np.exp(-ECHO_TIMES / 9e-3)[:, None, None, None]
    images = images + NOISE * (rng.normal(size=images.shape) + 1j * rng.normal(size=images.shape))
    geometry = ImageGeometry((1e-3, 1e-4, 1e-4), np.eye(3), np.array([-1e-3, 0, 0]))
    return ImageSeries(images.astype(np.complex64), ECHO_TIMES, geometry, np.full(3, NOISE), nucleus="23Na")


def slabs(series: ImageSeries, thick: int):
    for start in range(0, series.images.shape[1], thick):
        yield replace(series, images=series.images[:, start : start + thick])


def angles(path, memory: int = 1 << 20) -> str:
    return json.dumps(np.angle(turns_of_volume(path, memory)).tolist())


def assert_same_map(file, expected, part=slice(None)) -> None:
    """The same voxels have a T2, and the same but for the slope of the phase, which each slab has of its own."""
    np.testing.assert_array_equal(file["status"], expected.status[part])
    known = expected.ok[part]
    moved = np.abs(file["t2"][...] - expected.t2[part])[known] / expected.t2_std[part][known]
    assert (moved < 0.02).all()


def test_the_phase_of_the_echoes_is_that_of_the_whole_volume(stored) -> None:
    series, path = stored
    expected = turns_of_echoes(series.images, series.noise_std)
    for memory in (1, 1 << 30):
        np.testing.assert_allclose(turns_of_volume(path, memory), expected, atol=1e-6)


@pytest.fixture
def stored(tmp_path):
    series = volume(9)
    write_images_in_slabs(slabs(series, 4), 9, tmp_path / "images.h5")
    return series, tmp_path / "images.h5"


def test_images_written_in_slabs_read_back_whole_and_in_part(stored) -> None:
    series, path = stored
    whole = load_images(path)
    np.testing.assert_array_equal(whole.images, series.images)
    np.testing.assert_array_equal(whole.geometry.affine, series.geometry.affine)
    part = load_slab(path, 2, 5)
    np.testing.assert_array_equal(part.images, series.images[:, 2:5])
    np.testing.assert_allclose(part.geometry.origin, [1e-3, 0, 0])  # two slices of 1 mm further


@pytest.mark.parametrize("thick", [1, 4, 9])
def test_slabs_move_the_map_by_a_small_part_of_its_error(stored, tmp_path, thick: int) -> None:
    series, path = stored
    expected = fit_series(series)
    options = BatchOptions().model_dump_json()
    for start in range(0, 9, thick):
        stop = min(start + thick, 9)
        target = fit_slab(str(path), start, stop, angles(path), str(tmp_path / f"{start}.h5"), options)
        with h5py.File(target) as file:
            assert_same_map(file, expected, slice(start, stop))
    assert expected.ok.sum() > 200


@given(n_slices=st.integers(1, 300), memory=st.integers(1, 10**9))
def test_slabs_cover_every_slice_once_within_the_memory(n_slices: int, memory: int) -> None:
    shape = (5, n_slices, 64, 32)
    edges = slab_edges(shape, memory)
    assert (edges[0], edges[-1]) == (0, n_slices)
    thick = np.diff(edges)
    assert (thick > 0).all()
    assert thick.max() == 1 or 5 * 8 * 5 * 64 * 32 * thick.max() <= memory


def test_fitting_a_slab_takes_no_more_memory_than_allowed(tmp_path) -> None:
    series = volume(12)
    larger = replace(series, images=np.tile(series.images, (1, 1, 12, 12)))  # 12 slices of 144 x 120
    path = tmp_path / "images.h5"
    write_images_in_slabs(slabs(larger, 12), 12, path)
    turns = angles(path)
    memory = 4 * larger.images[:, 0].nbytes * 5
    edges = slab_edges(larger.images.shape, memory)
    assert edges == (0, 4, 8, 12)
    options = BatchOptions().model_dump_json()
    fit_slab(str(path), 0, 1, turns, str(tmp_path / "first.h5"), options)  # what is loaded and compiled once
    tracemalloc.start()
    fit_slab(str(path), 0, 4, turns, str(tmp_path / "slab.h5"), options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < memory < 5 * larger.images.nbytes


def test_slabs_that_do_not_fit_together_leave_no_file(tmp_path) -> None:
    series = volume(6)
    for n_slices in (5, 7):
        with pytest.raises(ShapeError):
            write_images_in_slabs(slabs(series, 4), n_slices, tmp_path / "images.h5")
    assert list(tmp_path.iterdir()) == []


def test_an_images_file_that_claims_more_than_it_holds_is_not_believed(tmp_path) -> None:
    write_images_in_slabs(slabs(volume(3), 3), 3, tmp_path / "images.h5")
    with h5py.File(tmp_path / "images.h5", "r+") as file:
        del file["images"]
        file.create_dataset("images", (10**3, 10**3, 10**3, 10), np.complex64, chunks=(1, 1, 10**3, 10))
    with pytest.raises(DamagedDataError, match="images"):
        load_slab(tmp_path / "images.h5", 0, 1)


def test_voxels_whose_t2_is_known_from_above_only_are_counted_among_those_that_have_one(tmp_path) -> None:
    fitted = fit_images(volume(8), T2Request(fit=T2Options(estimator="rician")))
    above = np.argwhere(fitted.fit.ok)[::2]
    fitted.fit.status[tuple(above.T)] = T2Status.ONE_SIDED
    with new_maps_file(tmp_path, fitted.fit.t2.shape) as maps:
        maps.add(0, slab_maps(fitted))
    with h5py.File(tmp_path / MAPS_FILE) as file:
        assert maps.n_voxels == np.count_nonzero(np.isfinite(file["t2"][...])) > len(above)
