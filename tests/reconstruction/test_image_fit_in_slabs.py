"""Fits of images slab by slab: the maps of the whole, in the memory allowed."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from knightshift.reconstruction.batch.records import BatchOptions
from knightshift.reconstruction.batch.volume import fit_slab, is_large_volume
from knightshift.reconstruction.export.volume_maps import (
    MAPS_FILE,
    fit_slices,
    fit_volume_file,
    known_t2,
    slab_edges,
    slab_maps,
    turns_of_volume,
)
from knightshift.reconstruction.image_fit import T2Request, fit_images
from knightshift.reconstruction.images import ECHO_FORMATION, GRADIENT_ECHO
from knightshift.reconstruction.relaxometry import T2Options
from knightshift.reconstruction.relaxometry.phase import turns_of_echoes

from .images_of_known_t2 import (
    MAGNITUDES,
    SHAPE,
    T1,
    b1_map,
    corner,
    nifti_of,
    stored,
    t1_map,
    train_series,
    two_pools,
)


def test_slabs_give_the_maps_of_the_whole(tmp_path: Path) -> None:
    """Mask, richer decay and statuses to the bit on magnitudes; nothing there depends on the slab."""
    series = two_pools()
    images = stored(series, tmp_path / "in")
    mask = nifti_of(corner(), series, tmp_path / "mask.nii.gz")
    request = T2Request(fit=MAGNITUDES, mask=mask, model="bi-60-40")
    expected = fit_images(series, request)
    assert expected.richer is not None
    memory = 2 * 1000 * SHAPE[1] * SHAPE[2]
    volume = fit_volume_file(images, tmp_path / "out", request, memory)
    assert len(volume.edges) > 3
    assert volume.n_voxels == expected.fit.ok.sum() == corner().sum()
    with h5py.File(tmp_path / "out" / MAPS_FILE) as file:
        np.testing.assert_array_equal(file["status"], expected.fit.status)
        np.testing.assert_array_equal(file["t2"], expected.fit.t2.astype(np.float32))
        np.testing.assert_array_equal(file["richer_verdict"], expected.richer.verdict)
        np.testing.assert_array_equal(file["richer_t2"], expected.richer.t2.astype(np.float32))
        assert file.attrs["richer_methods"] == expected.richer.methods_sentence()
        assert f"{corner().sum()} of {corner().size} (mask.nii.gz)" in file.attrs["methods"]
    sidecar = json.loads((tmp_path / "out/richer_t2.json").read_text())
    assert sidecar["Methods"] == expected.richer.methods_sentence()


def test_slabs_take_their_slices_of_b1_and_t1(tmp_path: Path) -> None:
    series = train_series(t1_map())
    images = stored(series, tmp_path / "in")
    b1 = nifti_of(b1_map(), series, tmp_path / "b1.nii.gz")
    with h5py.File(tmp_path / "t1.h5", "w") as file:
        file["t1"] = t1_map()
    request = T2Request(fit=MAGNITUDES, b1=b1, t1=tmp_path / "t1.h5")
    expected = fit_images(series, request).fit
    assert len(fit_volume_file(images, tmp_path / "out", request, 150_000).edges) > 3
    with h5py.File(tmp_path / "out" / MAPS_FILE) as file:
        np.testing.assert_array_equal(file["t2"], expected.t2.astype(np.float32))
        np.testing.assert_allclose(file["train_b1"], b1_map(), rtol=1e-6)
        np.testing.assert_allclose(file["train_t1"], t1_map(), rtol=1e-6)
        assert "B1 given: median" in file.attrs["methods"]
    sidecar = json.loads((tmp_path / "out/train_b1.json").read_text())
    assert sidecar["Units"] == "1"
    assert "Quantity" not in sidecar


def test_slabs_warn_once_and_tell_the_median_of_the_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    series = replace(two_pools(), provenance={ECHO_FORMATION: GRADIENT_ECHO})
    volume = fit_volume_file(stored(series, tmp_path), tmp_path / "out", T2Request(fit=MAGNITUDES), 100_000)
    assert len(volume.edges) > 3
    assert caplog.text.count("the echoes are gradient echoes") == 1
    fit = fit_images(series, T2Request(fit=MAGNITUDES)).fit
    assert caplog.text.count("the echoes are gradient echoes") == 2  # the filter is gone again
    maps = tmp_path / "out" / MAPS_FILE
    known = known_t2(maps, 1 << 20)
    assert known is not None
    np.testing.assert_allclose(known, fit.t2[fit.ok], rtol=1e-6)
    assert known_t2(maps, 1000) is None
    with h5py.File(maps) as file:
        assert file.attrs["quantity"] == "T2*"


def test_workers_fit_the_slab_that_the_whole_has(tmp_path: Path) -> None:
    series = two_pools()
    images = stored(series, tmp_path / "in")
    np.save(tmp_path / "mask.npy", corner())
    options = BatchOptions(fit=MAGNITUDES, mask=tmp_path / "mask.npy", model="stretched", memory=1 << 21)
    assert is_large_volume(images, options.model_copy(update={"memory": 200_000}))
    assert not is_large_volume(images, options)
    angles = json.dumps(np.angle(turns_of_volume(images, 1 << 20)).tolist())
    fit_slab(str(images), 2, 5, angles, str(tmp_path / "slab.h5"), options.model_dump_json())
    expected = fit_images(series, options)
    assert expected.richer is not None
    with h5py.File(tmp_path / "slab.h5") as file:
        np.testing.assert_array_equal(file["status"], expected.fit.status[2:5])
        np.testing.assert_array_equal(file["richer_stretch"], expected.richer.stretch[2:5].astype(np.float32))
    np.testing.assert_allclose(
        np.exp(1j * np.array(json.loads(angles))), turns_of_echoes(series.images, series.noise_std), atol=1e-6
    )


def test_what_a_richer_decay_takes_is_in_the_slabs() -> None:
    shape = (7, 100, 64, 64)
    plain, richer = (slab_edges(shape, 20_000_000, request) for request in (None, T2Request(model="bi")))
    assert len(richer) > 1.5 * len(plain)


@pytest.mark.parametrize("changes", [{"model": "bi"}, {"b1": "fit", "t1": T1}], ids=["richer", "train"])
def test_fitting_a_slab_takes_no_more_memory_than_its_share(tmp_path: Path, changes: dict[str, Any]) -> None:
    series = two_pools() if "model" in changes else train_series()
    larger = replace(series, images=np.tile(series.images, (1, 1, 4, 4)))
    images, request = stored(larger, tmp_path), T2Request(fit=T2Options(threads=1), **changes)
    turns, memory = turns_of_volume(images, 1 << 30), 8_000_000
    edges = slab_edges(larger.images.shape, memory, request)
    assert 2 < len(edges) < 7
    fit_slices(images, (0, 1), request, turns)  # what is loaded once
    tracemalloc.start()
    slab_maps(fit_slices(images, edges[:2], request, turns))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.2 * memory < peak < memory
