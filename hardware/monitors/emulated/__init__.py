"""Emulated devices: each speaks its protocol on a pseudo-terminal or behind a ``sim://`` URL, with seeded faults.

pyserial finds the handler of ``sim://`` here, in `protocol_sim`, since `knightshift.hardware.monitors.transport` names
this package to it.
"""

from knightshift.hardware.monitors.emulated.devices import (
    EmulatedDevice,
    EmulatedEurotherm,
    EmulatedIlm,
    EmulatedJulabo,
    EmulatedModbus,
    EmulatedPotentiostat,
)
from knightshift.hardware.monitors.emulated.faults import FaultKind, FaultSource, ScriptedFaults, SeededFaults
from knightshift.hardware.monitors.emulated.line import EmulatedLine
from knightshift.hardware.monitors.emulated.plugs import line_for, plug_in, unplug_all
from knightshift.hardware.monitors.emulated.pty_server import PtyServer

__all__ = [
    "EmulatedDevice",
    "EmulatedEurotherm",
    "EmulatedIlm",
    "EmulatedJulabo",
    "EmulatedLine",
    "EmulatedModbus",
    "EmulatedPotentiostat",
    "FaultKind",
    "FaultSource",
    "PtyServer",
    "ScriptedFaults",
    "SeededFaults",
    "line_for",
    "plug_in",
    "unplug_all",
]
