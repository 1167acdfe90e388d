"""Files out: complete, right in space, the same bytes for the same images, and no trust on the way back in."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knightshift.core.errors import DamagedDataError, InputError, StorageError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.export import load_images, save_images
from knightshift.reconstruction.export.nifti import nifti_affine
from knightshift.reconstruction.images import ImageSeries, SliceStack


def geometry(angle: float = 0.3) -> ImageGeometry:
    cos, sin = np.cos(angle), np.sin(angle)
    directions = np.array([[1.0, 0, 0], [0, -sin, cos], [0, cos, sin]])
    return ImageGeometry((2e-3, 23e-6, 100e-6), directions, np.array([1e-3, -2e-3, 3e-3]))


def series(n_slices: int = 2, stacks: bool = False) -> ImageSeries:
    rng = np.random.default_rng(4)
    shape = (3, n_slices, 6, 5)
    images = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    parts = tuple(SliceStack((i,), geometry(0.1 * i)) for i in range(n_slices)) if stacks else ()
    return ImageSeries(
        images=images,
        echo_times=np.array([4e-3, 8e-3, 13e-3]),
        geometry=parts[0].geometry if stacks else geometry(),
        noise_std=np.array([1.0, 1.1, 1.2]),
        nucleus="23Na",
        working_frequency=105.98e6,
        methods=("One step.", "Another step with µ."),
        missing=("something",),
        provenance={"source": "here", "frame": "laboratory"},
        stacks=parts,
    )


@pytest.mark.parametrize("stacks", [False, True], ids=["one stack", "two stacks"])
def test_images_come_back_complete(tmp_path: Path, stacks: bool) -> None:
    written = series(stacks=stacks)
    save_images(written, tmp_path / "new" / "folder", figures=False)
    read = load_images(tmp_path / "new" / "folder")
    for name in ("images", "echo_times", "noise_std"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    for name in ("axes", "nucleus", "working_frequency", "methods", "missing", "provenance"):
        assert getattr(read, name) == getattr(written, name)
    np.testing.assert_array_equal(read.geometry.affine, written.geometry.affine)
    assert [stack.slices for stack in read.stacks] == [stack.slices for stack in written.stacks]


def test_equal_images_give_equal_files(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        save_images(series(), tmp_path / folder)
    names = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert names == ["echo1.png", "echo2.png", "echo3.png", "images.h5", "images.json", "images.nii.gz"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_nifti_affine_takes_every_voxel_to_its_place_in_millimetres(tmp_path: Path) -> None:
    original = series()
    save_images(original, tmp_path, figures=False)
    image = nib.load(tmp_path / "images.nii.gz")
    values = np.asarray(image.dataobj)
    assert values.shape == (5, 6, 2, 3)
    for slice_index, phase, read in np.ndindex(2, 6, 5):
        place = original.geometry.affine @ [slice_index, phase, read, 1]
        np.testing.assert_allclose(image.affine @ [read, phase, slice_index, 1], [*place[:3] * 1e3, 1], atol=1e-5)
        expected = np.abs(original.images[:, slice_index, phase, read])
        np.testing.assert_allclose(values[read, phase, slice_index], expected, rtol=1e-6)
    assert image.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(image.header.get_zooms()[:3], [0.1, 0.023, 2.0], rtol=1e-6)
    assert int(image.header["sform_code"]) == 1


def test_slices_of_several_directions_get_a_file_and_an_affine_each(tmp_path: Path) -> None:
    original = series(stacks=True)
    save_images(original, tmp_path, figures=False)
    assert not (tmp_path / "images.nii.gz").exists()
    for number, stack in enumerate(original.stacks, start=1):
        image = nib.load(tmp_path / f"images_stack{number}.nii.gz")
        np.testing.assert_allclose(image.affine, nifti_affine(stack.geometry), atol=1e-5)
        np.testing.assert_allclose(
            np.asarray(image.dataobj)[:, :, 0, 1], np.abs(original.images[1, number - 1]).T, rtol=1e-6
        )


def test_sidecar_gives_echo_times_in_seconds(tmp_path: Path) -> None:
    save_images(series(), tmp_path, figures=False)
    sidecar = json.loads((tmp_path / "images.json").read_text())
    assert sidecar["EchoTime"] == [4e-3, 8e-3, 13e-3]
    assert sidecar["ImagingFrequency"] == pytest.approx(105.98)
    assert sidecar["Missing"] == ["something"]


def test_figures_show_true_proportions(tmp_path: Path) -> None:
    from knightshift.reconstruction.export.figures import echo_figure

    axes = echo_figure(series(n_slices=1), 0, 1.0).axes[0]
    assert axes.get_aspect() == 1
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    np.testing.assert_allclose([left, right], [-250, 250])  # 5 voxels of 100 um, index 2 at zero
    np.testing.assert_allclose([low, high], [-80.5, 57.5])  # 6 voxels of 23 um, index 3 at zero
    assert "z (µm)" in axes.get_ylabel()
    assert "y (µm)" in axes.get_xlabel()


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        save_images(series(), tmp_path / "file" / "out")


def test_missing_images_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="knightshift reconstruct"):
        load_images(tmp_path)


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    save_images(series(), tmp_path, figures=False)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["images"] = series().images
    with h5py.File(tmp_path / "images.h5", "r+") as file:
        del file["images"]
        file["images"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "images")
    with pytest.raises(DamagedDataError):
        load_images(tmp_path)


def test_external_storage_and_huge_shapes_are_not_believed(tmp_path: Path) -> None:
    for spoil in ("external", "huge"):
        save_images(series(), tmp_path, figures=False)
        with h5py.File(tmp_path / "images.h5", "r+") as file:
            del file["images"]
            if spoil == "external":
                (tmp_path / "raw").write_bytes(bytes(3 * 2 * 6 * 5 * 8))
                place = [(str(tmp_path / "raw"), 0, 3 * 2 * 6 * 5 * 8)]
                file.create_dataset("images", (3, 2, 6, 5), np.complex64, external=place)
            else:
                file.create_dataset("images", (10**4, 10**3, 10**3, 10), np.complex64, chunks=(1, 1, 1, 10))
        with pytest.raises(DamagedDataError, match="images"):
            load_images(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=2000)
@given(place=st.floats(0, 1), length=st.integers(1, 40), cut=st.booleans(), seed=st.integers(0, 99))
def test_damaged_file_is_an_error_or_an_image(tmp_path: Path, place: float, length: int, cut: bool, seed: int) -> None:
    save_images(series(), tmp_path, figures=False)
    content = bytearray((tmp_path / "images.h5").read_bytes())
    start = int(place * (len(content) - 1))
    if cut:
        del content[start:]
    else:
        content[start : start + length] = np.random.default_rng(seed).bytes(length)
    (tmp_path / "images.h5").write_bytes(content)
    with suppress(DamagedDataError):
        assert load_images(tmp_path).images.shape == (3, 2, 6, 5)
