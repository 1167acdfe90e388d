"""What to do now, as a function of jobs and time: the rules one by one, then what must always hold."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from fakes import EVENING, HOUR, computation, job, scan
from hypothesis import given, settings
from hypothesis import strategies as st

from knightshift.acquisition.local_time import NightWindow
from knightshift.acquisition.queue import Circumstances, Decision, JobEvent, JobState, Lane, decide
from knightshift.acquisition.queue.interruption import CRASHES_IN_A_ROW, after_interruption
from knightshift.acquisition.queue.transitions import ACTIVE, FINISHED, PENDING, SUCCEEDED, TRANSITIONS

NIGHT = NightWindow.parse("19:00-08:30")
LONDON = ZoneInfo("Europe/London")


def ask(*jobs, now: float = EVENING, zone=UTC, **circumstances) -> Decision:
    return decide(jobs, Circumstances(now=now, zone=zone, **circumstances))


def started(decision: Decision) -> list[int]:
    return [start.number for start in decision.starts]


def test_higher_priority_goes_first_then_the_earlier_place() -> None:
    jobs = [job(1), job(2, scan(priority=5)), job(3, scan(priority=5), place=0.5)]
    assert started(ask(*jobs)) == [3]
    assert started(ask(*jobs[:2])) == [2]
    assert started(ask(job(1, place=2), job(2, place=1))) == [2]


def test_one_scan_at_a_time_and_a_computation_beside_it() -> None:
    jobs = [job(1, state=JobState.RUNNING), job(2), job(3, computation("fit", 4)), job(4, state=JobState.DONE)]
    assert started(ask(*jobs)) == [3]


@pytest.mark.parametrize("state", JobState)
def test_what_comes_after_begins_on_success_alone(state: JobState) -> None:
    decision = ask(job(1, state=state, started=EVENING), job(2, computation("fit", 1)))
    if state in SUCCEEDED:
        assert started(decision) == [2]
    elif state in FINISHED:
        assert [(change.number, change.event) for change in decision.changes] == [(2, JobEvent.CANCEL)]
    else:
        assert 2 not in started(decision)


def test_not_before_waits_and_says_until_when() -> None:
    decision = ask(job(1, scan(not_before=EVENING + HOUR)))
    (change,) = decision.changes
    assert (change.event, change.reason) == (JobEvent.WAIT, "not before Mon 05 Jan 2026, 20:00:00 UTC")
    assert decision.wake_at == EVENING + HOUR


def test_late_job_shrinks_to_what_fits() -> None:
    (start,) = ask(job(1, scan(averages=10, deadline=EVENING + 7.5 * HOUR))).starts
    assert (start.averages, start.stop_at) == (7, EVENING + 7.5 * HOUR)


def test_late_job_is_given_up_if_shrinking_below_the_minimum_or_told_to_skip() -> None:
    few = scan(deadline=EVENING + 7.5 * HOUR, minimum_averages=8)
    skip = scan(deadline=EVENING + 7.5 * HOUR, when_late="skip")
    for request in (few, skip):
        (change,) = ask(job(1, request)).changes
        assert (change.event, change.reason[:8]) == (JobEvent.CANCEL, "too late")


def test_late_job_told_to_run_runs_in_full_beyond_its_deadline() -> None:
    (start,) = ask(job(1, scan(deadline=EVENING - HOUR, when_late="run"))).starts
    assert (start.averages, start.stop_at) == (None, None)


def test_window_of_the_night_is_kept_and_ends_the_scan() -> None:
    assert ask(job(1, scan(window=NIGHT)), now=EVENING - HOUR).starts == ()
    (start,) = ask(job(1, scan(window=NIGHT))).starts
    assert start.stop_at == EVENING + 13.5 * HOUR
    (late,) = ask(job(1, scan(window=NIGHT)), now=EVENING + 10 * HOUR).starts
    assert late.averages == 3


def test_job_that_does_not_shrink_waits_for_the_next_night() -> None:
    decision = ask(job(1, scan(window=NIGHT, when_late="skip")), now=EVENING + 10 * HOUR)
    assert decision.starts == ()
    assert decision.wake_at == EVENING + 24 * HOUR


def test_night_in_which_the_clock_goes_forward_is_an_hour_shorter() -> None:
    spring = datetime(2026, 3, 28, 19, 0, tzinfo=LONDON).timestamp()
    (start,) = ask(job(1, scan(averages=13, window=NIGHT)), now=spring, zone=LONDON).starts
    assert start.averages == 12
    autumn = datetime(2026, 10, 24, 19, 0, tzinfo=LONDON).timestamp()
    assert ask(job(1, scan(averages=14, window=NIGHT)), now=autumn, zone=LONDON).starts[0].averages is None


def test_short_job_fills_the_gap_before_a_night_and_a_long_one_keeps_it_free() -> None:
    night = job(1, scan(not_before=EVENING + 4 * HOUR))
    assert started(ask(night, job(2, scan(averages=5)), job(3, scan(averages=3)))) == [3]


def test_held_and_stopped_jobs_do_not_begin() -> None:
    assert ask(job(1, held=True)).starts == ()
    assert ask(job(1), stopped="job 7 failed").starts == ()


def test_suspended_job_goes_on_before_a_new_one_and_as_far_as_it_can() -> None:
    begun = job(
        1, scan(deadline=EVENING + 2 * HOUR, when_late="skip"), JobState.SUSPENDED,
        started=EVENING - HOUR, n_committed=4, n_passes=10,
    )  # fmt: skip
    (start,) = ask(begun, job(2)).starts
    assert (start.number, start.averages, start.stop_at) == (1, None, EVENING + 2 * HOUR)


def test_suspended_job_with_data_that_is_too_late_is_truncated_not_lost() -> None:
    begun = job(1, scan(deadline=EVENING + 100), JobState.SUSPENDED, started=EVENING - HOUR, n_committed=4, n_passes=10)
    assert ask(begun).changes[0].event is JobEvent.TRUNCATE


def test_no_job_is_given_up_while_the_clock_is_not_trusted() -> None:
    late = job(1, scan(deadline=EVENING + 1, when_late="skip"))
    assert ask(late, clock_settled=False).changes[0].event is JobEvent.WAIT


windows = st.none() | st.sampled_from([NIGHT, NightWindow.parse("08:30-19:00"), NightWindow.parse("23:30-00:15")])
times = st.none() | st.integers(-48, 48).map(lambda hours: EVENING + hours * HOUR / 2)


@st.composite
def many_jobs(draw):
    jobs = []
    for number in range(1, draw(st.integers(1, 8)) + 1):
        after = tuple(draw(st.sets(st.integers(1, number - 1), max_size=2))) if number > 1 else ()
        asked = {
            "after": after, "priority": draw(st.integers(-1, 1)), "window": draw(windows), "deadline": draw(times),
            "not_before": draw(times),
        }  # fmt: skip
        request = scan(
            averages=draw(st.integers(1, 30)), when_late=draw(st.sampled_from(["shrink", "skip", "run"])), **asked
        )
        state = draw(st.sampled_from(list(JobState)))
        begun = state not in {JobState.QUEUED, JobState.WAITING}
        jobs.append(
            job(number, request, state, held=draw(st.booleans()), started=EVENING if begun else None, n_passes=30,
                n_committed=draw(st.integers(0, 29)) if begun else 0)
        )  # fmt: skip
    return jobs


@settings(max_examples=300, deadline=None)
@given(jobs=many_jobs(), data=st.data(), now=st.integers(-72, 72).map(lambda n: EVENING + n * 900.0))
def test_what_must_always_hold(jobs, data, now) -> None:
    decision = ask(*jobs, now=now)
    by_number = {entry.number: entry for entry in jobs}
    assert decision == ask(*data.draw(st.permutations(jobs)), now=now), "the order of the rows must not matter"
    busy = [entry.lane for entry in jobs if entry.state in ACTIVE]
    lanes = busy + [by_number[start.number].lane for start in decision.starts]
    assert max(lanes.count(lane) for lane in Lane) <= max(1, len(busy))
    for change in decision.changes:
        assert change.event is None or by_number[change.number].state in TRANSITIONS[change.event]
    for start in decision.starts:
        chosen = by_number[start.number]
        request = chosen.request
        assert chosen.state in PENDING
        assert not chosen.held
        assert all(by_number[number].state in SUCCEEDED for number in request.after)
        assert request.not_before is None or request.not_before <= now
        if request.window is not None:
            assert request.window.next_interval(now, UTC)[0] <= now
        if start.averages is not None:
            assert request.minimum_averages <= start.averages < request.scan.averages
        if request.deadline is not None and request.when_late != "run":
            assert start.stop_at is not None
            assert start.stop_at <= request.deadline
    assert decision.wake_at is None or decision.wake_at > now


def test_nothing_leads_out_of_a_finished_job_and_everything_leads_to_one() -> None:
    assert not any(state in FINISHED for row in TRANSITIONS.values() for state in row)
    for state in set(JobState) - FINISHED:
        assert state in TRANSITIONS[JobEvent.CANCEL]


@pytest.mark.parametrize(
    ("policy", "event", "held", "ended"),
    [
        ("auto", JobEvent.SUSPEND, False, False),
        ("ask", JobEvent.SUSPEND, True, False),
        ("never", JobEvent.SUSPEND, False, True),
    ],
)
def test_interrupted_scan_follows_its_policy(policy, event, held, ended) -> None:
    running = job(1, scan(on_interruption=policy), JobState.RUNNING, started=EVENING)
    recovery = after_interruption(running, 3, "died")
    assert (recovery.event, recovery.held, recovery.ended) == (event, held, ended)


def test_crash_loop_without_progress_waits_for_a_person() -> None:
    running = job(1, state=JobState.RUNNING, started=EVENING, interruptions=CRASHES_IN_A_ROW - 1, n_committed=5)
    assert after_interruption(running, 5, "died").held
    assert not after_interruption(running, 6, "died").held
