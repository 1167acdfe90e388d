"""What a site file says about the simulated scanner (``configs/scanners/simulated.yaml``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationInfo

from knightshift.core.quantities import UNITS_REQUIRED, PositiveMetres, to_si


def _rate(unit: str) -> BeforeValidator:
    def convert(value: object, info: ValidationInfo) -> object:
        return to_si(value, unit, units_required=bool(info.context and info.context.get(UNITS_REQUIRED)))

    return BeforeValidator(convert)


HertzPerSecond = Annotated[float, _rate("Hz/s"), Field(allow_inf_nan=False)]
PerSecond = Annotated[float, _rate("1/s"), Field(allow_inf_nan=False)]


class ReceiverSettings(BaseModel):
    """Sensitivity, noise and converter. The unit of the samples is the full scale of the converter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sensitivity: float = Field(gt=0)
    """Signal of 1 mm³ of fully tipped unit density at 0 dB, in units of the full scale."""
    noise_density: float = Field(ge=0)
    """Standard deviation of the noise in the real part, per square root of the bandwidth, at 0 dB [1/√Hz]."""
    filter_order: PositiveInt = 16
    """Order of the Butterworth magnitude of the digital filter."""
    filter_width: float = Field(default=1.0, gt=0, le=2)
    """Pass band (half power) over the sampling rate."""
    adc_bits: int = Field(default=24, ge=8, le=24)
    """Bits of the converter."""


class IsochromatSettings(BaseModel):
    """How finely the phantom is cut into isochromats."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spacing: PositiveMetres = 33.3e-6
    """Distance of sites along the surface of a metal, and in the grid of anything else [m]."""
    depth_nodes: PositiveInt = 8
    """Nodes below a metal surface (Gauss-Legendre quadrature)."""
    depth: float = Field(default=4.0, gt=0)
    """How deep to look, in skin depths."""
    spins_along_x: PositiveInt = 23
    """Least number of spins along x wherever a gradient on x is used; made a prime that no crusher aliases. 1: one."""
    frequencies: PositiveInt = 5
    """Sub-spins for the distribution of frequencies of T2'."""


class SimulatorSettings(BaseModel):
    """Settings of the backend ``simulated``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phantom: str = "shorted"
    """Shipped name or path of what lies in the magnet, unless the caller names another."""
    nuclei: tuple[str, ...] = ("23Na",)
    """Nuclei that the coil is tuned for."""
    receiver: ReceiverSettings
    """How strong signal and noise are."""
    isochromats: IsochromatSettings = IsochromatSettings()
    """How finely the sample is divided."""
    transmit_scale: float = Field(default=1.0, gt=0, le=2)
    """B1 over the nominal one (imperfect calibration of the transmitter)."""
    field_drift: HertzPerSecond = 0.0
    """Drift of the resonance, counted from the evening on which the virtual clock starts [Hz/s]."""
    gain_drift: PerSecond = 0.0
    """Drift of the receiver gain, relative, counted from the same evening [1/s]."""
    threads: PositiveInt = 2
    """Threads over chunks of isochromats."""
