"""Numbers as people write them: 12 ms and not 0.012, 23 µm and not 2.3e-05."""

from __future__ import annotations

import math
from datetime import UTC, datetime

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_HOUR = 3600.0
_MINUTE = 60.0


def plain(value: float, digits: int = 6) -> str:
    """Write a number with at most `digits` significant digits, no trailing zeros, and a true minus sign."""
    if math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}g}".replace("-", "−") if value else "0"


def quantity(value: float, unit: str, digits: int = 6) -> str:
    """Write an SI value with the prefix that keeps the number between 1 and 1000.

    Parameters
    ----------
    value
        In SI units; ``"ppm"`` and ``"rad"`` take a ratio and an angle and are written in ppm and degrees.
    unit
        ``"s"``, ``"Hz"``, ``"m"``, ``"T"``, ``"T/m"``, ``"T/m/s"``, ``"V"``, ``"rad"``, ``"ppm"``, or ``"1"`` for none.
    digits
        Significant digits.
    """
    if unit == "1" or not math.isfinite(value):
        return plain(value, digits)
    if unit == "ppm":
        return f"{plain(value * 1e6, digits)} ppm"
    if unit == "rad":
        return f"{plain(math.degrees(value), digits)}°"
    if unit == "s" and abs(value) >= _MINUTE:
        return duration(value)
    if value == 0:
        return f"0 {unit}"
    size = abs(float(f"{value:.{digits}g}"))
    scale, prefix = next(((s, p) for s, p in _PREFIXES if size >= s * (1 - 1e-9)), _PREFIXES[-1])
    return f"{plain(value / scale, digits)} {prefix}{unit}"


def duration(seconds: float) -> str:
    """Write a duration in the largest units that tell it: ``11 h 30 min``, ``4 min 12 s``, ``24 s``."""
    if seconds < _MINUTE:
        return f"{plain(seconds, 3)} s"
    whole = round(seconds)
    hours, rest = divmod(whole, round(_HOUR))
    minutes, left = divmod(rest, round(_MINUTE))
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min {left} s" if left else f"{minutes} min"


def local_and_utc(seconds: float) -> str:
    """Write a time as the clock on the wall shows it, and in UTC.

    Parameters
    ----------
    seconds
        Seconds since the Unix epoch (UTC).
    """
    universal = datetime.fromtimestamp(seconds, tz=UTC)
    local = universal.astimezone()
    if local.utcoffset() == universal.utcoffset():
        return f"{universal:%Y-%m-%d %H:%M:%S} UTC"
    return f"{local:%Y-%m-%d %H:%M:%S %Z} ({universal:%Y-%m-%d %H:%M:%S} UTC)"


def clock_time(seconds: float) -> str:
    """Write a moment of a night as the clock on the wall shows it: ``Mon 19:04:12``."""
    return f"{datetime.fromtimestamp(seconds, tz=UTC).astimezone():%a %H:%M:%S}"


def local_span(start: float, stop: float) -> str:
    """Write when something began and ended, local: ``Mon 5 Jan 2026, 19:00 to Tue 6 Jan, 06:30 GMT``."""
    began, ended = (datetime.fromtimestamp(moment, tz=UTC).astimezone() for moment in (start, stop))
    zone = "" if began.tzname() == ended.tzname() else f" {began:%Z}"
    day = "" if began.date() == ended.date() else f"{ended:%a} {ended.day} {ended:%b}, "
    return f"{began:%a} {began.day} {began:%b %Y, %H:%M}{zone} to {day}{ended:%H:%M %Z}"


def isotope(name: str) -> str:
    """Write an isotope as chemists do: ²³Na."""
    return name.translate(_SUPERSCRIPTS)
