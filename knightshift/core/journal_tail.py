"""Follow a journal that another process writes, without reading twice what is known already."""

from __future__ import annotations

from pathlib import Path

from knightshift.core.durable import read_regular_file
from knightshift.core.journal import MAX_JOURNAL_BYTES, JournalEvent, decode_journal


class JournalTail:
    """Reads a journal piece by piece; each call gives what is new.

    Parameters
    ----------
    path
        The journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes = self._lines = self._crc = 0

    def new_events(self) -> tuple[JournalEvent, ...]:
        """Give the events since the call before; a line that is being written is left for the next call.

        Raises
        ------
        DamagedDataError
            If the journal is missing, damaged, or shorter than it was.
        """
        content = read_regular_file(self.path, MAX_JOURNAL_BYTES, skip=self._bytes)
        if not content:
            return ()
        journal = decode_journal(content, self.path, self._lines, self._crc)
        self._bytes += journal.valid_bytes
        self._lines += len(journal.events)
        if journal.events:
            self._crc = journal.crc
        return journal.events
