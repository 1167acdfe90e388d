"""`queue`, `run-queue`, `status`, `install-service`: as a user at the terminal meets them."""

from __future__ import annotations

import configparser
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from knightshift.acquisition.queue import JobKind, JobRequest, QueueStore, ScanTask, SchedulerLock
from knightshift.acquisition.queue.service_state import LOCK
from knightshift.cli.queue_adding import AddChoices, requests_of
from knightshift.core.errors import InputError

from .conftest import Cli

Queue = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def queue(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Run ``knightshift`` with a queue of its own; fails unless the exit code is 0."""
    monkeypatch.setenv("KNIGHTSHIFT_QUEUE", str(tmp_path / "queue"))

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        result = cli(*arguments)
        assert result.returncode == 0, result.stderr
        return result

    return run


@pytest.mark.usefixtures("no_pictures")
def test_scan_with_all_that_follows_is_played_to_the_report(queue: Queue, protocol: Path, tmp_path: Path) -> None:
    added = queue(
        "queue", "add", protocol, "--phantom", "shorted", "--seed", 7, "--runs", tmp_path / "runs",
        "--then", "reconstruct", "--then", "report", "-o", tmp_path / "results",
    )  # fmt: skip
    assert "job 1: scan small, 0.01 h, 4 averages" in added.stdout
    assert "no scheduler has worked here yet" in queue("status").stdout
    queue("run-queue", "--virtual-clock", "--until-idle")
    jobs = json.loads(queue("queue", "list", "--json").stdout)
    assert [job["state"] for job in jobs] == ["done"] * 3
    assert (tmp_path / "results" / "report" / "report.html").stat().st_size > 0
    assert Path(jobs[0]["result"]).parent == tmp_path / "runs"
    status = json.loads(queue("status", "--json").stdout)
    assert status["service"]["state"] == "stopped"
    assert status["jobs"]["done"] == 3
    log = queue("queue", "log", 1).stdout
    for word in (
        "queued -> pre-flight",
        "pre-flight -> running",
        "running -> done",
        "12 of 12 passes",
        "MB must stay free",
    ):
        assert word in log


def fill(folder: Path, n_jobs: int) -> None:
    task = ScanTask(protocol={"name": "small"}, runs=str(folder / "runs"), average_s=120.0, averages=345)
    request = JobRequest(name="overnight_t2", kind=JobKind.SCAN, scan=task)
    with QueueStore(folder, time.time) as store:
        store.set_note("scanner", "simulated")
        store.add(*[request] * n_jobs)


def test_every_command_takes_less_than_a_second_with_a_thousand_jobs(
    process: Cli, protocol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNIGHTSHIFT_QUEUE", str(tmp_path / "queue"))
    fill(tmp_path / "queue", 1000)
    runs = tmp_path / "runs"
    process("queue", "add", protocol, "--runs", runs)  # the first time, the protocol is built
    for command in (
        ["queue", "add", protocol, "--runs", runs], ["queue", "list"], ["queue", "list", "--json"],
        ["queue", "show", 500],
        ["queue", "move", 1000, "--before", 1], ["queue", "hold", 7], ["queue", "release", 7], ["queue", "cancel", 8],
        ["queue", "log"], ["queue", "log", 8], ["status"], ["install-service"],
    ):  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = process(*command)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert result.returncode == 0, result.stderr
        # processor time: what the clock on the wall says depends on who else uses this machine
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0, command
    listed = process("queue", "list").stdout.splitlines()
    assert len(listed) == 1 + 1000 + 2
    assert listed[1].startswith("8 "), "what is over comes first"
    assert listed[2].startswith("1000 "), "it was moved to the front"


def test_second_scheduler_is_refused(queue: Queue, cli: Cli, tmp_path: Path) -> None:
    queue("status")
    with SchedulerLock(tmp_path / "queue" / LOCK, "simulated"):
        result = cli("run-queue", "--until-idle")
    assert result.returncode == 2
    assert f"process {os.getpid()}" in result.stderr
    assert "there can be one only" in result.stderr


def test_unit_for_systemd_starts_this_queue(queue: Queue, tmp_path: Path) -> None:
    path = tmp_path / "units" / "knightshift.service"
    told = queue("install-service", "-o", path)
    assert "systemctl --user daemon-reload" in told.stdout
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    assert f"--queue {tmp_path / 'queue'}" in unit["Service"]["ExecStart"]
    assert unit["Service"]["ExecStart"].startswith(sys.executable)
    assert unit["Service"]["Restart"] == "on-failure"
    assert "Nice" not in unit["Service"]
    assert "OOMScoreAdjust" in queue("install-service", "--system").stdout


def test_queue_belongs_to_one_scanner(queue: Queue, cli: Cli) -> None:
    queue("install-service", "--scanner", "simulated")
    result = cli("run-queue", "--scanner", "other", "--until-idle")
    assert result.returncode == 2
    assert "is the queue of scanner simulated, not of other" in result.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": "19-8"}, "write e.g. '19:00-08:30'"),
        ({"deadline": "2020-01-01 08:00"}, "is over before"),
        ({"late": "perhaps"}, "when_late"),
        ({"on_failure": "cry"}, "retry 2"),
        ({"then": ["paint"]}, "choose from reconstruct, fit, report"),
        ({"min_averages": 5}, "minimum_averages 5 exceeds the 4 planned"),
        ({"window": "19:00-19:01", "late": "skip", "averages": 100}, "100 averages take 0.34 h"),
        ({"what": "report"}, "give --source PATH, or --after JOB"),
        ({"what": "overnight_t3"}, "shipped are"),
        ({"averages": 3, "duration": "1 h"}, "give one of them"),
    ],
)
def test_job_that_makes_no_sense_is_refused_in_words(
    protocol: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    choices = AddChoices(**({"what": str(protocol), "runs": tmp_path / "runs"} | changes))  # type: ignore[arg-type]
    with QueueStore(tmp_path / "queue", time.time) as store:
        with pytest.raises(InputError, match=message):
            requests_of(choices, store)
        assert store.jobs() == []


def test_unknown_job_and_broken_queue_are_told(queue: Queue, cli: Cli, tmp_path: Path) -> None:
    queue("status")
    result = cli("queue", "show", 9)
    assert (result.returncode, "there is no job 9" in result.stderr) == (2, True)
    (tmp_path / "queue" / "queue.sqlite").write_bytes(b"not a queue " * 100)
    for suffix in ("-wal", "-shm"):
        (tmp_path / "queue" / f"queue.sqlite{suffix}").unlink(missing_ok=True)
    result = cli("queue", "list")
    assert result.returncode == 4
    assert "runs are not touched by this" in result.stderr
    assert "Traceback" not in result.stderr
