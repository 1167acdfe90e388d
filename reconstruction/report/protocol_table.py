"""A protocol as people read it: every value with its unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from knightshift.core.human_units import quantity

# The manifest holds SI values without units; the words of our protocols say which quantity a field is.
_UNIT_OF_WORD = {
    "time": "s",
    "times": "s",
    "spacing": "s",
    "length": "s",
    "delay": "s",
    "duration": "s",
    "angle": "rad",
    "shift": "ppm",
    "bandwidth": "Hz",
    "frequency": "Hz",
    "field_of_view": "m",
    "thickness": "m",
    "position": "m",
    "depth": "m",
    "b0": "T",
}


def protocol_rows(protocol: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the fields of a protocol with human-readable values; what was left open is left out.

    Parameters
    ----------
    protocol
        As plain data, SI units, as the manifest of a run holds it.
    """
    return [(name.replace("_", " "), _words(name, value)) for name, value in protocol.items() if value is not None]


def unit_of(field: str) -> str:
    """Tell the SI unit of a protocol field by its name; ``"1"`` for numbers without one."""
    return _UNIT_OF_WORD.get(field) or _UNIT_OF_WORD.get(field.rsplit("_", 1)[-1], "1")


def _words(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_words(name, item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_words(name, item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return quantity(float(value), unit_of(name))
    return str(value).replace("_", " ") if name == "kind" else str(value)
