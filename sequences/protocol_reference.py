"""Renders ``docs/reference/protocols.md`` from the protocol models, so that the page cannot fall behind them."""

from __future__ import annotations

import inspect

from knightshift.core.field_tables import field_table
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


def render_reference() -> str:
    """Write the whole page as Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(title, model) for title, model in _SECTIONS)])


def _section(title: str, model: type[ProtocolFields]) -> str:
    """Write the fields that `model` adds to those of its parent."""
    inherited = {name for base in model.__mro__[1:] for name in getattr(base, "model_fields", {})}
    table = field_table(model, skip=frozenset({"kind", *inherited}))
    return "\n".join([f"## {title}", "", inspect.getdoc(model) or "", "", *table, ""])
