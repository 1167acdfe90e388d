"""A CPMG train: many echoes per excitation, each its own image.

::

    excitation - delay - prephase - [ refocusing - encode - delay - readout - delay - rewind ] x n - spoil
               |<------ ESP/2 ----->|<------- ESP/2 -------->|<------- ESP/2 ------->|

Phase encoding is rewound and the readout is symmetric about each echo, so k is the same just before every refocusing
pulse; the refocusing phase is 90 degrees from the excitation; equal crushers stand on both sides of every refocusing
pulse. These are the conditions under which stimulated and spin echoes add up (CPMG).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

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
from knightshift.sequences.protocol_fields import RefocusingFields
from knightshift.sequences.pulses import Pulse, excitation_pulse, refocusing_pulse
from knightshift.sequences.raster import ceil_to, milliseconds, require_raster


class MultiEchoSpinEcho(RefocusingFields):
    """A train of spin echoes after each excitation (CPMG)."""

    kind: Literal["multi_echo_spin_echo"]
    """Protocol family."""
    echo_spacing: PositiveSeconds
    """Time between two echo centres; the first echo is at one spacing."""
    n_echoes: Annotated[int, Field(ge=1, le=4096)]
    """Echoes per excitation, one image each."""

    @property
    def echo_times(self) -> tuple[float, ...]:
        """Echo times [s]."""
        return tuple(round(self.echo_spacing * n, 12) for n in range(1, self.n_echoes + 1))

    @model_validator(mode="after")
    def _train_fits_into_repetition(self) -> Self:
        if (train := self.n_echoes * self.echo_spacing) >= self.repetition_time:
            raise ValueError(
                f"the echo train lasts {milliseconds(train)}, repetition_time only "
                f"{milliseconds(self.repetition_time)}: lower n_echoes or echo_spacing, or raise repetition_time"
            )
        return self


@dataclass(frozen=True)
class _Timing:
    excitation: Pulse
    refocusing: Pulse
    readout: CartesianReadout
    encode: float
    """Duration of all encoding, rewinding and crushing lobes [s]."""
    end: float
    """Duration of the last lobes: rewinder and spoiler [s]."""

    @property
    def halves(self) -> tuple[float, float, float]:
        """Shortest times excitation to refocusing, refocusing to echo, echo to refocusing [s]."""
        first = self.excitation.after_center + self.encode + self.refocusing.center
        before = self.refocusing.after_center + self.encode + self.readout.center
        after = self.readout.center + self.encode + self.refocusing.center
        return round(first, 12), round(before, 12), round(after, 12)


def _slice_areas(protocol: MultiEchoSpinEcho, excitation: Pulse) -> tuple[float, float]:
    """Areas along the slice axis before the first refocusing pulse, and beside all others [1/m]."""
    crusher = protocol.crusher_cycles / protocol.depth
    return crusher - excitation.area_after_center, crusher


def _timing(protocol: MultiEchoSpinEcho, gradients: GradientSystem) -> _Timing:
    excitation = excitation_pulse(protocol, gradients)
    refocusing = refocusing_pulse(protocol, gradients, protocol.echo_spacing / 2)
    readout = cartesian_readout(protocol, gradients)
    lines = largest_line_area(protocol)
    areas = (lines, readout.half_area, *_slice_areas(protocol, excitation))
    shortest = max(gradients.shortest_lobe(area) for area in areas)
    pulses = max(refocusing.center, refocusing.after_center)
    room = min(
        protocol.echo_spacing / 2 - pulses - readout.center,
        protocol.echo_spacing / 2 - excitation.after_center - refocusing.center,
    )
    encode = largest_lobe_that_fits(shortest, room, gradients.raster)
    return _Timing(
        excitation=excitation,
        refocusing=refocusing,
        readout=readout,
        encode=encode,
        end=max(encode, gradients.shortest_lobe(spoiler_area(protocol))),
    )


def minimum_echo_spacing(protocol: MultiEchoSpinEcho, gradients: GradientSystem) -> float:
    """Shortest echo spacing that pulses, encoding and readout of `protocol` allow [s]."""
    timing = _timing(protocol.model_copy(update={"echo_spacing": 2 * gradients.raster}), gradients)
    return round(2 * max(timing.halves), 12)


def build_step(protocol: MultiEchoSpinEcho, step: int, gradients: GradientSystem) -> PassProgram:
    """Build the program of the train; `step` is always 0.

    Raises
    ------
    ProtocolError
        If the echo spacing is too short for pulses, encoding and readout, or off the raster.
    """
    timing = _timing(protocol, gradients)
    spacing = require_raster("echo_spacing", protocol.echo_spacing, gradients.raster)
    first, before, after = (round(spacing / 2 - half, 12) for half in timing.halves)
    if min(first, before, after) < 0:
        least = ceil_to(max(spacing, minimum_echo_spacing(protocol, gradients)), 2 * gradients.raster)
        raise ProtocolError(
            f"echo_spacing {milliseconds(spacing)} is too short: pulses, encoding and readout need "
            f"{milliseconds(least)}: raise echo_spacing, or shorten the window "
            f"(dwell_time, matrix along {protocol.readout_axis}), or lower the resolution along {protocol.phase_axis}"
        )
    repetition = _Repetition(protocol, timing, (first, before, after), gradients)
    return assemble(protocol, imaging_layout(protocol, f"{step + 1}/1", repetition), gradients)


class _Repetition:
    """Blocks of one line."""

    def __init__(
        self,
        protocol: MultiEchoSpinEcho,
        timing: _Timing,
        delays: tuple[float, float, float],
        gradients: GradientSystem,
    ) -> None:
        first, crusher = _slice_areas(protocol, timing.excitation)
        axis = protocol.slice_axis
        self._timing, self._delays, self._n_echoes = timing, delays, protocol.n_echoes
        self._parts = LineParts(protocol, timing, gradients)
        self._prephase = gradients.lobe(protocol.readout_axis, timing.readout.half_area, timing.encode)
        self._first_crusher = gradients.lobe(axis, first, timing.encode)
        self._crusher = gradients.lobe(axis, crusher, timing.encode)

    def __call__(self, line: int, phase_step: int) -> list[Block]:
        timing, parts, (first, before, after) = self._timing, self._parts, self._delays
        blocks = [
            parts.excite(phase_step),
            Block(first),
            Block(timing.encode, (self._prephase, self._first_crusher)),
        ]
        for echo in range(self._n_echoes):
            last = echo == self._n_echoes - 1
            blocks += [
                timing.refocusing.block,
                Block(timing.encode, (parts.encode(line), self._crusher)),
                Block(before),
                parts.read(phase_step, echo),
            ]
            if not last:
                blocks += [Block(after), Block(timing.encode, (parts.encode(line, -1), self._crusher))]
        blocks.append(parts.finish(line))
        return blocks
