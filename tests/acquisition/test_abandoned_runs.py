"""Half-made run folders: those of dead processes go at the next start, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_scanner import acquire_tiny

from knightshift.acquisition.abandoned_runs import clear_abandoned, sign
from knightshift.acquisition.run_lock import LockHolder


def half_made(runs: Path, name: str = ".night.part") -> Path:
    folder = runs / name
    (folder / "passes").mkdir(parents=True)
    (folder / "manifest.json.part").write_bytes(b"{")
    return folder


def living_process() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def sign_as(folder: Path, process: subprocess.Popen[bytes]) -> None:
    start = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    holder = LockHolder.this_process().model_copy(update={"pid": process.pid, "process_start": start})
    (folder / "run.lock").write_text(holder.model_dump_json())


def test_folder_goes_only_when_its_process_has(tmp_path: Path) -> None:
    folder = half_made(tmp_path)
    with living_process() as process:
        sign_as(folder, process)
        clear_abandoned(tmp_path)
        assert folder.exists()
        process.kill()
    clear_abandoned(tmp_path)
    assert not folder.exists()


def test_next_run_gets_the_name_of_the_one_that_died(tmp_path: Path) -> None:
    folder = half_made(tmp_path)
    sign(folder)  # our own process makes no second run beside this one
    assert acquire_tiny(tmp_path, 1).path.name == "night"
    assert [path.name for path in tmp_path.iterdir()] == ["night"]


def test_unsigned_folder_is_given_a_minute(tmp_path: Path) -> None:
    folder = half_made(tmp_path)
    clear_abandoned(tmp_path)
    assert folder.exists()
    os.utime(folder, (time.time() - 61, time.time() - 61))
    clear_abandoned(tmp_path)
    assert not folder.exists()


@pytest.mark.parametrize("stranger", ["thesis.tex", "passes.tar"])
def test_folder_that_holds_anything_else_is_not_ours(tmp_path: Path, stranger: str) -> None:
    folder = half_made(tmp_path)
    (folder / stranger).write_text("mine")
    os.utime(folder, (0, 0))
    clear_abandoned(tmp_path)
    assert (folder / stranger).read_text() == "mine"


def test_link_to_elsewhere_is_left_alone(tmp_path: Path) -> None:
    elsewhere = half_made(tmp_path / "elsewhere", "precious")
    (tmp_path / ".night.part").symlink_to(elsewhere)
    os.utime(elsewhere, (0, 0))
    clear_abandoned(tmp_path)
    assert elsewhere.exists()
