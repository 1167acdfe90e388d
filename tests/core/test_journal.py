"""The chain of a journal: any cut leaves a valid beginning, any change is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.core.errors import DamagedDataError, StorageError
from knightshift.core.journal import JournalEvent, JournalWriter, decode_journal, encode_event, read_journal

_PATH = Path("journal.jsonl")
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_EVENTS = st.lists(
    st.tuples(st.text(max_size=12), st.dictionaries(st.text(max_size=6), _JSON, max_size=3)), min_size=1, max_size=6
)


def written(events: list[tuple[str, dict[str, object]]]) -> tuple[bytes, list[JournalEvent]]:
    content, crc, kept = b"", 0, []
    for number, (name, payload) in enumerate(events):
        kept.append(JournalEvent(number, "2026-01-05T19:00:00.000000+00:00", name, payload))
        line, crc = encode_event(kept[-1], crc)
        content += line
    return content, kept


@given(_EVENTS)
def test_what_is_written_is_read(events: list[tuple[str, dict[str, object]]]) -> None:
    content, kept = written(events)
    journal = decode_journal(content, _PATH)
    assert list(journal.events) == kept
    assert (journal.valid_bytes, journal.torn_bytes) == (len(content), 0)


@given(_EVENTS, st.data())
def test_cut_anywhere_it_holds_the_lines_that_are_whole(
    events: list[tuple[str, dict[str, object]]], data: st.DataObject
) -> None:
    content, kept = written(events)
    cut = content[: data.draw(st.integers(0, len(content)))]
    journal = decode_journal(cut, _PATH)
    assert list(journal.events) == kept[: cut.count(b"\n")]
    assert journal.valid_bytes + journal.torn_bytes == len(cut)


@given(_EVENTS, st.data())
def test_a_flipped_bit_is_found(events: list[tuple[str, dict[str, object]]], data: st.DataObject) -> None:
    content, kept = written(events)
    altered = bytearray(content)
    altered[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        journal = decode_journal(bytes(altered), _PATH)
    except DamagedDataError:
        return
    # only in the last line can it pass for a torn one, and then that line is left out and counted as torn
    assert journal.torn_bytes > 0
    assert list(journal.events) == kept[:-1]


@given(_EVENTS, st.data())
def test_a_line_lost_or_repeated_in_the_middle_is_found(
    events: list[tuple[str, dict[str, object]]], data: st.DataObject
) -> None:
    lines = written([*events, ("last", {})])[0].splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 2))
    for altered in ([*lines[:at], *lines[at + 1 :]], [*lines[: at + 1], *lines[at:]]):
        with pytest.raises(DamagedDataError):
            decode_journal(b"".join(altered), _PATH)


def test_damage_names_the_line_and_the_way_out() -> None:
    content = written([("a", {}), ("b", {"pass": 1}), ("c", {})])[0].replace(b'"pass":1', b'"pass":2')
    with pytest.raises(DamagedDataError, match=r"journal.jsonl: line 2: checksum .* `knightshift verify`") as caught:
        decode_journal(content, _PATH)
    assert caught.value.field == "line 2"


def test_a_last_line_of_which_a_block_never_reached_the_disk_is_torn() -> None:
    content, kept = written([("a", {}), ("b", {"text": "x" * 100})])
    start = len(content.splitlines(keepends=True)[0])
    journal = decode_journal(content[: start + 20] + bytes(60) + content[start + 80 :], _PATH)
    assert list(journal.events) == kept[:1]
    assert journal.torn_bytes == len(content) - start


def test_a_writer_cuts_a_torn_line_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(written([("a", {}), ("b", {})])[0][:-5])
    with JournalWriter(path) as writer:
        assert writer.cut_bytes > 0
        assert path.read_bytes().endswith(b"\n")
        writer.append(0.0, "c", value=1.5)
    assert [event.event for event in read_journal(path).events] == ["a", "c"]


def test_a_full_disk_leaves_no_torn_line_and_nothing_more_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    path = tmp_path / "journal.jsonl"
    path.write_bytes(before := written([("a", {})])[0])
    write = os.write

    def half(descriptor: int, content: bytes) -> int:
        if len(content) > 20:
            return write(descriptor, content[:20])
        raise OSError(28, "No space left on device")

    with JournalWriter(path) as writer:
        monkeypatch.setattr(os, "write", lambda descriptor, content: half(descriptor, bytes(content[:21])))
        with pytest.raises(StorageError, match=r"No space left on device.*resume"):
            writer.append(0.0, "b", text="x" * 100)
        monkeypatch.undo()
        with pytest.raises(StorageError, match="an earlier line"):
            writer.append(0.0, "c")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [b"{}", b"[]", b"", b'{"seq":0}', b'{"seq":"0","time":"","event":"","payload":{}}', b'{"seq":' + b"[" * 100_000],
    ids=["empty", "list", "nothing", "fields", "type", "deep"],
)
def test_a_forged_line_with_a_right_checksum_is_damage_not_a_crash(line: bytes) -> None:
    import zlib

    content = line[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(line[:-1])
    with pytest.raises(DamagedDataError, match="line 1"):
        decode_journal(content, _PATH)
