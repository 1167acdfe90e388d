"""A journal that grows is read on from where the reader was, and with the same suspicion."""

from __future__ import annotations

from pathlib import Path

import pytest

from knightshift.core.errors import DamagedDataError
from knightshift.core.journal import JournalEvent, encode_event, read_journal
from knightshift.core.journal_tail import JournalTail

_TIME = "2026-01-05T19:00:00.000000+00:00"


def lines(count: int) -> list[bytes]:
    written, crc = [], 0
    for number in range(count):
        line, crc = encode_event(JournalEvent(number, _TIME, "committed", {"pass": number}), crc)
        written.append(line)
    return written


def test_pieces_of_any_size_give_the_events_of_the_whole(tmp_path: Path) -> None:
    path, content = tmp_path / "journal.jsonl", b"".join(lines(7))
    for size in (1, 7, 100, 333, len(content)):
        path.write_bytes(b"")
        tail, found = JournalTail(path), []
        for end in range(size, len(content) + size, size):
            path.write_bytes(content[:end])
            found += tail.new_events()
        assert tuple(found) == read_journal(path).events
        assert tail.new_events() == ()


def test_a_line_that_does_not_follow_the_one_before_is_damage(tmp_path: Path) -> None:
    path, written = tmp_path / "journal.jsonl", lines(4)
    path.write_bytes(b"".join(written[:2]))
    tail = JournalTail(path)
    assert len(tail.new_events()) == 2
    path.write_bytes(b"".join([*written[:2], written[3]]))
    with pytest.raises(DamagedDataError, match="line 3"):
        tail.new_events()


def test_a_journal_that_shrank_is_damage(tmp_path: Path) -> None:
    path, written = tmp_path / "journal.jsonl", lines(3)
    path.write_bytes(b"".join(written))
    tail = JournalTail(path)
    tail.new_events()
    path.write_bytes(written[0])
    with pytest.raises(DamagedDataError, match="before"):
        tail.new_events()
