"""A scheduler killed at random moments: no job is lost, none has two runs, no committed pass is played again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from service_process import N_PASSES, fill

from knightshift.acquisition.queue import JobState, QueueStore, SchedulerLock, service_status
from knightshift.acquisition.queue.service_state import LOCK
from knightshift.core.errors import RunLockedError
from knightshift.core.run_folder import open_run
from knightshift.core.run_verification import verify_run

_SERVICE = Path(__file__).parent / "service_process.py"


def begin(queue: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(_SERVICE), str(queue)], stderr=subprocess.PIPE, text=True)


def kill_again_and_again(queue: Path, n_chains: int, n_kills: int, seed: int) -> int:
    """Run the queue to its end, killing the scheduler on the way; returns how often it was hit at work."""
    moments, hits = random.Random(seed), 0
    fill(queue, n_chains)
    for _ in range(n_kills):
        before = service_status(queue, time.time()).since
        service = begin(queue)
        while service.poll() is None and service_status(queue, time.time()).since == before:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.25))
        service.send_signal(signal.SIGKILL)
        hits += service.wait() == -signal.SIGKILL
        service.stderr.close()
        with QueueStore(queue, time.time) as store:
            for job in store.jobs():
                if job.held:  # killed three times before one pass: a person would look, and release it
                    store.release(job.number)
    last = begin(queue)
    assert last.wait(timeout=120) == 0, last.stderr.read()
    last.stderr.close()
    return hits


def assert_every_job_was_done_once(queue: Path, n_chains: int) -> None:
    with QueueStore(queue, time.time) as store:
        jobs = store.jobs()
        ends = Counter(entry.number for entry in store.log() if entry.event == "complete")
    assert len(jobs) == 2 * n_chains
    assert {job.state for job in jobs} == {JobState.DONE}
    assert ends == {job.number: 1 for job in jobs}
    runs = sorted(path for path in (queue / "runs").iterdir() if not path.name.startswith("."))
    assert len(runs) == n_chains, "a job has two runs, or none"
    for path in runs:
        run = open_run(path)
        assert len(run.committed()) == N_PASSES
        played = Counter(event.payload["pass"] for event in run.events() if event.event in {"committed", "adopted"})
        assert set(played.values()) == {1}, "a committed pass was played again"
        assert verify_run(path).intact
    reports = Counter((queue / "reports.txt").read_text().split())
    assert set(reports) == {str(job.number) for job in jobs if job.request.kind == "report"}


def test_scheduler_killed_at_random_moments(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, n_chains=3, n_kills=2, seed=1)
    assert_every_job_was_done_once(tmp_path, 3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_scheduler_killed_sixty_times(tmp_path: Path) -> None:
    assert kill_again_and_again(tmp_path, n_chains=80, n_kills=60, seed=2) > 35
    assert_every_job_was_done_once(tmp_path, 80)


def test_second_scheduler_says_that_there_is_one(tmp_path: Path) -> None:
    with SchedulerLock(tmp_path / LOCK, "fake"):
        second = begin(tmp_path)
        assert second.wait(timeout=60) != 0
        words = second.stderr.read()
        second.stderr.close()
    assert "is the scheduler of scanner fake: there can be one only" in words
    with SchedulerLock(tmp_path / LOCK, "fake"), pytest.raises(RunLockedError), SchedulerLock(tmp_path / LOCK, "fake"):
        pass


def test_status_says_since_when_a_killed_service_is_dead(tmp_path: Path) -> None:
    assert service_status(tmp_path, time.time()).state == "never"
    fill(tmp_path, 20)
    started = time.time()
    service = begin(tmp_path)
    while service_status(tmp_path, time.time()).state != "running":
        time.sleep(0.01)
        assert service.poll() is None
    service.kill()
    while (status := service_status(tmp_path, time.time())).state == "running":
        time.sleep(0.01)  # dead, though nobody has waited for the process yet
    service.wait()
    service.stderr.close()
    assert status.state == "dead"
    assert started <= status.since <= time.time()
    assert status.heartbeat.holder.pid == service.pid
