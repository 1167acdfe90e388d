"""`acquire`, `resume`, `verify`: nothing is lost, and what went wrong is said."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from knightshift.core.run_folder import open_run

from .conftest import Cli


def test_run_takes_as_long_as_planned(cli: Cli, protocol: Path, finished_run: Path) -> None:
    plan = json.loads(cli("plan", protocol, "--json").stdout)
    commits = open_run(finished_run).commits().values()
    assert len(commits) == plan["passes"]
    measured = max(commit.finished for commit in commits) - min(commit.started for commit in commits)
    assert measured == pytest.approx(plan["duration_s"], rel=1e-3)


def test_run_cut_short_and_resumed_is_equal_to_the_bit(cli: Cli, finished_run: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(finished_run, cut)
    journal = cut / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    keep = next(i for i, line in enumerate(lines) if b'"committed"' in line and b'"pass":5' in line.replace(b" ", b""))
    journal.write_bytes(b"".join(lines[: keep + 1]) + lines[keep + 1][:20])  # a torn line, as a power cut leaves it
    for path in sorted((cut / "passes").iterdir())[6:]:
        path.unlink()
    result = cli("resume", cut)
    assert result.returncode == 0, result.stderr
    whole, resumed = open_run(finished_run), open_run(cut)
    assert resumed.committed() == whole.committed()
    for index in whole.committed():
        assert resumed.read_pass(index).samples.tobytes() == whole.read_pass(index).samples.tobytes()
        assert resumed.read_pass(index).started == whole.read_pass(index).started


def test_flipped_bit_in_a_pass_is_named(cli: Cli, finished_run: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(finished_run, damaged)
    path = damaged / "passes" / "p000003.h5"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert cli("verify", finished_run).returncode == 0
    result = cli("verify", damaged)
    assert result.returncode == 4
    assert "p000003.h5" in result.stderr
    assert "11 of 12 passes are intact" in result.stdout
    refused = cli("reconstruct", damaged, "-o", tmp_path / "images")
    assert (refused.returncode, "p000003.h5" in refused.stderr) == (4, True)
    result = cli("verify", damaged, "--set-aside")
    assert (result.returncode, "11 of 12 passes are intact" in result.stdout) == (0, True), result.stderr
    assert (damaged / "quarantine" / "p000003.h5").read_bytes() == bytes(content)
    assert cli("reconstruct", damaged, "-o", tmp_path / "images").returncode == 0


def test_missing_runs_option_or_run_is_bad_input(cli: Cli, protocol: Path, tmp_path: Path) -> None:
    assert cli("acquire", protocol).returncode == 2
    result = cli("resume", tmp_path / "nowhere")
    assert result.returncode == 2
    assert "no such folder" in result.stderr


def test_runs_folder_that_is_a_file_is_bad_input(cli: Cli, protocol: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("I am a file")
    result = cli("acquire", protocol, "--runs", tmp_path / "runs", "--virtual-clock")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert (tmp_path / "runs").read_text() == "I am a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into a read-only folder")
def test_read_only_folder_is_bad_input(cli: Cli, protocol: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir(mode=0o500)
    result = cli("acquire", protocol, "--runs", folder, "--virtual-clock")
    assert result.returncode == 2
    assert str(folder) in result.stderr
