"""One run as the live page shows it, followed through its journal. The run folder is only read."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from knightshift.acquisition.dashboard.alarms import Alarm, alarm_of
from knightshift.acquisition.run_lock import living_holder
from knightshift.acquisition.stop_rules.progress import progress_of
from knightshift.core.clock import from_iso_time
from knightshift.core.errors import DamagedDataError
from knightshift.core.journal import JournalEvent
from knightshift.core.journal_tail import JournalTail
from knightshift.core.run_folder import JOURNAL, LOCK, CommitLedger, open_run
from knightshift.core.run_without_passes import BEGINNINGS_AND_ENDS, why_no_pass
from knightshift.reconstruction.report.night import Night, NightReader, words_of
from knightshift.reconstruction.report.night_curves import Curve

_LINES = 100
"""Lines of the journal, and alarms, that are kept for the page."""
_POINTS = 600
"""Points of a curve that the page draws."""
_RULE_EVENTS = frozenset({"stop_rules", "rule_progress"})


class RunWatch:
    """Follows one run.

    Parameters
    ----------
    path
        The run folder.

    Raises
    ------
    ConfigError, DamagedDataError
        If it is not a run, or damaged at its beginning.
    """

    def __init__(self, path: Path) -> None:
        self.run = open_run(path)
        self._tail = JournalTail(path / JOURNAL)
        self._reader = NightReader()
        self._ledger = CommitLedger(path / JOURNAL, self.run.manifest.n_passes)
        self._events: deque[JournalEvent] = deque(maxlen=_LINES)
        self._alarms: deque[Alarm] = deque(maxlen=_LINES)
        self._rules: list[JournalEvent] = []
        self._epoch_events: list[JournalEvent] = []
        self._damage = ""
        self._last: JournalEvent | None = None
        self._night: Night | None = None

    def refresh(self) -> None:
        """Read what is new. Damage is shown, not raised: the page goes on with what it knows."""
        if self._damage:
            return
        try:
            for event in self._tail.new_events():
                self._take(event)
        except DamagedDataError as error:
            self._damage = str(error)
        except (KeyError, TypeError, ValueError) as error:
            self._damage = f"{self._tail.path}: an event does not hold what it must: {error!r}"

    @property
    def night(self) -> Night:
        """The night so far."""
        if self._night is None:
            self._night = self._reader.night()
        return self._night

    def _take(self, event: JournalEvent) -> None:
        self._last, self._night = event, None
        self._events.append(event)
        self._ledger.read(event)
        self._reader.read(event)
        if event.event in _RULE_EVENTS:
            self._rules.append(event)
        if event.event in BEGINNINGS_AND_ENDS:
            self._epoch_events.append(event)
        alarm = alarm_of(event)
        if alarm is not None:
            self._alarms.append(alarm)

    def curves(self) -> list[dict[str, Any]]:
        """Give the curves of the night, thinned to what a screen shows; times in s since 1970 UTC."""
        return [_thinned(curve) for curve in self.night.curves]

    def state(self) -> dict[str, Any]:
        """Give everything but the curves as plain data for the page; times in s since 1970 UTC, SI units."""
        manifest = self.run.manifest
        commits = self._ledger.commits()
        now = from_iso_time(self._last.time) if self._last else from_iso_time(manifest.created)
        left = manifest.n_passes - len(commits)
        state, words = self._standing()
        return {
            "name": self.run.path.name,
            "protocol": str(manifest.protocol.get("name", "")),
            "state": state,
            "words": words,
            "damage": self._damage,
            "virtual": manifest.setup.clock == "virtual",
            "n_committed": len(commits),
            "n_passes": manifest.n_passes,
            "n_flagged": sum(bool(commit.flags) for commit in commits.values()),
            "began": from_iso_time(manifest.created),
            "now": now,
            "ends": now + left * self._pass_duration(),
            "rules": [asdict(progress) for progress in progress_of(self._rules)],
            "alarms": [asdict(alarm) for alarm in reversed(self._alarms)],
            "journal": [_line(event) for event in reversed(self._events)],
        }

    def _pass_duration(self) -> float:
        durations = [entry.duration for entry in self.run.manifest.programs]
        return sum(durations) / len(durations)

    def _standing(self) -> tuple[str, str]:
        """Tell where the run stands, and why, in words."""
        night = self.night
        if living_holder(self.run.path / LOCK) is not None:
            if night.suspensions and night.suspensions[-1].duration is None:
                return "suspended", night.suspensions[-1].reason
            return "acquiring", ""
        if night.epochs and night.epochs[-1].status:
            return night.epochs[-1].status, night.epochs[-1].reason
        if not night.epochs and self._epoch_events and self._epoch_events[-1].event == "ended":
            return str(self._epoch_events[-1].payload["status"]), why_no_pass(self._epoch_events)
        return "interrupted", "no process acquires into it: `knightshift resume` goes on"


def _line(event: JournalEvent) -> Mapping[str, Any]:
    return {
        "sequence": event.sequence,
        "time": from_iso_time(event.time),
        "event": event.event,
        "words": words_of(event.payload),
    }


def _thinned(curve: Curve) -> dict[str, Any]:
    """Take points at even steps, the newest among them; extremes between them may be lost on the screen."""
    n = len(curve.time)
    rows = np.unique(np.linspace(0, n - 1, min(n, _POINTS)).round().astype(int))
    return {
        "name": curve.name,
        "sort": curve.sort,
        "unit": curve.unit,
        "time": curve.time[rows].tolist(),
        "value": curve.value[rows].tolist(),
    }
