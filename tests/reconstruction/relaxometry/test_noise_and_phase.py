"""Noise from the background, and the phase smooth in space."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry import estimate_noise, fit_t2, signal_mask
from knightshift.reconstruction.relaxometry.phase import remove_phase
from knightshift.reconstruction.relaxometry.phase_evolution import phase_evolution

NOISE = np.array([1.0, 0.5, 2.0])


def noisy_images(seed: int, object_level: float) -> np.ndarray:
    """Three complex echoes of 96 x 48 voxels, a tenth of them object."""
    random = np.random.default_rng(seed)
    images = NOISE[:, None, None, None] * (random.normal(size=(3, 1, 96, 48)) + 1j * random.normal(size=(3, 1, 96, 48)))
    images[:, :, 30:40, 5:43] += object_level
    return images


@pytest.mark.parametrize("kind", [np.asarray, np.abs], ids=["complex", "magnitude"])
@pytest.mark.parametrize("object_level", [0.0, 3.0, 300.0])
def test_noise_is_found_beside_an_object(kind, object_level: float) -> None:
    np.testing.assert_allclose(estimate_noise(kind(noisy_images(1, object_level))), NOISE, rtol=0.06)


def test_noise_of_many_seeds_is_unbiased() -> None:
    mean = np.mean([estimate_noise(noisy_images(seed, 100.0)) for seed in range(40)], axis=0)
    np.testing.assert_allclose(mean, NOISE, rtol=0.01)


def test_voxels_set_to_zero_by_a_mask_are_not_background() -> None:
    images = noisy_images(2, 100.0)
    images[:, :, :20] = 0
    np.testing.assert_allclose(estimate_noise(images), NOISE, rtol=0.08)


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 40, 40)), np.full((2, 40, 40), 7.0), np.ones((2, 3)), np.full((2, 40, 40), np.nan)],
    ids=["zero", "flat", "tiny", "nan"],
)
def test_images_without_background_are_refused(images: np.ndarray) -> None:
    with pytest.raises(InputError, match="no background of pure noise"):
        estimate_noise(images)


def test_signal_mask_lets_pass_as_many_noise_voxels_as_it_says() -> None:
    random = np.random.default_rng(3)
    noise = random.normal(size=(2, 5, 200_000))
    passed = np.count_nonzero(signal_mask(noise[0] + 1j * noise[1], np.ones(5), false_voxels=100.0))
    assert 60 < passed < 145  # Poisson with mean 100


def test_linear_and_curved_phase_is_removed() -> None:
    z, y = np.meshgrid(np.arange(64), np.arange(32), indexing="ij")
    random = np.random.default_rng(4)
    truth = np.exp(-np.multiply.outer([1.0, 2.0, 3.0], random.uniform(0.5, 1, (64, 32))))
    phase = 1.0 + 0.3 * z - 0.2 * y + 0.002 * (z - 30) ** 2
    echo_phase = np.exp(1j * np.array([0.0, 1.2, -2.0]))[:, None, None]
    real = remove_phase(truth * np.exp(1j * phase) * echo_phase, np.ones(3), 5)
    np.testing.assert_allclose(real, truth, rtol=0.01)


def test_phase_error_of_a_smooth_map_does_not_change_t2(noisy_voxels) -> None:
    voxels = noisy_voxels(12e-3, 300)
    z, y = np.meshgrid(np.arange(160), np.arange(160), indexing="ij")
    turned = voxels.signal * np.exp(2j * np.sin(z / 9) * np.cos(y / 13))
    fit = fit_t2(turned, voxels.echo_times, noise_std=voxels.noise_std)
    assert np.median(fit.t2) == pytest.approx(12e-3, rel=1e-3)


def test_faint_structure_beside_a_bright_one_keeps_its_t2() -> None:
    """A dim line of another T2, two voxels from a bright plate, in a phase that changes by 0.1 rad a voxel."""
    times = 4e-3 * np.arange(1, 6)
    image = np.zeros((5, 40, 40))
    image[:, 10:15, 5:35] = 100 * np.exp(-times / 7e-3)[:, None, None]
    image[:, 17, 20:25] = 10 * np.exp(-times / 16e-3)[:, None]
    phase = np.exp(0.1j * np.arange(40))[:, None]
    fit = fit_t2(image * phase, times, noise_std=1e-3)
    np.testing.assert_allclose(fit.t2[17, 20:25], 16e-3, rtol=1e-6)
    np.testing.assert_allclose(fit.t2[10:15, 5:35], 7e-3, rtol=1e-6)


def test_bright_line_between_two_rows_keeps_its_signal_though_its_ringing_alternates() -> None:
    """Side lobes of a thin face change sign from row to row, which looks like a linear phase of pi a row."""
    rows = np.arange(64)
    line = np.sinc(rows - 30.45)[:, None] * np.ones(24) * np.exp(0.4j)
    signal = np.array([1.0, 0.5])[:, None, None] * line
    real = remove_phase(signal, np.ones(2), 5)
    assert (real[:, 30:32] > 0.4 * np.array([1.0, 0.5])[:, None, None]).all()


def off_resonance(frequency: float, snr: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Voxels of T2 = 12 ms that each turn by a frequency of its own [Hz], normally distributed, and the echo times."""
    times = 4e-3 * np.arange(1, 6)
    random = np.random.default_rng(seed)
    turns = times[:, None, None] * frequency * random.normal(size=(40, 40))
    noise = random.normal(size=(2, 5, 40, 40)) / snr
    return np.exp(-times[:, None, None] / 12e-3 + 2j * np.pi * turns) + noise[0] + 1j * noise[1], times


@pytest.mark.parametrize("snr", [3, 5, 7, 10, 20, 100])
def test_phase_that_does_not_evolve_is_not_seen_to(snr: float) -> None:
    images, _ = off_resonance(0, snr)
    angle, significance = phase_evolution(images, np.full(5, 1 / snr), np.ones((40, 40), bool))
    assert angle < 0.05 or snr < 20
    assert significance < 4


def test_angle_of_an_evolving_phase_is_found() -> None:
    """A phase linear in echo time, seen from its energy-weighted mean, has the spread of the echo times."""
    images, times = off_resonance(3.0, 1e4)
    weight = np.exp(-2 * times / 12e-3)
    spread = np.sqrt(np.average((times - np.average(times, weights=weight)) ** 2, weights=weight))
    angle, _ = phase_evolution(images, np.full(5, 1e-4), np.ones((40, 40), bool))
    assert angle == pytest.approx(2 * np.pi * 3.0 * spread, rel=0.05)


def test_gradient_echoes_off_resonance_are_refused_by_the_real_part_and_right_by_magnitudes() -> None:
    images, times = off_resonance(10, 30)
    with pytest.raises(InputError, match="--estimator rician"):
        fit_t2(images, times, noise_std=1 / 30)
    fit = fit_t2(images, times, estimator="rician", noise_std=1 / 30)
    assert np.median(fit.t2) == pytest.approx(12e-3, rel=0.02)
