"""What one line of k-space needs in every imaging sequence: excitation, readout, phase encoding and its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from knightshift.sequences.blocks import Block
from knightshift.sequences.cartesian_readout import CartesianReadout, line_order
from knightshift.sequences.encoding_lobes import LineLobes, imaging_extent, spoiler_area
from knightshift.sequences.gradient_lobes import GradientSystem
from knightshift.sequences.pass_assembly import PassLayout, phases_of
from knightshift.sequences.protocol_fields import ImagingFields
from knightshift.sequences.pulseq_system import Event
from knightshift.sequences.pulses import Pulse


class LineTiming(Protocol):
    """What must be known of the parts of a line."""

    @property
    def excitation(self) -> Pulse:
        """The pulse, of the first phase."""
        ...

    @property
    def readout(self) -> CartesianReadout:
        """Gradient and window."""
        ...

    @property
    def encode(self) -> float:
        """Duration of the encoding lobes [s]."""
        ...

    @property
    def end(self) -> float:
        """Duration of rewinder and spoiler [s]."""
        ...


class LineParts:
    """Blocks and lobes of one line; gradients that do not change are made once.

    Parameters
    ----------
    protocol
        Whose lines.
    timing
        Pulse, readout and durations.
    gradients
        Makes the lobes.
    """

    def __init__(self, protocol: ImagingFields, timing: LineTiming, gradients: GradientSystem) -> None:
        self._readout, self._end = timing.readout, timing.end
        phases = phases_of(protocol.phase_cycle)
        self._excitations = [timing.excitation.turned(phase) for phase in phases]
        self._windows = [timing.readout.window(phase) for phase in phases]
        self._spoiler = gradients.lobe(protocol.slice_axis, spoiler_area(protocol), timing.end)
        self._encode = LineLobes(protocol, timing.encode, gradients)
        self._rewind = LineLobes(protocol, timing.end, gradients)

    def excite(self, phase_step: int) -> Block:
        """Excitation with the phase of a step of the cycle."""
        return self._excitations[phase_step].block

    def encode(self, line: int, sign: int = 1) -> Event | None:
        """Lobe to line `line`, or with ``sign`` -1 away from it; None at the centre of k-space."""
        return self._encode.of(line, sign)

    def read(self, phase_step: int, echo: int = 0) -> Block:
        """Readout of an echo, the receiver following the phase cycle."""
        return Block(self._readout.duration, (self._readout.gradient, self._windows[phase_step]), echo=echo)

    def finish(self, line: int) -> Block:
        """Rewinder and spoiler."""
        return Block(self._end, (self._rewind.of(line, -1), self._spoiler))


def imaging_layout(protocol: ImagingFields, step: str, repetition: Callable[[int, int], list[Block]]) -> PassLayout:
    """Lay out one pass over all lines; `step` says which pass of how many, ``2/5``."""
    return PassLayout(
        name=f"{protocol.name} step {step}",
        lines=tuple(line_order(protocol)),
        n_phases=protocol.phase_cycle,
        repetition=repetition,
        field_of_view=imaging_extent(protocol),
    )
