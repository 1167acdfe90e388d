"""What a site file says about the checks before a run (section ``preflight``)."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.quantities import FractionPerSecond


class CheckName(StrEnum):
    """What is checked before any RF."""

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


class PreflightConfig(BaseModel):
    """How strict the checks are. None can be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    warn_only: tuple[CheckName, ...] = ()
    """Checks that warn where they would refuse to begin."""
    boil_off: dict[str, FractionPerSecond] = Field(default_factory=dict)
    """Level (``monitor.quantity``) → how fast it falls [1/s]; what is not named is measured from earlier runs."""
