"""One process at a time acquires into a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_scanner import acquire_tiny, resume_tiny

from knightshift.acquisition.run_lock import LockHolder, RunLock
from knightshift.core.errors import RunLockedError
from knightshift.core.run_folder import open_run

_HOLD = """
import sys
from pathlib import Path
from knightshift.acquisition.run_lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold_elsewhere(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    path = acquire_tiny(tmp_path).path
    with hold_elsewhere(path / "run.lock") as other:
        before = (path / "journal.jsonl").read_bytes()
        with pytest.raises(RunLockedError, match=f"process {other.pid} on .* acquires into this run: stop it first"):
            resume_tiny(path)
        assert (path / "journal.jsonl").read_bytes() == before
        assert open_run(path).committed() == tuple(range(6)), "reading needs no lock"
        other.kill()
    (path / "passes" / "p000003.h5").unlink()
    assert resume_tiny(path).n_committed == 6
    stale = [event.payload for event in open_run(path).events() if event.event == "stale_lock_taken"]
    assert stale[0]["holder"]["pid"] == other.pid


def test_the_lock_is_gone_after_use(tmp_path: Path) -> None:
    with RunLock(tmp_path / "run.lock") as lock:
        assert lock.stale is None
        with pytest.raises(RunLockedError), RunLock(tmp_path / "run.lock"):
            pass
    assert list(tmp_path.iterdir()) == []


def holder(**changes: object) -> LockHolder:
    """The process that runs the tests was started by one that lives: a holder that is certainly alive."""
    stat = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
    return LockHolder.this_process().model_copy(update={"pid": os.getppid(), "process_start": stat[19], **changes})


def test_a_living_holder_is_respected_even_where_flock_is_not_carried(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text(holder().model_dump_json())
    with pytest.raises(RunLockedError, match=str(os.getppid())), RunLock(tmp_path / "run.lock"):
        pass


@pytest.mark.parametrize(
    "changes",
    [{"boot_id": "another boot"}, {"process_start": "1"}, {"pid": 2**22 + 1}],
    ids=["boot", "id used again", "gone"],
)
def test_a_dead_holder_is_not(tmp_path: Path, changes: dict[str, object]) -> None:
    left = holder(**changes)
    (tmp_path / "run.lock").write_text(left.model_dump_json())
    with RunLock(tmp_path / "run.lock") as lock:
        assert lock.stale == left


def test_a_holder_on_another_computer_may_live(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text(holder(host="console", boot_id="x").model_dump_json())
    with pytest.raises(RunLockedError, match=r"on console .* if it no longer runs there, delete"):
        RunLock(tmp_path / "run.lock").__enter__()


def test_a_lock_file_with_nothing_sensible_in_it_is_free(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text("{half a li")
    with RunLock(tmp_path / "run.lock") as lock:
        assert lock.stale is None
