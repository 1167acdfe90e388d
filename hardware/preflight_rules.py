"""What a site file says about the checks before a run (section ``preflight``)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.quantities import Fraction, FractionPerSecond, PositiveHertz


class CheckName(StrEnum):
    """What is checked before a run."""

    SCANNER = "scanner"
    """It says who it is, and that it is idle, without a fault."""
    LIMITS = "limits"
    """Its field and limits are those of the site file, for which the programs were built."""
    NUCLEUS = "nucleus"
    """Its coil is tuned for the nucleus."""
    MONITORS = "monitors"
    """Every reading is valid and fresh, every interlock in band."""
    LEVELS = "levels"
    """Every level is high enough to last to the end of the run."""
    DISK = "disk"
    """The disk has room for all that is left of the plan, and a margin."""
    CLOCK = "clock"
    """The clock runs, and is not behind what was recorded."""
    LOCK = "lock"
    """No other run is being acquired with this scanner."""
    RF = "rf"
    """Whether the site file asks for checks with RF; the names below are those."""
    FREQUENCY = "frequency"
    """The line is found, near the working frequency of the protocol."""
    NOISE = "noise"
    """The receiver has the noise of its baseline."""
    TRANSMITTER = "transmitter"
    """A pulse turns the magnetisation by the angle it is meant to."""
    GAIN = "gain"
    """The largest sample of the program is well below the full scale."""
    DUMMY_PASS = "dummy_pass"  # noqa: S105 - not a password
    """One pass gives the signal that the last good run gave."""


class RfChecks(BaseModel):
    """Checks that need RF: made when all others have passed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frequency: PositiveHertz = 2e3
    """How far from the working frequency of the protocol the line may be [Hz]."""
    noise: Annotated[Fraction, Field(gt=0)] = 0.2
    """How far the noise may be from its baseline."""
    dummy_pass: Annotated[Fraction, Field(gt=0)] = 0.3
    """How far the signal of one pass may be from that of the last good run."""


class PreflightConfig(BaseModel):
    """How strict the checks are. None can be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    warn_only: tuple[CheckName, ...] = ()
    """Checks that warn where they would refuse to begin."""
    boil_off: dict[str, FractionPerSecond] = Field(default_factory=dict)
    """Level (``monitor.quantity``) → how fast it falls [1/s]; what is not named is measured from earlier runs."""
    with_rf: RfChecks | None = None
    """Checks with RF; None: they are not made, and the pre-flight says so."""
