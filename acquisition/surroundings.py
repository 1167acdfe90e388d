"""What stands around the scanner, as a run uses it: monitors, interlocks, and the rules of the pre-flight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from knightshift.core.clock import Clock, VirtualClock
from knightshift.core.limits import ScannerLimits
from knightshift.core.manifest import RunSetup
from knightshift.core.yaml_files import validate
from knightshift.hardware.adjustment_rules import AdjustmentsConfig, ReferencesConfig
from knightshift.hardware.monitors import MonitorsConfig, Reading, SiteWatch
from knightshift.hardware.monitors.interlocks import PanelStatus
from knightshift.hardware.preflight_rules import PreflightConfig
from knightshift.hardware.site import SiteConfig

MAX_SUSPENSION = 7200.0
"""How long a run may be suspended where no site file says it [s]."""


class Watch(Protocol):
    """Monitors and interlocks beside the scanner: `SiteWatch`, or a test's own. Nothing here waits for a device."""

    def __enter__(self) -> Self:
        """Start to read."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and close the lines."""
        ...

    def first_readings(self, patience: float) -> Mapping[str, Reading]:
        """Wait for the first readings, at most `patience` [s]; give the latest ones."""
        ...

    def readings(self) -> Mapping[str, Reading]:
        """Give the latest reading of every quantity, by name."""
        ...

    def look(self) -> PanelStatus:
        """Let the interlocks judge the latest readings."""
        ...

    def begin_pass(self, pass_index: int, epoch: int) -> None:
        """Learn that an attempt at a pass begins: scripted faults may fall on it."""
        ...

    def end_pass(self) -> None:
        """Learn that the pass is over, whatever became of it."""
        ...


@dataclass(frozen=True)
class Level:
    """A level that falls through the night."""

    quantity: str
    """``monitor.quantity``."""
    lowest: float
    """It must never be below this, as a fraction: the highest `low` of its interlocks, or 0."""
    boil_off: float | None
    """How fast it falls, as the site file says [1/s]; None: to be measured."""


@dataclass(frozen=True)
class Surroundings:
    """Everything about a site that acquisition needs, beside the scanner."""

    watch: Watch | None = None
    """Not yet entered; None where nothing is monitored."""
    preflight: PreflightConfig = field(default_factory=PreflightConfig)
    """How strict the checks before the run are."""
    levels: tuple[Level, ...] = ()
    """Levels that must last."""
    max_suspension: float = MAX_SUSPENSION
    """How long interlocks may suspend the run [s]."""
    limits: ScannerLimits | None = None
    """For which programs are built; None where there is no site file, and then nothing is adjusted."""
    adjustments: AdjustmentsConfig = field(default_factory=AdjustmentsConfig)
    """What is adjusted before the first pass."""
    references: ReferencesConfig | None = None
    """Reference FIDs between passes."""

    @property
    def needs_fids(self) -> bool:
        """Whether anything beside the passes is to be played."""
        return self.limits is not None and bool(self.adjustments.any or self.references or self.preflight.with_rf)


def surroundings_of(setup: RunSetup, clock: Clock, watch: Watch | None = None) -> Surroundings:
    """Make the monitors and interlocks that the site of a run names: no caller can forget them.

    Parameters
    ----------
    setup
        Holds the site file as plain data.
    clock
        The clock of the run. Beside a virtual one monitors are read without threads.
    watch
        To be used instead of the site's own monitors.

    Raises
    ------
    ConfigError
        If the site is not one, or a monitor needs a library that is not installed.
    """
    if not setup.site:
        return Surroundings(watch)
    site: SiteConfig = validate(SiteConfig, setup.site, "the site of the run")
    if watch is None and site.monitoring.monitors:
        threaded = not isinstance(clock, VirtualClock)
        watch = SiteWatch(site.monitoring, clock, threaded=threaded, faults=site.faults)
    levels = () if watch is None else _levels(site.monitoring, site.preflight)
    return Surroundings(
        watch, site.preflight, levels, site.max_suspension, site.limits, site.adjustments, site.references
    )


def _levels(monitoring: MonitorsConfig, preflight: PreflightConfig) -> tuple[Level, ...]:
    names = [name for name, unit in monitoring.quantities().items() if unit == "1"]
    return tuple(Level(name, _lowest(monitoring, name), preflight.boil_off.get(name)) for name in names)


def _lowest(monitoring: MonitorsConfig, quantity: str) -> float:
    return max((rule.low or 0.0 for rule in monitoring.interlocks.values() if rule.watch == quantity), default=0.0)
