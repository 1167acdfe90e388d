"""A night, told before it is played."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from knightshift.acquisition.planner.duty import NightDuty, night_duty
from knightshift.acquisition.planner.echo_times import EchoTimeAdvice
from knightshift.acquisition.planner.expectation import Expectation
from knightshift.acquisition.run_writer import bytes_on_disk
from knightshift.core.errors import StorageError
from knightshift.core.limits import ScannerLimits
from knightshift.core.program import Measurement, ReferencePlan
from knightshift.sequences import PlanSummary, describe


@dataclass(frozen=True)
class NightPlan:
    """All that is known of a measurement before it starts."""

    summary: PlanSummary
    """Passes, duration, gradients, RF, samples."""
    start: float
    """Seconds since the Unix epoch (UTC)."""
    zone: tzinfo
    """Local time zone."""
    duty: NightDuty
    """Load over the whole measurement."""
    disk_bytes: int
    """What the run folder will take [byte]."""
    scanner: str
    """Name of the scanner's limits."""
    signal_origin: str = ""
    """Where signal and noise of the expectations come from."""
    expectations: tuple[Expectation, ...] = ()
    """SNR and uncertainty of T2."""
    advice: EchoTimeAdvice | None = None
    """Better echo times, if asked for."""
    lead: float = 0.0
    """Adjustments and checks before the first pass [s]; part of the duration."""
    references: ReferencePlan | None = None
    """Reference FIDs between passes."""
    host_gap: float = 0.0
    """Time for which the scanner stands still before each pass [s]; part of the duration."""

    @property
    def finish(self) -> float:
        """When the last pass ends, seconds since the Unix epoch (UTC)."""
        return self.start + self.summary.duration_s

    @property
    def n_references(self) -> int:
        """Count the reference FIDs."""
        return 0 if self.references is None else self.references.count(self.summary.passes)

    @property
    def reference_duration(self) -> float:
        """Time of one of them [s]."""
        return 0.0 if self.references is None else self.references.duration

    @property
    def passes_duration(self) -> float:
        """Time of all passes with the gaps before them, without what is played before and between them [s]."""
        return self.summary.duration_s - self.lead - self.n_references * self.reference_duration

    def local(self, moment: float) -> datetime:
        """Give a moment in the local time zone."""
        return datetime.fromtimestamp(moment, self.zone)

    def as_json(self) -> dict[str, Any]:
        """Plain data for JSON, SI units."""
        plain = self.summary.as_json()
        plain |= {
            "start_time": self.local(self.start).isoformat(timespec="seconds"),
            "finish_time": self.local(self.finish).isoformat(timespec="seconds"),
            "scanner": self.scanner,
            "disk_bytes": self.disk_bytes,
            "lead_s": self.lead,
            "references": self.n_references,
            "reference_duration_s": self.reference_duration,
            "host_gap_s": self.host_gap,
            "night_duty": asdict(self.duty),
            "signal_origin": self.signal_origin or None,
            "expectations": [_finite(asdict(entry)) for entry in self.expectations],
        }
        if self.advice is not None:
            plain["echo_time_advice"] = asdict(self.advice) | {
                "gain": self.advice.gain,
                "time_saved": self.advice.time_saved,
            }
        return plain


def _finite(entry: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: a T2 that cannot be determined has a standard deviation of null."""
    return {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in entry.items()}


def plan_night(
    measurement: Measurement, limits: ScannerLimits, *, start: float, zone: tzinfo, n_channels: int = 1
) -> NightPlan:
    """Sum up what `measurement` will take if it starts at `start`.

    Parameters
    ----------
    measurement
        From `measurement_for`.
    limits
        Of the scanner.
    start
        Seconds since the Unix epoch (UTC).
    zone
        Local time zone.
    n_channels
        Receivers of the scanner.

    Raises
    ------
    LimitError
        If a program holds gradients whose duty is not known.
    """
    return NightPlan(
        lead=measurement.lead,
        references=measurement.references,
        host_gap=measurement.host_gap,
        summary=describe(measurement, limits),
        start=start,
        zone=zone,
        duty=night_duty(measurement, limits),
        disk_bytes=bytes_on_disk(measurement, n_channels),
        scanner=limits.name,
    )


def with_expectations(plan: NightPlan, origin: str, expectations: list[Expectation]) -> NightPlan:
    """Add what SNR and T2 are expected to be."""
    return replace(plan, signal_origin=origin, expectations=tuple(expectations))


def check_room_on_disk(plan: NightPlan, folder: Path, margin: int) -> None:
    """Refuse a plan that the disk under `folder` cannot hold.

    Raises
    ------
    StorageError
        With the number of averages that would fit.
    """
    existing = next(path for path in (folder, *folder.resolve().parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    if free >= plan.disk_bytes + margin:
        return
    per_average = plan.disk_bytes / plan.summary.passes_per_image
    fitting = max(0, math.floor((free - margin) / per_average))
    proposal = f"--averages {fitting} would fit, or free space" if fitting else "free space"
    raise StorageError(
        f"{folder}: the run takes {plan.disk_bytes / 1e6:.1f} MB and {margin / 1e6:.0f} MB must stay free, but only "
        f"{free / 1e6:.1f} MB are: {proposal}, or give another folder with --runs"
    )
