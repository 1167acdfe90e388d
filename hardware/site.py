"""The site file: which scanner stands here (``configs/scanners/*.yaml``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from knightshift.core.limits import ScannerLimits
from knightshift.core.quantities import PositiveSeconds
from knightshift.core.yaml_files import read_config
from knightshift.hardware.adjustment_rules import AdjustmentsConfig, ReferencesConfig
from knightshift.hardware.faults import Faults, FaultScript, MonitorOutOfBand
from knightshift.hardware.link_timing import LinkTiming
from knightshift.hardware.monitors import Monitoring, MonitorsConfig
from knightshift.hardware.preflight_rules import PreflightConfig


def _by_name(value: object) -> object:
    return read_config(ScannerLimits, "limits", value) if isinstance(value, str) else value


class SiteConfig(BaseModel):
    """One scanner of one laboratory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str
    """Name of an entry point in the group ``knightshift.scanners``."""
    limits: Annotated[ScannerLimits, BeforeValidator(_by_name)]
    """The limits of the device: a shipped name, a path, or the values themselves."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The backend's own settings; the backend validates them, with units required."""
    monitoring: Monitoring = MonitorsConfig()
    """Monitors and interlocks: the name of a shipped file, a path, or the section itself."""
    faults: Faults = FaultScript()
    """Faults on demand: the name of a shipped script, a path, or the script itself."""
    loopback: LinkTiming | None = None
    """Serve the scanner within this process and reach it over a link in memory, with this patience: for rehearsals of
    faults of the link."""
    max_suspension: PositiveSeconds = 7200.0
    """How long interlocks may suspend a run before it is stopped [s]."""
    preflight: PreflightConfig = PreflightConfig()
    """How strict the checks before a run are."""
    adjustments: AdjustmentsConfig = AdjustmentsConfig()
    """What is adjusted before the first pass."""
    references: ReferencesConfig | None = None
    """Reference FIDs between passes; None: there are none."""
    source: str = Field(default="site configuration", exclude=True)
    """Where it was read, for messages."""

    @model_validator(mode="after")
    def _emulated_monitors_act_on_faults(self) -> Self:
        known = self.monitoring.emulated_quantities()
        for fault in self.faults.faults:
            if isinstance(fault, MonitorOutOfBand) and fault.monitor not in known:
                raise ValueError(
                    f"faults: monitor_out_of_band names {fault.monitor!r}, but the monitors that can be told what to "
                    f"read (emulated ones, behind sim://) are: {', '.join(known) or 'none'}"
                )
        return self

    @model_validator(mode="after")
    def _boil_off_is_of_a_level(self) -> Self:
        levels = [name for name, unit in self.monitoring.quantities().items() if unit == "1"]
        for name in self.preflight.boil_off:
            if name not in levels:
                known = ", ".join(levels) or "none"
                raise ValueError(f"preflight.boil_off names {name!r}, but the levels that are monitored are: {known}")
        return self


def load_site(name_or_path: str | Path) -> SiteConfig:
    """Read a site file: a path or a shipped name (``"simulated"``).

    Raises
    ------
    ConfigError
        With one line for each mistake.
    """
    site: SiteConfig = read_config(SiteConfig, "scanners", name_or_path)
    return site.model_copy(update={"source": str(name_or_path)})
