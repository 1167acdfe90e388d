"""Interlocks: never before the grace time, always after it, and no way around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knightshift.core.errors import ConfigError
from knightshift.core.yaml_files import as_plain, validate
from knightshift.hardware.monitors import Reading, Severity
from knightshift.hardware.monitors.interlocks import (
    Action,
    Interlock,
    InterlockConfig,
    InterlockPanel,
    InterlockState,
    LevelInterlock,
    TemperatureInterlock,
    gravest,
)

RULE = TemperatureInterlock(
    kind="temperature",
    watch="probe.temperature",
    low=280.0,
    high=300.0,
    warning_high=298.0,
    hysteresis=1.0,
    action="suspend",
    grace=30.0,
    stale_grace=100.0,
    clear_after=50.0,
)


def _reading(value: float, *, stale: bool = False, severity: Severity = Severity.OK) -> Reading:
    if not math.isfinite(value):
        severity = Severity.INVALID
    return Reading("probe.temperature", value, "K", measured=0.0, read=0.0, severity=severity, stale=stale)


GOOD, EDGE, HOT, COLD = 290.0, 299.5, 301.0, 279.0
SAMPLES: dict[str, Reading | None] = {
    "good": _reading(GOOD),
    "edge": _reading(EDGE),  # in band, but not by the hysteresis
    "hot": _reading(HOT),
    "cold": _reading(COLD),
    "alarm": _reading(GOOD, severity=Severity.ALARM),
    "nan": _reading(math.nan),
    "stale": _reading(GOOD, stale=True),
    "stale and hot": _reading(HOT, stale=True),
    "never": None,
}
OUTSIDE = {"hot", "cold", "alarm"}
ABSENT = {"nan", "stale", "stale and hot", "never"}


def _run(steps: list[tuple[int, str]], rule: TemperatureInterlock = RULE) -> list[tuple[float, str, Action]]:
    interlock, now, seen = Interlock("t", rule), 0.0, []
    for step, kind in steps:
        now += step
        seen.append((now, kind, interlock.update(SAMPLES[kind], now).action))
    return seen


@dataclass
class _Oracle:
    """The same promise, written as one looks at the whole history instead of as a state machine."""

    rule: TemperatureInterlock

    def actions(self, history: list[tuple[float, str]]) -> list[bool]:
        acting, asked = False, []
        for n in range(1, len(history) + 1):
            past = history[:n]
            acting = not self._has_recovered(past) if acting else self._must_trip(past)
            asked.append(acting)
        return asked

    def _must_trip(self, past: list[tuple[float, str]]) -> bool:
        bad: list[tuple[float, str]] = []
        for when, kind in reversed(past):
            if kind not in OUTSIDE | ABSENT:
                break
            bad.insert(0, (when, kind))
        now = past[-1][0]
        outside = [when for when, kind in bad if kind in OUTSIDE]
        absent = [when for when, kind in bad if kind in ABSENT]
        return bool(
            (outside and now - outside[0] >= self.rule.grace) or (absent and now - absent[0] >= self.rule.stale_grace)
        )

    def _has_recovered(self, past: list[tuple[float, str]]) -> bool:
        well: list[float] = []
        for when, kind in reversed(past):
            if kind != "good":
                break
            well.insert(0, when)
        return bool(well) and past[-1][0] - well[0] >= self.rule.clear_after


STEPS = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(list(SAMPLES))), min_size=1, max_size=40)


@settings(deadline=None)
@given(STEPS)
def test_the_state_machine_keeps_the_promise_over_any_history(steps: list[tuple[int, str]]) -> None:
    """Acts when, and only when, the grace is over; stops when, and only when, it was clear for long enough.

    While it acts, the good stretch that ends it must have begun after it tripped, which a trip guarantees.
    """
    seen = _run(steps)
    expected = _Oracle(RULE).actions([(when, kind) for when, kind, _ in seen])
    assert [action is Action.SUSPEND for _, _, action in seen] == expected


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.sampled_from(sorted(OUTSIDE | ABSENT))), min_size=12, max_size=30))
def test_dropping_in_and_out_does_not_evade_both_grace_times(steps: list[tuple[int, str]]) -> None:
    seen = _run(steps)
    for when, _, action in seen:
        if when - seen[0][0] >= RULE.stale_grace + RULE.grace:
            assert action is Action.SUSPEND


@pytest.mark.parametrize("kind", sorted(ABSENT))
@settings(deadline=None)
@given(duration=st.integers(101, 10_000))
def test_no_value_never_passes_as_in_band(kind: str, duration: int) -> None:
    assert _run([(0, "good"), (1, kind), (duration, kind)])[-1][2] is Action.SUSPEND


@settings(deadline=None)
@given(value=st.floats(280, 300), steps=st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_a_value_in_band_never_acts(value: float, steps: list[int]) -> None:
    interlock, now = Interlock("t", RULE), 0.0
    for step in steps:
        now += step
        status = interlock.update(_reading(value), now)
        assert status.action is Action.NONE
        assert status.state is InterlockState.CLEAR
        assert (status.severity is Severity.WARNING) == (value > 298.0)


def test_grace_counts_down_and_then_trips_with_value_and_band_in_the_reason() -> None:
    interlock = Interlock("t", RULE)
    assert interlock.update(_reading(HOT), 0.0).seconds_left == 30.0
    status = interlock.update(_reading(HOT), 29.9)
    assert (status.state, status.action) == (InterlockState.GRACE, Action.NONE)
    status = interlock.update(_reading(HOT), 30.0)
    assert (status.state, status.action) == (InterlockState.TRIPPED, Action.SUSPEND)
    assert status.reason == "probe.temperature 301 K is above 300 K"


def test_it_clears_only_well_inside_the_band_and_for_long_enough() -> None:
    steps = [(0, "hot"), (30, "hot"), (100, "edge"), (1, "good"), (49, "good"), (1, "edge"), (1, "good"), (50, "good")]
    states = [action is Action.SUSPEND for _, _, action in _run(steps)]
    assert states == [False, True, True, True, True, True, True, False]


def test_a_clock_that_is_set_back_neither_trips_nor_delays_for_ever() -> None:
    interlock = Interlock("t", RULE)
    interlock.update(_reading(HOT), 10_000.0)
    assert interlock.update(_reading(HOT), 6_400.0).action is Action.NONE  # an hour back
    assert interlock.update(_reading(HOT), 6_429.0).action is Action.NONE
    assert interlock.update(_reading(HOT), 6_430.0).action is Action.SUSPEND


def test_no_grace_acts_at_once() -> None:
    rule = RULE.model_copy(update={"grace": 0.0, "action": "make_safe"})
    assert Interlock("t", rule).update(_reading(HOT), 0.0).action is Action.MAKE_SAFE


def test_the_panel_asks_for_the_gravest_action_and_says_why() -> None:
    level = LevelInterlock(kind="level", watch="cryostat.helium", low=0.2, action="stop", grace=0.0)
    panel = InterlockPanel({"hot": RULE.model_copy(update={"grace": 0.0}), "helium": level})
    helium = Reading("cryostat.helium", 0.1, "1", measured=0.0, read=0.0)
    status = panel.update({"probe.temperature": _reading(HOT), "cryostat.helium": helium}, 0.0)
    assert status.action is Action.STOP
    assert status.reasons == (
        "hot: probe.temperature 301 K is above 300 K",
        "helium: cryostat.helium 10 % is below 20 %",
    )
    assert panel.update({}, 1.0).action is Action.STOP  # no reading is not a clear one


def test_actions_are_ordered() -> None:
    assert gravest([]) is Action.NONE
    assert [action.gravity for action in Action] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": None, "high": None}, "needs `low`, `high` or both"),
        ({"low": "300 K", "high": "280 K"}, "nothing is in it"),
        ({"hysteresis": "11 K"}, "nothing is in it"),
        ({"warning_high": "310 K"}, "reaches beyond"),
        ({"hysteresis": "1 degC"}, "difference of temperatures"),
        ({"low": 280}, "needs a unit"),
        ({"action": "panic"}, "action"),
        ({"graze": "1 s"}, "unknown key"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    rule = {"kind": "temperature", "watch": "a.b", "low": "280 K", "high": "27 degC", "action": "suspend"}
    with pytest.raises(ConfigError, match=message):
        validate(InterlockConfig, rule | changes, "site", units_required=True)


def test_a_rule_survives_its_json() -> None:
    assert validate(InterlockConfig, as_plain(RULE), "json") == RULE
