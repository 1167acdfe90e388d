"""Check that a program fits a scanner: what every backend does before any RF."""

from __future__ import annotations

import numpy as np

from knightshift.core.errors import LimitError, ProtocolError
from knightshift.core.limits import ScannerLimits
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import Capabilities
from knightshift.hardware.pulseq_text import AXES, EventTables, read_pulseq

_ROUNDING = 1 + 1e-6
_LARGEST_FIELD_MISMATCH = 1e-5


def check_program(program: PassProgram, capabilities: Capabilities) -> EventTables:
    """Read the Pulseq text of `program` and hold it against what the scanner can do.

    Gradients are compared in T/m, with the gyromagnetic ratio of the program's own nucleus.

    Returns
    -------
    EventTables
        The events, parsed.

    Raises
    ------
    ProtocolError
        If the nucleus, the field, the gyromagnetic ratio in the file, or what the program says of its own length and
        readouts do not fit.
    LimitError
        If gradients, slew rates or RF exceed the limits.
    """
    limits = capabilities.limits
    if program.nucleus not in capabilities.nuclei:
        raise ProtocolError(
            f"{program.name} is for {program.nucleus}, the coil of {limits.name} is tuned for "
            f"{', '.join(capabilities.nuclei)}: change the coil or the protocol's nucleus"
        )
    if abs(program.b0 / limits.b0 - 1) > _LARGEST_FIELD_MISMATCH:
        raise ProtocolError(
            f"{program.name} was built for {program.b0:.4f} T, {limits.name} has {limits.b0:.4f} T: build it again "
            "with the limits of this scanner"
        )
    tables = read_pulseq(program.pulseq, program.gyromagnetic_ratio * program.b0)
    _check_self_consistent(program, tables)
    _check_gradients(program, tables, limits)
    _check_rf(program, tables, limits)
    return tables


def _check_self_consistent(program: PassProgram, tables: EventTables) -> None:
    written = tables.definitions.get("Gamma")
    if written is not None and abs(_number(written, "Gamma") / program.gyromagnetic_ratio - 1) > 1e-3:
        raise ProtocolError(
            f"{program.name}: the Pulseq file was written with gamma {written} Hz/T, the program says "
            f"{program.gyromagnetic_ratio:.6g} Hz/T: build it again"
        )
    windows = [tables.adc[block.adc] for block in tables.blocks if block.adc]
    longest = max((window.samples for window in windows), default=0)
    if len(windows) != program.n_readouts or longest != program.samples:
        raise ProtocolError(
            f"{program.name}: the Pulseq file has {len(windows)} acquisition windows of "
            f"up to {longest} samples, the program says {program.n_readouts} of "
            f"{program.samples}: build it again"
        )
    if abs(tables.duration - program.duration) > 1e-6 * max(1.0, program.duration):
        raise ProtocolError(
            f"{program.name}: the Pulseq file lasts {tables.duration:.6f} s, the program says "
            f"{program.duration:.6f} s: build it again"
        )


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ProtocolError(f"definition {name} of the Pulseq file is {text!r}, not a number") from None


def _check_gradients(program: PassProgram, tables: EventTables, limits: ScannerLimits) -> None:
    used = {
        (axis, index) for block in tables.blocks for axis, index in zip(AXES, block.gradients, strict=True) if index
    }
    for axis, index in sorted(used):
        event = tables.gradients[index]
        peak = float(np.abs(event.amplitudes).max()) / program.gyromagnetic_ratio
        if peak > limits.max_gradient * _ROUNDING:
            raise LimitError(
                f"{program.name}: the {axis} gradient reaches {peak:.4g} T/m for {program.nucleus}, {limits.name} "
                f"allows {limits.max_gradient:.4g} T/m: lengthen the gradient or coarsen the resolution"
            )
        widths = np.diff(event.times)
        rises = np.abs(np.diff(event.amplitudes)) / program.gyromagnetic_ratio
        jumps = widths <= 0
        slew = float((rises[~jumps] / widths[~jumps]).max(initial=0.0))
        if (rises[jumps] > 0).any() or slew > limits.max_slew * _ROUNDING:
            raise LimitError(
                f"{program.name}: the {axis} gradient slews at {slew:.4g} T/m/s or jumps, {limits.name} allows "
                f"{limits.max_slew:.4g} T/m/s: lengthen its ramps"
            )


def _check_rf(program: PassProgram, tables: EventTables, limits: ScannerLimits) -> None:
    on = 0.0
    for block in tables.blocks:
        if not block.rf:
            continue
        pulse = tables.rf[block.rf]
        on += pulse.duration
        peak = float(np.abs(pulse.envelope).max())
        if peak > limits.max_rf_amplitude * _ROUNDING:
            raise LimitError(
                f"{program.name}: a pulse needs a nutation frequency of {peak / 1e3:.4g} kHz, {limits.name} allows "
                f"{limits.max_rf_amplitude / 1e3:.4g} kHz: lengthen the pulse"
            )
    if on > limits.max_rf_duty * program.duration:
        raise LimitError(
            f"{program.name}: RF is on for {on / program.duration:.2%} of the time, {limits.name} allows "
            f"{limits.max_rf_duty:.2%}: lengthen the repetition time"
        )
