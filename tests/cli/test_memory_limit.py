"""`reconstruct` and `fit` with ``--memory-mb``, on images that are larger."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.export.images_file import write_images_file
from knightshift.reconstruction.images import ImageSeries

from .conftest import Cli

ECHO_TIMES = np.array([5e-3, 10e-3, 20e-3])


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Images of a cylinder of T2 = 12 ms along the slices, 2.4 MB."""
    rng = np.random.default_rng(5)
    y, x = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64), indexing="ij")
    shape = 3, 24, 64, 64
    images = 0.02 * (rng.normal(size=shape) + 1j * rng.normal(size=shape))
    images += ((x**2 + y**2 < 0.3) * np.exp(-ECHO_TIMES / 12e-3)[:, None, None])[:, None]
    geometry = ImageGeometry((1e-3, 1e-4, 1e-4), np.eye(3), np.zeros(3))
    write_images_file(
        ImageSeries(images.astype(np.complex64), ECHO_TIMES, geometry, np.full(3, 0.02)), tmp_path / "images.h5"
    )
    return tmp_path / "images.h5"


@pytest.mark.slow
def test_images_larger_than_the_memory_are_fitted_in_slabs_with_maps_and_a_report(cli: Cli, stored: Path) -> None:
    out = stored.parent / "out"
    result = cli("fit", stored, "-o", out, "--memory-mb", 2)
    assert result.returncode == 0, result.stderr
    assert "of slices 13 to 16 of 24; the maps hold all" in " ".join(result.stdout.split())
    t2 = nib.load(out / "t2_map.nii.gz")
    assert t2.shape == (64, 64, 24)
    assert np.nanmedian(np.asarray(t2.dataobj)) == pytest.approx(12e-3, rel=0.01)
    assert (out / "report.html").is_file()
    assert "t2_maps.h5" in result.stdout


def test_no_memory_is_refused(cli: Cli, stored: Path) -> None:
    result = cli("fit", stored, "-o", stored.parent / "out", "--memory-mb", 0)
    assert result.returncode == 2
    assert "--memory-mb 0: give 1 or more" in result.stderr
