"""Real scans against the images that their own console made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.readers.jcamp import read_parameters
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import reconstruct

RawData = Callable[[str], Path]


def vendor_image(scan: Path) -> np.ndarray:
    """Magnitudes of ``2dseq``, scaled frame by frame, shape ``(slice, row, column)``."""
    visu = read_parameters(scan / "pdata" / "1" / "visu_pars")
    columns, rows = visu.integers("VisuCoreSize")
    frames = np.fromfile(scan / "pdata" / "1" / "2dseq", "<i2").reshape(-1, rows, columns)
    return frames * visu.floats("VisuCoreDataSlope")[:, np.newaxis, np.newaxis]


def scaled_to(reference: np.ndarray, series: ImageSeries) -> np.ndarray:
    ours = np.abs(series.images[0]).astype(float)
    assert ours.shape == reference.shape
    return ours * np.sum(ours * reference) / np.sum(ours**2)


@pytest.mark.parametrize("name", ["bruker_pv51_flash", "bruker_pv6_flash", "bruker_pv6_rare", "bruker_pv360/5"])
def test_image_equals_that_of_the_console(name: str, raw_data: RawData) -> None:
    scan = raw_data(name)
    reference = vendor_image(scan)
    difference = np.abs(scaled_to(reference, reconstruct(scan)) - reference).max() / reference.max()
    assert difference < 1e-4


@pytest.mark.parametrize("name", ["bruker_pv6_flash", "bruker_pv6_rare"])
def test_paravision_6_images_have_the_scale_of_the_console(name: str, raw_data: RawData) -> None:
    scan = raw_data(name)
    reference = vendor_image(scan)
    ours = np.abs(reconstruct(scan).images[0])
    assert np.sum(ours * reference) / np.sum(ours**2) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("method", "least", "words"),
    [("console", 0.9999, "POCS of ParaVision 360"), ("pocs", 0.9985, "POCS until"), ("homodyne", 0.97, "homodyne"),
     ("zero_filling", 0.997, "filled with zeros, so edges")],
)  # fmt: skip
def test_partial_fourier_scan_correlates_with_the_console_and_says_how(
    method: str, least: float, words: str, raw_data: RawData
) -> None:
    scan = raw_data("bruker_pv360/3")
    recipe = Recipe.model_validate({"partial_fourier": {"method": method}})
    reference, series = vendor_image(scan), reconstruct(scan, recipe)
    assert np.corrcoef(reference.ravel(), np.abs(series.images[0]).ravel())[0, 1] > least
    assert any(words in sentence for sentence in series.methods)


@pytest.mark.parametrize(
    "name", ["bruker_pv51_flash", "bruker_pv6_flash", "bruker_pv6_rare", "bruker_pv360/3", "bruker_pv360/5"]
)
def test_every_slice_lies_where_the_console_says(name: str, raw_data: RawData) -> None:
    scan = raw_data(name)
    visu = read_parameters(scan / "pdata" / "1" / "visu_pars")
    to_ras = np.diag([-1.0, -1.0, 1.0])  # visu_pars is in (left, posterior, head)
    orientations = visu.floats("VisuCoreOrientation").reshape(-1, 3, 3) @ to_ras
    positions = visu.floats("VisuCorePosition").reshape(-1, 3) @ to_ras * 1e-3
    series = reconstruct(scan)
    slices = [(s, part.geometry, i) for part, stack in parts(series) for i, s in enumerate(stack)]
    assert sorted(s for s, _, _ in slices) == list(range(len(positions)))
    for s, geometry, place in slices:
        corner = geometry.affine @ [place, 0, 0, 1]
        np.testing.assert_allclose(corner[:3], positions[s], atol=1e-7)
        np.testing.assert_allclose(geometry.directions[2], orientations[s][0], atol=1e-6)
        np.testing.assert_allclose(geometry.directions[1], orientations[s][1], atol=1e-6)


def parts(series: ImageSeries) -> list[tuple[ImageSeries, tuple[int, ...]]]:
    if not series.stacks:
        return [(series, tuple(range(series.images.shape[1])))]
    return [(part, stack.slices) for part, stack in zip(series.split(), series.stacks, strict=True)]


def test_without_its_reco_file_a_scan_gives_the_same_image(raw_data: RawData, tmp_path: Path) -> None:
    scan = raw_data("bruker_pv360/5")
    for name in ("acqp", "method", "rawdata.job0"):
        (tmp_path / name).symlink_to(scan / name)
    with_reco, without = reconstruct(scan), reconstruct(tmp_path)
    np.testing.assert_allclose(without.images, with_reco.images, atol=1e-5 * np.abs(with_reco.images).max())
    assert without.missing


def test_aborted_scan_is_named_as_such(raw_data: RawData) -> None:
    with pytest.raises(DamagedDataError, match=r"empty.*aborted"):
        reconstruct(raw_data("bruker_pv360/2"))


def test_epi_is_refused(raw_data: RawData) -> None:
    with pytest.raises(UnsupportedDataError, match="EPI"):
        reconstruct(raw_data("bruker_pv360/7"))


def test_study_folder_lists_its_scans(raw_data: RawData) -> None:
    with pytest.raises(UnsupportedDataError, match="study of 4 scans"):
        reconstruct(raw_data("bruker_pv360"))
