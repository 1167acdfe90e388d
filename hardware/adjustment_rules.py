"""What a site file says about adjustments before a run and reference FIDs in it (``adjustments``, ``references``)."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from knightshift.core.quantities import UNITS_REQUIRED, Fraction, PositiveHertz, PositiveSeconds, Radians

_STRICT = ConfigDict(frozen=True, extra="forbid")
_WIDEST = 0.4
"""A search range may be this part of the width of the spectrum: the filter of a receiver falls at its edges."""


def _with_word(word: str, example: str) -> BeforeValidator:
    """Take ``"20 passes"`` or ``"3 dB"``; a bare number only where units are not required."""

    def convert(value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            if info.context and info.context.get(UNITS_REQUIRED):
                raise ValueError(f"{value!r} needs a unit: write e.g. {example!r}")
            return value
        match = re.fullmatch(rf"([+-]?[0-9]+(?:\.[0-9]+)?) {word}", value.strip().replace("−", "-"))
        if match is None:
            raise ValueError(f"{value!r} is not a number and {word!r}: write e.g. {example!r}")
        return float(match[1]) if "." in match[1] else int(match[1])

    return BeforeValidator(convert)


Decibels = Annotated[
    float, _with_word("dB", "3 dB"), Field(ge=-200, le=200, json_schema_extra={"unit": "dB", "example": "3 dB"})
]
"""A gain: written with ``dB``."""
Passes = Annotated[int, _with_word("passes", "20 passes"), Field(ge=1, le=1_000_000)]
"""A number of passes: written ``20 passes``."""
Part = Annotated[Fraction, Field(gt=0, le=1)]
"""A fraction above 0: written with ``%``."""


class FidConfig(BaseModel):
    """The plain FID that adjustments and references use: four phases, no gradients."""

    model_config = _STRICT

    pulse_length: PositiveSeconds = 10e-6
    """Of the 90 degree pulse [s]: short, so that a start that is off by some kHz is excited too."""
    dwell_time: PositiveSeconds = 10e-6
    """Its inverse is the width of the spectrum: lines beyond it are filtered away [s]."""
    n_samples: int = Field(default=2048, ge=64, le=65536, multiple_of=4)
    """Complex samples of each FID."""
    repetition_time: PositiveSeconds = 0.12
    """Excitation to excitation [s]: several T1, or amplitudes depend on it."""


class CentreFrequencyConfig(BaseModel):
    """Find the line and tune to it."""

    model_config = _STRICT

    search_range: PositiveHertz = 20e3
    """How far on either side of the protocol's working frequency a line is looked for [Hz]."""


class ReceiverGainConfig(BaseModel):
    """Make the largest sample of the program as large as is safe."""

    model_config = _STRICT

    largest_sample: Part = 0.5
    """What the largest sample may be, as a part of the full scale."""
    lowest: Decibels = -60.0
    """Smallest gain that the receiver has [dB]."""
    highest: Decibels = 60.0
    """Largest gain that the receiver has [dB]."""
    step: Annotated[Decibels, Field(gt=0)] = 1.0
    """Steps of the gain, counted from 0 dB [dB]."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lowest > self.highest:
            raise ValueError(f"lowest {self.lowest:g} dB is above highest {self.highest:g} dB: exchange them")
        return self


class RfCalibrationConfig(BaseModel):
    """Compare the flip angle of a pulse with what it should be, by nutation."""

    model_config = _STRICT

    sample: Literal["metal", "uniform"] = "metal"
    """``metal``: B1 falls off below the surface, and the flip angle is that at the surface; ``uniform``: a sine."""
    pulse_length: PositiveSeconds = 50e-6
    """The same for all points: only the amplitude changes [s]."""
    n_points: int = Field(default=10, ge=5, le=100)
    """Amplitudes that are tried."""
    largest_flip: Annotated[Radians, Field(gt=math.pi / 2, le=2 * math.pi)] = math.radians(270)
    """Nominal flip angle of the largest amplitude [rad]."""
    tolerance: Part = 0.05
    """How far B1 may be off before the pre-flight warns."""


class AdjustmentsConfig(BaseModel):
    """What is adjusted before the first pass; what is not named is left as it is."""

    model_config = _STRICT

    fid: FidConfig = FidConfig()
    """How FIDs are measured, here, in the pre-flight and between passes."""
    centre_frequency: CentreFrequencyConfig | None = None
    """Tune to the line."""
    rf_calibration: RfCalibrationConfig | None = None
    """Measure B1. Programs are not changed by it."""
    receiver_gain: ReceiverGainConfig | None = None
    """Set the gain."""

    @property
    def any(self) -> bool:
        """Whether anything is to be adjusted."""
        return bool(self.centre_frequency or self.rf_calibration or self.receiver_gain)

    @model_validator(mode="after")
    def _range_fits_the_spectrum(self) -> Self:
        widest = _WIDEST / self.fid.dwell_time
        if self.centre_frequency and self.centre_frequency.search_range > widest:
            raise ValueError(
                f"search_range {self.centre_frequency.search_range / 1e3:g} kHz does not fit a spectrum of "
                f"±{0.5e-3 / self.fid.dwell_time:g} kHz: at most {widest / 1e3:g} kHz, or lower fid.dwell_time"
            )
        return self


class ReferencesConfig(BaseModel):
    """Reference FIDs between passes, and what becomes of them."""

    model_config = _STRICT

    interval: Passes
    """One before every so many passes, and one before the last."""
    tolerance: PositiveHertz
    """The receiver is retuned where the line is further from it than this [Hz]."""
