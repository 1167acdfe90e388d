"""`--b1` and `--t1` as a user meets them; the physics is in tests/reconstruction/test_image_fit.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.export.images_file import write_images_file
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import EchoTrain
from knightshift.reconstruction.relaxometry.voxel_trains import scaled_train

from .conftest import Cli

TRAIN = EchoTrain(echo_spacing=8e-3, n_echoes=8, t1=0.3)
T2, B1 = 40e-3, 0.78


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a square of one T2 in a B1 of 0.78, as another console leaves it: nothing tells the flip angles."""
    folder = tmp_path_factory.mktemp("train")
    random = np.random.default_rng(2)
    images = np.zeros((8, 1, 24, 24), dtype=complex)
    images[:, 0, 8:16, 8:16] = scaled_train(TRAIN, B1).decays(np.array([T2])).reshape(-1, 1, 1)
    images += 0.003 * (random.normal(size=images.shape) + 1j * random.normal(size=images.shape))
    geometry = ImageGeometry((1e-3, 1e-4, 1e-4), np.eye(3), np.zeros(3))
    series = ImageSeries(images.astype(np.complex64), TRAIN.echo_times, geometry, np.full(8, 0.003), nucleus="1H")
    write_images_file(series, folder / "images.h5")
    (folder / "separate").mkdir()
    write_images_file(replace(series, provenance={"run_id": "r"}), folder / "separate/images.h5")
    return folder


@pytest.mark.parametrize(("b1", "off"), [("fit", 0.01), (str(B1), 0.005), ("b1.npy", 0.005), (None, np.inf)])
def test_b1_is_fitted_taken_as_a_number_or_read(
    cli: Cli, folder: Path, tmp_path: Path, b1: str | None, off: float
) -> None:
    np.save(tmp_path / "b1.npy", np.full((1, 24, 24), B1))
    given = ["--b1", tmp_path / b1 if b1 == "b1.npy" else b1] if b1 else []
    result = cli("export", folder, "--to", "numpy", "-o", tmp_path, "--t1", "300 ms", *given)
    assert result.returncode == 0, result.stderr
    median = np.nanmedian(np.load(tmp_path / "t2.npy")[0, 8:16, 8:16])
    if b1 is None:
        assert median > 1.1 * T2  # stimulated echoes
    else:
        assert median == pytest.approx(T2, rel=off)
    told = json.loads((tmp_path / "arrays.json").read_text())
    assert "90 and 180 degrees were taken" in " ".join(told["methods"])
    assert ("train_b1" in told["arrays"]) == (b1 in ("fit", "b1.npy"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--b1", "93"], "B1 is a ratio to the nominal one, above 0 and up to 2 (percent divided by 100)"),
        (["--b1", "0"], "above 0 and up to 2"),
        (["--b1", "none.nii.gz", "--t1", "1 s"], "none.nii.gz: there is no such B1 map"),
        (["--b1", "fit"], "an echo train needs a T1 too"),
        (["--t1", "300"], "needs a unit"),
        (["--t1", "-3 ms"], "a T1 is greater than 0"),
        (["--t1", "2000 s"], "no T1 is longer than 1000 s"),
        (["--t1", "1 s", "--offset", "free"], "an echo train is fitted without an offset"),
        (["--t1", "1 s", "--model", "bi"], "these are fitted as the echoes of a train"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    cli: Cli, folder: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    result = cli("export", folder, "--to", "numpy", "-o", tmp_path / "out", *options)
    assert result.returncode == 2
    assert words in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["fit", "report", "export"])
def test_separate_echoes_take_neither(cli: Cli, folder: Path, tmp_path: Path, command: str) -> None:
    more = ["--to", "csv"] if command == "export" else []
    result = cli(command, folder / "separate", "-o", tmp_path / "out", "--t1", "1 s", *more)
    assert result.returncode == 2
    assert "spin echoes with an excitation of their own each" in " ".join(result.stderr.split())
