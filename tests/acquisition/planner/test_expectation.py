"""What is predicted is what is measured: on the simulated scanner, and by Monte Carlo through the fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knightshift.acquisition.planner import (
    RegionSignal,
    SignalReference,
    expect,
    expected_t2_std,
    reference_of_rehearsal,
    reference_of_run,
    rehearse,
)
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import InputError
from knightshift.core.run_folder import open_run
from knightshift.core.yaml_files import as_plain
from knightshift.hardware.backends import open_scanner
from knightshift.reconstruction.reconstruct import images_of_run
from knightshift.reconstruction.relaxometry import fit_series, fit_t2
from knightshift.sequences import build, load_protocol

from .conftest import BLOCK_T2, NOISE_DENSITY, coarse_protocol, noisy_site

_OVERNIGHT = np.array([4e-3, 8e-3, 13e-3, 20e-3, 30e-3])


def measured_snr(path) -> np.ndarray:
    """Signal over noise at each echo in the typical voxel of the images of a run."""
    fit = fit_series(images_of_run(open_run(path)))
    return np.median(fit.signal[:, fit.ok], axis=1) / np.sqrt(np.mean(fit.noise_std**2))


@pytest.fixture(scope="module")
def quick_look(play):
    _, path = play(coarse_protocol(), seed=3)
    return reference_of_run(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"averages": 20},
        {"averages": 12, "dwell_time": 16e-6},
        {"averages": 16, "matrix": {"y": 24, "z": 24}},
        {"averages": 8, "phase_cycle": 1},
    ],
    ids=["averages", "bandwidth", "voxel volume", "phase cycle"],
)
def test_snr_predicted_from_a_quick_look_is_that_of_the_night(play, quick_look, changes) -> None:
    measurement, path = play(coarse_protocol(**changes), seed=11)
    (predicted,) = expect(measurement, quick_look)
    measured = measured_snr(path)
    np.testing.assert_allclose(predicted.snr[:2], measured[:2], rtol=0.05)
    assert predicted.t2_s == pytest.approx(BLOCK_T2, rel=0.05)


def test_snr_predicted_from_the_phantom_is_that_of_the_night(play, block, limits) -> None:
    protocol = coarse_protocol(averages=16)
    planned, clock = build(protocol, limits), VirtualClock()
    silent = open_scanner(noisy_site(0.0), clock=clock, phantom=as_plain(block), seed=0)
    reference = reference_of_rehearsal(planned, rehearse(planned, silent, clock), NOISE_DENSITY, "the block")
    (predicted,) = expect(planned, reference)
    _, path = play(protocol, seed=12)
    np.testing.assert_allclose(predicted.snr[:2], measured_snr(path)[:2], rtol=0.05)


def test_t2_error_predicted_from_a_quick_look_is_the_spread_over_voxels_and_nights(play, quick_look) -> None:
    protocol = coarse_protocol(averages=2)
    found = []
    for seed in range(6):
        measurement, path = play(protocol, seed=100 + seed)
        series = images_of_run(open_run(path))
        found.append(fit_series(series).t2[0, 5:12, 5:12].ravel())
    errors = np.concatenate(found) - BLOCK_T2
    (predicted,) = expect(measurement, quick_look)
    low, high = np.nanquantile(errors, [0.16, 0.84])
    # 294 voxels know their spread to 5 %
    assert (high - low) / 2 == pytest.approx(predicted.t2_std_s, rel=0.12)


@pytest.mark.parametrize("t2", [5e-3, 8e-3, 16e-3])
@pytest.mark.parametrize("first_snr", [4, 10, 30, 100])
def test_t2_error_is_that_of_monte_carlo_through_the_complex_fit(t2: float, first_snr: float) -> None:
    """Below SNR 10 the Cramér-Rao bound is missed by every estimator; the prediction is not."""
    start = np.full(5, first_snr * np.exp(_OVERNIGHT[0] / t2))
    predicted, method = expected_t2_std(_OVERNIGHT, t2, start)
    random = np.random.default_rng(7)
    signal = (start * np.exp(-_OVERNIGHT / t2))[:, None, None] * np.exp(0.4j)
    noise = random.standard_normal((2, 5, 200, 200))
    fit = fit_t2(signal + noise[0] + 1j * noise[1], _OVERNIGHT, noise_std=1.0)
    low, high = np.quantile(fit.t2[fit.ok], [0.16, 0.84])
    assert (high - low) / 2 == pytest.approx(predicted, rel=0.05)
    assert method == ("cramer-rao" if predicted < 0.1 * t2 else "monte-carlo")


@pytest.fixture
def reference() -> SignalReference:
    region = RegionSignal("bulk", 1.0, 8e-3, 100)
    return SignalReference("a test", (region,), 1e-3, voxel_volume=1e-12, nucleus="23Na")


def test_requested_t2_takes_the_signal_of_each_region(limits, reference) -> None:
    measurement = build(coarse_protocol(), limits)
    own, other = expect(measurement, reference)[0], expect(measurement, reference, (16e-3,))[0]
    assert (own.t2_s, other.t2_s) == (8e-3, 16e-3)
    assert other.snr[0] / own.snr[0] == pytest.approx(np.exp(-4 / 16) / np.exp(-4 / 8))


def test_snr_grows_with_the_square_root_of_averages(limits, reference) -> None:
    one, four = (expect(build(coarse_protocol(averages=n), limits), reference)[0] for n in (4, 16))
    np.testing.assert_allclose(np.array(four.snr) / one.snr, 2)


def test_signal_of_another_nucleus_or_a_spectrum_predicts_nothing(limits, reference) -> None:
    measurement = build(coarse_protocol(), limits)
    with pytest.raises(InputError, match="of 7Li, the plan of 23Na"):
        expect(measurement, replace(reference, nucleus="7Li"))
    with pytest.raises(InputError, match="two or more echo times"):
        expect(build(load_protocol("spectrum"), limits), reference)
