"""Bi-exponential and stretched decays: exact without noise, and chosen over one exponential when the data say so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit

from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry import ModelVerdict, T2Fit, fit_richer_model, fit_t2

TIMES = 2e-3 * np.arange(1, 17)
FAST, SLOW = 3e-3, 16e-3


def biexponential(share: float = 0.6) -> np.ndarray:
    return 2.0 * (share * np.exp(-TIMES / FAST) + (1 - share) * np.exp(-TIMES / SLOW))


def noisy_fit(decay: np.ndarray, snr: float, n_voxels: int = 1500) -> T2Fit:
    sigma = float(decay[0] / snr)
    noise = np.random.default_rng(4).normal(size=(decay.size, n_voxels))
    return fit_t2(decay[:, None] + sigma * noise, TIMES, noise_std=sigma)


@pytest.mark.parametrize(("model", "share"), [("bi", 0.35), ("bi", 0.6), ("bi-60-40", 0.6)])
def test_noiseless_biexponential_gives_back_both_t2_and_their_shares(model: str, share: float) -> None:
    found = fit_richer_model(fit_t2(biexponential(share)[:, None], TIMES, noise_std=1e-6), model)
    assert found.t2[0] == pytest.approx(SLOW, rel=1e-3)
    assert found.t2_fast[0] == pytest.approx(FAST, rel=1e-3)
    assert found.fast_share[0] == pytest.approx(share, abs=1e-3)
    assert found.amplitude[0] == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("stretch", [0.5, 0.8, 1.3])
def test_noiseless_stretched_decay_gives_back_its_exponent(stretch: float) -> None:
    decay = 3 * np.exp(-((TIMES / 8e-3) ** stretch))
    found = fit_richer_model(fit_t2(decay[:, None], TIMES, noise_std=1e-6), "stretched")
    assert found.stretch[0] == pytest.approx(stretch, rel=1e-4)
    assert found.t2[0] == pytest.approx(8e-3, rel=1e-4)


def test_stretched_fit_agrees_with_curve_fit() -> None:
    fit = noisy_fit(np.exp(-((TIMES / 8e-3) ** 0.7)), 50, 20)
    found = fit_richer_model(fit, "stretched")
    for voxel in range(20):
        best, _ = curve_fit(
            lambda t, a, t2, b: a * np.exp(-((t / t2) ** b)), TIMES, fit.signal[:, voxel], (1.0, 8e-3, 0.7),
            xtol=1e-12, ftol=1e-12,
        )  # fmt: skip
        ours = [found.amplitude[voxel], found.t2[voxel], found.stretch[voxel]]
        np.testing.assert_allclose(ours, best, rtol=2e-3)


def test_single_exponential_is_rejected_at_the_stated_level_when_it_is_true() -> None:
    fit = noisy_fit(np.exp(-TIMES / 10e-3), 100)
    found = fit_richer_model(fit, "bi-60-40")
    assert np.mean(found.f_probability < 0.05) < 0.06
    assert np.mean(found.preferred()) < 0.06
    assert np.nanmax(found.chi2 - fit.chi2) < 1e-3  # the richer model holds the simpler one


def test_two_pools_of_spin_3_2_are_seen_at_snr_30_and_hardly_at_snr_10() -> None:
    """3 and 16 ms in a ratio of 60 to 40 look like one T2 in between; AIC sees them in all voxels at SNR 30 (PEERS)."""
    strong, weak = (noisy_fit(biexponential(), snr) for snr in (30, 10))
    assert FAST < np.median(strong.t2) < SLOW
    found = fit_richer_model(strong, "bi-60-40")
    assert np.mean(found.aic < 0) > 0.95
    assert np.nanmedian(found.t2) == pytest.approx(SLOW, rel=0.05)
    assert 0.3 < np.mean(fit_richer_model(weak, "bi-60-40").aic < 0) < 0.7


def test_five_echoes_are_too_few_for_the_correction_of_aic() -> None:
    times = np.array([4e-3, 8e-3, 13e-3, 20e-3, 30e-3])
    decay = np.exp(-times / 8e-3)[:, None]
    found = fit_richer_model(fit_t2(decay, times, noise_std=1e-3), "bi")
    assert found.aicc[0] == np.inf
    with pytest.raises(InputError, match="3 echoes cannot determine the 4 parameters"):
        fit_richer_model(fit_t2(decay[:3], times[:3], noise_std=1e-3), "bi")


def test_rician_fits_are_refused() -> None:
    fit = fit_t2(biexponential()[:, None], TIMES, estimator="rician", noise_std=0.01)
    with pytest.raises(InputError, match="estimator 'complex' first"):
        fit_richer_model(fit, "bi")


@pytest.mark.parametrize(
    ("model", "names"),
    [("bi", ("t2", "t2_fast", "fast_share")), ("bi-60-40", ("t2", "t2_fast")), ("stretched", ("t2", "stretch"))],
)
def test_standard_deviations_are_the_scatter_over_noise(model: str, names: tuple[str, ...]) -> None:
    decay = np.exp(-((TIMES / 8e-3) ** 0.7)) if model == "stretched" else biexponential()
    found = fit_richer_model(noisy_fit(decay, 200, 600), model)
    for name in names:
        scatter = np.std(getattr(found, name))
        assert np.median(getattr(found, f"{name}_std")) == pytest.approx(scatter, rel=0.1)


def test_verdict_says_why_nothing_can_be_told() -> None:
    strong = fit_richer_model(noisy_fit(biexponential(), 100, 300), "bi-60-40")
    assert strong.count(ModelVerdict.PREFERRED) == strong.n_compared == 300
    weak = fit_richer_model(noisy_fit(biexponential(), 10, 300), "bi")
    assert weak.count(ModelVerdict.UNDETERMINED) + weak.count(ModelVerdict.UNDECIDED) > 10
    vague = weak.verdict == ModelVerdict.PREFERRED
    assert (weak.t2_std[vague] < weak.t2[vague]).all()
    times = TIMES[[0, 2, 5, 11]]
    decay = (0.6 * np.exp(-times / FAST) + 0.4 * np.exp(-times / SLOW))[:, None]
    exhausted = fit_richer_model(fit_t2(decay, times, noise_std=1e-4), "bi")
    assert exhausted.verdict[0] == ModelVerdict.UNDECIDED  # four echoes, four parameters: nothing is left to judge by
    nothing = fit_richer_model(fit_t2(decay, times, noise_std=1e-4, mask=np.array([False])), "bi")
    assert nothing.verdict[0] == ModelVerdict.NO_T2
    assert nothing.n_compared == 0
