r"""The journal of a run: append-only, one JSON line per event, each CRC chained over the line before.

A line is ``{"seq":7,"time":"2026-01-05T19:00:24.000000+00:00","event":"committed","payload":{...},"crc":"89abcdef"}``.
``crc`` is the CRC-32 of the bytes of the line before ``,"crc":``, started from the CRC of the line before (0 for the
first). So no line can be changed, dropped, repeated or moved unseen, except whole lines at the end.

A line is one write, followed by ``fdatasync``. A crash can therefore leave at most one torn line, at the end: without
its newline, or with NUL bytes where a block never reached the disk. A reader leaves it out, `JournalWriter` cuts it.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, field_validator

from knightshift.core.clock import from_iso_time, iso_time
from knightshift.core.durable import read_regular_file, storage_error, write_all
from knightshift.core.errors import DamagedDataError, StorageError

MAX_JOURNAL_BYTES = 256_000_000
"""Largest journal that is read."""
_LINE = re.compile(rb'(\{"seq":.*),"crc":"([0-9a-f]{8})"\}', re.DOTALL)
_REMEDY = "passes are still readable one by one: run `knightshift verify` on the run"


@dataclass(frozen=True)
class JournalEvent:
    """One line of a journal."""

    sequence: int
    """Number of the line from 0."""
    time: str
    """When, UTC in ISO 8601."""
    event: str
    """What happened, in a word or two joined by ``_``."""
    payload: Mapping[str, Any]
    """The facts, SI units."""


class _Fields(BaseModel):
    """A line as it stands in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seq: int
    time: str
    event: str
    payload: dict[str, Any]

    @field_validator("time")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        from_iso_time(text)
        return text


@dataclass(frozen=True)
class JournalContent:
    """All valid events of a journal and where they end."""

    events: tuple[JournalEvent, ...]
    """In order."""
    valid_bytes: int
    """Length of the file up to the last valid line."""
    torn_bytes: int
    """Length of a torn last line, 0 for a journal in good order."""
    crc: int
    """CRC at the end of the chain."""


def encode_event(event: JournalEvent, previous_crc: int) -> tuple[bytes, int]:
    """Write one event as a line (newline included); also returns its CRC, which the next line starts from."""
    fields = {"seq": event.sequence, "time": event.time, "event": event.event, "payload": dict(event.payload)}
    body = json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()[:-1]
    crc = zlib.crc32(body, previous_crc)
    return body + b',"crc":"%08x"}\n' % crc, crc


def decode_journal(content: bytes, path: Path, n_before: int = 0, crc: int = 0) -> JournalContent:
    """Check the chain of a journal and take its events.

    Parameters
    ----------
    content
        The bytes of the journal, or those after its first `n_before` lines.
    path
        What to call it in a message.
    n_before
        Lines that were read before.
    crc
        CRC at the end of those.

    Raises
    ------
    DamagedDataError
        If any line but a torn last one is not what was written; the error names the line, counted from 1.
    """
    events: list[JournalEvent] = []
    position = 0
    lines = content.split(b"\n")
    unterminated = lines.pop()
    last = n_before + len(lines) - 1
    for number, line in enumerate(lines, n_before):
        try:
            event, crc = _decode_line(line, number, crc)
        except ValueError as error:
            if number == last and not unterminated and b"\0" in line:
                break
            raise DamagedDataError(path, f"line {number + 1}", str(error), _REMEDY) from error
        events.append(event)
        position += len(line) + 1
    return JournalContent(tuple(events), position, len(content) - position, crc)


def _decode_line(line: bytes, number: int, previous_crc: int) -> tuple[JournalEvent, int]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("is not a line of a journal")
    body, written = match.group(1), int(match.group(2), 16)
    crc = zlib.crc32(body, previous_crc)
    if crc != written:
        raise ValueError(f"checksum {crc:08x}, {written:08x} was written: the line was altered, or one before it lost")
    fields = _Fields.model_validate_json(body + b"}")
    if fields.seq != number:
        raise ValueError(f"sequence number {fields.seq}, {number} was expected")
    return JournalEvent(fields.seq, fields.time, fields.event, fields.payload), crc


def read_journal(path: Path) -> JournalContent:
    """Read a journal, also while another process writes it: a torn last line is left out.

    Raises
    ------
    DamagedDataError
        If it is missing or damaged anywhere before its last line.
    """
    return decode_journal(read_regular_file(path, MAX_JOURNAL_BYTES), path)


class JournalWriter:
    """Append events to a journal. Opening one cuts a torn last line, durably.

    Parameters
    ----------
    path
        The journal, which exists.

    Raises
    ------
    DamagedDataError
        If the journal is damaged before its last line.
    StorageError
        If it cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        content = read_journal(path)
        self.path = path
        self.cut_bytes = content.torn_bytes
        """Bytes of a torn line that opening has cut."""
        self._length, self._crc, self._next = content.valid_bytes, content.crc, len(content.events)
        self._broken = False
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
            if content.torn_bytes:
                os.ftruncate(self._descriptor, self._length)
                os.fdatasync(self._descriptor)
            os.lseek(self._descriptor, self._length, os.SEEK_SET)
        except OSError as error:
            raise storage_error(path, "opening for writing", error) from error

    def append(self, time: float, event: str, **payload: Any) -> None:
        """Write one event; on return it is durable.

        Parameters
        ----------
        time
            Seconds since the Unix epoch (UTC).
        event
            What happened.
        **payload
            The facts, as plain JSON data in SI units.

        Raises
        ------
        StorageError
            If the disk refuses. What was written of the line is cut off again, and nothing more can be appended.
        """
        if self._broken:
            raise StorageError(f"{self.path}: an earlier line could not be written: resume the run to go on")
        line, crc = encode_event(JournalEvent(self._next, iso_time(time), event, payload), self._crc)
        try:
            write_all(self._descriptor, line)
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._broken = True
            self._cut_back()
            raise storage_error(self.path, f"writing event {event!r}", error) from error
        self._length, self._crc, self._next = self._length + len(line), crc, self._next + 1

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._length)
            os.fdatasync(self._descriptor)
        except OSError:
            pass  # the torn line stays; the next opening cuts it

    def close(self) -> None:
        """Give the file up."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
