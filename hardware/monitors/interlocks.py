"""Interlocks: what must hold while a scan runs, and what happens if it does not.

`Interlock` is a pure state machine of readings and times::

    CLEAR ──not in band──► GRACE ──for long enough──► TRIPPED ──in band──► RECOVERING ──for long enough──► CLEAR
      ▲                      │                           ▲                      │
      └───────in band────────┘                           └─────not in band──────┘

"Not in band" is a value outside its band, or no value at all: stale, invalid, NaN, never read. Each of the two has a
grace time of its own; a device that drops in and out cannot evade both, since only a good value in band ends the
grace. An interlock asks for its action while it is TRIPPED or RECOVERING. Time is counted in steps between updates,
so that a clock that is set back delays nothing by more than one step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from knightshift.core.quantities import Fraction, Kelvin, KelvinDifference, NonNegativeSeconds
from knightshift.hardware.monitors.reading import Reading, Severity


class Action(StrEnum):
    """What an interlock asks for, the mildest first."""

    NONE = "none"
    """Nothing."""
    FLAG_PASS = "flag_pass"  # noqa: S105 - not a password
    """Keep the pass, but give it no weight."""
    SUSPEND = "suspend"
    """Start no further pass until the interlock is clear again."""
    STOP = "stop"
    """End the run after this pass."""
    MAKE_SAFE = "make_safe"
    """Blank RF and gradients now, and end the run."""

    @property
    def gravity(self) -> int:
        """Rank: 0 for NONE."""
        return _GRAVITIES[self]


_GRAVITIES = {action: rank for rank, action in enumerate(Action)}


class InterlockState(StrEnum):
    """Where an interlock stands."""

    CLEAR = "clear"
    """In band."""
    GRACE = "grace"
    """Not in band, not yet for long enough."""
    TRIPPED = "tripped"
    """Not in band for too long."""
    RECOVERING = "recovering"
    """In band again, not yet for long enough."""


class _Rule(BaseModel):
    """What every interlock says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    watch: str
    """The quantity: ``monitor.quantity``."""
    action: Literal["flag_pass", "suspend", "stop", "make_safe"]
    """What to do."""
    grace: NonNegativeSeconds = 0.0
    """How long the value may be out of band before anything is done [s]."""
    stale_grace: NonNegativeSeconds = 60.0
    """How long there may be no valid value before anything is done [s]."""
    clear_after: NonNegativeSeconds = 60.0
    """How long the value must be back in band before the interlock is clear [s]."""


class LevelInterlock(_Rule):
    """Band of a level."""

    kind: Literal["level"]
    """Selects this interlock."""
    low: Fraction | None = None
    """Lowest value that is in band."""
    high: Fraction | None = None
    """Highest value that is in band."""
    warning_low: Fraction | None = None
    """Below this: a warning."""
    warning_high: Fraction | None = None
    """Above this: a warning."""
    hysteresis: Annotated[Fraction, Field(ge=0)] = 0.0
    """How far inside the band the value must be to count as back."""

    @property
    def unit(self) -> str:
        """SI unit of the values."""
        return "1"

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_bands(self)
        return self


class TemperatureInterlock(_Rule):
    """Band of a temperature."""

    kind: Literal["temperature"]
    """Selects this interlock."""
    low: Kelvin | None = None
    """Lowest value that is in band [K]."""
    high: Kelvin | None = None
    """Highest value that is in band [K]."""
    warning_low: Kelvin | None = None
    """Below this: a warning [K]."""
    warning_high: Kelvin | None = None
    """Above this: a warning [K]."""
    hysteresis: KelvinDifference = 0.0
    """How far inside the band the value must be to count as back [K]."""

    @property
    def unit(self) -> str:
        """SI unit of the values."""
        return "K"

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_bands(self)
        return self


InterlockConfig: TypeAlias = Annotated[LevelInterlock | TemperatureInterlock, Field(discriminator="kind")]
"""One interlock; `kind` says of what."""


def _check_bands(rule: LevelInterlock | TemperatureInterlock) -> None:
    if rule.low is None and rule.high is None:
        raise ValueError(f"an interlock on {rule.watch} needs `low`, `high` or both")
    low, high = _bounds(rule.low, rule.high)
    warning_low, warning_high = _bounds(rule.warning_low, rule.warning_high)
    if not low + rule.hysteresis < high - rule.hysteresis:
        raise ValueError(f"band {low:g} to {high:g} with hysteresis {rule.hysteresis:g} {rule.unit}: nothing is in it")
    if not max(low, warning_low) < min(high, warning_high):
        raise ValueError(f"warning band {warning_low:g} to {warning_high:g} leaves nothing of {low:g} to {high:g}")
    if (rule.warning_low is not None and warning_low < low) or (rule.warning_high is not None and warning_high > high):
        raise ValueError(
            f"warning band {warning_low:g} to {warning_high:g} reaches beyond {low:g} to {high:g} {rule.unit}"
        )


def _bounds(low: float | None, high: float | None) -> tuple[float, float]:
    return (-math.inf if low is None else low), (math.inf if high is None else high)


def _shown(value: float, unit: str) -> str:
    return f"{100 * value:.4g} %" if unit == "1" else f"{value:.5g} {unit}"


@dataclass(frozen=True)
class InterlockStatus:
    """Where an interlock stands, and why."""

    name: str
    """Name of the interlock."""
    state: InterlockState
    """Where it stands."""
    action: Action
    """What it asks for now."""
    severity: Severity
    """INVALID without a value, ALARM out of band, WARNING out of the warning band, else what the device says."""
    reason: str
    """The value and what it is compared with; empty if all is well."""
    seconds_left: float
    """Until it trips (in GRACE) or is clear (in RECOVERING), if nothing changes [s]; else 0."""


class Interlock:
    """The state machine of one interlock.

    Parameters
    ----------
    name
        What the site file calls it.
    rule
        Band, times and action.
    """

    def __init__(self, name: str, rule: LevelInterlock | TemperatureInterlock) -> None:
        self.name = name
        self.rule = rule
        self._state = InterlockState.CLEAR
        self._updated: float | None = None
        self._outside: float | None = None
        self._absent: float | None = None
        self._inside = 0.0
        self._clear: tuple[Reading | None, InterlockStatus] | None = None

    def update(self, reading: Reading | None, now: float) -> InterlockStatus:
        """Look at the latest reading.

        Parameters
        ----------
        reading
            The latest one; None if there never was one.
        now
            The time [s since the Unix epoch].
        """
        step = 0.0 if self._updated is None else max(0.0, now - self._updated)
        self._updated = now
        if self._clear is not None and reading is self._clear[0]:
            return self._clear[1]
        severity, reason = self._judge(reading)
        good = severity in (Severity.OK, Severity.WARNING)
        if self._state in (InterlockState.CLEAR, InterlockState.GRACE):
            self._watch_for_trip(severity, good, step)
        else:
            self._watch_for_recovery(good and self._is_well_inside(reading), step)
        status = self._status(severity, reason)
        self._clear = (reading, status) if self._state is InterlockState.CLEAR else None
        return status

    def _judge(self, reading: Reading | None) -> tuple[Severity, str]:
        """Severity of a reading in the light of the bands; INVALID if it is no value."""
        rule = self.rule
        if reading is None or reading.severity is Severity.INVALID or not math.isfinite(reading.value):
            return Severity.INVALID, f"{rule.watch}: no value: {reading.problem if reading else 'not read yet'}"
        if reading.stale:
            return Severity.INVALID, f"{rule.watch}: the last value is stale"
        if reading.severity is Severity.ALARM:
            return Severity.ALARM, f"{rule.watch}: {reading.problem}"
        if outside := self._beyond(reading.value, rule.low, rule.high):
            return Severity.ALARM, outside
        if outside := self._beyond(reading.value, rule.warning_low, rule.warning_high):
            return Severity.WARNING, outside
        return reading.severity, reading.problem

    def _beyond(self, value: float, low: float | None, high: float | None) -> str:
        """Say which bound is violated; empty if none is."""
        if low is not None and not value >= low:
            return f"{self.rule.watch} {_shown(value, self.rule.unit)} is below {_shown(low, self.rule.unit)}"
        if high is not None and not value <= high:
            return f"{self.rule.watch} {_shown(value, self.rule.unit)} is above {_shown(high, self.rule.unit)}"
        return ""

    def _is_well_inside(self, reading: Reading | None) -> bool:
        low, high = _bounds(self.rule.low, self.rule.high)
        margin = self.rule.hysteresis
        return reading is not None and low + margin <= reading.value <= high - margin

    def _watch_for_trip(self, severity: Severity, good: bool, step: float) -> None:
        if good:
            self._state, self._outside, self._absent = InterlockState.CLEAR, None, None
            return
        self._state = InterlockState.GRACE
        if self._outside is not None:
            self._outside += step
        elif severity is Severity.ALARM:
            self._outside = 0.0
        if self._absent is not None:
            self._absent += step
        elif severity is Severity.INVALID:
            self._absent = 0.0
        if self._time_to_trip() <= 0:
            self._state, self._inside = InterlockState.TRIPPED, 0.0

    def _time_to_trip(self) -> float:
        outside = math.inf if self._outside is None else self.rule.grace - self._outside
        absent = math.inf if self._absent is None else self.rule.stale_grace - self._absent
        return min(outside, absent)

    def _watch_for_recovery(self, well_inside: bool, step: float) -> None:
        if not well_inside:
            self._state, self._inside = InterlockState.TRIPPED, 0.0
            return
        self._inside = self._inside + step if self._state is InterlockState.RECOVERING else 0.0
        self._state = InterlockState.RECOVERING
        if self._inside >= self.rule.clear_after:
            self._state, self._outside, self._absent = InterlockState.CLEAR, None, None

    def _status(self, severity: Severity, reason: str) -> InterlockStatus:
        asks = self._state in (InterlockState.TRIPPED, InterlockState.RECOVERING)
        left = 0.0
        if self._state is InterlockState.GRACE:
            left = self._time_to_trip()
        elif self._state is InterlockState.RECOVERING:
            left = self.rule.clear_after - self._inside
        return InterlockStatus(
            name=self.name,
            state=self._state,
            action=Action(self.rule.action) if asks else Action.NONE,
            severity=severity,
            reason=reason,
            seconds_left=left,
        )


@dataclass(frozen=True)
class PanelStatus:
    """All interlocks at one moment."""

    interlocks: tuple[InterlockStatus, ...]
    """Where each stands."""

    @cached_property  # asked for at every readout, several times
    def action(self) -> Action:
        """The gravest action that any of them asks for."""
        return gravest(status.action for status in self.interlocks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, for each that asks for an action or is about to."""
        return tuple(
            f"{status.name}: {status.reason or status.state.value}"
            for status in self.interlocks
            if status.state is not InterlockState.CLEAR
        )


def gravest(actions: Iterable[Action]) -> Action:
    """Find the gravest of several actions; NONE if there is none."""
    return max(actions, key=lambda action: action.gravity, default=Action.NONE)


class InterlockPanel:
    """All interlocks of a site.

    Parameters
    ----------
    rules
        Name → rule.
    """

    def __init__(self, rules: Mapping[str, LevelInterlock | TemperatureInterlock]) -> None:
        self._interlocks = tuple(Interlock(name, rule) for name, rule in rules.items())
        self._clear: tuple[Mapping[str, Reading], PanelStatus] | None = None

    def update(self, readings: Mapping[str, Reading], now: float) -> PanelStatus:
        """Look at the latest readings, by name of their quantity. If all is clear, the same ones give the same status.

        The time does not matter to an interlock that is clear: its grace begins with the first reading out of band.
        """
        if self._clear is not None and readings is self._clear[0]:  # looked at in every readout, read every few seconds
            return self._clear[1]
        status = PanelStatus(
            tuple(interlock.update(readings.get(interlock.rule.watch), now) for interlock in self._interlocks)
        )
        clear = all(entry.state is InterlockState.CLEAR for entry in status.interlocks)
        self._clear = (readings, status) if clear else None
        return status
