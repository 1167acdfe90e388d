"""Follow the journal of a run as it grows: its events, which passes count, and its reference FIDs."""

from __future__ import annotations

from collections.abc import Mapping

from knightshift.core.journal import JournalEvent
from knightshift.core.journal_tail import JournalTail
from knightshift.core.references import Reference, references_of
from knightshift.core.run_folder import JOURNAL, Commit, CommitLedger, Run


class RunTail:
    """What the journal of a run tells so far; nothing of it is read twice, locked or written.

    A pass is durable before its commit record is, so every pass that the journal names can be read.

    Parameters
    ----------
    run
        The run.
    """

    def __init__(self, run: Run) -> None:
        self._journal = run.path / JOURNAL
        self._tail = JournalTail(self._journal)
        self._ledger = CommitLedger(self._journal, run.manifest.n_passes)
        self._reference_events: list[JournalEvent] = []

    def new_events(self) -> tuple[JournalEvent, ...]:
        """Read on; gives the events since the call before. Raises `DamagedDataError`."""
        events = self._tail.new_events()
        for event in events:
            self._ledger.read(event)
            if event.event == "reference":
                self._reference_events.append(event)
        return events

    def commits(self) -> Mapping[int, Commit]:
        """Give the passes that count, in order of index."""
        return self._ledger.commits()

    def references(self) -> tuple[Reference, ...]:
        """Give the references that may correct passes, in order of time. Raises `DamagedDataError`."""
        return references_of(self._reference_events, self._journal)
