"""Times on a raster, and errors that name the nearest time that would do."""

from __future__ import annotations

import math

from knightshift.core.errors import ProtocolError

_TOLERANCE = 1e-6  # of one raster step: float noise, not a different time


def common_raster(*rasters: float) -> float:
    """Shortest time that is a multiple of all `rasters`, to the nanosecond [s]."""
    return on_raster(math.lcm(*(round(raster * 1e9) for raster in rasters)), 1e-9)


def ceil_to(time: float, raster: float) -> float:
    """Next multiple of `raster` at or after `time` [s]."""
    return on_raster(math.ceil(time / raster - _TOLERANCE), raster)


def floor_to(time: float, raster: float) -> float:
    """Last multiple of `raster` at or before `time` [s]."""
    return on_raster(math.floor(time / raster + _TOLERANCE), raster)


def on_raster(n: int, raster: float) -> float:
    """`n` steps of `raster` [s], free of float noise."""
    return round(n * raster, 12)


def next_at_phase(time: float, phase: float, raster: float) -> float:
    """First time at or after `time` that is `phase` beyond a multiple of `raster`, all in s."""
    phase = round(phase - floor_to(phase, raster), 12)
    return round(ceil_to(time - phase, raster) + phase, 12)


def require_raster(name: str, time: float, raster: float) -> float:
    """Return `time` [s] snapped to the raster it lies on.

    Raises
    ------
    ProtocolError
        If it lies between two steps; the message names both neighbours.
    """
    below, above = floor_to(time, raster), ceil_to(time, raster)
    if above - below > raster / 2:
        neighbours = f"{milliseconds(below)} or {milliseconds(above)}" if below > 0 else milliseconds(above)
        raise ProtocolError(
            f"{name} {milliseconds(time)} is not a multiple of the raster of {raster * 1e6:g} us: use {neighbours}"
        )
    return below


def milliseconds(time: float) -> str:
    """Write a time [s] in ms for a message."""
    return f"{time * 1e3:.7g} ms"
