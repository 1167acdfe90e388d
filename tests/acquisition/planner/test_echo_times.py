"""Echo times: none that we try is better, and the scanner can play them."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.acquisition.planner import optimise_echo_times
from knightshift.acquisition.planner.echo_times import SEPARATION, worst_relative_std
from knightshift.core.errors import InputError, LimitError
from knightshift.sequences import build, load_protocol
from knightshift.sequences.gradient_lobes import GradientSystem
from knightshift.sequences.spin_echo_series import minimum_echo_time

from .conftest import coarse_protocol

RANGE = (5e-3, 17e-3)


def test_two_echoes_for_one_t2_are_the_textbook_optimum(limits) -> None:
    """First echo as early as possible, second 1.28 T2 later: the minimum of sqrt(1 + exp(2 x)) / x."""
    advice = optimise_echo_times(coarse_protocol(echo_times=(4e-3, 30e-3)), limits, (10e-3, 10e-3))
    first, second = advice.echo_times_s
    x = np.linspace(0.5, 2, 100_001)
    distance = x[np.argmin(np.sqrt(1 + np.exp(2 * x)) / x)]
    assert first == pytest.approx(advice.minimum_echo_time_s)
    assert second - first == pytest.approx(distance * 10e-3, abs=0.1e-3)


@pytest.fixture(scope="module")
def overnight(limits):
    return optimise_echo_times(load_protocol("overnight_t2"), limits, RANGE)


def test_no_random_choice_is_better(overnight) -> None:
    t2 = np.geomspace(*RANGE, 60)
    random = np.random.default_rng(4)
    low, found = overnight.minimum_echo_time_s, worst_relative_std(np.array(overnight.echo_times_s), t2)
    for _ in range(4000):
        free = np.sort(random.uniform(low, 40e-3 - 4 * SEPARATION, 5)) + SEPARATION * np.arange(5)
        assert worst_relative_std(free, t2) > 0.995 * found


def test_gain_is_that_of_the_cramer_rao_bound_and_worth_having(overnight) -> None:
    assert overnight.present_echo_times_s == (4e-3, 8e-3, 13e-3, 20e-3, 30e-3)
    assert overnight.gain > 1.4
    assert overnight.time_saved == pytest.approx(1 - overnight.gain**-2)


def test_echo_times_found_can_be_played_and_stay_apart(overnight, limits) -> None:
    protocol = load_protocol("overnight_t2")
    changed = protocol.model_copy(update={"echo_times": overnight.echo_times_s})
    assert build(changed, limits).encoding.echo_times == overnight.echo_times_s
    assert np.diff(overnight.echo_times_s).min() > SEPARATION - 1e-9
    assert overnight.echo_times_s[0] >= minimum_echo_time(protocol, GradientSystem.of(protocol.isotope, limits))


def test_gradients_that_may_hardly_work_push_the_first_echo_later(limits) -> None:
    protocol = load_protocol("overnight_t2")
    strict = limits.model_copy(update={"max_gradient_duty": 0.075})
    with pytest.raises(LimitError):
        build(protocol.model_copy(update={"echo_times": (3.3e-3, 8e-3)}), strict)
    assert optimise_echo_times(protocol, strict, RANGE).echo_times_s[0] > 3.3e-3


def test_train_gets_its_best_spacing(limits) -> None:
    advice = optimise_echo_times(load_protocol("overnight_t2_train"), limits, RANGE)
    spacing = np.diff((0.0, *advice.echo_times_s))
    np.testing.assert_allclose(spacing, spacing[0])
    assert advice.gain > 1.2


def test_spectrum_and_upside_down_range_are_refused(limits) -> None:
    with pytest.raises(InputError, match="no echo times to choose"):
        optimise_echo_times(load_protocol("spectrum"), limits, RANGE)
    with pytest.raises(InputError, match="shorter one first"):
        optimise_echo_times(load_protocol("overnight_t2"), limits, RANGE[::-1])
