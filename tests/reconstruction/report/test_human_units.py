"""Numbers as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.core.human_units import duration, local_and_utc, plain, quantity
from knightshift.reconstruction.report.protocol_table import protocol_rows, unit_of


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.012, "s", "12 ms"),
        (8e-6, "s", "8 µs"),
        (23e-6, "m", "23 µm"),
        (2.208e-3, "m", "2.208 mm"),
        (105.84e6, "Hz", "105.84 MHz"),
        (0.99999999, "s", "1 s"),
        (1126e-6, "ppm", "1126 ppm"),
        (math.pi / 2, "rad", "90°"),
        (1.5, "T/m", "1.5 T/m"),
        (-5e-4, "m", "−500 µm"),
        (0.0, "m", "0 m"),
        (41400.0, "s", "11 h 30 min"),
        (float("nan"), "s", "n/a"),
        (48.0, "1", "48"),
    ],
)
def test_quantities_carry_the_prefix_people_use(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


@given(value=st.floats(1e-11, 59.0))
def test_a_prefix_does_not_change_the_value(value: float) -> None:
    number, unit = quantity(value, "s", digits=12).split()
    scale = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9, "ps": 1e-12}[unit]
    assert float(number) * scale == pytest.approx(value, rel=1e-9)
    assert 0.999 <= float(number) < 1000.001


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(24.0, "24 s"), (72.0, "1 min 12 s"), (3600.0, "1 h"), (3599.9, "1 h"), (41400.0, "11 h 30 min")],
)
def test_durations_are_told_in_hours_and_minutes(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_times_are_told_on_the_wall_clock_and_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    try:
        assert local_and_utc(1767639600.0) == "2026-01-05 21:00:00 +02 (2026-01-05 19:00:00 UTC)"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_every_protocol_field_gets_the_unit_of_its_quantity() -> None:
    units = {
        name: unit_of(name) for name in ("echo_times", "field_of_view", "matrix", "shift", "refocusing_flip_angle")
    }
    assert units == {
        "echo_times": "s",
        "field_of_view": "m",
        "matrix": "1",
        "shift": "ppm",
        "refocusing_flip_angle": "rad",
    }
    rows = dict(protocol_rows({"matrix": {"y": 48}, "averages": None, "slice_position": -1e-3, "kind": "a_b"}))
    assert rows == {"matrix": "y: 48", "slice position": "−1 mm", "kind": "a b"}


def test_plain_numbers_have_a_true_minus_sign() -> None:
    assert plain(-0.5) == "−0.5"
    assert plain(float("-inf")) == "−∞"
