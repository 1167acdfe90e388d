"""`fit` on images that somebody else reconstructed: a NIfTI series with and without its echo times."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from .conftest import Cli

T2 = 20e-3
ECHO_TIMES = np.array([5e-3, 10e-3, 20e-3, 40e-3])


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Magnitudes of a block in noise, SNR 50, without a side-car."""
    rng = np.random.default_rng(4)
    signal = np.zeros((24, 20, 2, 4))
    signal[6:18, 5:15] = 500 * np.exp(-ECHO_TIMES / T2)
    noise = 10 * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape))
    image = nib.Nifti1Image(np.abs(signal + noise).astype(np.float32), np.diag([0.2, 0.1, 1.5, 1.0]))
    image.header.set_xyzt_units("mm")
    path = tmp_path_factory.mktemp("others") / "series.nii.gz"
    image.to_filename(path)
    return path


def test_a_nifti_series_becomes_a_t2_map_on_its_own_voxels(cli: Cli, series: Path, tmp_path: Path) -> None:
    times = "5 ms, 10 ms, 20 ms, 40 ms"
    result = cli("fit", series, "-o", tmp_path / "out", "--estimator", "rician", "--delays", times)
    assert result.returncode == 0, result.stderr
    fitted = nib.load(tmp_path / "out/t2_map.nii.gz")
    np.testing.assert_allclose(fitted.affine, nib.load(series).affine, atol=1e-6)
    block = np.zeros(fitted.shape, bool)
    block[6:18, 5:15] = True
    t2 = fitted.get_fdata()
    assert np.median(t2[block]) == pytest.approx(T2, rel=0.02)
    assert np.isnan(t2[~block]).mean() > 0.9
    again = cli("fit", tmp_path / "out", "-o", tmp_path / "again", "--delays", times)
    assert again.returncode == 2
    assert "leave --delays out" in again.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "echo times"),
        (("--delays", "5 ms, 10 ms"), "2 echo_times were given for 4 echoes"),
        (("--delays", "0 ms, 1 ms, 2 ms, 3 ms"), "above zero"),
        (("--delays", "1, 2, 3, 4"), "needs a unit"),
        (("--experiment", "T2"), "is for spectra"),
    ],
)
def test_what_a_series_lacks_is_asked_for(
    cli: Cli, series: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    result = cli("fit", series, "-o", tmp_path / "out", "--estimator", "rician", *options)
    assert result.returncode == 2
    assert words in result.stderr
