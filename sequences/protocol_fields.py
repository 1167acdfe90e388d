"""Fields that several protocol families share, in the words of the field.

In YAML every dimensional quantity says its unit; in Python all values are SI (s, Hz, m, rad).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, model_validator

from knightshift.core.nuclei import Nucleus, nucleus_named
from knightshift.core.quantities import Metres, PositiveHertz, PositiveMetres, PositiveSeconds, Radians, Ratio

Axis: TypeAlias = Literal["x", "y", "z"]
"""Laboratory axis of a gradient; B0 is along z."""

PhaseEncodeOrder: TypeAlias = Literal["linear", "centric", "interleaved"]
"""From one edge of k-space to the other; centre first; every second line, then the others."""

Extent: TypeAlias = Annotated[PositiveMetres, Field(le=1)]
"""A length in the magnet [m]."""

FlipAngle: TypeAlias = Annotated[Radians, Field(gt=0, le=2 * math.pi)]


def _canonical_nucleus(name: str) -> str:
    return nucleus_named(name).name


class ProtocolFields(BaseModel):
    """What every protocol says. It also names its family: `kind`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """What the protocol is called in file names and reports: one word."""
    nucleus: Annotated[str, AfterValidator(_canonical_nucleus)]
    """Isotope that is observed: "23Na", "7Li", "1H", ..."""
    shift: Ratio = 0.0
    """Chemical or Knight shift that transmitter and receiver are tuned to; 1126 ppm for sodium metal."""
    repetition_time: PositiveSeconds
    """Excitation to excitation (TR)."""
    averages: PositiveInt | None = None
    """Passes per image (each holds the whole phase cycle). Give either this or `duration`."""
    duration: PositiveSeconds | None = None
    """Time to fill: as many passes as fit, in whole cycles of the steps. Give either this or `averages`."""
    dummy_scans: int = Field(default=0, ge=0, le=10_000)
    """Excitations without a readout at the start of each pass, to reach the steady state."""
    excitation_flip_angle: FlipAngle = math.pi / 2
    """Flip angle of the excitation pulse."""
    excitation_pulse_length: PositiveSeconds = 50e-6
    """Length of the excitation pulse: hard, or a sinc if a slice is selected. The longer, the less it excites off
    resonance."""

    @property
    def isotope(self) -> Nucleus:
        """The observed nucleus with its gyromagnetic ratio."""
        return nucleus_named(self.nucleus)

    @property
    def n_steps(self) -> int:
        """Programs that alternate pass by pass."""
        return 1

    @model_validator(mode="after")
    def _either_averages_or_duration(self) -> Self:
        if (self.averages is None) == (self.duration is None):
            found = "neither" if self.averages is None else "both"
            raise ValueError(f"give either averages or duration, found {found}: e.g. duration: '11.5 h'")
        return self


class ImagingFields(ProtocolFields):
    """What a protocol with a Cartesian readout adds."""

    field_of_view: dict[Axis, Extent] = Field(min_length=2, max_length=2)
    """Field of view along the two imaged axes; the third axis is projected over, or sliced."""
    matrix: dict[Axis, Annotated[int, Field(ge=1, le=4096)]] = Field(min_length=2, max_length=2)
    """Pixels along the two imaged axes, even numbers that may differ. 1 along the phase-encoded axis: no phase
    encoding."""
    readout_axis: Axis
    """Imaged axis along which the readout gradient points; the other one is phase-encoded."""
    projection_depth: Extent = 4e-3
    """Depth of the sample along the third axis: crushers and spoilers turn whole cycles over it."""
    slice_thickness: Extent | None = None
    """Thickness of a selected slice; left out: no slice selection, a projection through the sample."""
    slice_position: Metres = 0.0
    """Centre of the slice from the isocentre along the third axis."""
    dwell_time: PositiveSeconds | None = None
    """Time between two samples, oversampling included: a multiple of 2 us on a 1 us raster. Give either this or
    `bandwidth`."""
    bandwidth: PositiveHertz | None = None
    """Receiver bandwidth across the field of view, rounded so that the dwell time falls on its raster. Give either this
    or `dwell_time`."""
    readout_oversampling: Annotated[int, Field(ge=1, le=16)] = 2
    """Samples per pixel along the readout; the surplus field of view is cut off after the transform."""
    phase_encode_order: PhaseEncodeOrder = "linear"
    """Order of the phase-encode lines within a pass: linear (one edge to the other), centric, or interleaved."""
    phase_cycle: Literal[1, 2] = 2
    """Excitations of each line within a pass, with phases 0 and 180 deg; the receiver follows."""
    spoiler_cycles: int = Field(default=5, ge=0, le=1000)
    """Whole cycles of phase over the projection depth (or slice) at the end of each repetition."""

    @property
    def phase_axis(self) -> Axis:
        """The phase-encoded axis."""
        (axis,) = (axis for axis in self.field_of_view if axis != self.readout_axis)
        return axis

    @property
    def slice_axis(self) -> Axis:
        """The axis that is projected over, or sliced."""
        all_axes: tuple[Axis, ...] = ("x", "y", "z")
        (axis,) = (axis for axis in all_axes if axis not in self.field_of_view)
        return axis

    @property
    def depth(self) -> float:
        """Extent of the excited sample along the slice axis [m]."""
        return self.projection_depth if self.slice_thickness is None else self.slice_thickness

    @property
    def n_lines(self) -> int:
        """Phase-encode lines."""
        return self.matrix[self.phase_axis]

    @property
    def n_samples(self) -> int:
        """Complex samples of one readout, oversampling included."""
        return self.matrix[self.readout_axis] * self.readout_oversampling

    @model_validator(mode="after")
    def _axes_fit_together(self) -> Self:
        if set(self.field_of_view) != set(self.matrix):
            raise ValueError(
                f"field_of_view names the axes {', '.join(sorted(self.field_of_view))}, matrix "
                f"{', '.join(sorted(self.matrix))}: name the same two"
            )
        if self.readout_axis not in self.field_of_view:
            raise ValueError(
                f"readout_axis {self.readout_axis} is not imaged: choose {' or '.join(sorted(self.field_of_view))}"
            )
        return self

    @model_validator(mode="after")
    def _matrix_can_be_sampled(self) -> Self:
        if self.n_lines > 1 and self.n_lines % 2:
            raise ValueError(f"matrix {self.n_lines} along {self.phase_axis} is odd: use {self.n_lines + 1}, or 1")
        if self.n_samples % 4:
            raise ValueError(
                f"{self.n_samples} samples per readout (matrix {self.matrix[self.readout_axis]} along "
                f"{self.readout_axis} x readout_oversampling {self.readout_oversampling}) are not a multiple of 4, "
                f"which receivers need: change matrix or readout_oversampling"
            )
        return self

    @model_validator(mode="after")
    def _either_dwell_time_or_bandwidth(self) -> Self:
        if (self.dwell_time is None) == (self.bandwidth is None):
            found = "neither" if self.dwell_time is None else "both"
            raise ValueError(f"give either dwell_time or bandwidth, found {found}: e.g. dwell_time: '8 us'")
        return self


class RefocusingFields(ImagingFields):
    """What refocusing pulses add."""

    refocusing_flip_angle: FlipAngle = math.pi
    """Flip angle of the refocusing pulses; their phase is 90 deg from that of the excitation."""
    refocusing_pulse_length: PositiveSeconds = 100e-6
    """Length of the (hard) refocusing pulses."""
    crusher_cycles: int = Field(default=2, ge=0, le=1000)
    """Whole cycles of phase over the projection depth (or slice) on each side of a refocusing pulse, along the third
    axis, so that the imaged axes stay clean."""
