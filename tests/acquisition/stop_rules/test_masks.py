"""Regions from files and from earlier measurements: the right voxels, wherever the grid of the mask lies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from knightshift.acquisition.stop_rules import AppliedRules, parse_rules
from knightshift.core.errors import DamagedDataError, InputError
from knightshift.core.geometry import ImageGeometry
from knightshift.core.program import Encoding
from knightshift.reconstruction.export import save_images
from knightshift.reconstruction.export.nifti import nifti_bytes
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.reconstruct import geometry_of

SHAPE = (1, 12, 16)
TIMES = np.array([4e-3, 8e-3, 13e-3, 20e-3])


def encoding(shape: tuple[int, int, int] = SHAPE) -> Encoding:
    return Encoding(
        kind="image", echo_times=tuple(TIMES), matrix=shape, field_of_view=(4e-3, 2.4e-3, 3.2e-3), axes=("x", "z", "y"),
        samples=32, center_sample=16, dwell_time=8e-6, repetition_time=0.12,
    )  # fmt: skip


def chosen(text: str, folder: Path, where: Encoding | None = None) -> np.ndarray:
    rules = parse_rules([f"snr of echo 1 in {text} >= 4"], folder=folder)
    return AppliedRules.to(rules, where or encoding()).voxels[0]


def spot(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[0, 3:5, 9:14] = True
    return mask


def test_a_box_takes_the_voxels_whose_centre_it_holds(tmp_path: Path) -> None:
    # voxels of 0.2 mm, index n at (n - N // 2) * 0.2 mm: rows 3 and 4 along z, columns 9 to 13 along y
    box = "box z=[-0.65 mm, -0.35 mm], y=[0.15 mm, 1.05 mm]"
    np.testing.assert_array_equal(chosen(box, tmp_path), spot())


def test_the_axis_that_is_projected_over_is_not_looked_at(tmp_path: Path) -> None:
    assert chosen("box x=[1 mm, 2 mm], z=[-0.65 mm, -0.35 mm]", tmp_path)[0, 3:5].all()


def test_a_mask_that_we_exported_takes_the_same_voxels(tmp_path: Path) -> None:
    (tmp_path / "spot.nii.gz").write_bytes(nifti_bytes(spot().astype(float), geometry_of(encoding())))
    np.testing.assert_array_equal(chosen("mask spot.nii.gz", tmp_path), spot())


def test_a_mask_on_a_finer_grid_takes_the_voxels_at_the_same_place(tmp_path: Path) -> None:
    fine = np.repeat(np.repeat(spot(), 3, axis=1), 3, axis=2)
    plain = geometry_of(encoding())
    size = (plain.voxel_size[0], plain.voxel_size[1] / 3, plain.voxel_size[2] / 3)
    corner = plain.origin - (np.array([0, *plain.voxel_size[1:]]) - np.array([0, *size[1:]])) / 2 @ plain.directions
    geometry = ImageGeometry(size, plain.directions, corner)
    (tmp_path / "fine.nii").write_bytes(b"")
    nib.save(nib.load(_written(tmp_path / "f.nii.gz", fine, geometry)), tmp_path / "fine.nii")
    np.testing.assert_array_equal(chosen("mask fine.nii", tmp_path), spot())


def _written(path: Path, mask: np.ndarray, geometry: ImageGeometry) -> Path:
    path.write_bytes(nifti_bytes(mask.astype(float), geometry))
    return path


def test_an_array_without_a_place_must_have_the_voxels_of_the_images(tmp_path: Path) -> None:
    np.save(tmp_path / "spot.npy", spot()[0])  # one slice needs no slice axis
    np.testing.assert_array_equal(chosen("mask spot.npy", tmp_path), spot())
    with pytest.raises(InputError, match="give it as NIfTI"):
        chosen("mask spot.npy", tmp_path, encoding((1, 24, 16)))


def test_masks_that_hold_nothing_or_are_none_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "empty.npy", np.zeros(SHAPE))
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "torn.nii.gz").write_bytes(nifti_bytes(spot().astype(float), geometry_of(encoding()))[:60])
    (tmp_path / "mask.png").write_bytes(b"x")
    far = ImageGeometry((1e-3,) * 3, np.eye(3), np.full(3, 1.0))
    (tmp_path / "far.nii.gz").write_bytes(nifti_bytes(np.ones((2, 2, 2)), far))
    with pytest.raises(InputError, match="no voxel is in it"):
        chosen("mask empty.npy", tmp_path)
    for name in ("pickled.npy", "torn.nii.gz"):
        with pytest.raises(DamagedDataError, match="cannot be read"):
            chosen(f"mask {name}", tmp_path)
    with pytest.raises(InputError, match="give NIfTI"):
        chosen("mask mask.png", tmp_path)
    with pytest.raises(InputError, match="of the same cell"):
        chosen("mask far.nii.gz", tmp_path)


def test_a_region_of_an_earlier_measurement_is_found_by_its_name(tmp_path: Path) -> None:
    shape = (1, 24, 32)
    amplitude, t2 = np.zeros(shape), np.full(shape, 8e-3)
    amplitude[0, 4:9] = amplitude[0, 17:20] = 100.0
    amplitude[0, 11:13, 20:25], t2[0, 11:13, 20:25] = 60.0, 17e-3
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((2, len(TIMES), *shape))
    images = amplitude * np.exp(-TIMES[:, None, None, None] / t2) + noise[0] + 1j * noise[1]
    where = encoding(shape)
    series = ImageSeries(images.astype(np.complex64), TIMES, geometry_of(where), np.ones(len(TIMES)), nucleus="23Na")
    save_images(series, tmp_path)
    dendrite = chosen(f"dendrite of {tmp_path}", Path(), where)
    assert dendrite[0, 11:13, 20:25].mean() > 0.8
    assert dendrite.sum() <= 10
    np.testing.assert_array_equal(chosen(f"electrode 1 of {tmp_path}", Path(), where)[0, 4:9], True)
    with pytest.raises(InputError, match=r"no 'dendrite 2': it has electrodes, electrode 1, electrode 2, dendrite"):
        chosen(f"dendrite 2 of {tmp_path}", Path(), where)
    other = tmp_path / "tissue"
    save_images(replace(series, nucleus="1H"), other)
    np.testing.assert_array_equal(chosen(f"isolated region of {other}", Path(), where), dendrite)
    with pytest.raises(InputError, match=r"no 'electrodes': it has bulk, part 1, part 2, isolated region"):
        chosen(f"electrodes of {other}", Path(), where)
