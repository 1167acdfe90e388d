"""A scan of another console, played through the scanner contract, gives the image that its own file gives."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightshift.core.errors import UnsupportedDataError
from knightshift.reconstruction.readers import read_raw
from knightshift.reconstruction.reconstruct import images_of_scan, reconstruct

_EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "replay_paravision.py"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(_EXAMPLE))


@pytest.mark.parametrize("name", ["bruker_pv51_flash", "bruker_pv6_rare"])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (5.5, 0.0), (-3.25, 7.0)], ids=str)
def test_a_replayed_scan_has_the_image_of_the_scan(
    name: str, shift: tuple[float, float], raw_data: Callable[[str], Path], example: dict[str, Any], tmp_path: Path
) -> None:
    scan = read_raw(raw_data(name))
    scan = replace(scan, shifts=scan.shifts + shift)
    expected = images_of_scan(scan).images
    example["export"](scan, tmp_path / "recording")
    ours = reconstruct(example["replay"](tmp_path / "recording", tmp_path / "runs")).images
    assert ours.shape[:2] == expected.shape[:2]
    for index, swapped in enumerate(scan.transposed.tolist()):
        image, reference = ours[:, index], expected[:, index]
        image = image.swapaxes(-1, -2) if swapped else image
        scale = np.sum(np.abs(image) * np.abs(reference)) / np.sum(np.abs(image) ** 2)
        np.testing.assert_allclose(np.abs(image) * scale, np.abs(reference), atol=1e-5 * np.abs(expected).max())


def test_a_scan_with_lines_that_were_not_acquired_is_refused(
    raw_data: Callable[[str], Path], example: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedDataError, match="every line"):
        example["export"](read_raw(raw_data("bruker_pv6_flash")), tmp_path / "recording")
    assert not (tmp_path / "recording").exists()
