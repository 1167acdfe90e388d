"""From the repetition of one line to a complete pass: dummies, lines, phase cycle, labels, Pulseq text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from knightshift.core.errors import ProtocolError
from knightshift.core.program import PassProgram
from knightshift.sequences.blocks import Block
from knightshift.sequences.duty import check_duty, sequence_load
from knightshift.sequences.gradient_lobes import GradientSystem
from knightshift.sequences.protocol_fields import ProtocolFields
from knightshift.sequences.pulseq_library import pp
from knightshift.sequences.pulseq_system import Event, pulseq_text
from knightshift.sequences.raster import milliseconds, require_raster

LABELS = ("LIN", "PAR", "ECO", "SLC", "AVG", "SET")
"""Labels that every acquisition window carries, all of them set explicitly."""


@dataclass(frozen=True)
class PassLayout:
    """What a protocol family says about one pass."""

    name: str
    """Name of the program, for people."""
    lines: tuple[int, ...]
    """Phase-encode lines in the order of acquisition."""
    n_phases: int
    """Phase-cycle steps of each line."""
    repetition: Callable[[int, int], list[Block]]
    """Blocks of one repetition, for ``(line, phase-cycle step)``; shorter than the repetition time."""
    field_of_view: Mapping[str, float] = field(default_factory=dict)
    """Extent along the laboratory axes [m], for the Pulseq definition FOV."""


def phases_of(n_phases: int) -> list[float]:
    """Phases of the excitation, and of the receiver that follows it [rad]."""
    return [2 * math.pi * step / n_phases for step in range(n_phases)]


def assemble(protocol: ProtocolFields, layout: PassLayout, gradients: GradientSystem) -> PassProgram:
    """Play the layout into a Pulseq sequence and check its duty cycles.

    Raises
    ------
    ProtocolError
        If a repetition does not fit into the repetition time.
    LimitError
        If gradients or RF work harder than the scanner allows.
    """
    repetition_time = require_raster("repetition_time", protocol.repetition_time, gradients.raster)
    writer = _Writer(gradients, repetition_time)
    middle = sorted(layout.lines)[len(layout.lines) // 2]  # k = 0
    for dummy in range(protocol.dummy_scans):
        writer.repeat(layout.repetition(middle, dummy % layout.n_phases), None)
    for line in layout.lines:
        for step in range(layout.n_phases):
            writer.repeat(layout.repetition(line, step), {"LIN": line, "SET": step})
    check_duty(sequence_load(writer.sequence), gradients.nucleus, gradients.limits, layout.name)
    return writer.program(protocol, layout)


class _Writer:
    """Adds repetitions to a pypulseq sequence; each event is registered once, which makes it fast."""

    def __init__(self, gradients: GradientSystem, repetition_time: float) -> None:
        self.sequence = pp.Sequence(gradients.pulseq, use_block_cache=False)
        self._gradients = gradients
        self._repetition_time = repetition_time
        self._registered: dict[int, Event] = {}
        self._labels: dict[tuple[str, int], Event] = {}
        self._n_readouts = 0
        self._n_repetitions = 0
        self._samples = 0

    def repeat(self, blocks: list[Block], labels: Mapping[str, int] | None) -> None:
        """Add one repetition; without labels the acquisition windows are left out (a dummy scan)."""
        busy = round(sum(block.duration for block in blocks), 12)
        rest = round(self._repetition_time - busy, 12)
        if rest < 0:
            raise ProtocolError(
                f"repetition_time {milliseconds(self._repetition_time)} is too short: pulses, gradients and readouts "
                f"need {milliseconds(busy)}: raise repetition_time, or shorten the echo times"
            )
        for block in blocks:
            self._add(block, labels)
        if rest > 0:
            self.sequence.add_block(pp.make_delay(rest))
        self._n_repetitions += 1

    def _add(self, block: Block, labels: Mapping[str, int] | None) -> None:
        if block.duration == 0:
            return
        events: list[Event] = [pp.make_delay(block.duration)]
        for event in block.events:
            if event is None or (event.type == "adc" and labels is None):
                continue
            events.append(self._register(event))
            if event.type == "adc" and labels is not None:
                events += [self._label(name, {"ECO": block.echo, **labels}.get(name, 0)) for name in LABELS]
                self._n_readouts += 1
                self._samples = event.num_samples
        self.sequence.add_block(*events)

    def _register(self, event: Event) -> Event:
        if id(event) not in self._registered:
            register = {
                "rf": self.sequence.register_rf_event,
                "trap": self.sequence.register_grad_event,
                "adc": self.sequence.register_adc_event,
            }[event.type]
            found: Any = register(event)
            event.id = found[0] if isinstance(found, tuple) else found
            self._registered[id(event)] = event  # holds it, so that its id() stays its own
        return event

    def _label(self, name: str, value: int) -> Event:
        if (name, value) not in self._labels:
            label = pp.make_label(name, "SET", value)
            label.id = self.sequence.register_label_event(label)
            self._labels[name, value] = label
        return self._labels[name, value]

    def program(self, protocol: ProtocolFields, layout: PassLayout) -> PassProgram:
        """Close the pass: definitions, text, and what Pulseq does not carry."""
        nucleus, limits = self._gradients.nucleus, self._gradients.limits
        frequency = nucleus.frequency(limits.b0, protocol.shift)
        definitions = {
            "Name": layout.name.replace(" ", "_"),
            "Nucleus": nucleus.name,
            "Gamma": f"{nucleus.gyromagnetic_ratio:.17g}",
            "B0": f"{limits.b0:.17g}",
            "WorkingFrequency": f"{frequency:.17g}",
            "FOV": [float(layout.field_of_view.get(axis, 0.0)) for axis in "xyz"],
        }
        for key, value in definitions.items():
            self.sequence.set_definition(key, value)
        return PassProgram(
            name=layout.name,
            pulseq=pulseq_text(self.sequence),
            nucleus=nucleus.name,
            gyromagnetic_ratio=nucleus.gyromagnetic_ratio,
            b0=limits.b0,
            working_frequency=frequency,
            duration=round(self._n_repetitions * self._repetition_time, 9),
            n_readouts=self._n_readouts,
            samples=self._samples,
        )
