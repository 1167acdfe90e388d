"""What a scanner can do: read from ``configs/limits/*.yaml``, checked against before any RF."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.quantities import PositiveHertz, PositiveSeconds, Tesla, TeslaPerMetre, TeslaPerMetrePerSecond


class ScannerLimits(BaseModel):
    """Field, gradients and rasters of one scanner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """What people call it."""
    b0: Tesla
    """Static field [T]."""
    max_gradient: TeslaPerMetre
    """Largest gradient amplitude on one axis [T/m]."""
    max_slew: TeslaPerMetrePerSecond
    """Largest gradient slew rate on one axis [T/m/s]."""
    max_gradient_duty: float = Field(gt=0, le=1)
    """Largest root-mean-square gradient over a repetition, as a fraction of `max_gradient`."""
    rf_raster_time: PositiveSeconds
    """Raster of RF shapes [s]."""
    gradient_raster_time: PositiveSeconds
    """Raster of gradient ramps and shapes [s]."""
    adc_raster_time: PositiveSeconds
    """Raster of the dwell time [s]."""
    block_duration_raster: PositiveSeconds
    """Raster of the duration of a sequence block [s]."""
    rf_dead_time: PositiveSeconds
    """From unblanking the transmitter to the start of a pulse [s]."""
    rf_ringdown_time: PositiveSeconds
    """From the end of a pulse to the first sample [s]."""
    adc_dead_time: PositiveSeconds
    """Around each acquisition window [s]."""
    max_rf_amplitude: PositiveHertz
    """Largest nutation frequency γB1/2π that the coil can stand [Hz]."""
    max_rf_duty: float = Field(gt=0, le=1)
    """Largest fraction of the time during which RF may be on."""
    notes: tuple[str, ...] = ()
    """Where the values come from; which of them are assumed."""
