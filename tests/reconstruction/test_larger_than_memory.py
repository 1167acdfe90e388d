"""Scans larger than the memory allowed: the same images and maps as in memory, and nothing left behind."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest

from knightshift.core.errors import StorageError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction import pass_sum, storage
from knightshift.reconstruction.export.folder import save_images
from knightshift.reconstruction.export.images_file import load_images
from knightshift.reconstruction.kspace import KSpaceScan, Partitions, StoredKSpace
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import images_of_scan
from knightshift.reconstruction.relaxometry import fit_series
from knightshift.reconstruction.storage import disk_storage

from . import growing_volume

SMALL = 4096
"""Memory that nothing fits into [bytes]."""


class Stored(StoredKSpace):
    """K-space that is read slice by slice."""

    def __init__(self, kspace: np.ndarray) -> None:
        self.kspace = kspace

    @property
    def shape(self) -> tuple[int, ...]:
        return self.kspace.shape

    def read(self, repetition: int, echo: int, slices: range) -> np.ndarray:
        return self.kspace[repetition, echo, slices.start : slices.stop].copy()


def scan(*shape: int, partitions: Partitions | None = None) -> KSpaceScan:
    """Random k-space of shape ``(repetition, echo, slice, channel, line, sample)``."""
    rng = np.random.default_rng(3)
    kspace = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    n_lines, n_samples = shape[-2:]
    n_slices = shape[2] if partitions is None else partitions.matrix
    geometry = ImageGeometry((1e-3, 1e-3, 1e-3), np.eye(3), np.zeros(3))
    return KSpaceScan(
        source=Path("scan"), format="synthetic", kspace=Stored(kspace), line_steps=np.arange(n_lines) - n_lines // 2,
        center_sample=n_samples // 2, grid=(n_lines, n_samples), matrix=(n_lines, n_samples),
        shifts=np.full((n_slices, 2), 0.3), transposed=np.zeros(n_slices, bool),
        echo_times=0.01 * np.arange(1, shape[1] + 1), partitions=partitions,
        slice_geometries=tuple(replace(geometry, origin=np.array([1e-3 * n, 0, 0])) for n in range(n_slices)),
    )  # fmt: skip


def spoiled(clean: KSpaceScan) -> KSpaceScan:
    """Lines in another order, with an offset of each receiver, and two spikes in the whole scan."""
    kspace = np.asarray(clean.kspace) + np.array([0, 1.5, -0.5j, 0.3], np.complex64)[:, np.newaxis, np.newaxis]
    kspace[0, 1, 3, 2, 4, 27], kspace[0, 0, 0, 1, 20, 3] = 500, -300j
    order = np.random.default_rng(0).permutation(len(clean.line_steps))
    return replace(clean, kspace=Stored(kspace[..., order, :]), line_steps=clean.line_steps[order])


THICK = Partitions(np.arange(12) - 6, grid=12, matrix=12, shift=0.5)
CASES = {
    "slices": scan(1, 3, 6, 1, 20, 24),
    "repetitions": scan(2, 1, 6, 1, 20, 24),
    "volume": scan(1, 2, 12, 1, 20, 24, partitions=THICK),
    "volume-of-receivers": scan(1, 2, 12, 3, 20, 24, partitions=THICK),
    "volume-zero-filled": scan(1, 1, 12, 1, 20, 24, partitions=replace(THICK, grid=16, matrix=16)),
    "volume-cropped": scan(1, 1, 12, 1, 20, 24, partitions=replace(THICK, matrix=8)),
    "volume-out-of-order": scan(1, 1, 12, 1, 20, 24, partitions=replace(THICK, steps=np.roll(np.arange(12) - 6, 5))),
    "swapped": replace(scan(1, 2, 6, 1, 20, 24), transposed=np.ones(6, bool)),
    "oversampled": replace(scan(1, 2, 12, 1, 20, 24, partitions=THICK), matrix=(20, 12)),
}


CASES["receivers"] = scan(1, 2, 5, 4, 32, 32)
CASES["spoiled"] = spoiled(CASES["receivers"])


@pytest.mark.parametrize("case", CASES)
def test_images_do_not_depend_on_the_memory(case: str, tmp_path: Path) -> None:
    recipe = Recipe(apodisation="hamming", align_even_echoes=True)
    expected = images_of_scan(CASES[case], recipe)
    with disk_storage(tmp_path, SMALL) as beside:
        series = images_of_scan(CASES[case], recipe, beside)
        assert isinstance(series.images, h5py.Dataset)
        save_images(series, tmp_path, figures=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.h5", "images.json", "images.nii.gz"]
    stored = load_images(tmp_path)
    np.testing.assert_array_equal(stored.images, expected.images)
    np.testing.assert_array_equal(stored.noise_std, expected.noise_std)
    assert stored.methods == expected.methods
    shown = np.asarray(nib.load(tmp_path / "images.nii.gz").dataobj)
    np.testing.assert_array_equal(shown.T.reshape(expected.images.shape), np.abs(expected.images))


def test_a_volume_is_the_transform_along_all_its_axes() -> None:
    volume = replace(CASES["volume-of-receivers"], partitions=replace(THICK, shift=0.0), shifts=np.zeros((12, 2)))
    kspace = np.asarray(volume.kspace)[0].swapaxes(1, 2)  # echo, channel, partition, line, sample
    axes = (-3, -2, -1)
    images = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(kspace, axes), axes=axes), axes)
    expected = np.sqrt(np.sum(np.abs(images) ** 2, axis=1))
    np.testing.assert_allclose(np.abs(images_of_scan(volume).images), expected, rtol=1e-4, atol=1e-6)


def test_after_an_error_nothing_is_left(tmp_path: Path) -> None:
    begun: list[Path] = []

    def reconstruct_and_stop() -> None:
        with disk_storage(tmp_path, SMALL) as beside:
            images_of_scan(CASES["volume-of-receivers"], storage=beside)
            begun.extend(tmp_path.iterdir())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconstruct_and_stop()
    assert len(begun) == 1
    assert list(tmp_path.iterdir()) == []


def test_room_on_the_disk_is_looked_for_before_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: usage(30_000))
    with pytest.raises(StorageError, match=r"30.*are free|--memory-mb"), disk_storage(tmp_path, SMALL) as beside:
        images_of_scan(CASES["volume"], storage=beside)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("machine", "container", "expected"), [
    ("MemTotal: 9 kB\nMemAvailable:    4096 kB\n", None, 2 << 20),
    ("MemAvailable:    4096 kB\n", "max\n", 2 << 20),
    ("MemAvailable:    4096 kB\n", "1048576\n", 1 << 19),
    (None, None, 2 << 30),
])  # fmt: skip
def test_half_of_what_machine_and_container_leave_is_taken(
    machine: str | None, container: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("_MACHINE", machine), ("_CONTAINER", container)):
        monkeypatch.setattr(storage, name, tmp_path / name)
        if text is not None:
            (tmp_path / name).write_text(text)
    monkeypatch.setattr(storage.resource, "getrlimit", lambda _: (storage.resource.RLIM_INFINITY,) * 2)
    assert storage.default_memory() == expected


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No space left"), disk_storage(tmp_path, SMALL):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("kept", [0, 5000, 1 << 20])
def test_the_sum_of_a_run_does_not_depend_on_how_many_passes_are_kept(
    kept: int, synthetic_run: Any, small_encoding: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    clock = np.arange(small_encoding.samples) * small_encoding.dwell_time
    passes = {}
    for index in range(24):  # drifts by 1.5 kHz, in noise
        turning = 200 * np.exp(2j * np.pi * 60 * index * clock) * np.ones((8, 1))
        passes[index] = turning + rng.normal(size=(8, 16)) + 1j * rng.normal(size=(8, 16))
    run = synthetic_run(small_encoding, passes, gains={0: 6.0, 7: 3.0}).write(tmp_path)
    expected = pass_sum.sum_passes(run)
    monkeypatch.setattr(pass_sum, "_KEPT_BYTES", kept)
    summed = pass_sum.sum_passes(run)
    assert summed.drift.significant
    np.testing.assert_array_equal(summed.kspace, expected.kspace)
    np.testing.assert_array_equal(summed.noise_std, expected.noise_std)


@pytest.mark.parametrize("case", ["repetitions", "volume-of-receivers", "spoiled"])
def test_cleaning_does_not_depend_on_the_memory(case: str, tmp_path: Path) -> None:
    recipe = Recipe(remove_dc_offset=True, remove_spikes=True, whiten=True, combination="adaptive")
    expected = images_of_scan(CASES[case], recipe)
    with disk_storage(tmp_path, SMALL) as beside:
        series = images_of_scan(CASES[case], recipe, beside)
        assert isinstance(series.images, h5py.Dataset)
        np.testing.assert_array_equal(series.images, expected.images)
        assert series.methods == expected.methods
    assert not np.array_equal(images_of_scan(CASES[case]).images, expected.images)


def test_what_spoils_kspace_is_taken_out_of_it() -> None:
    recipe = Recipe(remove_dc_offset=True, remove_spikes=True)
    cleaned, clean = images_of_scan(CASES["spoiled"], recipe), images_of_scan(CASES["receivers"])
    assert "2 of 40960 samples stood out as spikes and were set to zero." in cleaned.methods
    told = re.fullmatch(r"A constant offset .* each receiver \(at most (.*)\)\.", cleaned.methods[0])
    assert told is not None
    assert float(told[1]) == pytest.approx(1.5, abs=0.05)
    left = np.abs(cleaned.images) - np.abs(clean.images)
    spoiled = np.abs(images_of_scan(CASES["spoiled"]).images) - np.abs(clean.images)
    assert np.linalg.norm(left) < 0.1 * np.linalg.norm(spoiled)


def test_a_volume_of_twice_the_memory_is_reconstructed_and_fitted_as_in_memory(tmp_path: Path) -> None:
    """The child limits its own memory; holding the volume at once is beyond it."""
    command = [sys.executable, "-m", f"{__package__}.growing_volume", str(tmp_path)]
    root = Path(__file__).parents[2]
    finished = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "too large at once" in finished.stdout
    expected = images_of_scan(growing_volume.scan())
    stored = load_images(tmp_path)
    np.testing.assert_array_equal(stored.images, expected.images)
    whole = fit_series(stored)
    with h5py.File(tmp_path / "t2_maps.h5") as maps:
        np.testing.assert_array_equal(maps["status"], whole.status)
        moved = np.abs(maps["t2"][...] - whole.t2)[whole.ok] / whole.t2_std[whole.ok]
        assert moved.max() < 0.02  # the slope of the phase across the image is that of each slab
        shown = nib.load(tmp_path / "t2_map.nii.gz")
        np.testing.assert_array_equal(np.asarray(shown.dataobj).T, maps["t2"])
    assert whole.ok.sum() > 1000
    np.testing.assert_allclose(np.median(whole.t2[whole.ok]), growing_volume.T2, rtol=0.02)
