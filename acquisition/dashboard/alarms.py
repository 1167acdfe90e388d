"""What in a journal a person should see at a glance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from knightshift.core.clock import from_iso_time
from knightshift.core.journal import JournalEvent
from knightshift.reconstruction.report.night import words_of


@dataclass(frozen=True)
class Alarm:
    """One line for the list of alarms."""

    time: float
    """Seconds since the Unix epoch (UTC)."""
    event: str
    """Name of the event in the journal."""
    words: str
    """What happened."""


def alarm_of(event: JournalEvent) -> Alarm | None:
    """Tell what is alarming about an event; None for one that is as it should be."""
    tell = _ALARMING.get(event.event)
    words = "" if tell is None else tell(event.payload)
    return Alarm(from_iso_time(event.time), event.event, words) if words else None


def _plain(payload: Mapping[str, Any]) -> str:
    return words_of(payload) or "see the journal"


def _flagged(payload: Mapping[str, Any]) -> str:
    flags = payload.get("flags") or ()
    return f"pass {payload.get('pass')} gets no weight: {', '.join(map(str, flags))}" if flags else ""


def _checks(payload: Mapping[str, Any]) -> str:
    bad = [check for check in payload.get("checks", ()) if check.get("verdict") in {"warning", "failed"}]
    return "; ".join(f"{one['name']} {one['subject']}: {one['value']} ({one['verdict']})" for one in bad)


def _repeated(payload: Mapping[str, Any]) -> str:
    return f"pass {payload.get('pass')} is played again: {payload.get('device')}: {payload.get('fault')}"


def _failed(payload: Mapping[str, Any]) -> str:
    return str(payload.get("reason") or "failed") if payload.get("status") == "failed" else ""


def _reading(payload: Mapping[str, Any]) -> str:
    sound = payload.get("severity") == "ok" and not payload.get("stale") and not payload.get("problem")
    return "" if sound else f"{payload.get('name')}: {payload.get('problem') or payload.get('severity')}"


def _problem(payload: Mapping[str, Any]) -> str:
    return str(payload.get("problem") or "")


_ALARMING: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "adopted": _plain,
    "committed": _flagged,
    "ended": _failed,
    "file_quarantined": _plain,
    "interlock": _plain,
    "journal_cut": _plain,
    "notification_failed": _plain,
    "pass_repeated": _repeated,
    "preflight": _checks,
    "quarantined": _plain,
    "reading_changed": _reading,
    "reference": _problem,
    "resumed": _plain,
    "rule_failed": _plain,
    "stale_lock_taken": _plain,
    "stop_asked": _plain,
    "suspended": _plain,
}
