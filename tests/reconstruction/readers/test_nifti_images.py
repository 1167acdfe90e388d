"""NIfTI series as input: the voxels, their places and their echo times are those that nibabel and the side-car give."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from knightshift.core.errors import DamagedDataError, InputError, KnightshiftError, UnsupportedDataError
from knightshift.reconstruction.export.nifti import write_nifti
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.readers import RawKind, detect, read_raw
from knightshift.reconstruction.readers.inspection import inspect_raw
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import reconstruct
from knightshift.reconstruction.relaxometry import T2Options, fit_series

from .conftest import valid_writers

AFFINE = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.3, -0.5, 0.7) @ np.diag([0.1, 0.2, 1.5]), [3, -4, 5])
VALUES = np.random.default_rng(2).integers(0, 2000, (6, 5, 4, 3)).astype(np.int16)
"""Axes as in the file: readout, phase encode, slice, image."""


def save(path: Path, values: NDArray, kind: type = nib.Nifti1Image, **sidecar: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = kind(values, AFFINE)
    image.header.set_xyzt_units("mm")
    image.to_filename(path)
    if sidecar:
        (path.parent / (path.name.split(".")[0] + ".json")).write_text(json.dumps(sidecar))
    return path


def read(path: Path) -> ImageSeries:
    assert detect(path) is RawKind.NIFTI
    series = read_raw(path)
    assert isinstance(series, ImageSeries)
    return series


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "named.otherwise"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", ">f8", "<c8", "<u1"])
def test_every_container_gives_the_voxels_that_nibabel_gives(tmp_path: Path, name: str, kind: type, dtype: str) -> None:
    values = VALUES.astype(dtype)
    path = save(tmp_path / ("b.nii" if name == "named.otherwise" else name), values, kind)
    if name == "named.otherwise":
        path = path.rename(tmp_path / name)
    series = read(path)
    np.testing.assert_array_equal(series.images, values.T.astype(np.complex64))
    places = nib.affines.apply_affine(AFFINE, [[0, 0, 0], [5, 4, 3], [1, 2, 3]]) * 1e-3
    index = [[0, 0, 0, 1], [3, 4, 5, 1], [3, 2, 1, 1]]
    np.testing.assert_allclose((series.geometry.affine @ np.transpose(index))[:3].T, places, atol=1e-8)


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VALUES, AFFINE)
    image.header.set_slope_inter(0.5, -3)  # nibabel keeps the integers, and writes these beside them
    image.to_filename(tmp_path / "a.nii")
    expected = nib.load(tmp_path / "a.nii").get_fdata()
    assert expected[0, 0, 0, 0] == VALUES[0, 0, 0, 0] * 0.5 - 3
    np.testing.assert_allclose(read(tmp_path / "a.nii").images.real.T, expected, rtol=1e-6)


def test_our_own_series_comes_back_and_gives_the_same_map(tmp_path: Path) -> None:
    series = read(valid_writers()["nifti"](tmp_path))
    (tmp_path / "again").mkdir()
    write_nifti(series, tmp_path / "again")
    again = read(tmp_path / "again/images.nii.gz")
    np.testing.assert_array_equal(again.images, series.images)
    np.testing.assert_allclose(again.echo_times, series.echo_times)
    np.testing.assert_allclose(again.geometry.affine, series.geometry.affine, atol=1e-9)
    fit = fit_series(again, T2Options(estimator="rician"))
    np.testing.assert_allclose(np.median(fit.t2[fit.ok]), 0.02, rtol=0.05)


@pytest.mark.parametrize("pattern", ["sub-1_echo-{}_MESE.nii.gz", "scan_3_e{}.nii"])
def test_echoes_in_files_of_their_own_are_put_in_order(tmp_path: Path, pattern: str) -> None:
    for echo in (10, 9, 2):
        save(tmp_path / pattern.format(echo), VALUES[..., 0] * echo, EchoTime=0.004 * echo)
    save(tmp_path / pattern.format("x"), VALUES[..., 0])
    save(tmp_path / f"other_{pattern.format(1)}", VALUES[..., 0])
    series = read(tmp_path / pattern.format(9))
    np.testing.assert_allclose(series.echo_times, [0.008, 0.036, 0.04])
    np.testing.assert_array_equal(series.images[:, 0, 0, 0].real, VALUES[0, 0, 0, 0] * np.array([2.0, 9, 10]))
    assert series.refocused is (True if "MESE" in pattern else None)


def test_facts_of_the_side_car(tmp_path: Path) -> None:
    facts = {"ResonantNucleus": "23Na", "ImagingFrequency": 105.8, "EchoTime": [0.01, 0.02, 0.04]}
    series = read(save(tmp_path / "a_MEGRE.nii.gz", VALUES, **facts))
    assert series.nucleus == "23Na"
    assert series.working_frequency == pytest.approx(105.8e6)
    assert series.refocused is False
    series = read(save(tmp_path / "b.nii.gz", VALUES, EchoTime=0.01, InversionTime=[0.1, 0.2, 0.4]))
    assert series.inversion_times == pytest.approx([0.1, 0.2, 0.4])


def test_times_that_nobody_wrote_down_are_given_by_a_recipe(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", VALUES, EchoTime=0.01)  # one time of a series is that of no T2
    assert any("echo times" in words for words in read(path).missing)
    assert ("echo times", "not stated") in inspect_raw(path).rows
    series = reconstruct(path, Recipe(echo_times=(0.01, 0.02, 0.03)))
    assert series.echo_times == pytest.approx([0.01, 0.02, 0.03])
    assert not any("echo times" in words for words in series.missing)


def test_a_published_series_gives_the_published_map(raw_data: Callable[[str], Path]) -> None:
    folder = raw_data("mese_prostate")
    times = tuple(float(time) for time in (26.4 + 13.2 * np.arange(10)) * 1e-3)
    series = reconstruct(folder / "invivo_000198.nii.gz", Recipe(echo_times=times)).with_noise(10.0)
    published = nib.load(folder / "preds_000198.nii.gz").get_fdata()[..., 1].T * 145.2e-3
    fit = fit_series(series, T2Options(estimator="gaussian", detection_level=0, t2_range=(1e-3, 100.0)))
    tissue = fit.ok & (series.images.real.max(axis=0) > 200)
    assert np.count_nonzero(tissue) > 14_000
    assert np.quantile(np.abs(fit.t2 / published - 1)[tissue], 0.99) < 1e-4


def patched(content: bytes, at: int, numbers: NDArray) -> bytes:
    return content[:at] + numbers.tobytes() + content[at + numbers.nbytes :]


@pytest.mark.parametrize(
    ("at", "numbers"),
    [
        (40, np.array([4, 30000, 30000, 30000, 30000], "<i2")), (40, np.array([4, 6, -5, 4, 3], "<i2")),
        (40, np.array([9, 6, 5, 4, 3], "<i2")), (42, np.array([0], "<i2")), (70, np.array([12345], "<i2")),
        (108, np.array([np.nan], "<f4")), (108, np.array([-1], "<f4")), (108, np.array([1e9], "<f4")),
        (112, np.array([1e38, 1e38], "<f4")), (123, np.array([7], "<u1")),
        (280, np.array([np.nan], "<f4")), (280, np.zeros(12, "<f4")), (280, np.array([1e30], "<f4")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_headers_that_lie_are_refused_before_memory_is_taken(
    tmp_path: Path, at: int, numbers: NDArray, packed: bool
) -> None:
    content = patched(save(tmp_path / "a.nii", VALUES).read_bytes(), at, numbers)
    path = tmp_path / "lie.nii"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(KnightshiftError):
        read_raw(path)


def test_damage_of_files_and_side_cars_is_told(tmp_path: Path) -> None:
    content = save(tmp_path / "a.nii.gz", VALUES).read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(content[: len(content) // 2])
    (tmp_path / "flipped.nii.gz").write_bytes(content[:-6] + bytes([content[-6] ^ 1]) + content[-5:])
    (tmp_path / "cut.nii").write_bytes(gzip.decompress(content)[:-2])
    for name in ("cut.nii.gz", "flipped.nii.gz", "cut.nii"):
        with pytest.raises(DamagedDataError):
            read_raw(tmp_path / name)
    for text in ("[", "[1]", '{"EchoTime": [1, 2, "x"]}', '{"EchoTime": [1, 2, NaN]}', "[" * 100_000):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(DamagedDataError):
            read_raw(tmp_path / "a.nii.gz")
    (tmp_path / "a.json").write_text('{"EchoTime": [1, 2]}')
    with pytest.raises(InputError, match="2 values of EchoTime for 3 images"):
        read_raw(tmp_path / "a.nii.gz")


def test_what_is_no_series_of_magnitudes_is_refused(tmp_path: Path) -> None:
    nib.Nifti1Pair(VALUES, AFFINE).to_filename(tmp_path / "pair.img")
    with pytest.raises(UnsupportedDataError, match="voxels are in another file"):
        read_raw(tmp_path / "pair.hdr")
    with pytest.raises(UnsupportedDataError, match="no series"):
        read_raw(save(tmp_path / "five.nii", VALUES[..., np.newaxis] * np.ones(2, np.int16)))
    with pytest.raises(UnsupportedDataError, match="of the phase"):
        read_raw(save(tmp_path / "sub-1_echo-1_part-phase_MESE.nii", VALUES))
    save(tmp_path / "b_e1.nii", VALUES[..., 0])
    with pytest.raises(InputError, match="its voxels are not those of b_e1"):
        read_raw(save(tmp_path / "b_e2.nii", VALUES[:-1, ..., 0]))
