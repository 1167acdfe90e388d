"""Renders ``docs/reference/protocols.md`` from the protocol models, so that the page cannot fall behind them."""

from __future__ import annotations

import inspect
from typing import Any

from knightshift.sequences.gradient_echo import GradientEcho
from knightshift.sequences.multi_echo_spin_echo import MultiEchoSpinEcho
from knightshift.sequences.protocol_fields import ImagingFields, ProtocolFields, RefocusingFields
from knightshift.sequences.pulse_acquire import PulseAcquire
from knightshift.sequences.spin_echo_series import SpinEchoSeries

_SECTIONS: tuple[tuple[str, type[ProtocolFields]], ...] = (
    ("All families", ProtocolFields),
    ("All imaging families", ImagingFields),
    ("Both spin-echo families", RefocusingFields),
    ("`kind: spin_echo_series`", SpinEchoSeries),
    ("`kind: multi_echo_spin_echo`", MultiEchoSpinEcho),
    ("`kind: gradient_echo`", GradientEcho),
    ("`kind: pulse_acquire`", PulseAcquire),
)

_INTRODUCTION = """\
# Protocol files

A protocol is a YAML file. `kind` says which family it belongs to; unknown keys are refused. Every dimensional quantity
says its unit (`"12 ms"`, `"23 um"`, `"90 deg"`): a bare number is refused. Shipped protocols are found by name:
`knightshift plan overnight_t2`.

Axes are those of the laboratory, B0 along z. Pixel `n` of `N` sits at `(n - N/2)` times the voxel size from the
isocentre, line `n` of k-space at `(n - N/2) / FOV`. Echo times run from the centre of the excitation to the centre of
the echo, where k = 0 falls on sample `n/2` of the readout.

Written by `knightshift.sequences.protocol_reference`; a test keeps it current.
"""

_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")),
    "m": ((1.0, "m"), (1e-3, "mm"), (1e-6, "um")),
    "rad": ((0.017453292519943295, "deg"),),
    "1": ((1e-6, "ppm"),),
}


def render_reference() -> str:
    """Write the whole page as Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(title, model) for title, model in _SECTIONS)])


def _section(title: str, model: type[ProtocolFields]) -> str:
    """Write the fields that `model` adds to those of its parent."""
    schema = model.model_json_schema()
    required = set(schema["required"])
    inherited = {name for base in model.__mro__[1:] for name in getattr(base, "model_fields", {})}
    lines = [
        f"## {title}",
        "",
        inspect.getdoc(model) or "",
        "",
        "| field | unit | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for name, field in schema["properties"].items():
        if name != "kind" and name not in inherited:
            default = "required" if name in required else _default(field)
            meaning = " ".join(field["description"].split())
            lines.append(f"| `{name}` | {_unit_text(field)} | {default} | {meaning} |")
    return "\n".join([*lines, ""])


def _unit_of(schema: Any) -> str | None:
    """Find the unit that a quantity carries, however deep in the schema."""
    if isinstance(schema, dict):
        if "unit" in schema:
            return str(schema["unit"])
        found = [_unit_of(part) for part in schema.values()]
    elif isinstance(schema, list):
        found = [_unit_of(part) for part in schema]
    else:
        return None
    return next((unit for unit in found if unit is not None), None)


def _unit_text(field: dict[str, Any]) -> str:
    unit = _unit_of(field)
    return {None: "", "1": "ppm", "rad": "deg"}.get(unit, unit or "")


def _default(field: dict[str, Any]) -> str:
    value, unit = field["default"], _unit_of(field)
    if value is None:
        return "none"
    if unit is None:
        return f"`{value}`"
    scales = _SCALES[unit]
    scale, name = next((item for item in scales if value >= item[0]), scales[-1] if value else scales[0])
    return f'`"{value / scale:g} {name}"`'
