"""Why a run has no pass: nobody has played one yet, or the checks with RF before the first one have failed."""

from __future__ import annotations

from collections.abc import Iterable

from knightshift.core.journal import JournalEvent

BEGINNINGS_AND_ENDS = frozenset({"adjusting", "epoch_began", "ended"})
"""Events that `why_no_pass` needs; it may be given others too."""


def why_no_pass(events: Iterable[JournalEvent]) -> str:
    """Say in one line why no pass of a run was begun, and what to do; empty if one was begun.

    Parameters
    ----------
    events
        Of its journal.
    """
    failure: JournalEvent | None = None
    for event in events:
        if event.event == "epoch_began":
            return ""
        if event.event in BEGINNINGS_AND_ENDS:
            failure = event if event.event == "ended" else None  # it is tried again
    if failure is None:
        return "no pass was begun yet: let it run on, or resume it"
    reason = one_line(str(failure.payload.get("reason", ""))) or str(failure.payload.get("status", "ended"))
    return f"no pass was begun; {failure.time[:19]} UTC, {reason}: mend that, then resume it"


def one_line(words: str) -> str:
    """Put the lines of a message into one."""
    return "; ".join(line.strip() for line in words.splitlines() if line.strip()).replace(":; ", ": ")
