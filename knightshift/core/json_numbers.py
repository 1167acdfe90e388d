"""Numbers for JSON, which knows neither NaN nor infinities."""

from __future__ import annotations

import math
from typing import SupportsFloat


def number_or_none(value: SupportsFloat) -> float | None:
    """Return a plain number, or None (null) for NaN and infinities."""
    number = float(value)
    return number if math.isfinite(number) else None
