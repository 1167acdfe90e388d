"""Spoiled gradient echo: no refocusing pulse, so the image shows T2* and where the field is disturbed.

::

    excitation - encode - delay - readout - rewind + spoil
               |<------ TE ------->|
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import model_validator

from knightshift.core.errors import ProtocolError
from knightshift.core.program import PassProgram
from knightshift.core.quantities import PositiveSeconds
from knightshift.sequences.blocks import Block
from knightshift.sequences.cartesian_readout import (
    CartesianReadout,
    cartesian_readout,
    largest_line_area,
    largest_lobe_that_fits,
)
from knightshift.sequences.encoding_lobes import spoiler_area
from knightshift.sequences.gradient_lobes import GradientSystem
from knightshift.sequences.line_parts import LineParts, imaging_layout
from knightshift.sequences.pass_assembly import assemble
from knightshift.sequences.protocol_fields import ImagingFields
from knightshift.sequences.pulses import Pulse, excitation_pulse
from knightshift.sequences.raster import ceil_to, milliseconds, require_raster


class GradientEcho(ImagingFields):
    """One gradient echo per excitation."""

    kind: Literal["gradient_echo"]
    """Protocol family."""
    echo_time: PositiveSeconds
    """Centre of the excitation to the centre of the echo."""

    @property
    def echo_times(self) -> tuple[float, ...]:
        """The one echo time [s]."""
        return (self.echo_time,)

    @model_validator(mode="after")
    def _echo_comes_before_the_next_excitation(self) -> Self:
        if self.echo_time >= self.repetition_time:
            raise ValueError(
                f"echo_time {milliseconds(self.echo_time)} is not shorter than repetition_time "
                f"{milliseconds(self.repetition_time)}: lower echo_time or raise repetition_time"
            )
        return self


@dataclass(frozen=True)
class _Timing:
    excitation: Pulse
    readout: CartesianReadout
    encode: float
    end: float

    @property
    def shortest(self) -> float:
        return round(self.excitation.after_center + self.encode + self.readout.center, 12)


def _timing(protocol: GradientEcho, gradients: GradientSystem) -> _Timing:
    excitation = excitation_pulse(protocol, gradients, -protocol.echo_time)
    readout = cartesian_readout(protocol, gradients)
    lines = largest_line_area(protocol)
    areas = (lines, readout.half_area, excitation.area_after_center)
    shortest = max(gradients.shortest_lobe(area) for area in areas)
    room = protocol.echo_time - excitation.after_center - readout.center
    encode = largest_lobe_that_fits(shortest, room, gradients.raster)
    end = max(encode, gradients.shortest_lobe(spoiler_area(protocol)))
    return _Timing(excitation, readout, encode, end)


def minimum_echo_time(protocol: GradientEcho, gradients: GradientSystem) -> float:
    """Shortest echo time that pulse, encoding and readout of `protocol` allow [s]."""
    return _timing(protocol.model_copy(update={"echo_time": gradients.raster}), gradients).shortest


def build_step(protocol: GradientEcho, step: int, gradients: GradientSystem) -> PassProgram:
    """Build the program of the gradient echo; `step` is always 0.

    Raises
    ------
    ProtocolError
        If the echo time is too short for pulse, encoding and readout, or off the raster.
    """
    timing = _timing(protocol, gradients)
    echo_time = require_raster("echo_time", protocol.echo_time, gradients.limits.rf_raster_time)
    delay = round(echo_time - timing.shortest, 12)
    if delay < 0:
        least = ceil_to(max(echo_time, minimum_echo_time(protocol, gradients)), gradients.raster)
        raise ProtocolError(
            f"echo_time {milliseconds(echo_time)} is too short: this encoding and readout need "
            f"{milliseconds(least)}: raise echo_time, or shorten the window "
            f"(dwell_time, matrix along {protocol.readout_axis}), or lower the resolution along {protocol.phase_axis}"
        )
    repetition = _Repetition(protocol, timing, delay, gradients)
    return assemble(protocol, imaging_layout(protocol, f"{step + 1}/1", repetition), gradients)


class _Repetition:
    """Blocks of one line."""

    def __init__(self, protocol: GradientEcho, timing: _Timing, delay: float, gradients: GradientSystem) -> None:
        self._timing, self._delay = timing, delay
        self._parts = LineParts(protocol, timing, gradients)
        self._prephase = gradients.lobe(protocol.readout_axis, -timing.readout.half_area, timing.encode)
        self._rephase = gradients.lobe(protocol.slice_axis, -timing.excitation.area_after_center, timing.encode)

    def __call__(self, line: int, phase_step: int) -> list[Block]:
        return [
            self._parts.excite(phase_step),
            Block(self._timing.encode, (self._parts.encode(line), self._prephase, self._rephase)),
            Block(self._delay),
            self._parts.read(phase_step),
            self._parts.finish(line),
        ]
