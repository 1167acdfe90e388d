"""Frequency encoding along one axis, phase encoding along the other: k = (n - N/2) / FOV on both.

The readout gradient is symmetric about k = 0, which falls exactly on sample ``n/2`` (samples sit at dwell centres), so
that the area before an echo equals the area after it: what the CPMG condition needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from knightshift.core.errors import LimitError, ProtocolError
from knightshift.sequences.gradient_lobes import GradientSystem
from knightshift.sequences.protocol_fields import ImagingFields
from knightshift.sequences.pulseq_library import pp
from knightshift.sequences.pulseq_system import Event, turned_window
from knightshift.sequences.raster import ceil_to, floor_to, on_raster, require_raster


@dataclass(frozen=True)
class CartesianReadout:
    """The readout gradient and the acquisition window in it, alone in a block."""

    gradient: Event
    """Trapezoid, symmetric about k = 0."""
    adc: Event
    """Acquisition window, phase 0."""
    center: float
    """From the start of the block to k = 0, also the half of its duration [s]."""
    half_area: float
    """Area of the gradient before (and after) k = 0 [1/m]."""
    dwell_time: float
    """Time between samples [s]."""

    @property
    def duration(self) -> float:
        """Of the block [s]."""
        return round(2 * self.center, 12)

    def window(self, phase: float) -> Event:
        """Acquisition window whose receiver phase is `phase` [rad]."""
        return turned_window(self.adc, phase)


def dwell_time_of(protocol: ImagingFields, gradients: GradientSystem) -> float:
    """Dwell time on the raster [s].

    The window starts (n + 1)/2 dwell times before k = 0 and must start on the RF raster (the Pulseq standard), so the
    dwell time has to be a multiple of twice that raster.

    Raises
    ------
    ProtocolError
        If the protocol's dwell time is not; the message names the neighbours.
    """
    raster = 2 * gradients.window_raster
    if protocol.dwell_time is not None:
        return require_raster("dwell_time", protocol.dwell_time, raster)
    if protocol.bandwidth is None:
        raise ProtocolError("neither dwell_time nor bandwidth is given: add dwell_time: '8 us'")
    wanted = 1.0 / (protocol.bandwidth * protocol.readout_oversampling)
    return on_raster(max(round(wanted / raster), 1), raster)


def cartesian_readout(protocol: ImagingFields, gradients: GradientSystem) -> CartesianReadout:
    """Make the readout of `protocol`.

    Raises
    ------
    LimitError
        If field of view and dwell time ask for too strong a gradient.
    ProtocolError
        If the dwell time is off the raster.
    """
    dwell, n_samples = dwell_time_of(protocol, gradients), protocol.n_samples
    field_of_view = protocol.field_of_view[protocol.readout_axis]
    amplitude = 1.0 / (protocol.readout_oversampling * field_of_view * dwell)
    _check_readout_gradient(protocol, amplitude, dwell, gradients)
    ramp = gradients.ramp_time(amplitude)
    before = (n_samples + 1) / 2 * dwell  # from the start of the window to the centre of sample n/2
    dead_time = gradients.limits.adc_dead_time
    half_flat = ceil_to(max(before, before + dead_time - ramp), gradients.raster)
    gradient = gradients.trapezoid(protocol.readout_axis, amplitude, (ramp, round(2 * half_flat, 12)))
    center = round(ramp + half_flat, 12)
    adc = pp.make_adc(n_samples, dwell=dwell, delay=round(center - before, 12), system=gradients.pulseq)
    return CartesianReadout(gradient, adc, center, amplitude * (half_flat + ramp / 2), dwell)


def _check_readout_gradient(protocol: ImagingFields, amplitude: float, dwell: float, gradients: GradientSystem) -> None:
    limit = gradients.max_amplitude
    if amplitude <= limit * (1 + 1e-9):
        return
    axis = protocol.readout_axis
    field_of_view = protocol.field_of_view[axis]
    raster = 2 * gradients.window_raster
    raise LimitError(
        f"field_of_view {field_of_view * 1e3:g} mm along {axis} with a dwell_time of {dwell * 1e6:g} us needs a "
        f"readout gradient of {gradients.tesla_per_metre(amplitude):.4g} T/m, the limit is "
        f"{gradients.limits.max_gradient:g} T/m: lengthen dwell_time to "
        f"{ceil_to(dwell * amplitude / limit, raster) * 1e6:g} us, raise field_of_view to "
        f"{field_of_view * amplitude / limit * 1e3:.4g} mm, or lower readout_oversampling"
    )


def line_area(protocol: ImagingFields, line: int) -> float:
    """Where phase-encode line `line` is in k-space: (line - N/2) / FOV [1/m]."""
    return (line - protocol.n_lines // 2) / protocol.field_of_view[protocol.phase_axis]


def largest_line_area(protocol: ImagingFields) -> float:
    """Largest distance of a line from the centre of k-space [1/m]."""
    return abs(line_area(protocol, 0))


def line_order(protocol: ImagingFields) -> list[int]:
    """Lines in the order in which a pass takes them."""
    lines = list(range(protocol.n_lines))
    if protocol.phase_encode_order == "centric":
        return sorted(lines, key=lambda line: (abs(line - protocol.n_lines // 2), line))
    if protocol.phase_encode_order == "interleaved":
        return lines[0::2] + lines[1::2]
    return lines


def largest_lobe_that_fits(shortest: float, available: float, raster: float) -> float:
    """Duration of an encoding lobe [s]: up to twice the shortest, to spare the gradients, if there is room."""
    return max(shortest, min(floor_to(available, raster), ceil_to(2 * shortest, raster)))
