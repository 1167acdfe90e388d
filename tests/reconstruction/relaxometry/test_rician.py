"""Functions of the Rician likelihood, against Bessel functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import i0e, i1e

from knightshift.reconstruction.relaxometry._laws import RicianLaw
from knightshift.reconstruction.relaxometry.rician import bessel_shortfall, bessel_sums, log_bessel

ARGUMENTS = np.concatenate([[0.0], np.geomspace(1e-8, 1e12, 4001)])


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_expected_cosine_is_the_ratio_of_bessel_functions(precision: type) -> None:
    argument = ARGUMENTS.astype(precision)
    shortfall = bessel_shortfall(argument)
    assert shortfall.dtype == precision
    expected = 1 - i1e(ARGUMENTS) / i0e(ARGUMENTS)
    np.testing.assert_allclose(shortfall, expected, atol=1.2e-7 if precision is np.float64 else 4e-7)
    large = ARGUMENTS > 10
    asymptotic = (1 + 1 / (4 * ARGUMENTS[large]) + 3 / (8 * ARGUMENTS[large] ** 2)) / (2 * ARGUMENTS[large])
    np.testing.assert_allclose(shortfall[large], asymptotic, rtol=1e-3)


def test_logarithm_of_the_bessel_function() -> None:
    np.testing.assert_allclose(log_bessel(ARGUMENTS), np.log(i0e(ARGUMENTS)), atol=1e-8)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("brightness", [1.0, 10.0, 3e4])
def test_derivatives_are_those_of_the_loss(brightness: float, precision: type) -> None:
    random = np.random.default_rng(2)
    signal = brightness * random.uniform(0.1, 2, (5, 40))
    magnitude = np.abs(signal + random.normal(size=signal.shape))
    law, step = RicianLaw(), 1e-3
    first, second = law.derivatives(magnitude.astype(precision), signal.astype(precision))
    expected = signal - magnitude * i1e(magnitude * signal) / i0e(magnitude * signal)
    tolerance = 2e-6 + brightness * (3e-7 if precision is np.float32 else 1e-10)
    np.testing.assert_allclose(first, expected, atol=tolerance)
    if precision is np.float64:
        np.testing.assert_allclose(law.slope(magnitude, signal), expected, atol=tolerance)
    slopes = [at - magnitude * i1e(magnitude * at) / i0e(magnitude * at) for at in (signal - step, signal + step)]
    np.testing.assert_allclose(second, (slopes[1] - slopes[0]) / (2 * step), atol=2e-3)


def test_deviance_compares_with_the_best_signal_of_each_echo_and_with_none() -> None:
    random = np.random.default_rng(4)
    signal = np.geomspace(0.1, 100, 12)[None]
    magnitude = np.abs(signal + random.normal(size=signal.shape))

    def loss(m: float, s: float) -> float:
        return float((m - s) ** 2 / 2 - np.log(i0e(m * s)))

    above_best, below_none = RicianLaw().misfits(magnitude, signal)
    for column, (m, s) in enumerate(zip(magnitude[0], signal[0], strict=True)):
        best = minimize_scalar(lambda at, m=m: loss(m, at), bounds=(0, m + 1), options={"xatol": 1e-9}).fun
        assert above_best[column] == pytest.approx(2 * (loss(m, s) - best), abs=1e-5)
        assert below_none[column] == pytest.approx(2 * (loss(m, 0) - loss(m, s)), rel=1e-6, abs=1e-5)
    assert bessel_sums(magnitude, signal)[0] == pytest.approx(2 * np.log(i0e(magnitude * signal))[0], abs=1e-8)
