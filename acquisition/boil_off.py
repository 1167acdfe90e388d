"""How fast a level falls, measured: from the readings that earlier runs have left in their journals."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.errors import KnightshiftError
from knightshift.core.run_folder import JOURNAL, open_run

_LOG = logging.getLogger(__name__)

LEAST_SPAN = 6 * 3600.0
"""A rate is believed if the readings cover this much time since the last refill [s]."""
_OLDEST = 30 * 86400.0
_MOST_RUNS = 5
_REFILL = 0.02


def measured_boil_off(runs_dir: Path, quantity: str, now: float) -> float | None:
    """Fit a straight line to the readings of a level since it was last refilled.

    Parameters
    ----------
    runs_dir
        Folder that holds runs; the five written last are read.
    quantity
        ``monitor.quantity``.
    now
        Seconds since the Unix epoch (UTC); readings of the last 30 days count.

    Returns
    -------
    float or None
        Rate of fall [1/s], never negative; None if the readings span less than `LEAST_SPAN`.
    """
    points = _recorded(runs_dir, quantity, now)
    if len(points) == 0:
        return None
    rises = np.flatnonzero(np.diff(points[:, 1]) > _REFILL)
    since_refill = points[rises[-1] + 1 :] if rises.size else points
    time, level = since_refill[:, 0] - since_refill[0, 0], since_refill[:, 1]
    if time[-1] < LEAST_SPAN:
        return None
    time = time - time.mean()
    return max(0.0, float(-(time @ level) / (time @ time)))


def _recorded(runs_dir: Path, quantity: str, now: float) -> RealArray:
    """Collect time measured [s] and level, shape ``(reading, 2)``, in order of time, each reading once."""
    journals = sorted(runs_dir.glob(f"[!.]*/{JOURNAL}"), key=lambda path: path.stat().st_mtime)[-_MOST_RUNS:]
    points: set[tuple[float, float]] = set()
    for journal in journals:
        try:
            events = open_run(journal.parent).events()
        except KnightshiftError as error:
            _LOG.warning("the boil-off is measured without this run: %s", error)
            continue
        for event in events:
            reading = event.payload.get("readings", {}).get(quantity, {})
            if isinstance(reading.get("value"), float) and now - _OLDEST <= reading["measured_s"] <= now:
                points.add((reading["measured_s"], reading["value"]))
    return np.array(sorted(points)).reshape(-1, 2)
