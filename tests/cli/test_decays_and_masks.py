"""`fit --model` and `fit --mask` through the command line, on simulated images whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest

from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.export.images_file import write_images_file
from knightshift.reconstruction.export.nifti import write_nifti
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import ModelVerdict, T2Status

from .conftest import Cli

TIMES = np.array([2e-3, 4e-3, 7e-3, 11e-3, 17e-3, 27e-3, 40e-3])
SHAPE = (1, 12, 16)
SNR = 150.0
OBJECT = (slice(2, 10), slice(3, 13))
"""Rows and columns with signal."""
RICHER = (slice(2, 10), slice(8, 13))
"""Rows and columns that are no single exponential."""


def biexponential(times: np.ndarray) -> np.ndarray:
    return np.asarray(0.6 * np.exp(-times / 3e-3) + 0.4 * np.exp(-times / 16e-3))


def stretched(times: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-((times / 8e-3) ** 0.7)))


def simulated(decay: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> ImageSeries:
    """Half an object of one exponential of 10 ms, half of `decay`, placed askew so that no two axes are alike."""
    random = np.random.default_rng(5)
    signal = np.zeros((len(TIMES), *shape))
    signal[(slice(None), 0, *OBJECT)] = np.exp(-TIMES / 10e-3)[:, None, None]
    signal[(slice(None), 0, *RICHER)] = decay[:, None, None]
    noise = random.normal(0, 1 / SNR, (2, *signal.shape))
    directions = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])
    return ImageSeries(
        images=(signal * np.exp(0.4j) + noise[0] + 1j * noise[1]).astype(np.complex64),
        echo_times=TIMES,
        geometry=ImageGeometry((1e-3, 50e-6, 100e-6), directions, np.array([0.0, -0.8e-3, -0.3e-3])),
        noise_std=np.full(len(TIMES), 1 / SNR),
        nucleus="23Na",
        methods=("The images were simulated.",),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two exponentials, as `knightshift reconstruct` leaves them, and a mask with no symmetry."""
    folder = tmp_path_factory.mktemp("images")
    series = simulated(biexponential(TIMES))
    write_images_file(series, folder / "images.h5")
    write_nifti(series, folder)
    np.save(folder / "mask.npy", corner_mask())
    return folder


def corner_mask() -> np.ndarray:
    """An L in one corner of the object: no flip and no exchange of axes leaves it where it is."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[0, 3:9, 9:11] = 1
    mask[0, 3:5, 6:11] = 1
    return mask


def mask_over_our_nifti(folder: Path, path: Path) -> Path:
    """Draw the L as another program does: on the array and the affine of our NIfTI."""
    ours: Any = nib.load(folder / "images.nii.gz")
    drawn = np.zeros(ours.shape[:3], dtype=np.uint8)
    drawn[9:11, 3:9, 0] = 1
    drawn[6:11, 3:5, 0] = 1
    nib.save(nib.Nifti1Image(drawn, ours.affine), path)
    return path


def volume(path: Path) -> np.ndarray:
    """Array of a NIfTI in our order ``(slice, phase_encode, readout)``."""
    image: Any = nib.load(path)
    return np.asarray(image.dataobj).T


def test_two_exponentials_are_told_from_one_inside_a_mask_drawn_on_our_nifti(
    cli: Cli, folder: Path, tmp_path: Path
) -> None:
    """3 and 16 ms in a ratio of 60 to 40 (spin 3/2 in slow motion) beside 10 ms."""
    mask = mask_over_our_nifti(folder, tmp_path / "drawn.nii.gz")
    result = cli("fit", folder, "-o", tmp_path / "maps", "--model", "bi-60-40", "--mask", mask)
    assert result.returncode == 0, result.stderr
    status, verdict = volume(tmp_path / "maps/t2_status.nii.gz"), volume(tmp_path / "maps/richer_verdict.nii.gz")
    inside = corner_mask().astype(bool)
    np.testing.assert_array_equal(status == T2Status.OK, inside)
    np.testing.assert_array_equal(verdict == ModelVerdict.NO_T2, ~inside)
    richer = np.zeros(SHAPE, dtype=bool)
    richer[(0, *RICHER)] = True
    assert (verdict[inside & richer] == ModelVerdict.PREFERRED).all()
    assert np.mean(verdict[inside & ~richer] == ModelVerdict.PREFERRED) < 0.5
    slow, fast = (volume(tmp_path / f"maps/{name}.nii.gz") for name in ("richer_t2", "richer_t2_fast"))
    error = volume(tmp_path / "maps/richer_t2_std.nii.gz")
    assert np.median(slow[inside & richer]) == pytest.approx(16e-3, rel=0.05)
    assert np.median(fast[inside & richer]) == pytest.approx(3e-3, rel=0.1)
    pulls = (slow - 16e-3)[inside & richer] / error[inside & richer]
    assert 0.5 < np.std(pulls) < 1.6
    assert np.isnan(slow[~inside]).all()
    summary = json.loads((tmp_path / "maps/summary.json").read_text())["richer_model"]
    assert summary["model"] == "bi-60-40"
    assert summary["n_compared"] == np.count_nonzero(inside)
    assert (
        summary["n_preferred"]
        == summary["voxels_by_verdict"]["preferred"] + summary["voxels_by_verdict"]["undetermined"]
    )
    assert summary["median_slow_t2_s"] == pytest.approx(16e-3, rel=0.05)
    page = (tmp_path / "maps/report.html").read_text()
    assert f"prefer it in {summary['n_preferred']} of {summary['n_compared']} voxels" in page
    assert f"inside a mask were fitted: {np.count_nonzero(inside)} of {inside.size} (drawn.nii.gz)" in page
    assert (tmp_path / "maps/richer_model.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "decay", "truth"),
    [
        ("bi", biexponential, {"median_slow_t2_s": 16e-3, "median_fast_t2_s": 3e-3, "median_fast_share": 0.6}),
        ("stretched", stretched, {"median_slow_t2_s": 8e-3, "median_stretch": 0.7}),
    ],
)
def test_parameters_of_richer_decays_are_the_true_ones(
    cli: Cli, tmp_path: Path, model: str, decay: Any, truth: dict[str, float]
) -> None:
    (tmp_path / "in").mkdir()
    write_images_file(simulated(decay(TIMES)), tmp_path / "in/images.h5")
    mask = np.zeros(SHAPE, dtype=bool)
    mask[(0, *RICHER)] = True
    np.save(tmp_path / "mask.npy", mask)
    result = cli("fit", tmp_path / "in", "-o", tmp_path / "out", "--model", model, "--mask", tmp_path / "mask.npy")
    assert result.returncode == 0, result.stderr
    summary = json.loads((tmp_path / "out/summary.json").read_text())["richer_model"]
    assert summary["n_preferred"] > 0.9 * summary["n_compared"]
    for name, value in truth.items():
        assert summary[name] == pytest.approx(value, rel=0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("shape", "the mask has shape (1, 16, 12), the images (1, 12, 16)"),
        ("moved", "0.3 mm apart, with voxels of 1 x 0.05 x 0.1 mm"),
        ("flipped", "the mask lies elsewhere than the images"),
        ("empty", "every one of 192 is 0"),
        ("truncated", "it cannot be read"),
        ("missing", "there is no such mask"),
        ("text", "is no mask that can be read"),
        ("nan", "a mask is made of finite numbers"),
    ],
)
def test_mask_that_does_not_fit_is_refused_with_numbers(
    cli: Cli, folder: Path, tmp_path: Path, change: str, words: str
) -> None:
    path = tmp_path / ("mask.npy" if change in ("shape", "empty", "text", "nan") else "mask.nii.gz")
    if change in ("moved", "flipped"):
        drawn: Any = nib.load(mask_over_our_nifti(folder, path))
        affine = drawn.affine.copy()
        affine[0, 3] += 0.3 if change == "moved" else 0
        affine[:, 0] *= -1 if change == "flipped" else 1
        nib.save(nib.Nifti1Image(np.asarray(drawn.dataobj), affine), path)
    elif change == "truncated":
        path.write_bytes(mask_over_our_nifti(folder, path).read_bytes()[:60])
    elif change == "text":
        path.write_text("not a mask")
    elif change != "missing":
        arrays = {"shape": corner_mask().transpose(0, 2, 1), "empty": np.zeros(SHAPE), "nan": np.full(SHAPE, np.nan)}
        np.save(path, arrays[change])
    result = cli("fit", folder, "-o", tmp_path / "maps", "--mask", path)
    assert result.returncode in (2, 4)
    assert words in " ".join(result.stderr.split())
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "tri"), "--model tri: is not known: one of mono, bi, bi-60-40, stretched"),
        (("--model", "bi", "--estimator", "rician"), "and fit with estimator 'complex', or"),
    ],
)
def test_decay_that_cannot_be_fitted_is_refused(
    cli: Cli, folder: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    result = cli("fit", folder, "-o", tmp_path / "maps", *options)
    assert result.returncode == 2
    assert words in " ".join(result.stderr.split())
    assert not list((tmp_path / "maps").glob("t2_*"))


def test_export_fits_inside_the_mask_only(cli: Cli, folder: Path, tmp_path: Path) -> None:
    result = cli("export", folder, "--to", "nifti", "-o", tmp_path, "--mask", folder / "mask.npy")
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(volume(tmp_path / "mask_analysed.nii.gz") == 1, corner_mask() == 1)
    ours = tmp_path / "mask_analysed.nii.gz"  # what we write is a mask again
    assert cli("export", folder, "--to", "csv", "-o", tmp_path / "csv", "--mask", ours).returncode == 0


def test_mask_is_read_from_numpy_and_from_the_maps_of_an_earlier_fit(folder: Path, tmp_path: Path) -> None:
    from knightshift.reconstruction.export.images_file import load_images
    from knightshift.reconstruction.mask_file import read_mask

    series, expected = load_images(folder), corner_mask().astype(bool)
    np.testing.assert_array_equal(read_mask(folder / "mask.npy", series), expected)
    np.save(tmp_path / "plane.npy", expected[0])
    np.testing.assert_array_equal(read_mask(tmp_path / "plane.npy", series), expected)
    with h5py.File(tmp_path / "t2_maps.h5", "w") as file:
        file["status"] = np.where(expected, T2Status.OK, T2Status.MASKED).astype(np.int8)
    np.testing.assert_array_equal(read_mask(tmp_path / "t2_maps.h5", series), expected)
