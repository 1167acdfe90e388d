"""Signs of life: beaten while a run makes steps, and by nobody else."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from knightshift.acquisition import ProgressEvent, ProgressKind
from knightshift.acquisition.notifications.config import HeartbeatConfig
from knightshift.acquisition.notifications.heartbeat import Beat, Heartbeat
from knightshift.acquisition.notifications.outbox import Failure
from knightshift.acquisition.notifications.ping import ping

from .conftest import SECRET, Sink, until


def step(kind: ProgressKind = ProgressKind.COMMITTED, n_committed: int = 3) -> ProgressEvent:
    return ProgressEvent(kind, Path("/runs/night"), n_committed, 6, 0.0, 0.0)


def beating(failures: list[Failure], **config: Any) -> Heartbeat:
    return Heartbeat(HeartbeatConfig.model_validate(config), 2.0, failures.append)


def read(path: Path) -> Beat:
    return Beat.model_validate_json(path.read_text())


def test_the_file_tells_time_run_pass_host_and_process(tmp_path: Path) -> None:
    failures: list[Failure] = []
    path = tmp_path / "beat.json"
    heart = beating(failures, file=path, every=0.02)
    heart.start()
    assert read(path).state == "starting"
    heart.saw(step())
    until(lambda: read(path).state == "acquiring")
    beat = read(path)
    assert (beat.run, beat.passes_committed, beat.passes_planned) == ("/runs/night", 3, 6)
    assert beat.pid == os.getpid()
    until(lambda: read(path).time > beat.time)
    heart.stop(True, time.monotonic() + 10)
    assert read(path).state == "ended"
    assert failures == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["beat.json"]  # written aside, renamed, nothing left


def test_beginning_life_and_end_are_pinged_each_at_its_address(sink: Sink) -> None:
    heart = beating([], ping={"url": sink.url}, every=0.02)
    heart.start()
    until(lambda: sink.paths.count(f"/{SECRET}") >= 3)
    heart.stop(True, time.monotonic() + 10)
    assert sink.paths[0] == f"/{SECRET}/start"
    assert set(sink.paths[1:]) == {f"/{SECRET}"}
    assert {method for method, _, _ in sink.requests} == {"GET"}


def test_a_failed_run_pings_the_failure(sink: Sink, tmp_path: Path) -> None:
    heart = beating([], file=tmp_path / "beat.json", ping={"url": sink.url, "method": "POST"}, every=60.0)
    heart.start()
    heart.stop(False, time.monotonic() + 10)
    assert [(method, path) for method, path, _ in sink.requests] == [
        ("POST", f"/{SECRET}/start"),
        ("POST", f"/{SECRET}/fail"),
    ]
    assert read(tmp_path / "beat.json").state == "failed"


def test_a_run_that_makes_no_steps_is_dead_though_its_process_lives(sink: Sink, tmp_path: Path) -> None:
    path = tmp_path / "beat.json"
    heart = beating([], file=path, ping={"url": sink.url}, every=0.02, stalled_after=0.1)
    heart.start()
    heart.saw(step())
    until(lambda: f"/{SECRET}/fail" in sink.paths)
    stale = path.read_bytes()
    n_pings = len(sink.paths)
    until(lambda: len(sink.paths) > n_pings + 2)
    assert path.read_bytes() == stale
    assert set(sink.paths[n_pings:]) == {f"/{SECRET}/fail"}
    heart.saw(step(n_committed=4))  # it was only slow
    until(lambda: sink.paths[-1] == f"/{SECRET}")
    heart.stop(True, time.monotonic() + 10)


def test_a_suspended_run_is_alive(sink: Sink) -> None:
    heart = beating([], ping={"url": sink.url}, every=0.02, stalled_after=0.05)
    heart.start()
    heart.saw(step(ProgressKind.SUSPENDED))
    until(lambda: len(sink.paths) > 8)
    heart.stop(True, time.monotonic() + 10)
    assert f"/{SECRET}/fail" not in sink.paths


def test_the_first_failure_of_a_row_is_told_and_the_run_goes_on(sink: Sink, tmp_path: Path) -> None:
    failures: list[Failure] = []
    sink.status = 503
    heart = beating(failures, file=tmp_path / "no folder" / "beat.json", ping={"url": sink.url}, every=0.02)
    heart.start()
    until(lambda: len(sink.paths) > 3)
    heart.stop(True, time.monotonic() + 10)
    assert sorted((one.service, one.problem.partition(":")[0]) for one in failures) == [
        ("file", str(tmp_path / "no folder" / "beat.json")),
        ("ping", "it answered 503"),
    ]


def test_a_ping_that_hangs_lets_the_file_beat_on(sink: Sink, tmp_path: Path) -> None:
    path = tmp_path / "beat.json"
    sink.hang()
    heart = beating([], file=path, ping={"url": sink.url}, every=0.02)
    heart.start()
    until(lambda: len(sink.paths) == 1)
    first = read(path).time
    until(lambda: read(path).time > first)
    assert len(sink.paths) == 1  # no second one while the first is under way
    sink.gate.set()
    heart.stop(True, time.monotonic() + 10)


@pytest.mark.parametrize("location", ["/elsewhere", "file:///etc/passwd", "http://127.0.0.1:9/x"])
def test_a_redirect_is_not_followed(sink: Sink, location: str) -> None:
    sink.status, sink.location = 302, location
    assert "redirect" in ping(sink.url, "GET", 2.0)
    assert sink.paths == [f"/{SECRET}"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_no_other_scheme_is_opened_even_where_one_came_through(url: str) -> None:
    assert ping(url, "GET", 2.0) != ""


def test_a_silent_server_is_given_up_and_no_problem_holds_the_address(sink: Sink) -> None:
    sink.hang()
    problem = ping(sink.url, "GET", 0.1)
    assert "no answer" in problem
    assert SECRET not in problem
    assert SECRET not in ping(f"http://127.0.0.1:1/{SECRET}", "GET", 1.0)
