"""Echo trains: extended phase graphs against reference numbers and closed forms, and T2 from a train."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.relaxometry import (
    EchoTrain,
    T2Options,
    T2Status,
    cpmg_echoes,
    cramer_rao_t2,
    fit_t2,
    fit_t2_maps,
    t2_interval,
)

ESP, T1 = 6e-3, 17.1e-3


def test_echoes_equal_the_reference_of_three_independent_programs(reference_data: Callable[[str], Path]) -> None:
    for case in json.loads(reference_data("cpmg_echoes.json").read_text())["cases"]:
        echoes = cpmg_echoes(
            case["T1_s"],
            case["T2_s"],
            np.radians(case["alpha_deg"]),
            echo_spacing=case["ESP_s"],
            n_echoes=case["necho"],
            excitation=np.radians(case["exc_deg"]),
        )
        np.testing.assert_allclose(np.abs(echoes), case["echo"], atol=1e-8)


@given(angle=st.floats(0.1, np.pi), t1=st.floats(5e-3, 1.0), ratio=st.floats(0.1, 1.0))
def test_first_two_echoes_have_closed_forms(angle: float, t1: float, ratio: float) -> None:
    t2 = ratio * t1
    echoes = cpmg_echoes(t1, t2, angle, echo_spacing=ESP, n_echoes=2)
    first = np.sin(angle / 2) ** 2 * np.exp(-ESP / t2)
    stimulated = np.sin(angle) ** 2 / 2 * np.exp(-ESP / t2 - ESP / t1)
    assert echoes[0] == pytest.approx(first, rel=1e-12)
    assert echoes[1] == pytest.approx(np.sin(angle / 2) ** 4 * np.exp(-2 * ESP / t2) + stimulated, rel=1e-12)


def test_perfect_refocusing_leaves_the_plain_decay() -> None:
    t2 = np.array([[5e-3, 16e-3], [8e-3, 1.0]])
    echoes = cpmg_echoes(2.0, t2, np.pi, echo_spacing=ESP, n_echoes=12)
    np.testing.assert_allclose(echoes, np.exp(-np.multiply.outer(ESP * np.arange(1, 13), 1 / t2)), atol=1e-14)


def test_times_that_are_not_positive_are_refused() -> None:
    with pytest.raises(InputError, match="positive"):
        cpmg_echoes(0.0, 1.0, np.pi, echo_spacing=ESP, n_echoes=2)


@pytest.mark.parametrize(("t2", "mono"), [(7e-3, 8.8e-3), (16e-3, 17.8e-3)])
def test_skin_effect_lengthens_a_mono_exponential_fit_and_not_the_train_fit(t2: float, mono: float) -> None:
    """Sizes of the bias: PHYSICS, what decides the design, 1."""
    train = EchoTrain(echo_spacing=ESP, n_echoes=5, t1=T1, field="metal")
    echoes = train.decays(np.array([t2]))
    assert fit_t2(echoes, train.echo_times, noise_std=1e-4).t2[0] == pytest.approx(mono, abs=0.1e-3)
    options = T2Options(estimator="gaussian", train=train)
    fit = fit_t2_maps(3 * echoes, train.echo_times, options, noise_std=1e-4)
    assert fit.t2[0] == pytest.approx(t2, rel=1e-5)
    assert fit.amplitude[0] == pytest.approx(3, rel=1e-5)
    np.testing.assert_allclose(fit.curve((0,), train.echo_times), 3 * echoes[:, 0], rtol=1e-5)
    np.testing.assert_allclose(fit.snr[:, 0], 3e4 * echoes[:, 0], rtol=1e-5)


@pytest.mark.parametrize("angle", [180, 150, 120, 90])
@pytest.mark.parametrize("t2", [5e-3, 8e-3, 16e-3])
def test_train_of_known_angle_gives_back_its_t2(t2: float, angle: float) -> None:
    train = EchoTrain(echo_spacing=ESP, n_echoes=5, t1=T1, refocusing=np.radians(angle))
    echoes = cpmg_echoes(T1, t2, np.radians(angle), echo_spacing=ESP, n_echoes=5)[:, None]
    fit = fit_t2_maps(echoes, train.echo_times, T2Options(estimator="gaussian", train=train), noise_std=1e-4)
    assert fit.t2[0] == pytest.approx(t2, rel=1e-4)


def test_metal_signal_does_not_depend_on_how_finely_its_depth_is_cut() -> None:
    coarse, fine = (
        EchoTrain(echo_spacing=ESP, n_echoes=5, t1=T1, field="metal", depth_nodes=nodes).decays(np.array([8e-3]))
        for nodes in (24, 120)
    )
    np.testing.assert_allclose(coarse, fine, rtol=1e-6)


def test_noisy_train_has_the_standard_deviation_that_is_claimed() -> None:
    train = EchoTrain(echo_spacing=ESP, n_echoes=5, t1=T1, field="metal")
    random = np.random.default_rng(3)
    echoes = train.decays(np.full(5000, 12e-3)) + 0.01 * random.normal(size=(5, 5000))
    fit = fit_t2_maps(echoes, train.echo_times, T2Options(estimator="gaussian", train=train), noise_std=0.01)
    assert fit.ok.all()
    assert np.mean(fit.t2) == pytest.approx(12e-3, rel=0.01)
    assert np.std(fit.t2) == pytest.approx(np.median(fit.t2_std), rel=0.05)
    bound = cramer_rao_t2(train.echo_times, 12e-3, noise_std=0.01, train=train)
    assert np.std(fit.t2) == pytest.approx(bound, rel=0.05)


def test_bound_of_perfect_refocusing_is_that_of_separate_echoes() -> None:
    train = EchoTrain(echo_spacing=ESP, n_echoes=5, t1=T1)
    separate = cramer_rao_t2(train.echo_times, 8e-3, noise_std=0.1)
    assert cramer_rao_t2(train.echo_times, 8e-3, noise_std=0.1, train=train) == pytest.approx(separate, rel=1e-6)


@pytest.mark.parametrize("t2", [7e-3, 12e-3, 16e-3])
def test_train_of_a_night_knows_t2_better_than_separate_echoes_of_a_night(t2: float) -> None:
    """Five times the averages, less what the unknown share of stimulated echoes costs."""
    train = EchoTrain(echo_spacing=ESP, n_echoes=5, t1=T1, field="metal")
    seen = train.model_copy(update={"n_echoes": 1}).decays(np.array([1e6]))[0]  # a single echo of the same skin
    times = np.array([4e-3, 8e-3, 13e-3, 20e-3, 30e-3])
    separate = cramer_rao_t2(times, t2, noise_std=0.01, amplitude=seen)
    together = cramer_rao_t2(train.echo_times, t2, noise_std=0.01 / np.sqrt(5), train=train)
    assert 1.3 < separate / together < np.sqrt(5)


@pytest.mark.parametrize("t2", [7e-3, 16e-3])
def test_sensitivity_to_t1_is_what_a_fit_with_a_wrong_t1_shows(t2: float) -> None:
    train = EchoTrain(echo_spacing=ESP, n_echoes=5, t1=T1, field="metal")
    wrong = T2Options(estimator="gaussian", train=train.model_copy(update={"t1": 1.02 * T1}))
    fit = fit_t2_maps(train.decays(np.array([t2])), train.echo_times, wrong, noise_std=1e-4)
    assert (fit.t2[0] / t2 - 1) / 0.02 == pytest.approx(train.t1_sensitivity(t2), rel=0.1)


def test_ten_percent_of_t1_moves_t2_by_less_than_two_percent() -> None:
    truth = EchoTrain(echo_spacing=ESP, n_echoes=5, t1=1.1 * T1, field="metal")
    assumed = EchoTrain(echo_spacing=ESP, n_echoes=5, t1=T1, field="metal")
    t2 = np.array([7e-3, 16e-3])
    fit = fit_t2_maps(
        truth.decays(t2), truth.echo_times, T2Options(estimator="gaussian", train=assumed), noise_std=1e-4
    )
    np.testing.assert_allclose(fit.t2, t2, rtol=0.02)


def test_train_and_echo_times_must_agree() -> None:
    options = T2Options(estimator="gaussian", train=EchoTrain(echo_spacing=ESP, n_echoes=4, t1=T1))
    with pytest.raises(ShapeError, match="not those of the train"):
        fit_t2_maps(np.ones((5, 2)), ESP * np.arange(1, 6), options, noise_std=1.0)
    with pytest.raises(ValidationError, match="echo train is fitted with"):
        T2Options(estimator="gaussian", offset="free", train=EchoTrain(echo_spacing=ESP, n_echoes=4, t1=T1))


@pytest.mark.parametrize("field", ["uniform", "metal"])
def test_rician_fit_of_a_train_is_right_where_least_squares_of_magnitudes_is_not(field: str) -> None:
    train = EchoTrain(echo_spacing=ESP, n_echoes=5, t1=T1, refocusing=np.radians(150), field=field)
    decay = np.abs(train.decays(np.full(6000, 12e-3)))
    sigma = float(decay[0, 0]) / 5
    random = np.random.default_rng(4)
    magnitude = np.hypot(decay + sigma * random.normal(size=decay.shape), sigma * random.normal(size=decay.shape))
    rician, gaussian = (
        fit_t2_maps(magnitude, train.echo_times, T2Options(estimator=name, train=train), noise_std=sigma)
        for name in ("rician", "gaussian")
    )
    assert np.median(rician.t2[rician.ok]) == pytest.approx(12e-3, abs=0.7e-3)
    assert np.median(gaussian.t2[gaussian.ok]) > 13e-3
    low, high = t2_interval(rician)
    assert 0.93 < ((low < 12e-3) & (high > 12e-3))[rician.ok].mean() < 0.97


def test_rician_fit_of_a_train_of_strong_echoes_gives_back_its_t2() -> None:
    train = EchoTrain(echo_spacing=ESP, n_echoes=5, t1=T1, field="metal")
    t2 = np.array([5e-3, 7e-3, 16e-3])
    fit = fit_t2_maps(
        3 * train.decays(t2), train.echo_times, T2Options(estimator="rician", train=train), noise_std=1e-5
    )
    np.testing.assert_allclose(fit.t2, t2, rtol=1e-4)
    np.testing.assert_allclose(fit.amplitude, 3, rtol=1e-4)


def test_rician_fit_of_perfect_refocusing_is_that_of_separate_echoes() -> None:
    train = EchoTrain(echo_spacing=ESP, n_echoes=5, t1=T1)
    random = np.random.default_rng(8)
    noise = random.normal(size=(2, 5, 200))
    magnitude = np.hypot(8 * np.exp(-train.echo_times / 12e-3)[:, None] + noise[0], noise[1])
    together = fit_t2_maps(magnitude, train.echo_times, T2Options(estimator="rician", train=train), noise_std=1.0)
    separate = fit_t2_maps(magnitude, train.echo_times, T2Options(estimator="rician"), noise_std=1.0)
    both = together.ok & (separate.status == T2Status.OK)
    assert both.mean() > 0.8
    np.testing.assert_allclose(together.t2[both], separate.t2[both], rtol=1e-3)
    np.testing.assert_allclose(together.t2_std[both], separate.t2_std[both], rtol=1e-2)
