"""The FID of adjustments and references as a program for the scanner: built from the protocol that it serves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from knightshift.acquisition.adjustments.fid_line import FidTiming
from knightshift.core.errors import ConfigError, ProtocolError
from knightshift.core.limits import ScannerLimits
from knightshift.core.nuclei import nucleus_named
from knightshift.core.program import Measurement, PassProgram
from knightshift.hardware.adjustment_rules import FidConfig
from knightshift.sequences import PulseAcquire, build

_KNIGHT_SHIFT = 10e3
"""A working frequency farther than this from that of zero shift is on a shifted line [Hz]."""


@dataclass(frozen=True)
class FidProgram:
    """One FID over a phase cycle of four."""

    program: PassProgram
    """Ready for `Scanner.prepare`."""
    timing: FidTiming
    """When its samples are taken."""


def build_fid(
    measurement: Measurement,
    limits: ScannerLimits,
    fid: FidConfig,
    *,
    flip: float = math.pi / 2,
    pulse_length: float | None = None,
) -> FidProgram:
    """Build the FID for the nucleus and working frequency of a measurement.

    Parameters
    ----------
    measurement
        What it serves.
    limits
        Of the scanner.
    fid
        What the site file says.
    flip
        Nominal flip angle [rad].
    pulse_length
        Of the pulse [s]; None: that of `fid`.

    Raises
    ------
    LimitError, ProtocolError
        If the scanner cannot play it.
    """
    served = measurement.programs[0]
    resonance = nucleus_named(served.nucleus).frequency(limits.b0)
    protocol = PulseAcquire(
        kind="pulse_acquire",
        name="fid",
        nucleus=served.nucleus,
        shift=float(measurement.protocol.get("shift", served.working_frequency / resonance - 1)),
        n_samples=fid.n_samples,
        dwell_time=fid.dwell_time,
        phase_cycle=4,
        dummy_scans=1,  # so that all four are in the steady state, and their differences are noise
        repetition_time=fid.repetition_time,
        excitation_flip_angle=flip,
        excitation_pulse_length=fid.pulse_length if pulse_length is None else pulse_length,
        averages=1,
    )
    try:
        built = build(protocol, limits)
    except ProtocolError as error:
        raise type(error)(f"the FID of adjustments and references (adjustments in the site file): {error}") from error
    program = replace(built.programs[0], working_frequency=served.working_frequency)
    return FidProgram(program, FidTiming(built.encoding.echo_times[0], fid.dwell_time))


def check_search_range(measurement: Measurement, search_range: float) -> None:
    """Refuse a range in which a line of zero shift could be taken for the one wanted.

    Raises
    ------
    ConfigError
        If it covers more than half of the distance from the working frequency to that of zero shift.
    """
    program = measurement.programs[0]
    distance = abs(program.working_frequency - nucleus_named(program.nucleus).frequency(program.b0))
    if distance > _KNIGHT_SHIFT and search_range > distance / 2:
        raise ConfigError(
            f"search_range {search_range / 1e3:g} kHz is more than half of the {distance / 1e3:.4g} kHz between the "
            f"working frequency of {program.name} and the line of zero shift, which could be taken for it: "
            f"at most {distance / 2e3:.4g} kHz"
        )
