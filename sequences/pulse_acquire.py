"""One pulse, one free induction decay: the plain spectrum, and the adjustments that need one.

::

    excitation - ring-down - acquisition
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from knightshift.core.program import Encoding, PassProgram
from knightshift.core.quantities import NonNegativeSeconds, PositiveSeconds
from knightshift.sequences.blocks import Block
from knightshift.sequences.gradient_lobes import GradientSystem
from knightshift.sequences.pass_assembly import PassLayout, assemble, phases_of
from knightshift.sequences.protocol_fields import ProtocolFields
from knightshift.sequences.pulseq_library import pp
from knightshift.sequences.pulseq_system import Event, turned_window
from knightshift.sequences.pulses import Pulse, excitation_pulse
from knightshift.sequences.raster import ceil_to, require_raster


class PulseAcquire(ProtocolFields):
    """A free induction decay after a hard pulse, without gradients."""

    kind: Literal["pulse_acquire"]
    """Protocol family."""
    n_samples: Annotated[int, Field(ge=4, le=1_048_576)]
    """Complex samples of the decay, a multiple of 4."""
    dwell_time: PositiveSeconds
    """Time between two samples; its inverse is the width of the spectrum."""
    acquisition_delay: NonNegativeSeconds = 0.0
    """Waiting time beyond what ring-down and receiver need, before the first sample."""
    phase_cycle: Literal[1, 2, 4] = 4
    """Excitations within a pass, with phases in steps of 360 deg / phase_cycle; the receiver follows. 4 also removes
    quadrature images."""

    @model_validator(mode="after")
    def _samples_fit_the_receiver(self) -> Self:
        if self.n_samples % 4:
            raise ValueError(
                f"n_samples {self.n_samples} is not a multiple of 4, which receivers need: use "
                f"{self.n_samples + 4 - self.n_samples % 4}"
            )
        return self


@dataclass(frozen=True)
class _Timing:
    pulse: Pulse
    window: Event
    """Acquisition window at phase 0."""
    window_duration: float
    """Of the block that holds the window [s]."""

    @property
    def first_sample(self) -> float:
        """From the centre of the pulse to the first sample [s]."""
        return float(round(self.pulse.after_center + self.window.delay + self.window.dwell / 2, 12))


def _timing(protocol: PulseAcquire, gradients: GradientSystem) -> _Timing:
    limits = gradients.limits
    pulse = excitation_pulse(protocol, gradients)
    dwell = require_raster("dwell_time", protocol.dwell_time, limits.adc_raster_time)
    delay = require_raster("acquisition_delay", protocol.acquisition_delay, gradients.window_raster)
    delay = ceil_to(limits.adc_dead_time + delay, gradients.window_raster)
    window = pp.make_adc(protocol.n_samples, dwell=dwell, delay=delay, system=gradients.pulseq)
    duration = ceil_to(delay + protocol.n_samples * dwell + limits.adc_dead_time, gradients.raster)
    return _Timing(pulse, window, duration)


def build_step(protocol: PulseAcquire, step: int, gradients: GradientSystem) -> PassProgram:
    """Build the program of the decay; `step` is always 0.

    Raises
    ------
    ProtocolError
        If a time is off its raster, or the decay outlasts the repetition.
    """
    timing = _timing(protocol, gradients)
    phases = phases_of(protocol.phase_cycle)
    excitations = [timing.pulse.turned(phase) for phase in phases]
    windows = [turned_window(timing.window, phase) for phase in phases]

    def repetition(_line: int, phase_step: int) -> list[Block]:
        return [excitations[phase_step].block, Block(timing.window_duration, (windows[phase_step],))]

    layout = PassLayout(
        name=f"{protocol.name} step {step + 1}/1", lines=(0,), n_phases=protocol.phase_cycle, repetition=repetition
    )
    return assemble(protocol, layout, gradients)


def spectrum_encoding(protocol: PulseAcquire, gradients: GradientSystem) -> Encoding:
    """How the readouts become a spectrum; axes and extents have no meaning and are 1."""
    timing = _timing(protocol, gradients)
    first, dwell = timing.first_sample, float(timing.window.dwell)
    return Encoding(
        kind="spectrum",
        echo_times=(first,),
        matrix=(1, 1, protocol.n_samples),
        field_of_view=(1.0, 1.0, 1.0),
        axes=("x", "z", "y"),
        samples=protocol.n_samples,
        center_sample=-first / dwell,
        dwell_time=dwell,
        phase_cycle=protocol.phase_cycle,
        repetition_time=protocol.repetition_time,
    )
