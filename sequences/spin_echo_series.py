"""Separate spin echoes: one echo per excitation, the echo time stepped from pass to pass.

In a conductor B1 falls off with depth, so that refocusing is 180 degrees nowhere in particular. In an echo train the
stimulated echoes then lengthen the apparent T2; a single spin echo loses signal but keeps its true decay.

::

    excitation - delay - encode - refocusing - crusher - delay - readout - rewind + spoil
               |<------- TE/2 ------->|<------- TE/2 -------->|

Only the delays change with the echo time: every gradient moment stays the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

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
from knightshift.sequences.raster import ceil_to, floor_to, milliseconds, require_raster


class SpinEchoSeries(RefocusingFields):
    """One spin echo per excitation; the echo times alternate pass by pass."""

    kind: Literal["spin_echo_series"]
    """Protocol family."""
    echo_times: tuple[PositiveSeconds, ...] = Field(min_length=1, max_length=64)
    """Echo times, one image each, in ascending order: centre of the excitation to the echo."""

    @property
    def n_steps(self) -> int:
        """Programs that alternate pass by pass: one for each echo time."""
        return len(self.echo_times)

    @model_validator(mode="after")
    def _echo_times_ascend(self) -> Self:
        if any(later <= earlier for earlier, later in zip(self.echo_times, self.echo_times[1:], strict=False)):
            listed = ", ".join(milliseconds(time) for time in self.echo_times)
            raise ValueError(f"echo_times {listed} do not ascend: sort them and leave each out but once")
        return self


@dataclass(frozen=True)
class _Timing:
    """Everything that all echo times share."""

    excitation: Pulse
    refocusing: Pulse
    readout: CartesianReadout
    encode: float
    """Duration of the lobes before the refocusing pulse [s]."""
    crusher: float
    """Duration of the crusher after it [s]."""
    end: float
    """Duration of rewinder and spoiler [s]."""

    @property
    def before(self) -> float:
        """Shortest time from excitation to refocusing [s]."""
        return round(self.excitation.after_center + self.encode + self.refocusing.center, 12)

    @property
    def after(self) -> float:
        """Shortest time from refocusing to echo [s]."""
        return round(self.refocusing.after_center + self.crusher + self.readout.center, 12)


def _areas(protocol: SpinEchoSeries, excitation: Pulse) -> tuple[float, float]:
    """Areas along the slice axis before and after the refocusing pulse [1/m]."""
    crusher = protocol.crusher_cycles / protocol.depth
    return crusher - excitation.area_after_center, crusher


def _timing(protocol: SpinEchoSeries, echo_time: float, gradients: GradientSystem) -> _Timing:
    excitation = excitation_pulse(protocol, gradients, -echo_time)
    refocusing = refocusing_pulse(protocol, gradients, -echo_time / 2)
    readout = cartesian_readout(protocol, gradients)
    slice_before, crusher = _areas(protocol, excitation)
    lines = largest_line_area(protocol)
    shortest = max(gradients.shortest_lobe(area) for area in (lines, readout.half_area, slice_before))
    # The same lobes for every echo time: what the shortest one leaves, whatever the raster does to its pulses.
    pulses = excitation_pulse(protocol, gradients).after_center + refocusing_pulse(protocol, gradients).center
    room = floor_to(protocol.echo_times[0], 2 * gradients.raster) / 2 - pulses - _raster_slack(protocol, gradients)
    encode = largest_lobe_that_fits(shortest, room, gradients.raster)
    return _Timing(
        excitation=excitation,
        refocusing=refocusing,
        readout=readout,
        encode=encode,
        crusher=gradients.shortest_lobe(crusher),
        end=max(encode, gradients.shortest_lobe(spoiler_area(protocol))),
    )


def _raster_slack(protocol: SpinEchoSeries, gradients: GradientSystem) -> float:
    """Room that pulses off the block raster may need [s]."""
    step = 2 * gradients.raster
    on_it = all(ceil_to(time, step) == floor_to(time, step) for time in protocol.echo_times)
    return 0.0 if on_it else step


def minimum_echo_time(protocol: SpinEchoSeries, gradients: GradientSystem) -> float:
    """Shortest echo time that pulses, encoding and readout of `protocol` allow [s]."""
    shortest = protocol.model_copy(update={"echo_times": (2 * gradients.raster,)})
    timing = _timing(shortest, 0.0, gradients)
    return round(2 * max(timing.before, timing.after), 12)


def build_step(protocol: SpinEchoSeries, step: int, gradients: GradientSystem) -> PassProgram:
    """Program of one echo time.

    Raises
    ------
    ProtocolError
        If the echo time is too short for pulses, encoding and readout, or off the raster.
    """
    echo_time = require_raster("echo_time", protocol.echo_times[step], 2 * gradients.limits.rf_raster_time)
    timing = _timing(protocol, echo_time, gradients)
    delays = (round(echo_time / 2 - timing.before, 12), round(echo_time / 2 - timing.after, 12))
    if min(delays) < 0:
        least = ceil_to(max(echo_time, minimum_echo_time(protocol, gradients)), 2 * gradients.raster)
        raise ProtocolError(
            f"echo_time {milliseconds(echo_time)} is too short: this encoding and readout need {milliseconds(least)}: "
            f"raise echo_time, or shorten the window (dwell_time, matrix along {protocol.readout_axis}), or lower the "
            f"resolution along {protocol.phase_axis} (matrix, field_of_view)"
        )
    repetition = _Repetition(protocol, timing, delays, step, gradients)
    return assemble(protocol, imaging_layout(protocol, f"{step + 1}/{protocol.n_steps}", repetition), gradients)


class _Repetition:
    """Blocks of one line."""

    def __init__(
        self,
        protocol: SpinEchoSeries,
        timing: _Timing,
        delays: tuple[float, float],
        step: int,
        gradients: GradientSystem,
    ) -> None:
        before, crusher = _areas(protocol, timing.excitation)
        axis = protocol.slice_axis
        self._timing, self._delays, self._step = timing, delays, step
        self._parts = LineParts(protocol, timing, gradients)
        self._prephase = gradients.lobe(protocol.readout_axis, timing.readout.half_area, timing.encode)
        self._crushers = (gradients.lobe(axis, before, timing.encode), gradients.lobe(axis, crusher, timing.crusher))

    def __call__(self, line: int, phase_step: int) -> list[Block]:
        timing, parts = self._timing, self._parts
        # The refocusing pulse inverts k: encode the opposite line before it.
        encode = (parts.encode(line, -1), self._prephase, self._crushers[0])
        return [
            parts.excite(phase_step),
            Block(self._delays[0]),
            Block(timing.encode, encode),
            timing.refocusing.block,
            Block(timing.crusher, (self._crushers[1],)),
            Block(self._delays[1]),
            parts.read(phase_step, self._step),
            parts.finish(line),
        ]
