"""The simulated scanner, the command line and SIGKILL: the resumed run equals an undisturbed one to the bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knightshift.core.run_folder import Run, open_run
from knightshift.core.run_verification import verify_run

_COMMAND = [sys.executable, "-c", "import sys; from knightshift.cli import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def hundred_passes(small_protocol: Callable[..., str]) -> str:
    """Enough of them that some are left when the process is killed, each so small that they are played soon."""
    return small_protocol(
        matrix={"y": 12, "z": 8}, echo_times=["8 ms", "20 ms"], averages=None, duration="4 min", dummy_scans=4,
        phase_encode_order="centric",
    )  # fmt: skip


def acquire_command(protocol: str, folder: Path, runs: str) -> list[str]:
    (folder / "small.yaml").write_text(protocol)
    return [*_COMMAND, "acquire", str(folder / "small.yaml"), "--runs", str(folder / runs), "--virtual-clock",
            "--seed", "7"]  # fmt: skip


def run_command(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def only_run(runs: Path) -> Run:
    (path,) = runs.iterdir()
    return open_run(path)


def kill_when_committed(command: list[str], runs: Path, n_committed: int) -> Run:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while len(list(runs.glob("*/passes/*.h5"))) < n_committed:
            assert process.poll() is None, "the run was over before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    return only_run(runs)


@pytest.fixture(scope="module")
def undisturbed(hundred_passes: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("undisturbed")
    run_command(acquire_command(hundred_passes, folder, "runs"))
    return only_run(folder / "runs")


@pytest.mark.parametrize("n_committed", [pytest.param(1, marks=pytest.mark.slow), 20])
def test_a_killed_and_resumed_run_equals_an_undisturbed_one(
    tmp_path: Path, hundred_passes: str, undisturbed: Run, n_committed: int
) -> None:
    run = kill_when_committed(acquire_command(hundred_passes, tmp_path, "runs"), tmp_path / "runs", n_committed)
    before = run.commits()
    assert len(before) < run.manifest.n_passes
    assert "completed" in run_command([*_COMMAND, "resume", str(run.path)])
    assert before.items() <= run.commits().items(), "a committed pass was lost or acquired again"
    assert run.committed() == undisturbed.committed() == tuple(range(run.manifest.n_passes))
    for found, wanted in zip(run.passes(), undisturbed.passes(), strict=True):
        np.testing.assert_array_equal(found.samples, wanted.samples)
        assert (found.started, found.finished) == (wanted.started, wanted.finished)
    assert {record.epoch for record in run.passes()} == {0, 1}
    assert "passes are intact" in run_command([*_COMMAND, "verify", str(run.path)])
    assert verify_run(run.path).notes == ()
