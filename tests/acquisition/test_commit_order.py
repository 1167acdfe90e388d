"""Pass file durable, then commit record durable: the system calls of a commit, in their order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fake_scanner import acquire_tiny

from knightshift.acquisition import resume_time
from knightshift.core.clock import VirtualClock
from knightshift.core.journal import JournalWriter
from knightshift.core.run_folder import open_run


def trace_disk_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Record each call that changes the disk with the name of what it changes."""
    calls: list[tuple[str, str]] = []

    def wrap(name: str) -> None:
        real = getattr(os, name)

        def traced(target: Any, *args: Any, **options: Any) -> Any:
            path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else Path(target)
            calls.append((name, path.name))
            return real(target, *args, **options)

        monkeypatch.setattr(os, name, traced)

    for name in ("write", "fsync", "fdatasync", "rename"):
        wrap(name)
    return calls


def test_a_commit_makes_bytes_name_and_record_durable_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = trace_disk_calls(monkeypatch)
    acquire_tiny(tmp_path, n_passes=3)
    for index in range(3):
        part = f"p{index:06d}.h5.part"
        begin = calls.index(("write", part))
        assert calls[begin : begin + 6] == [
            ("write", part),
            ("fsync", part),
            ("rename", part),
            ("fsync", "passes"),
            ("write", "journal.jsonl"),
            ("fdatasync", "journal.jsonl"),
        ]


def test_the_folder_of_a_run_is_durable_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = trace_disk_calls(monkeypatch)
    acquire_tiny(tmp_path / "runs", n_passes=1)
    named = calls.index(("rename", ".night.part"))
    before, after = calls[:named], calls[named + 1 :]
    for file in ("manifest.json.part", "journal.jsonl.part"):
        at = before.index(("write", file))
        assert before[at + 1 : at + 4] == [("fsync", file), ("rename", file), ("fsync", ".night.part")]
    assert after[0] == ("fsync", "runs")
    assert ("fsync", tmp_path.name) in before, "the new folder of runs itself has a name to keep"


def test_a_torn_line_is_cut_durably_before_the_next_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = acquire_tiny(tmp_path, n_passes=1).path / "journal.jsonl"
    with path.open("ab") as journal:
        journal.write(b'{"seq":4')
    calls = trace_disk_calls(monkeypatch)
    with JournalWriter(path):
        assert path.read_bytes().endswith(b"}\n")
    assert calls == [("fdatasync", "journal.jsonl")]


def test_resume_time_counts_a_complete_pass_that_is_not_recorded_yet(tmp_path: Path) -> None:
    path = acquire_tiny(tmp_path, n_passes=3).path
    journal = path / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:5]))
    (path / "passes" / "p000002.h5").unlink()
    run = open_run(path)
    assert run.committed() == (0, 1)
    assert resume_time(run) == VirtualClock.EVENING + 2 * 24.0
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:4]))
    assert run.committed() == (0,)
    assert resume_time(run) == VirtualClock.EVENING + 2 * 24.0
