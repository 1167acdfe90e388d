"""Reading a run folder: what is good is read, what is damaged is named, what is hostile is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from fake_scanner import acquire_tiny

from knightshift.core.errors import ConfigError, DamagedDataError, InputError
from knightshift.core.journal import JournalEvent, encode_event
from knightshift.core.manifest import parse_manifest
from knightshift.core.run_folder import open_run
from knightshift.core.run_verification import verify_run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return acquire_tiny(tmp_path, 3).path


def test_a_run_that_is_being_written_is_readable(path: Path) -> None:
    run = open_run(path)
    with (path / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"seq":6,"time":"2026')
    assert run.committed() == (0, 1, 2)
    assert len(list(run.passes())) == 3
    assert verify_run(path).intact


def test_a_pass_that_is_not_there_is_told(path: Path) -> None:
    run = open_run(path)
    for index in (-1, 3):
        with pytest.raises(InputError, match="the run has passes 0 to 2"):
            run.read_pass(index)
    run.pass_path(1).unlink()
    with pytest.raises(DamagedDataError, match=r"p000001\.h5: file: cannot be read: No such file"):
        run.read_pass(1)


def test_every_file_of_a_run_is_checked(path: Path) -> None:
    """One bit is flipped in each file in turn: it is named, and all else is still good."""
    files = [*sorted(path.glob("passes/*")), *sorted(path.glob("programs/*")), path / "manifest.json"]
    assert len(files) == 6
    for file in files:
        content = file.read_bytes()
        altered = bytearray(content)
        altered[len(content) // 2] ^= 4
        file.write_bytes(bytes(altered))
        report = verify_run(path)
        assert [damage.path for damage in report.damage] == [file]
        expected = {0, 1, 2} - ({int(file.stem[1:])} if file.parent.name == "passes" else set())
        assert set(report.good) == expected
        file.write_bytes(content)
    assert verify_run(path).intact


def test_an_edited_manifest_is_refused_with_what_to_do(path: Path) -> None:
    manifest = path / "manifest.json"
    content = manifest.read_bytes()
    manifest.write_bytes(content + b"\n")
    digest = hashlib.sha256(content).hexdigest()
    with pytest.raises(DamagedDataError, match=f"put back the file of SHA-256 {digest} from a copy .* start a new run"):
        open_run(path)
    manifest.write_bytes(content)
    assert open_run(path).committed() == (0, 1, 2)


def test_with_a_damaged_journal_the_passes_are_still_checked_and_readable(path: Path) -> None:
    journal = path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"pass":0', b'"pass":9'))
    report = verify_run(path)
    assert [(damage.path, damage.field) for damage in report.damage] == [(journal, "line 4")]
    assert report.good == (0, 1, 2)
    assert open_run(path).read_pass(1).index == 1


@pytest.mark.parametrize("index", [-1, 3, "../../x", 1.5, True, None], ids=repr)
def test_a_journal_cannot_name_a_pass_that_is_none(path: Path, index: object) -> None:
    journal = path / "journal.jsonl"
    first = journal.read_bytes().splitlines(keepends=True)[0]
    crc = int(first[-11:-3], 16)
    line, _ = encode_event(JournalEvent(1, "2026-01-05T19:00:00+00:00", "committed", {"pass": index}), crc)
    journal.write_bytes(first + line)
    with pytest.raises(DamagedDataError, match="line 2: event 'committed'"):
        open_run(path).committed()


@pytest.mark.parametrize(
    ("time", "finished"),
    [("yesterday", 1.0), ("2026-01-05T19:00:00+00:00", "soon"), ("2026-01-05T19:00:00+00:00", None)],
)
def test_a_time_that_is_none_is_damage(path: Path, time: str, finished: object) -> None:
    journal = path / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)[:3]
    payload = {**open_run(path).events()[2].payload, "finished_s": finished}
    line, _ = encode_event(JournalEvent(3, time, "committed", payload), int(lines[2][-11:-3], 16))
    journal.write_bytes(b"".join(lines) + line)
    with pytest.raises(DamagedDataError, match="line 4"):
        open_run(path).committed()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "something else"), ("format_version", 2), ("created", "yesterday"),
        ("run_id", "../../x"), ("n_passes", 10**9),
        ("programs", []), ("unheard_of", 1),
    ],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(path: Path, key: str, value: object) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    with pytest.raises(ConfigError, match="manifest"):
        parse_manifest(json.dumps({**manifest, key: value}).encode(), "manifest.json")


def test_a_digest_cannot_leave_the_folder_of_programs(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    for digest in ("../../../etc/passwd", "a" * 63, "a" * 64 + "\n", "A" * 64):
        manifest["programs"][0]["digest"] = digest
        with pytest.raises(ConfigError, match=r"programs\.0\.digest"):
            parse_manifest(json.dumps(manifest).encode(), "manifest.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff" * 100, b"[" * 100_000], ids=str)
def test_any_bytes_as_manifest_are_a_clear_error(path: Path, content: bytes) -> None:
    (path / "manifest.json").write_bytes(content)
    with pytest.raises(DamagedDataError, match=r"manifest\.json: checksum"):
        open_run(path)
    with pytest.raises(ConfigError, match=r"manifest\.json: is not the manifest"):
        parse_manifest(content, "manifest.json")
    assert verify_run(path).good == (0, 1, 2)
