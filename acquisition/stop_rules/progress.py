"""How far stop rules are, as the journal tells it and as people read it. Light to import: `status` shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from typing import Any

from pydantic import ConfigDict, FiniteFloat
from pydantic.dataclasses import dataclass

from knightshift.acquisition.stop_rules.rules import StopRules
from knightshift.core.journal import JournalEvent
from knightshift.core.yaml_files import validate

RULES_EVENT = "stop_rules"
"""Event that says which rules are in force from now on."""
PROGRESS_EVENT = "rule_progress"
"""Event that says how far one rule is."""
MET_EVENT = "rule_met"
"""Event that says that all rules were met."""
FAILED_EVENT = "rule_failed"
"""Event that says that rules are not looked at any more, and why."""
_DAY = 86400.0


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class RuleProgress:
    """How far one rule is, and when it will be met."""

    rule: str
    """The rule as it was written."""
    words: str
    """The number beside its goal, for people."""
    value: FiniteFloat | None
    """What is measured, SI units; None where it is not known yet."""
    value_std: FiniteFloat | None
    """Its standard deviation; None where it is not known."""
    target: FiniteFloat
    """What is wanted, SI units."""
    n_passes: int
    """Passes so far, flagged ones included."""
    met: bool
    """Whether it is enough."""
    predicted_pass: int | None
    """Number of passes with which it will be; None where there is nothing to go by."""
    predicted_time: FiniteFloat | None
    """When, seconds since the Unix epoch (UTC)."""
    in_time: bool
    """Whether that is before the run ends."""
    ends: FiniteFloat
    """When the run ends without the rule, by its plan or its deadline, seconds since the Unix epoch (UTC)."""

    def payload(self) -> dict[str, Any]:
        """Give what the journal says."""
        return {
            "rule": self.rule,
            "words": self.words,
            "value": self.value,
            "value_std": self.value_std,
            "target": self.target,
            "n_passes": self.n_passes,
            "met": self.met,
            "predicted_pass": self.predicted_pass,
            "predicted_time_s": self.predicted_time,
            "in_time": self.in_time,
            "ends_s": self.ends,
        }

    @classmethod
    def of(cls, event: JournalEvent) -> RuleProgress:
        """Read what the journal says. Raises `ConfigError` if it is not of this version."""
        renamed = {"predicted_time_s": "predicted_time", "ends_s": "ends"}
        facts = {renamed.get(key, key): value for key, value in event.payload.items()}
        progress: RuleProgress = validate(cls, facts, f"journal, line {event.sequence + 1}")
        return progress

    def forecast(self, zone: tzinfo) -> str:
        """Say when it will be met: ``04:10``, ``not before the end at 08:30``, or that it is."""
        if self.met:
            return "reached"
        if self.predicted_time is None:
            return "no signal to predict from yet"
        if not self.in_time:
            return f"not before the end at {_time_of_day(self.ends, self.ends, zone)}"
        return f"expected at {_time_of_day(self.predicted_time, self.ends, zone)} (pass {self.predicted_pass})"

    def line(self, zone: tzinfo) -> str:
        """Say it all in one line."""
        return f"{self.words}: {self.forecast(zone)}"


def _time_of_day(moment: float, now: float, zone: tzinfo) -> str:
    far = abs(moment - now) > _DAY
    return datetime.fromtimestamp(moment, zone).strftime("%a %d %b %H:%M" if far else "%H:%M")


def progress_of(events: Iterable[JournalEvent]) -> tuple[RuleProgress, ...]:
    """Take the newest progress of every rule in force from a journal. Raises `ConfigError` as `RuleProgress.of`."""
    newest: dict[str, RuleProgress] = {}
    for event in events:
        if event.event == RULES_EVENT:
            newest.clear()
        elif event.event == PROGRESS_EVENT:
            progress = RuleProgress.of(event)
            newest[progress.rule] = progress
    return tuple(newest.values())


def rules_in_force(events: Sequence[JournalEvent]) -> StopRules | None:
    """Tell which rules a run that goes on has; none once they were met, for then a person wants more.

    Raises
    ------
    ConfigError
        If the journal holds rules that this version does not know.
    """
    rules: StopRules | None = None
    for event in events:
        if event.event == RULES_EVENT:
            rules = validate(StopRules, event.payload.get("rules"), f"journal, line {event.sequence + 1}")
        elif event.event == MET_EVENT:
            rules = None
    return rules
