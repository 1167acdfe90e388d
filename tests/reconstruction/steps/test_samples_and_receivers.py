"""Cleaning of k-space, receivers, echo phase and denoising: each does what it says, and leaves alone what is good."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.core.errors import InputError
from knightshift.reconstruction.image_noise import denoise_images
from knightshift.reconstruction.steps.cleaning import dc_offsets, find_spikes, ring_levels, without_offset
from knightshift.reconstruction.steps.denoising import low_rank_denoise
from knightshift.reconstruction.steps.echo_phase import align_even_echoes
from knightshift.reconstruction.steps.group_medians import group_medians
from knightshift.reconstruction.steps.receivers import (
    adaptive_combination,
    mix_receivers,
    noise_covariance,
    root_sum_of_squares,
    whitening_matrix,
)


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def object_kspace(n: int = 32) -> np.ndarray:
    k = np.arange(n) - n // 2
    return 1000 * np.exp(-np.add.outer(k**2, k**2) / 20)


def test_dc_offset_of_each_receiver_is_found_and_subtracted() -> None:
    clean = object_kspace() + 0.1 * noise((2, 3, 32, 32))
    offsets = np.array([1 + 2j, -3.0, 0])
    found = dc_offsets(clean + offsets[:, np.newaxis, np.newaxis])
    np.testing.assert_allclose(found, offsets, atol=0.05)
    np.testing.assert_allclose(without_offset(clean[0], found), clean[0] - found[:, np.newaxis, np.newaxis])


def test_spikes_are_found_and_signal_is_none() -> None:
    clean = object_kspace() + noise((4, 1, 32, 32))
    spoiled = clean.copy()
    places = [(1, 0, 4, 27), (3, 0, 20, 3)]
    spoiled[places[0]], spoiled[places[1]] = 500, -300j
    levels = ring_levels(spoiled)
    assert [tuple(place) for place in np.argwhere([find_spikes(plane, levels) for plane in spoiled])] == places
    assert not find_spikes(clean, ring_levels(clean)).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(seed=st.integers(0, 2**32 - 1), shape=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 7)))
def test_medians_of_groups_are_those_of_numpy(dtype: type, seed: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    numbers = np.abs(rng.normal(size=shape) * 10.0 ** rng.integers(-30, 30, shape)).astype(dtype)
    numbers[rng.random(shape) < 0.2] = 0
    groups = rng.integers(0, 3, shape[1:])
    expected = [np.median(numbers[:, groups == one]) if (groups == one).any() else np.nan for one in range(4)]
    found = group_medians(numbers, groups, 4)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)


def test_whitened_noise_is_uncorrelated_and_equal() -> None:
    mixing = np.array([[1, 0, 0], [0.8, 0.5j, 0], [0, 0, 4]])
    kspace = np.einsum("cd,edls->ecls", mixing, noise((4, 3, 64, 64)))
    covariance = noise_covariance(kspace)
    white = noise_covariance([mix_receivers(plane, whitening_matrix(covariance)) for plane in kspace])
    level = np.trace(white).real / 3
    np.testing.assert_allclose(white / level, np.eye(3), atol=0.1)
    assert level == pytest.approx(np.trace(covariance).real / 3)


def test_whitening_without_independent_noise_is_refused() -> None:
    with pytest.raises(InputError, match="not independent"):
        whitening_matrix(np.ones((2, 2), complex))
    with pytest.raises(InputError, match="too few"):
        noise_covariance(noise((1, 8, 8, 8)))


def coil_images() -> tuple[np.ndarray, np.ndarray]:
    """Decaying object seen by four receivers, shape ``(echo, channel, y, x)``, and its true magnitude."""
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    truth = ((y**2 + x**2) < 0.5) * np.exp(-np.arange(3) / 2)[:, np.newaxis, np.newaxis]
    places = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    coils = np.array([np.exp(-((y - a) ** 2 + (x - b) ** 2) / 2 + 1j * (a * x + b)) for a, b in places])
    coils /= np.sqrt(np.sum(np.abs(coils) ** 2, axis=0))
    return truth[:, np.newaxis] * coils, truth


def test_both_combinations_give_the_object_and_adaptive_rectifies_less_noise() -> None:
    images, truth = coil_images()
    np.testing.assert_allclose(np.abs(root_sum_of_squares(images)), truth, atol=1e-12)
    np.testing.assert_allclose(np.abs(adaptive_combination(images))[:, 13:19, 13:19], truth[:, 13:19, 13:19], atol=0.02)
    noisy = images + 0.05 * noise(images.shape)
    outside = truth[0] == 0
    assert (
        np.abs(adaptive_combination(noisy))[:, outside].mean()
        < 0.75 * np.abs(root_sum_of_squares(noisy))[:, outside].mean()
    )


def test_even_echoes_get_the_phase_of_the_odd_ones() -> None:
    x = np.arange(16) - 8
    image = np.exp(-(x**2) / 20) * np.exp(0.3j) * np.ones((6, 1, 4, 1))
    spoiled = image.copy()
    spoiled[1::2] *= np.exp(1j * (0.7 - 0.05 * x))
    swapped = np.ascontiguousarray(spoiled.swapaxes(-1, -2))
    assert align_even_echoes(spoiled) == pytest.approx((0.7, -0.05), abs=1e-6)
    np.testing.assert_allclose(spoiled, image, atol=1e-6)
    assert align_even_echoes(swapped, along_rows=True) == pytest.approx((0.7, -0.05), abs=1e-6)
    np.testing.assert_allclose(swapped.swapaxes(-1, -2), image, atol=1e-6)
    assert align_even_echoes(image[:1]) == (0, 0)


def decaying_series() -> np.ndarray:
    y, x = np.mgrid[:20, :20]
    t2 = np.where(x < 10, 10.0, 30.0)
    echoes = np.arange(1, 9)[:, np.newaxis, np.newaxis]
    return (20 * np.exp(-5 * echoes / t2) * (y > 2))[:, np.newaxis] + 0j


def test_denoising_keeps_the_decay_and_takes_noise_away() -> None:
    clean = decaying_series()
    noisy = clean + noise(clean.shape)
    denoised, rank = low_rank_denoise(noisy, np.ones(8))
    assert np.linalg.norm(denoised - clean) < 0.6 * np.linalg.norm(noisy - clean)
    assert 0 < rank < 3
    left, sentence = denoise_images(noisy, np.ones(8))
    np.testing.assert_array_equal(noisy, denoised)
    actual = np.sqrt(np.mean(np.abs(denoised - clean) ** 2, axis=(1, 2, 3)) / 2)
    assert np.all(left < 0.8)
    assert np.mean(left) > 0.9 * np.mean(actual)
    assert "% of the noise is left" in sentence


def test_noise_alone_is_taken_away_altogether() -> None:
    _, rank = low_rank_denoise(noise((8, 1, 20, 20)), np.ones(8))
    assert rank < 0.05


def test_denoising_two_echoes_is_refused() -> None:
    with pytest.raises(InputError, match="at least three"):
        low_rank_denoise(noise((2, 1, 8, 8)), np.ones(2))
