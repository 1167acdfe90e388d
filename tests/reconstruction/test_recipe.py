"""Recipes: what a YAML file may say, and that each step does its work and leaves its sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.core.errors import ConfigError, InputError
from knightshift.core.program import Encoding
from knightshift.reconstruction.recipe import Recipe, read_recipe
from knightshift.reconstruction.reconstruct import images_of_run, reconstruct, reconstruct_repetitions


def random_kspace(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.integers(-10000, 10000, shape) + 1j * rng.integers(-10000, 10000, shape)


def test_the_shipped_recipe_is_the_default() -> None:
    assert read_recipe("plain") == Recipe()


@pytest.mark.parametrize(
    ("text", "word"),
    [("apodise: hamming", "unknown key"), ("zero_fill: 9", "zero_fill"), ("partial_fourier: {method: magic}", "method"),
     ("shift: [1]", "shift"), ("- 1", "list")],
)  # fmt: skip
def test_a_mistake_in_a_recipe_names_file_and_key(text: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=word) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)


def test_zero_filled_voxels_stay_where_they_were(synthetic_scan: Any, tmp_path: Path) -> None:
    scan = synthetic_scan(random_kspace(1, 2, 1, 8, 7)).write(tmp_path / "scan")
    plain, fine = reconstruct(scan), reconstruct(scan, Recipe(zero_fill=2))
    assert fine.images.shape == (1, 2, 16, 14)
    np.testing.assert_allclose(fine.images[0, :, 8, 7], plain.images[0, :, 4, 3] / 4, rtol=1e-5)
    for index in range(2):
        here, there = plain.geometry.affine @ [index, 4, 3, 1], fine.geometry.affine @ [index, 8, 7, 1]
        np.testing.assert_allclose(here, there, atol=1e-12)


def test_uncropped_readout_shows_the_whole_field_of_view(synthetic_scan: Any, tmp_path: Path) -> None:
    reco = {"RECO_ft_size": "( 2 )\n16 8", "RECO_size": "( 2 )\n8 8"}
    method = {"PVM_Matrix": "( 2 )\n8 8", "PVM_AntiAlias": "( 2 )\n2 1", "PVM_Fov": "( 2 )\n8 8"}
    scan = synthetic_scan(random_kspace(1, 1, 1, 8, 16), reco=reco, method=method).write(tmp_path / "scan")
    cropped, whole = reconstruct(scan), reconstruct(scan, Recipe(crop_oversampling=False))
    np.testing.assert_array_equal(whole.images[..., 4:12], cropped.images)
    np.testing.assert_allclose(whole.geometry.affine @ [0, 0, 4, 1], [*cropped.geometry.origin.tolist(), 1])


@given(down=st.integers(-8, 8), across=st.integers(-8, 8))
def test_whole_shifts_roll_the_image(down: int, across: int, synthetic_scan: Any, tmp_path_factory: Any) -> None:
    scan = synthetic_scan(random_kspace(1, 1, 1, 8, 8)).write(tmp_path_factory.mktemp("s") / "scan")
    moved = reconstruct(scan, Recipe(shift=(down, across))).images
    expected = np.roll(reconstruct(scan).images, (down, across), axis=(2, 3))
    np.testing.assert_allclose(moved, expected, atol=1e-3)


def test_every_step_leaves_its_sentence(synthetic_scan: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[-16:16, -16:16]
    image = ((y**2 + x**2) < 60) * np.exp(-np.arange(4) / 3)[:, np.newaxis, np.newaxis]
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes=(1, 2))), axes=(1, 2))
    two = np.stack([kspace, 0.5j * kspace], axis=1)[np.newaxis] * 1e4
    two = two + 3e4 * (rng.normal(size=two.shape) + 1j * rng.normal(size=two.shape))
    scan = synthetic_scan(two, n_echoes=4).write(tmp_path / "scan")
    recipe = Recipe(
        remove_dc_offset=True, remove_spikes=True, whiten=True, apodisation="tukey", zero_fill=2, shift=(0.5, 0.0),
        align_even_echoes=True, combination="adaptive", denoise=True,
    )  # fmt: skip
    text = " ".join(reconstruct(scan, recipe).methods)
    for word in ("constant offset", "spikes", "made white", "tukey window", "filled with zeros to 64 x 64",
                 "shifted by 0.5", "Even echoes", "adaptive", "denoised", "noise is left", "FFTW"):  # fmt: skip
        assert word in text, word


def test_separate_repetitions_are_series_of_their_own(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(3, 2, 1, 8, 8)
    scan = synthetic_scan(kspace).write(tmp_path / "scan")
    apart = reconstruct_repetitions(scan, Recipe(repetitions="separate"))
    assert len(apart) == 3
    alone = [reconstruct(synthetic_scan(kspace[i : i + 1]).write(tmp_path / str(i))).images for i in range(3)]
    for series, expected in zip(apart, alone, strict=True):
        np.testing.assert_allclose(series.images, expected, atol=1e-3)
    assert any("repetition 2 of 3" in sentence for sentence in apart[1].methods)
    mean = reconstruct_repetitions(scan)
    assert len(mean) == 1
    np.testing.assert_allclose(mean[0].images, np.mean(alone, axis=0), atol=1e-2)
    with pytest.raises(InputError, match="cannot be one series"):
        reconstruct(scan, Recipe(repetitions="separate"))


def test_pseudo_replica_gives_the_noise_of_a_linear_reconstruction(
    synthetic_run: Any, small_encoding: Encoding, tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    passes = {p: rng.normal(size=(8, 16)) + 1j * rng.normal(size=(8, 16)) for p in range(40)}
    run = synthetic_run(small_encoding, passes).write(tmp_path / "run")
    by_window = images_of_run(run, Recipe(apodisation="hamming"))
    by_replica = images_of_run(run, Recipe(apodisation="hamming", remove_dc_offset=True))
    np.testing.assert_allclose(by_replica.noise_std, by_window.noise_std, rtol=0.15)
    assert any("pseudo replica" in sentence for sentence in by_replica.methods)


def test_echo_times_of_the_recipe_go_before_those_of_the_files(synthetic_scan: Any, tmp_path: Path) -> None:
    scan = synthetic_scan(random_kspace(1, 2, 1, 8, 7), n_echoes=2).write(tmp_path / "scan")
    (tmp_path / "mine.yaml").write_text("echo_times: [5 ms, 12 ms]")
    series = reconstruct(scan, read_recipe(tmp_path / "mine.yaml"))
    np.testing.assert_allclose(series.echo_times, [5e-3, 12e-3])
    assert any("The echo times were given" in line for line in series.methods)
    with pytest.raises(InputError, match="3 echo_times were given for 2 echoes"):
        reconstruct(scan, Recipe(echo_times=(1e-3, 2e-3, 3e-3)))


def test_own_runs_know_their_echo_times(synthetic_run: Any, small_encoding: Encoding, tmp_path: Path) -> None:
    run = synthetic_run(small_encoding, {p: np.ones((8, 16)) for p in range(2)}).write(tmp_path / "run")
    with pytest.raises(InputError, match="holds its echo times"):
        images_of_run(run, Recipe(echo_times=(1e-3,)))
