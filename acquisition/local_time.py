"""Local time as people write it: "08:30" means the next one, "19:00-08:30" is a night; clock changes are reckoned with.

All arithmetic is done on seconds since the Unix epoch (UTC); a time zone is used only to get there and back. A time of
day that a clock change skips counts as the moment the clock jumps to; of one that comes twice the first counts.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, model_validator

from knightshift.core.errors import InputError

_TIME_OF_DAY = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_WINDOW = re.compile(r"\s*(\d{1,2}:\d{2})\s*(?:-|–|—|to)\s*(\d{1,2}:\d{2})\s*")
_LOCALTIME = Path("/etc/localtime")


def local_zone(name: str | None = None) -> tzinfo:
    """Find the time zone: `name`, else ``$TZ``, else that of the computer.

    Raises
    ------
    InputError
        If there is no zone called `name` (or what ``$TZ`` says).
    """
    asked = name or os.environ.get("TZ", "").removeprefix(":")
    if asked:
        try:
            return ZoneInfo(asked)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise InputError(f"time zone {asked!r} is not known: give one such as Europe/London") from error
    return _zone_of_computer()


def _zone_of_computer() -> tzinfo:
    target = str(_LOCALTIME.resolve())
    _, found, key = target.partition("zoneinfo/")
    if found:
        try:
            return ZoneInfo(key)
        except (ZoneInfoNotFoundError, ValueError):
            pass  # a zone that Python does not carry: read the computer's own table of it
    try:
        with _LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file, key="local")
    except (OSError, ValueError):
        return UTC  # a computer without a zone keeps UTC, as its `date` does


def parse_moment(text: str, now: float, zone: tzinfo) -> float:
    """Read a moment: ``"08:30"`` (the next one), or a date and time such as ``"2026-03-29 08:30"``.

    Parameters
    ----------
    text
        What was written, in local time unless it carries an offset.
    now
        Seconds since the Unix epoch (UTC).
    zone
        The local time zone.

    Returns
    -------
    float
        Seconds since the Unix epoch (UTC).

    Raises
    ------
    InputError
        If it is neither.
    """
    words = text.strip()
    if _TIME_OF_DAY.fullmatch(words):
        return _next(_time_of_day(words), now, zone)
    try:
        moment = datetime.fromisoformat(words)
    except ValueError:
        raise InputError(f"{text!r} is not a time: write e.g. '08:30' or '2026-03-29 08:30'") from None
    if len(words) <= len("2026-03-29"):
        raise InputError(f"{text!r} is a date without a time: write e.g. '{words} 08:30'")
    return moment.timestamp() if moment.tzinfo else moment.replace(tzinfo=zone).timestamp()


def _time_of_day(text: str) -> time:
    match = _TIME_OF_DAY.fullmatch(text.strip())
    try:
        hour, minute, second = (int(part or 0) for part in match.groups()) if match else (99, 0, 0)
        return time(hour, minute, second)
    except ValueError:
        raise InputError(f"{text!r} is not a time of day: write e.g. '08:30'") from None


def _at(day: date, when: time, zone: tzinfo) -> float:
    return datetime.combine(day, when, zone).timestamp()


def _next(when: time, now: float, zone: tzinfo) -> float:
    today = datetime.fromtimestamp(now, zone).date()
    return next(
        moment for days in range(3) if (moment := _at(today + timedelta(days), when, zone)) > now
    )  # one of two days always lies ahead; the third is for a day that a zone skips


def local_text(moment: float, zone: tzinfo) -> str:
    """Write a moment for people: ``"Sun 29 Mar 2026, 08:30:00 BST"``."""
    return datetime.fromtimestamp(moment, zone).strftime("%a %d %b %Y, %H:%M:%S %Z")


class NightWindow(BaseModel):
    """Hours in which scanning is allowed, every day: ``"19:00-08:30"``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    opens: time
    """From this time of day, local."""
    closes: time
    """To this one; on the next day if it is the earlier of the two."""

    @model_validator(mode="after")
    def _not_empty(self) -> NightWindow:
        if self.opens == self.closes:
            raise ValueError(
                f"a window from {self.opens:%H:%M} to {self.closes:%H:%M} is empty: leave it out for always"
            )
        return self

    @classmethod
    def parse(cls, text: str) -> NightWindow:
        """Read ``"19:00-08:30"``.

        Raises
        ------
        InputError
            If it is not two different times of day.
        """
        match = _WINDOW.fullmatch(text)
        if match is None:
            raise InputError(f"{text!r} is not a window: write e.g. '19:00-08:30'")
        opens, closes = (_time_of_day(part) for part in match.groups())
        if opens == closes:
            raise InputError(f"{text!r} is empty: leave it out if scanning is always allowed")
        return cls(opens=opens, closes=closes)

    def __str__(self) -> str:
        return f"{self.opens:%H:%M}-{self.closes:%H:%M}"

    def next_interval(self, now: float, zone: tzinfo) -> tuple[float, float]:
        """Give opening and closing of the window that is open now, or else of the next one.

        Returns
        -------
        opens, closes
            Seconds since the Unix epoch (UTC); `opens` lies in the past where the window is open.
        """
        today = datetime.fromtimestamp(now, zone).date()
        over_midnight = timedelta(1 if self.closes <= self.opens else 0)
        intervals = [
            (_at(day, self.opens, zone), _at(day + over_midnight, self.closes, zone))
            for day in (today + timedelta(days) for days in (-1, 0, 1, 2))
        ]
        return next((opens, closes) for opens, closes in intervals if closes > max(now, opens))
