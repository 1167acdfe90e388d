"""Obeys the interlocks: waits before a pass, acts within a readout, flags what was measured out of band."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from knightshift.acquisition.stop_request import StopRequest
from knightshift.acquisition.surroundings import MAX_SUSPENSION, Watch
from knightshift.core.clock import Clock
from knightshift.core.errors import InterlockFault
from knightshift.hardware.contract import Scanner
from knightshift.hardware.monitors.interlocks import Action, InterlockStatus, PanelStatus
from knightshift.hardware.monitors.reading import Reading, Severity

_LOG = logging.getLogger(__name__)

_SUSPENDED_LOOK = 1.0
"""Time between two looks while suspended [s]."""

OnSuspension: TypeAlias = Callable[[int, bool, str], None]
"""Told when a run is suspended (true) or goes on (false): next pass, which of the two, and why."""


class PassAbortedError(Exception):
    """The pass is not played, or not to its end, because someone or something said stop. Never leaves this room."""


class Log(Protocol):
    """Writes one event into the journal: `RunWriter.log`."""

    def __call__(self, time: float, event: str, **payload: Any) -> None:
        """Write it, durably."""
        ...


@dataclass
class InterlockGuard:
    """Stands between the pass loop and a `Watch`. Without a watch every call returns at once."""

    watch: Watch | None
    """Monitors and interlocks, started; None where nothing is monitored."""
    scanner: Scanner
    """Made safe where an interlock says so."""
    clock: Clock
    """The one that the scanner uses."""
    stop: StopRequest
    """The wish to stop, obeyed while suspended too."""
    log: Log
    """Writes into the journal."""
    max_suspension: float = MAX_SUSPENSION
    """How long interlocks may suspend the run [s]."""
    on_suspension: OnSuspension = field(default=lambda _index, _suspended, _reason: None)
    """Told of suspensions."""
    stop_reason: str = field(default="", init=False)
    """Why no further pass is to be started; empty as long as that is allowed."""
    _quiet: tuple[PanelStatus, Mapping[str, Reading]] | None = field(default=None, init=False)
    _asked: dict[str, None] = field(default_factory=dict, init=False)
    _known: dict[str, tuple[object, ...]] = field(default_factory=dict, init=False)

    def begin_pass(self, index: int, epoch: int = 0, waiting: int | None = None) -> bool:
        """Wait until no interlock suspends the run; the scanner is made safe meanwhile. Then the pass may begin.

        `waiting` is the pass to name in the journal where `index` is that of something before it.

        Returns
        -------
        bool
            Whether that happened, so that the program must be armed again.

        Raises
        ------
        PassAbortedError
            If the pass must not begin: an interlock says stop, or a person while suspended, or it took too long.
        InterlockFault
            If an interlock says make safe, which is done then.
        """
        if self.watch is not None:
            self.watch.end_pass()  # of the attempt before, if that failed
        status = self._look()
        suspended = status.action is Action.SUSPEND
        if suspended:
            status = self._wait(index if waiting is None else waiting, status)
        if self.stop_reason:
            raise PassAbortedError
        self._asked = dict.fromkeys(entry.name for entry in _asking(status))
        if self.watch is not None:
            self.watch.begin_pass(index, epoch)
        return suspended

    def look(self) -> None:
        """Look within a pass, at every readout: quickly where nothing has changed.

        Raises
        ------
        InterlockFault
            If an interlock says make safe, which is done then.
        """
        status = self._look()
        if self._quiet is None:
            self._asked |= dict.fromkeys(entry.name for entry in _asking(status))

    def end_pass(self) -> tuple[str, ...]:
        """Look once more; give the flags of the pass, one for each interlock that asked for anything while it played.

        Raises
        ------
        InterlockFault
            As `look`.
        """
        self.look()
        if self.watch is not None:
            self.watch.end_pass()
        return tuple(f"interlock {name}" for name in self._asked)

    def readings(self) -> dict[str, dict[str, Any]]:
        """Give the latest readings for the journal, by name."""
        return {} if self.watch is None else readings_for_journal(self.watch.readings())

    def _look(self) -> PanelStatus:
        """Look; first of all act, then write down what has changed."""
        if self.watch is None:
            return _ALL_CLEAR
        status = self.watch.look()
        if status.action is Action.MAKE_SAFE:
            self.scanner.make_safe()
        readings = self.watch.readings()
        if self._quiet is not None and status is self._quiet[0] and readings is self._quiet[1]:  # at every readout
            return status
        self._log_changes(status, readings)
        self._quiet = None if _asking(status) else (status, readings)
        if status.action is Action.MAKE_SAFE:
            raise InterlockFault(
                f"{_words(status, Action.MAKE_SAFE)}: RF and gradients are off: mend it, then continue", "interlocks"
            )
        if status.action is Action.STOP:
            self.stop_reason = self.stop_reason or f"interlock {_words(status, Action.STOP)}"
        return status

    def _wait(self, index: int, status: PanelStatus) -> PanelStatus:
        self.scanner.make_safe()
        began, reason = self.clock.now(), _words(status, Action.SUSPEND)
        _LOG.warning("suspended before pass %d: %s", index, reason)
        self._log_suspension("suspended", index, reason=reason)
        self.on_suspension(index, True, reason)
        while status.action is Action.SUSPEND:
            if self.stop.after_pass:
                raise PassAbortedError
            if self.clock.now() - began > self.max_suspension:
                words = _words(status, Action.SUSPEND)
                self.stop_reason = f"suspended for more than {self.max_suspension:g} s: interlock {words}"
                raise PassAbortedError
            self.clock.sleep(_SUSPENDED_LOOK)
            status = self._look()
        if self.stop_reason:
            raise PassAbortedError
        duration = self.clock.now() - began
        self._log_suspension("resumed", index, reason=reason, suspended_s=duration)
        self.on_suspension(index, False, f"clear again after {duration:.0f} s")
        return status

    def _log_suspension(self, event: str, index: int, **facts: Any) -> None:
        now = self.clock.now()
        self.log(now, event, **{"pass": index, "time_s": now, **facts, "readings": self.readings()})

    def _log_changes(self, status: PanelStatus, readings: Mapping[str, Reading]) -> None:
        now = self.clock.now()
        for entry in status.interlocks:
            if self._is_new(f"interlock {entry.name}", (entry.state, entry.severity, entry.action), _IN_ORDER):
                facts = {"state": entry.state, "severity": entry.severity, "action": entry.action}
                self.log(now, "interlock", name=entry.name, **facts, reason=entry.reason)
        for name, reading in readings.items():
            if self._is_new(name, (reading.severity, reading.stale), (Severity.OK, False)):
                self.log(now, "reading_changed", name=name, **readings_for_journal({name: reading})[name])

    def _is_new(self, name: str, now: tuple[object, ...], at_first: tuple[object, ...]) -> bool:
        before = self._known.get(name, at_first)
        self._known[name] = now
        return before != now


_ALL_CLEAR = PanelStatus(())
_IN_ORDER = ("clear", "ok", "none")


def _asking(status: PanelStatus) -> list[InterlockStatus]:
    return [entry for entry in status.interlocks if entry.action is not Action.NONE]


def _words(status: PanelStatus, action: Action) -> str:
    """Say which interlocks ask for `action`, and why."""
    return "; ".join(
        f"{entry.name}: {entry.reason or entry.state.value}" for entry in status.interlocks if entry.action is action
    )


def readings_for_journal(readings: Mapping[str, Reading]) -> dict[str, dict[str, Any]]:
    """Give readings as plain JSON data, by name; a value that is none is null."""
    return {
        name: {
            "value": None if reading.severity is Severity.INVALID else reading.value,
            "unit": reading.unit,
            "measured_s": reading.measured,
            "severity": reading.severity.value,
            "stale": reading.stale,
            "problem": reading.problem,
        }
        for name, reading in readings.items()
    }
