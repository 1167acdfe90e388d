"""RF pulses: hard ones, and a sinc that selects a slice.

Gradients move in steps of their raster (10 us), pulses in finer ones (1 us). So the echo stays where the gradients put
it, and the pulses are moved against the raster such that the echo time comes out exact.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from knightshift.core.errors import LimitError
from knightshift.sequences.blocks import Block
from knightshift.sequences.gradient_lobes import GradientSystem
from knightshift.sequences.protocol_fields import ImagingFields, ProtocolFields, RefocusingFields
from knightshift.sequences.pulseq_library import pp
from knightshift.sequences.pulseq_system import Event
from knightshift.sequences.raster import ceil_to, floor_to, next_at_phase, require_raster

TIME_BANDWIDTH = 4.0
"""Time-bandwidth product of the slice-selective sinc pulse."""

_APODIZATION = 0.5  # Hann window


@dataclass(frozen=True)
class Pulse:
    """One RF pulse with its gradient, alone in a block."""

    rf: Event
    """The pypulseq event."""
    center: float
    """From the start of the block to the centre of the pulse [s]."""
    duration: float
    """Of the block: dead time, pulse, ring-down [s]."""
    gradient: Event | None = None
    """Slice-selection gradient."""
    area_after_center: float = 0.0
    """What the gradient dephases after the centre of the pulse [1/m]: to be rephased."""

    @property
    def after_center(self) -> float:
        """From the centre of the pulse to the end of the block [s]."""
        return round(self.duration - self.center, 12)

    @property
    def length(self) -> float:
        """Time during which RF is on [s]."""
        return float(self.rf.shape_dur)

    @property
    def block(self) -> Block:
        """The block it stands in."""
        return Block(self.duration, (self.rf, self.gradient))

    def turned(self, phase: float) -> Pulse:
        """Copy the pulse with its phase advanced by `phase` [rad]."""
        rf = copy(self.rf)
        rf.phase_offset = rf.phase_offset + phase
        return replace(self, rf=rf)


def excitation_pulse(protocol: ProtocolFields, gradients: GradientSystem, center_phase: float = 0.0) -> Pulse:
    """Make the excitation at phase 0: hard, or selective if the protocol names a slice.

    Parameters
    ----------
    protocol
        Says flip angle, length and slice.
    gradients
        What the scanner can do.
    center_phase
        Where the centre of the pulse shall be, modulo the block raster [s].

    Raises
    ------
    LimitError
        If RF or gradient amplitude exceed what the scanner allows.
    ProtocolError
        If the length is off the raster.
    """
    if isinstance(protocol, ImagingFields) and protocol.slice_thickness is not None:
        return _selective_pulse(protocol, protocol.slice_thickness, gradients, center_phase)
    flip, length = protocol.excitation_flip_angle, protocol.excitation_pulse_length
    return _hard_pulse("excitation", (flip, length), gradients, center_phase)


def refocusing_pulse(protocol: RefocusingFields, gradients: GradientSystem, center_phase: float = 0.0) -> Pulse:
    """Make the hard refocusing pulse, its phase 90 deg ahead of the excitation (the CPMG condition).

    Parameters
    ----------
    protocol
        Says flip angle and length.
    gradients
        What the scanner can do.
    center_phase
        Where the centre of the pulse shall be, modulo the block raster [s].

    Raises
    ------
    LimitError
        If its amplitude exceeds what the coil can stand.
    ProtocolError
        If its length is off the raster.
    """
    flip, length = protocol.refocusing_flip_angle, protocol.refocusing_pulse_length
    return _hard_pulse("refocusing", (flip, length), gradients, center_phase).turned(math.pi / 2)


def _hard_pulse(
    use: str, flip_and_length: tuple[float, float], gradients: GradientSystem, center_phase: float
) -> Pulse:
    limits = gradients.limits
    flip_angle, length = flip_and_length
    length = require_raster(f"{use}_pulse_length", length, 2 * limits.rf_raster_time)
    _check_amplitude(f"{use}_pulse_length", flip_angle / (2 * math.pi * length), length, gradients)
    center = next_at_phase(limits.rf_dead_time + length / 2, center_phase, gradients.raster)
    rf = pp.make_block_pulse(
        flip_angle, duration=length, delay=round(center - length / 2, 12), use=use, system=gradients.pulseq
    )
    duration = ceil_to(center + length / 2 + limits.rf_ringdown_time, gradients.raster)
    return Pulse(rf, center, duration)


def _selective_pulse(
    protocol: ImagingFields, thickness: float, gradients: GradientSystem, center_phase: float
) -> Pulse:
    limits = gradients.limits
    length = require_raster("excitation_pulse_length", protocol.excitation_pulse_length, 2 * limits.rf_raster_time)
    amplitude = TIME_BANDWIDTH / length / thickness
    _check_slice_gradient(amplitude, length, gradients)
    ramp = gradients.ramp_time(amplitude)
    center = next_at_phase(max(limits.rf_dead_time, ramp) + length / 2, center_phase, gradients.raster)
    start, end = center - length / 2, center + length / 2
    gradient_delay = floor_to(start - ramp, gradients.raster)
    flat = round(ceil_to(end, gradients.raster) - gradient_delay - ramp, 12)
    frequency = amplitude * protocol.slice_position
    rf = pp.make_sinc_pulse(
        protocol.excitation_flip_angle,
        duration=length,
        delay=round(start, 12),
        apodization=_APODIZATION,
        time_bw_product=TIME_BANDWIDTH,
        freq_offset=frequency,
        phase_offset=-2 * math.pi * frequency * length / 2,  # phase 0 at the centre, wherever the slice is
        use="excitation",
        system=gradients.pulseq,
    )
    _check_amplitude("excitation_pulse_length", float(np.abs(rf.signal).max()), length, gradients)
    after = amplitude * (gradient_delay + ramp + flat - center + ramp / 2)
    gradient = gradients.trapezoid(protocol.slice_axis, amplitude, (ramp, flat), gradient_delay)
    duration = ceil_to(max(end + limits.rf_ringdown_time, gradient_delay + 2 * ramp + flat), gradients.raster)
    return Pulse(rf, center, duration, gradient, after)


def _check_amplitude(field: str, amplitude: float, length: float, gradients: GradientSystem) -> None:
    limit = gradients.limits.max_rf_amplitude
    if amplitude > limit * (1 + 1e-9):
        raise LimitError(
            f"{field} {length * 1e6:g} us needs an RF amplitude of {amplitude / 1e3:.4g} kHz, the limit of "
            f"{gradients.limits.name} is {limit / 1e3:g} kHz: lengthen {field} to "
            f"{ceil_to(length * amplitude / limit, 2 * gradients.limits.rf_raster_time) * 1e6:g} us"
        )


def _check_slice_gradient(amplitude: float, length: float, gradients: GradientSystem) -> None:
    if amplitude > gradients.max_amplitude * (1 + 1e-9):
        raise LimitError(
            f"slice_thickness with an excitation_pulse_length of {length * 1e6:g} us needs "
            f"{gradients.tesla_per_metre(amplitude):.4g} T/m, the limit is {gradients.limits.max_gradient:g} T/m: "
            f"lengthen excitation_pulse_length to {length * amplitude / gradients.max_amplitude * 1e6:.4g} us or more, "
            f"or choose a thicker slice"
        )
