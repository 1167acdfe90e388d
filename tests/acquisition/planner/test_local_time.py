"""Times of day become moments, also in the nights in which the clock is changed."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.acquisition.local_time import NightWindow, local_zone, parse_moment
from knightshift.core.errors import InputError

LONDON = ZoneInfo("Europe/London")


def at(text: str, zone: ZoneInfo = LONDON) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("evening", "hours"),
    [("2026-03-28", 12.5), ("2026-10-24", 14.5), ("2026-01-05", 13.5)],
    ids=["spring", "autumn", ""],
)
def test_night_of_a_clock_change_has_its_true_length(evening: str, hours: float) -> None:
    start = at(f"{evening} 19:00")
    assert parse_moment("08:30", start, LONDON) - start == hours * 3600
    opens, closes = NightWindow.parse("19:00-08:30").next_interval(start, LONDON)
    assert (opens, closes - opens) == (start, hours * 3600)


def test_time_of_day_is_the_next_one_and_a_date_is_taken_as_written() -> None:
    now = at("2026-01-05 08:30")
    assert parse_moment("08:30", now, LONDON) == at("2026-01-06 08:30")
    assert parse_moment("08:31", now, LONDON) == at("2026-01-05 08:31")
    assert parse_moment("2026-07-01 12:00", now, LONDON) == at("2026-07-01 12:00")
    assert parse_moment("2026-07-01T12:00+00:00", now, LONDON) == at("2026-07-01 13:00")


@pytest.mark.parametrize("text", ["25:00", "8.30", "tonight", "2026-02-30 08:00", "2026-07-01", ""])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"write e\.g\."):
        parse_moment(text, 0.0, LONDON)


@pytest.mark.parametrize("text", ["19:00", "19:00-19:00", "19-8", "19:00-25:00"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        NightWindow.parse(text)


def test_window_of_the_night_before_is_still_open_in_the_morning() -> None:
    window = NightWindow.parse("19:00–08:30")
    assert window.next_interval(at("2026-01-06 03:00"), LONDON) == (at("2026-01-05 19:00"), at("2026-01-06 08:30"))
    assert window.next_interval(at("2026-01-06 08:30"), LONDON)[0] == at("2026-01-06 19:00")


@given(
    now=st.floats(1.6e9, 2.0e9),
    opens=st.times(),
    closes=st.times(),
    zone=st.sampled_from(["Europe/London", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]),
)
def test_next_interval_is_ahead_or_open_and_shorter_than_a_day_and_two_hours(now, opens, closes, zone) -> None:
    if opens == closes:
        return
    start, end = NightWindow(opens=opens, closes=closes).next_interval(now, ZoneInfo(zone))
    assert start < end
    assert now < end
    assert end - start <= 26 * 3600
    assert start - now <= 50 * 3600


def test_unknown_zone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="Mars/Olympus"):
        local_zone("Mars/Olympus")
    monkeypatch.setenv("TZ", "Europe/London")
    assert local_zone() == LONDON
