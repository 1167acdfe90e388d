"""The night in ``summary.json``: the same facts as the section of the report, for machines."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.clock import iso_time
from knightshift.reconstruction.report.inputs import ReportInputs, RunFacts
from knightshift.reconstruction.report.losses import losses_of, weightless_cost, worst_program_cost
from knightshift.reconstruction.report.night import Night
from knightshift.reconstruction.report.night_curves import Curve
from knightshift.reconstruction.running_snr import RunningSnr


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class EpochSummary(_Record):
    """One stretch of acquisition, from a start or a resume to its end."""

    epoch: int
    """From 0."""
    began: str
    """UTC in ISO 8601."""
    ended: str
    """Its last word in the journal, UTC in ISO 8601."""
    status: str | None
    """``completed``, ``stopped`` or ``failed``; null where there is no last word."""
    reason: str
    """Why it ended; empty where it completed."""
    passes: int
    """Passes it made durable."""


class SuspensionSummary(_Record):
    """A time in which interlocks let no pass begin."""

    pass_index: int
    """The pass that waited."""
    began: str
    """UTC in ISO 8601."""
    duration_s: float | None
    """How long [s]; null where it did not end."""
    reason: str
    """Which interlock, and why."""


class RepetitionSummary(_Record):
    """A pass that a transient fault spoilt, played again."""

    pass_index: int
    """The pass."""
    attempt: int
    """Which attempt was spoilt, from 1."""
    at: str
    """When, UTC in ISO 8601."""
    kind: str
    """Type of the fault."""
    fault: str
    """Device and fault in words."""
    cost_s: float
    """Scanner time of the spoilt attempt [s]."""


class WeightlessPassSummary(_Record):
    """A pass that was measured and got no weight."""

    pass_index: int
    """The pass."""
    reason: str
    """Its flags, or why it was taken out."""
    cost_s: float
    """Scanner time [s]."""
    replaced: bool
    """Whether it was acquired again."""


class LossSummary(_Record):
    """What one cause took."""

    cause: str
    """In words."""
    n: int
    """How often."""
    time_s: float
    """Scanner time [s]."""
    snr_cost: float = Field(ge=0, le=1)
    """Share of the signal-to-noise ratio, 0 to 1; 0 where only time was lost."""


class CurveSummary(_Record):
    """One quantity that was followed through the night."""

    name: str
    """``probe.temperature``, ``receiver``, ``reference FID``."""
    sort: str
    """What it is of: ``frequency``, ``temperature``, ``level`` and so on."""
    unit: str
    """SI unit of the values."""
    n_points: int
    """How often it was read."""
    first: float
    """First value."""
    last: float
    """Last value."""
    lowest: float
    """Smallest value."""
    highest: float
    """Largest value."""


class RunningSnrSummary(_Record):
    """How the signal-to-noise ratio of the first echo grew."""

    echo_time_s: float
    """Of the echo [s]."""
    n_passes: tuple[int, ...]
    """Good passes of this echo so far."""
    measured: tuple[float, ...]
    """Signal over noise of their image."""
    expected: tuple[float, ...]
    """What the square root of their number lets expect."""
    exponent: float | None
    """Of the growth with the number of passes; 0.5 for noise that averages out, null where it is lost in noise."""


class NightSummary(_Record):
    """How the run went, from its journal."""

    passes_got: int
    """Passes that are there, with or without weight."""
    status: str | None
    """How the last epoch ended; null where it left no last word."""
    reason: str
    """Why; empty where it completed."""
    resume_command: str | None
    """The command that continues the run; null where there is nothing to continue."""
    suspended_s: float
    """Time in suspensions [s]."""
    repeated_s: float
    """Scanner time of spoilt attempts [s]."""
    snr_cost: float = Field(ge=0, le=1)
    """Share of the signal-to-noise ratio that the passes without weight cost, 0 to 1."""
    snr_cost_worst_echo: float = Field(ge=0, le=1)
    """The same for the echo time that lost most."""
    epochs: tuple[EpochSummary, ...]
    """In order."""
    suspensions: tuple[SuspensionSummary, ...]
    """In order."""
    repeated: tuple[RepetitionSummary, ...]
    """In order."""
    without_weight: tuple[WeightlessPassSummary, ...]
    """By index."""
    losses: tuple[LossSummary, ...]
    """Most expensive in signal first."""
    curves: tuple[CurveSummary, ...]
    """What was followed."""
    running_snr: RunningSnrSummary | None
    """Null where it was not measured."""


def night_summary(inputs: ReportInputs, run: RunFacts) -> NightSummary:
    """Collect what a night tells a machine."""
    night, last = run.night, run.night.epochs[-1] if run.night.epochs else None
    return NightSummary(
        passes_got=run.passes_got,
        status=(last.status or None) if last else None,
        reason=last.reason if last else "",
        resume_command=run.resume_command or None,
        suspended_s=night.suspended,
        repeated_s=night.repeated,
        snr_cost=weightless_cost(run),
        snr_cost_worst_echo=worst_program_cost(run),
        epochs=_epochs(night),
        suspensions=tuple(
            SuspensionSummary(
                pass_index=one.index, began=iso_time(one.began), duration_s=one.duration, reason=one.reason
            )
            for one in night.suspensions
        ),
        repeated=_repeated(night),
        without_weight=tuple(
            WeightlessPassSummary(pass_index=one.index, reason=one.reason, cost_s=one.cost, replaced=one.replaced)
            for one in run.rejected
        ),
        losses=tuple(
            LossSummary(cause=one.cause, n=one.n, time_s=one.time, snr_cost=one.snr) for one in losses_of(run)
        ),
        curves=tuple(_curve(curve) for curve in night.curves),
        running_snr=None if inputs.running_snr is None else _running_snr(inputs.running_snr),
    )


def _epochs(night: Night) -> tuple[EpochSummary, ...]:
    return tuple(
        EpochSummary(
            epoch=one.number,
            began=iso_time(one.began),
            ended=iso_time(one.ended),
            status=one.status or None,
            reason=one.reason,
            passes=one.n_committed,
        )
        for one in night.epochs
    )


def _repeated(night: Night) -> tuple[RepetitionSummary, ...]:
    return tuple(
        RepetitionSummary(
            pass_index=one.index,
            attempt=one.attempt,
            at=iso_time(one.time),
            kind=one.kind,
            fault=one.fault,
            cost_s=one.cost,
        )
        for one in night.repetitions
    )


def _curve(curve: Curve) -> CurveSummary:
    return CurveSummary(
        name=curve.name,
        sort=curve.sort,
        unit=curve.unit,
        n_points=len(curve.value),
        first=float(curve.value[0]),
        last=float(curve.value[-1]),
        lowest=float(np.min(curve.value)),
        highest=float(np.max(curve.value)),
    )


def _running_snr(found: RunningSnr) -> RunningSnrSummary:
    return RunningSnrSummary(
        echo_time_s=found.echo_time,
        n_passes=tuple(int(n) for n in found.n_passes),
        measured=tuple(float(value) for value in found.measured),
        expected=tuple(float(value) for value in found.expected),
        exponent=found.growth,
    )
