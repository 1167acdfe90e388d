"""What a night lost, and what that cost: scanner time, and signal-to-noise ratio."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from knightshift.reconstruction.report.inputs import RunFacts


@dataclass(frozen=True)
class Loss:
    """One cause, and what it took."""

    cause: str
    """In words."""
    n: int
    """How often: passes, spoilt attempts, or suspensions."""
    time: float
    """Scanner time [s]."""
    snr: float
    """Share of the signal-to-noise ratio that it took, 0 to 1; 0 where the passes were made up for."""


def snr_cost(used: int, lost: int) -> float:
    """Tell what share of the signal-to-noise ratio `lost` passes beside `used` ones cost: ``1 - sqrt(u / (u + l))``."""
    return 1 - math.sqrt(used / (used + lost)) if lost else 0.0


def losses_of(run: RunFacts) -> tuple[Loss, ...]:
    """List what took scanner time or signal, the most expensive in signal first."""
    losses = [*_without_weight(run), *_time_only(run)]
    missing = run.passes_planned - run.passes_got
    if missing > 0:
        losses.append(Loss("passes of the plan that are not there", missing, 0.0, snr_cost(run.passes_used, missing)))
    return tuple(sorted(losses, key=lambda loss: (-loss.snr, -loss.time)))


def _without_weight(run: RunFacts) -> Iterable[Loss]:
    for reason in dict.fromkeys(one.reason for one in run.rejected):
        passes = [one for one in run.rejected if one.reason == reason]
        time = sum(one.cost for one in passes)
        lost = sum(not one.replaced for one in passes)
        yield Loss(f"passes without weight: {reason}", len(passes), time, snr_cost(run.passes_used, lost))


def _time_only(run: RunFacts) -> Iterable[Loss]:
    night = run.night
    if night.repetitions:
        yield Loss("passes spoilt by a fault and played again", len(night.repetitions), night.repeated, 0.0)
    if night.suspensions:
        yield Loss("suspensions by interlocks", len(night.suspensions), night.suspended, 0.0)
    between = [later.began - earlier.ended for earlier, later in zip(night.epochs, night.epochs[1:], strict=False)]
    if between:
        yield Loss("interruptions, from the last word of an epoch to the next", len(between), sum(between), 0.0)


def weightless_cost(run: RunFacts) -> float:
    """Tell the share of the signal-to-noise ratio that all passes without weight cost together, 0 to 1."""
    return snr_cost(run.passes_used, sum(not one.replaced for one in run.rejected))


def worst_program_cost(run: RunFacts) -> float:
    """Tell the same for the program (of a stepped echo time: the echo) that lost most."""
    return max((snr_cost(used, there - used) for used, there in run.programs_used), default=weightless_cost(run))
