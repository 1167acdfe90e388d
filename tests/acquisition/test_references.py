"""Reference FIDs between passes: when, what they give, and what follows from them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adjusted_night import (
    SEED,
    acquire_adjusted,
    events_of,
    full_site,
    measurement,
    phantom,
    resume_adjusted,
    setup,
    site,
)

from knightshift.acquisition import AcquisitionOptions, acquire, resume
from knightshift.acquisition.adjustments.schedule import as_site_wants
from knightshift.acquisition.stop_request import StopRequest
from knightshift.core.clock import Clock, VirtualClock, from_iso_time
from knightshift.core.errors import InterlockFault
from knightshift.core.nuclei import nucleus_named
from knightshift.core.program import ReferencePlan
from knightshift.core.references import references_of
from knightshift.core.run_folder import JOURNAL, open_run
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.contract import Scanner

EVENING = VirtualClock.EVENING
METAL = nucleus_named("23Na").frequency(9.3982, 1126e-6)
REFERENCES = {"interval": 3, "tolerance": 2.0}
FAST = {"fid": {"n_samples": 512}}


def referenced(**sections: Any) -> Any:
    """References and nothing else."""
    return site(**({"references": REFERENCES, "adjustments": FAST} | sections))


@pytest.mark.parametrize(("interval", "n_passes"), [(1, 4), (3, 10), (3, 7), (20, 1725), (50, 10), (4, 1)])
def test_references_come_before_every_interval_and_before_the_last_pass(interval: int, n_passes: int) -> None:
    plan = ReferencePlan(interval, 0.6)
    due = {index: plan.number_before(index, n_passes) for index in range(n_passes)}
    numbered = {index: number for index, number in due.items() if number is not None}
    assert set(numbered) == {*range(0, n_passes, interval), n_passes - 1}
    assert sorted(numbered.values()) == list(range(plan.count(n_passes)))


def test_the_run_lasts_as_long_as_the_plan_says(tmp_path: Path) -> None:
    """Within 0.1 %, adjustments and references included."""
    clock = VirtualClock()
    where = full_site()
    acquire_adjusted(tmp_path, where, clock=clock)
    planned = as_site_wants(measurement(), where).duration
    assert clock.now() - EVENING == pytest.approx(planned, rel=1e-3)
    assert planned > measurement().duration + 5


def test_references_follow_the_field_to_the_hertz_and_retune(tmp_path: Path) -> None:
    result = acquire_adjusted(tmp_path, referenced())
    found = events_of(result.path, "reference")
    assert [event["before_pass"] for event in found] == [0, 3, 6, 9]
    for event in found:
        drift = 2000 / 3600 * (event["started_s"] - EVENING)
        assert event["frequency_Hz"] == pytest.approx(METAL + drift, abs=5 * event["frequency_std_Hz"] + 0.05)
        assert event["frequency_std_Hz"] < 0.5
        assert event["noise_density"] == pytest.approx(2e-6, rel=0.1)
        assert event["amplitude"] == pytest.approx(0.01, rel=0.03), "1 mm3 at a sensitivity of 0.01"
    receivers = [event["receiver_frequency_Hz"] for event in found]
    for event, following in zip(found, [*receivers[1:], None], strict=True):
        off = abs(event["frequency_Hz"] - event["receiver_frequency_Hz"])
        assert (event["retuned_to_Hz"] is not None) == (off > 2.0)
        if following is not None:
            assert following == (event["retuned_to_Hz"] or event["receiver_frequency_Hz"])
    assert {event["retuned_to_Hz"] is None for event in found} == {True, False}, "both happen in this night"
    in_force = {event["before_pass"]: event["retuned_to_Hz"] or event["receiver_frequency_Hz"] for event in found}
    for record in open_run(result.path).passes():
        assert record.frequency == in_force[max(index for index in in_force if index <= record.index)]


def test_a_reference_is_told_after_the_pass_before_it_is_durable(tmp_path: Path) -> None:
    path = acquire_adjusted(tmp_path, referenced()).path
    order = [
        event.payload["pass"] if event.event == "committed" else f"reference {event.payload['before_pass']}"
        for event in open_run(path).events()
        if event.event in {"committed", "reference"}
    ]
    assert order == [
        "reference 0", 0, 1, 2, "reference 3", 3, 4, 5, "reference 6", 6, 7, 8, "reference 9", 9,
    ]  # fmt: skip


def test_a_lost_line_does_not_end_the_night(tmp_path: Path) -> None:
    """The drift takes the line out of the search range: that is told, nothing is retuned, and the passes go on."""
    where = referenced(adjustments={**FAST, "centre_frequency": {"search_range": 20.0}}, references={
        "interval": 3, "tolerance": 500.0,
    }, settings={"field_drift": "9000 Hz/h"})  # fmt: skip
    result = acquire_adjusted(tmp_path, where)
    found = events_of(result.path, "reference")
    assert found[0]["problem"] == ""
    assert "no line within" in found[-1]["problem"]
    assert found[-1]["frequency_Hz"] is None
    assert found[-1]["retuned_to_Hz"] is None
    assert result.n_committed == result.n_passes
    run = open_run(result.path)
    assert len(references_of(run.events(), run.path / JOURNAL)) < len(found)


def test_each_commit_tells_noise_and_signal_of_its_pass(tmp_path: Path) -> None:
    path = acquire_adjusted(tmp_path, referenced()).path
    for event in events_of(path, "committed"):
        assert event["noise_std"] == pytest.approx(2e-6 * np.sqrt(1 / 8e-6), rel=0.25), "256 samples"
        assert event["largest_sample"] > event["signal_rms"] > 0
    assert all(commit.noise_std for commit in open_run(path).commits().values())


class Interrupting:
    """Stops the run after some passes."""

    def __init__(self, after: int) -> None:
        self.after, self.stop = after, StopRequest()

    def __call__(self, event: Any) -> None:
        if event.n_committed >= self.after:
            self.stop.request()


def stopped_after(runs: Path, n_passes: int, where: Any) -> Path:
    interrupting = Interrupting(n_passes)
    return acquire_adjusted(runs, where, on_progress=interrupting, stop=interrupting.stop).path


def test_a_resumed_run_is_tuned_as_it_was_and_looks_before_it_goes_on(tmp_path: Path) -> None:
    path = stopped_after(tmp_path, 4, full_site())
    before = open_run(path).read_pass(open_run(path).committed()[-1])
    resume_adjusted(path)
    checks = [event for event in events_of(path, "reference") if event["role"] == "check"]
    assert len(checks) == 1
    assert checks[0]["retuned_to_Hz"] is None, "it goes on at once: nothing may differ from an undisturbed run"
    after = open_run(path).read_pass(before.index + 1)
    assert after.epoch == 1
    assert (after.frequency, after.receiver_gain) == (before.frequency, before.receiver_gain)
    assert before.receiver_gain != 0
    run = open_run(path)
    numbers = [event["number"] for event in events_of(path, "reference") if event["role"] == "scheduled"]
    assert numbers == [0, 1, 2, 3], "each once"
    assert len(references_of(run.events(), run.path / JOURNAL)) == 4


def test_after_a_gap_a_resumed_run_locks_on_the_line_again(tmp_path: Path) -> None:
    where, sample = referenced(settings={"field_drift": "200 Hz/h"}), phantom()
    runs_setup = setup(where, sample).model_copy(update={"clock": "system"})
    clock, interrupting = VirtualClock(), Interrupting(4)
    options = AcquisitionOptions(disk_margin=0, run_name="night", stop=interrupting.stop)

    def device(clock: Clock) -> Scanner:
        return open_scanner(where, clock=clock, phantom=sample, seed=SEED)

    path = acquire(
        measurement(), device(clock), tmp_path, setup=runs_setup, clock=clock, options=options,
        on_progress=interrupting,
    ).path  # fmt: skip
    later = VirtualClock(clock.now() + 7200)
    resume(path, device(later), clock=later, options=AcquisitionOptions(disk_margin=0))
    (relock,) = [event for event in events_of(path, "reference") if event["role"] == "relock"]
    expected = METAL + 200 / 3600 * 86400 / (2 * np.pi) * np.sin(2 * np.pi * (relock["started_s"] - EVENING) / 86400)
    assert relock["frequency_Hz"] == pytest.approx(expected, abs=2)
    assert relock["retuned_to_Hz"] == relock["frequency_Hz"]
    assert open_run(path).read_pass(9).frequency == pytest.approx(expected, abs=3)


def test_after_a_gap_without_references_the_line_is_tuned_to_as_at_first(tmp_path: Path) -> None:
    where = site(adjustments={**FAST, "centre_frequency": {}}, settings={"field_drift": "200 Hz/h"})
    sample, clock, interrupting = phantom(), VirtualClock(), Interrupting(4)
    runs_setup = setup(where, sample).model_copy(update={"clock": "system"})
    options = AcquisitionOptions(disk_margin=0, run_name="night", stop=interrupting.stop)
    path = acquire(
        measurement(), open_scanner(where, clock=clock, phantom=sample, seed=SEED), tmp_path, setup=runs_setup,
        clock=clock, options=options, on_progress=interrupting,
    ).path  # fmt: skip
    for later, retuned in ((VirtualClock(clock.now() + 5), False), (VirtualClock(clock.now() + 7200), True)):
        interrupting = Interrupting(99 if retuned else 6)
        resume(
            path, open_scanner(where, clock=later, phantom=sample, seed=SEED), clock=later,
            options=AcquisitionOptions(disk_margin=0, stop=interrupting.stop), on_progress=interrupting,
        )  # fmt: skip
        assert (events_of(path, "reference")[-1]["retuned_to_Hz"] is not None) == retuned
    assert open_run(path).read_pass(5).frequency == pytest.approx(METAL, abs=2)
    assert open_run(path).read_pass(9).frequency == pytest.approx(METAL + 400, abs=20)


def test_a_device_that_lost_its_settings_gets_them_again(tmp_path: Path) -> None:
    """After a fault the console may come back with the frequency of its program and no gain."""
    where, sample, clock = full_site(faults={"faults": [LOST]}), phantom(), VirtualClock()

    class Forgetful:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def abort(self) -> None:
            self.inner.abort()
            self.inner.set_receiver_gain(-60.0)
            self.inner.set_frequency(METAL + 5e3)

        def __enter__(self) -> Any:
            self.inner.__enter__()
            return self

        def __exit__(self, *exc: object) -> None:
            self.inner.__exit__(*exc)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    device: Any = Forgetful(open_scanner(where, clock=clock, phantom=sample, seed=SEED))
    path = acquire_adjusted(tmp_path, where, sample, scanner=device, clock=clock).path
    assert len(events_of(path, "pass_repeated")) == 1
    gains = {record.receiver_gain for record in open_run(path).passes()}
    assert len(gains) == 1
    assert gains.pop() > 0


LOST = {"kind": "lost_readout", "passes": [4]}


def test_an_interlock_within_the_adjustments_ends_them_safely(tmp_path: Path) -> None:
    where, sample, clock = full_site(), phantom(), VirtualClock()
    device: Any = open_scanner(where, clock=clock, phantom=sample, seed=SEED)
    play = device.start

    def trip(index: int, epoch: int = 0) -> None:
        play(index, epoch)
        if index >= 2_000_000:
            raise InterlockFault("the gradient amplifier is too warm")

    device.start = trip
    with pytest.raises(InterlockFault, match="too warm"):
        acquire_adjusted(tmp_path, where, sample, scanner=device, clock=clock)
    path = tmp_path / "night"
    assert events_of(path, "ended")[-1]["status"] == "failed"
    result = resume_adjusted(path)
    assert result.n_committed == result.n_passes
    assert [event["kind"] for event in events_of(path, "adjusted")] == [
        "centre_frequency", "centre_frequency", "rf_calibration", "receiver_gain",
    ], "begun anew"  # fmt: skip
    assert os.listdir(path / "quarantine") == []  # noqa: PTH208
    assert from_iso_time(open_run(path).manifest.created) == EVENING


def test_a_wish_to_stop_is_obeyed_between_adjustments(tmp_path: Path) -> None:
    stop = StopRequest()

    def on_progress(event: Any) -> None:
        if event.checks:
            stop.request("enough")

    result = acquire_adjusted(tmp_path, on_progress=on_progress, stop=stop)
    assert (result.n_committed, result.reason) == (0, "enough")
    assert events_of(result.path, "adjusted") == []
    resumed = resume_adjusted(result.path)
    assert resumed.n_committed == resumed.n_passes
    assert len(events_of(result.path, "adjusted")) == 3
