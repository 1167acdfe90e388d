"""Trapezoids of a wanted area, within amplitude and slew rate, on the gradient raster.

Areas are in cycles per metre (1/m), that is gamma-bar times the integral of G: the distance travelled in k-space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from knightshift.core.errors import LimitError
from knightshift.core.limits import ScannerLimits
from knightshift.core.nuclei import Nucleus
from knightshift.sequences.pulseq_library import pp
from knightshift.sequences.pulseq_system import Event, system_of
from knightshift.sequences.raster import ceil_to, common_raster, on_raster

_SLACK = 1e-9  # relative: float noise of a value computed to sit exactly on a limit


@dataclass(frozen=True)
class GradientSystem:
    """What the gradients can do with one nucleus."""

    nucleus: Nucleus
    """The observed nucleus: its gamma turns T/m into Hz/m."""
    limits: ScannerLimits
    """The scanner."""
    pulseq: pp.Opts
    """The same limits for pypulseq."""

    @classmethod
    def of(cls, nucleus: Nucleus, limits: ScannerLimits) -> GradientSystem:
        """Bring nucleus and limits together."""
        return cls(nucleus, limits, system_of(nucleus, limits))

    @property
    def raster(self) -> float:
        """Raster of ramps and blocks, half of which is still on the RF raster [s]."""
        limits = self.limits
        return common_raster(limits.gradient_raster_time, limits.block_duration_raster, 2 * limits.rf_raster_time)

    @property
    def window_raster(self) -> float:
        """Raster on which an acquisition window may start [s]: the RF raster, and whole microseconds in a file."""
        limits = self.limits
        return common_raster(limits.rf_raster_time, limits.adc_raster_time, 1e-6)

    @property
    def max_amplitude(self) -> float:
        """Largest gradient [Hz/m]."""
        return self.limits.max_gradient * self.nucleus.gyromagnetic_ratio

    @property
    def max_slew(self) -> float:
        """Largest slew rate [Hz/m/s]."""
        return self.limits.max_slew * self.nucleus.gyromagnetic_ratio

    def tesla_per_metre(self, amplitude: float) -> float:
        """Convert Hz/m to T/m."""
        return amplitude / self.nucleus.gyromagnetic_ratio

    def ramp_time(self, amplitude: float) -> float:
        """Shortest ramp to `amplitude` [Hz/m], at least one raster step [s]."""
        return max(ceil_to(abs(amplitude) / self.max_slew, self.raster), self.raster)

    def shortest_lobe(self, area: float) -> float:
        """Shortest duration of a trapezoid of this area [1/m], 0 for none [s]."""
        area = abs(area)
        if area == 0:
            return 0.0
        ramp = ceil_to(math.sqrt(area / self.max_slew), self.raster)
        if area / ramp <= self.max_amplitude:
            return on_raster(2 * round(ramp / self.raster), self.raster)
        ramp = self.ramp_time(self.max_amplitude)
        return ceil_to(area / self.max_amplitude + ramp, self.raster)

    def lobe(self, axis: str, area: float, duration: float) -> Event | None:
        """Trapezoid of `area` [1/m] that lasts `duration` [s], with the shortest ramps; None for no area.

        Raises
        ------
        LimitError
            If the area does not fit into the duration.
        """
        if area == 0:
            return None
        ramp = self._ramp_of_lobe(abs(area), duration)
        flat = round(duration - 2 * ramp, 12)
        return self.trapezoid(axis, area / (ramp + flat), (ramp, flat))

    def _ramp_of_lobe(self, area: float, duration: float) -> float:
        for n in range(1, round(duration / self.raster) // 2 + 1):
            ramp = on_raster(n, self.raster)
            amplitude = area / (duration - ramp)
            if amplitude <= self.max_slew * ramp * (1 + _SLACK) and amplitude <= self.max_amplitude * (1 + _SLACK):
                return ramp
        raise LimitError(
            f"a gradient lobe of {area:.6g} cycles/m does not fit into {duration * 1e6:.4g} us at "
            f"{self.limits.max_gradient:g} T/m and {self.limits.max_slew:g} T/m/s: it needs "
            f"{self.shortest_lobe(area) * 1e6:.4g} us"
        )

    def trapezoid(self, axis: str, amplitude: float, ramp_and_flat: tuple[float, float], delay: float = 0.0) -> Event:
        """Trapezoid of a given amplitude [Hz/m], with equal ramps, ramp and flat time in s."""
        ramp, flat = ramp_and_flat
        return pp.make_trapezoid(
            axis, amplitude=amplitude, rise_time=ramp, flat_time=flat, fall_time=ramp, delay=delay, system=self.pulseq
        )


def scaled(lobe: Event | None, factor: float) -> Event | None:
    """Copy the trapezoid with its amplitude multiplied; None for none."""
    if lobe is None or factor == 0:
        return None
    return pp.scale_grad(lobe, factor)
