"""Whole nights of the scheduler on a virtual clock, with executors that only take time."""

from __future__ import annotations

import json

import pytest
from fakes import (
    EVENING,
    HOUR,
    Night,
    PowerCut,
    computation,
    scan,
)

from knightshift.acquisition import StopRequest
from knightshift.acquisition.local_time import NightWindow
from knightshift.acquisition.queue import (
    FailurePolicy,
    JobState,
    StopCause,
)
from knightshift.acquisition.queue.store import STOPPED
from knightshift.cli.queueing import list_jobs, print_status
from knightshift.core.errors import AdjustmentError, ScannerFault


def test_scan_and_all_that_follows_are_done_in_order(night: Night) -> None:
    scan_job, fit, report = night.store.add(scan(averages=3), computation("fit", -1), computation("report", -1, -2))
    night.run()
    assert night.states() == ["done"] * 3
    assert night.computations.done == [fit.number, report.number]
    assert night.hours() == 3
    assert [entry.after for entry in night.store.log(scan_job.number) if entry.after] == [
        "queued", "pre-flight", "running", "done",
    ]  # fmt: skip


def test_a_failure_of_several_lines_is_one_in_list_and_status(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    night.scans.faults[2] = [
        AdjustmentError("pre-flight failed, no pass was played:\n  frequency: far off\nin order: noise")
    ]
    night.store.add(scan("good", averages=1), scan("refused", averages=1))
    night.run()
    words = "pre-flight failed, no pass was played: frequency: far off; in order: noise"
    assert night.store.jobs()[1].reason == words
    print_status(night.store.folder, as_json=False)
    assert f"job 2 (refused) has failed: {words}\n" in capsys.readouterr().out
    print_status(night.store.folder, as_json=True)
    assert [job["number"] for job in json.loads(capsys.readouterr().out)["failed"]] == [2]
    list_jobs(night.store.folder, everything=True, as_json=False)
    assert sum(words in line for line in capsys.readouterr().out.splitlines()) == 1


def test_two_nights_fit_into_their_windows(night: Night) -> None:
    window = NightWindow.parse("19:00-08:30")
    night.store.add(scan(averages=11, window=window), scan(averages=11, window=window, when_late="skip"))
    night.run()
    first, second = night.store.jobs()
    assert (first.state, second.state) == (JobState.DONE, JobState.DONE)
    assert second.started == EVENING + 24 * HOUR


def test_hours_saved_go_to_the_next_job(night: Night) -> None:
    """A scan that reaches its goal early is a success; the next one begins at once."""

    def goal(job, control) -> None:
        if job.number == 1 and night.scans.committed[1] == 4:
            control.ask(StopCause.RULE)

    night.scans.on_pass = goal
    night.store.add(scan(averages=11), scan(averages=2), computation("report", 1))
    night.run()
    first, second, report = night.store.jobs()
    assert (first.state, first.n_committed) == (JobState.TRUNCATED, 4)
    assert second.started == EVENING + 4 * HOUR
    assert report.state is JobState.DONE


def test_failed_job_does_not_stop_the_others_but_those_that_need_it(night: Night) -> None:
    night.scans.faults[1] = [ScannerFault("RF trip")]
    night.store.add(scan(), scan(averages=1), computation("fit", 1), computation("report", 3))
    night.run()
    assert night.states() == ["failed", "done", "cancelled", "cancelled"]
    assert "RF trip" in night.store.job(1).reason
    assert night.computations.done == []


def test_failure_that_stops_the_queue_holds_it_until_a_person_releases_it(night: Night) -> None:
    night.scans.faults[1] = [ScannerFault("RF trip")]
    night.store.add(scan(on_failure=FailurePolicy.parse("stop")), scan(averages=1))
    night.run()
    assert night.states() == ["failed", "waiting"]
    night.store.set_note(STOPPED, "")
    night.run()
    assert night.states() == ["failed", "done"]


def test_retried_job_goes_on_with_its_run_after_a_pause(night: Night) -> None:
    night.scans.faults[1] = [ScannerFault("link lost"), ScannerFault("link lost"), None]
    night.store.add(scan(averages=5, on_failure=FailurePolicy.parse("retry 2")))
    night.run()
    (job,) = night.store.jobs()
    assert (job.state, job.n_committed, job.failures) == (JobState.DONE, 5, 2)
    assert night.clock.now() == EVENING + 5 * HOUR + 60 + 120


def test_service_that_is_stopped_goes_on_with_the_same_run(night: Night) -> None:
    stop = StopRequest()

    def end_of_shift(_job, control) -> None:
        if night.scans.committed[1] == 3 and not stop.after_pass:
            stop.request("SIGTERM")
            control.ask(StopCause.SERVICE)

    night.scans.on_pass = end_of_shift
    night.store.add(scan(averages=8))
    night.run(stop)
    assert night.states() == ["suspended"]
    name = night.store.job(1).run_name
    night.run()
    (job,) = night.store.jobs()
    assert (job.state, job.n_committed, job.run_name) == (JobState.DONE, 8, name)
    assert night.clock.now() == EVENING + 8 * HOUR


@pytest.mark.parametrize(("wish", "state"), [("cancel", "cancelled"), ("hold", "suspended")])
def test_running_job_is_cancelled_or_held_after_its_pass(night: Night, wish: str, state: str) -> None:
    def person(job, control) -> None:
        if night.scans.committed[1] == 2:
            getattr(night.store, wish)(job.number)
            control.ask(StopCause.CANCELLED if wish == "cancel" else StopCause.HELD)

    night.scans.on_pass = person
    night.store.add(scan(averages=8))
    night.run()
    (job,) = night.store.jobs()
    assert (str(job.state), job.n_committed) == (state, 2)
    if wish == "hold":
        night.scans.on_pass = lambda _job, _control: None
        night.store.release(1)
        night.run()
        assert (night.store.job(1).state, night.scans.committed[1]) == (JobState.DONE, 8)


def test_power_cut_is_recovered_and_no_pass_played_twice(night: Night) -> None:
    night.store.add(scan(averages=6), computation("fit", -1))
    cuts = iter([1, 3, 4])
    due = next(cuts)

    def cut(_job, _control) -> None:
        nonlocal due
        if night.scans.committed[1] == due:
            due = next(cuts, 99)
            raise PowerCut

    night.scans.on_pass = cut
    for _ in range(3):
        with pytest.raises(PowerCut):
            night.run()
        assert night.states() == ["pre-flight", "waiting"], "it died before it could be written down"
    night.run()
    assert night.states() == ["done", "done"]
    assert night.scans.committed[1] == 6
    assert night.hours() == 6
    assert night.scans.starts == [1] * 4


def test_job_that_always_kills_the_service_is_held_and_the_others_run(night: Night) -> None:
    def kill(job, _control) -> None:
        night.scans.committed[job.number] = 0
        if job.number == 1:
            raise PowerCut

    night.scans.on_pass = kill
    night.store.add(scan())
    for _ in range(3):
        with pytest.raises(PowerCut):
            night.run()
    night.scans.on_pass = lambda _job, _control: None
    night.store.add(scan(averages=1))
    night.run()
    first, second = night.store.jobs()
    assert (first.state, first.held, second.state) == (JobState.SUSPENDED, True, JobState.DONE)
    assert "3 times in a row" in first.reason


@pytest.mark.parametrize(("policy", "committed", "state"), [("never", 3, "truncated"), ("ask", 3, "suspended")])
def test_interrupted_run_that_is_not_to_go_on_by_itself(night: Night, policy, committed, state) -> None:
    def cut(_job, _control) -> None:
        if night.scans.committed[1] == committed:
            raise PowerCut

    night.scans.on_pass = cut
    night.store.add(scan(on_interruption=policy))
    with pytest.raises(PowerCut):
        night.run()
    night.scans.on_pass = lambda _job, _control: None
    night.run()
    assert night.states() == [state]
    if policy == "ask":
        night.store.release(1)
        night.run()
        assert night.states() == ["done"]
