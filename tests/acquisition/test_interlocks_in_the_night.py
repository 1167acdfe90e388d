"""Interlocks through a tiny night: six passes of 24 s, a readout every 4 s, a probe read at each of them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_scanner import DURATION, FakeScanner, measurement, resume_tiny
from watched_night import EVENING, PROBE, ScriptedClock, TimedScanner, probe, site, warm_in, watched

from knightshift.acquisition import (
    AcquisitionOptions,
    ProgressEvent,
    ProgressKind,
    RunStatus,
    StopRequest,
    acquire,
    resume_time,
)
from knightshift.acquisition.surroundings import surroundings_of
from knightshift.core.clock import SystemClock, VirtualClock
from knightshift.core.errors import InterlockFault, ReadoutTimeoutError
from knightshift.core.manifest import RunSetup
from knightshift.core.run_folder import Run, open_run
from knightshift.core.run_verification import verify_run
from knightshift.hardware.monitors.emulated import line_for, unplug_all
from knightshift.reconstruction.pass_sum import sum_passes

FLAG = "interlock probe_warm"


@pytest.fixture(autouse=True)
def _devices_of_its_own() -> Iterator[None]:
    yield
    unplug_all()


def flagged(run: Run) -> list[int]:
    return [index for index, commit in run.commits().items() if commit.flags]


def events(run: Run, name: str) -> list[dict[str, Any]]:
    return [dict(event.payload) for event in run.events() if event.event == name]


def test_a_pass_out_of_band_is_kept_with_the_name_of_the_interlock(tmp_path: Path) -> None:
    """Out of band from 30 to 50 s, ten seconds to clear: passes 1 (24 to 48 s) and 2 (48 to 72 s)."""
    result, _ = watched(tmp_path, ScriptedClock(warm_in((30, 50))), site("flag_pass"))
    run = open_run(result.path)
    assert (result.status, result.n_committed, result.n_flagged) == (RunStatus.COMPLETED, 6, 2)
    assert {index: commit.flags for index, commit in run.commits().items() if commit.flags} == {1: (FLAG,), 2: (FLAG,)}
    assert run.read_pass(1).flags == (FLAG,)
    assert [record.started - EVENING for record in run.passes()] == [index * DURATION for index in range(6)]


def test_an_excursion_within_the_grace_time_flags_nothing_and_is_journaled(tmp_path: Path) -> None:
    clock = ScriptedClock(warm_in((30, 50)))
    run = open_run(watched(tmp_path, clock, site("make_safe", interlock={"grace": "25 s"}))[0].path)
    assert flagged(run) == []
    assert [(entry["state"], entry["severity"]) for entry in events(run, "interlock")] == [
        ("grace", "alarm"),
        ("clear", "ok"),
    ]


def test_an_excursion_beyond_the_grace_time_counts(tmp_path: Path) -> None:
    clock = ScriptedClock(warm_in((30, 61)))
    run = open_run(
        watched(tmp_path, clock, site("flag_pass", interlock={"grace": "25 s", "clear_after": "0 s"}))[0].path
    )
    assert flagged(run) == [2], "the grace time ends at 57 s, within pass 2"


def test_a_flagged_pass_gets_no_weight_in_the_image(tmp_path: Path) -> None:
    result, _ = watched(tmp_path, ScriptedClock(warm_in((30, 50))), site("flag_pass"))
    run = open_run(result.path)
    total = sum_passes(run, correct_drift=False)
    assert total.flagged == (1, 2)
    assert list(total.n_passes) == [2, 2]
    for echo, good in enumerate([(0, 4), (3, 5)]):
        mean = np.mean([run.read_pass(index).samples[:, 0] for index in good], axis=0)
        np.testing.assert_allclose(total.kspace[echo].squeeze(), mean, rtol=1e-6)


def test_suspended_until_clear_for_long_enough(tmp_path: Path) -> None:
    told: list[ProgressKind] = []
    clock = ScriptedClock(warm_in((30, 200)))
    result, scanner = watched(tmp_path, clock, site("suspend"), on_progress=lambda event: told.append(event.kind))
    run = open_run(result.path)
    assert (result.status, flagged(run)) == (RunStatus.COMPLETED, [1])
    suspended, resumed = events(run, "suspended")[0], events(run, "resumed")[0]
    assert (suspended["pass"], suspended["time_s"]) == (2, EVENING + 48)
    assert suspended["reason"] == "probe_warm: probe.temperature 318.15 K is above 313.15 K"
    assert 210 <= resumed["time_s"] - EVENING <= 212
    assert run.read_pass(2).started == resumed["time_s"]
    assert scanner.made_safe[0] == (48.0, "prepared"), "nothing stays armed while nobody may play"
    assert told.index(ProgressKind.SUSPENDED) < told.index(ProgressKind.RESUMED)
    assert verify_run(result.path).intact


def test_a_suspension_does_not_turn_the_clock_back_for_who_resumes(tmp_path: Path) -> None:
    stop = StopRequest()
    clock = ScriptedClock(lambda now: (warm_in((30, 1e9))(now), stop.request() if now > 100 else None)[0])
    options = AcquisitionOptions(run_name="night", disk_margin=0, stop=stop)
    result, _ = watched(tmp_path, clock, site("suspend"), options=options)
    assert (result.status, result.n_committed, result.reason) == (RunStatus.STOPPED, 2, "asked to stop")
    assert clock.now() - EVENING <= 102, "a wish to stop is obeyed at the next look"
    assert resume_time(open_run(result.path)) == EVENING + 48
    probe().temperature = 23.5
    assert resume_tiny(result.path).status is RunStatus.COMPLETED


def test_suspended_for_too_long_stops_with_the_reason(tmp_path: Path) -> None:
    clock = ScriptedClock(warm_in((30, 1e9)))
    result, _ = watched(tmp_path, clock, site("suspend", max_suspension="10 min"))
    assert (result.status, result.n_committed) == (RunStatus.STOPPED, 2)
    assert result.reason.startswith("suspended for more than 600 s: interlock probe_warm: probe.temperature 318.15 K")
    assert 600 < clock.now() - EVENING - 48 <= 602
    run = open_run(result.path)
    assert [events(run, name) for name in ("resumed",)] == [[]]
    assert (events(run, "ended")[0]["status"], events(run, "ended")[0]["reason"]) == ("stopped", result.reason)


def test_stop_ends_after_the_pass_and_a_resume_goes_on(tmp_path: Path) -> None:
    result, scanner = watched(tmp_path, ScriptedClock(warm_in((30, 1e9))), site("stop"))
    assert (result.status, result.n_committed, result.n_flagged) == (RunStatus.STOPPED, 2, 1)
    assert result.reason == "interlock probe_warm: probe.temperature 318.15 K is above 313.15 K"
    assert "abort" not in scanner.calls
    with pytest.raises(InterlockFault, match=r"is above 313\.15 K"):
        resume_tiny(result.path)  # still warm: the pre-flight of the resume refuses
    probe().temperature = 23.5
    again = resume_tiny(result.path)
    assert (again.status, again.n_committed, again.n_flagged, again.reason) == (RunStatus.COMPLETED, 6, 1, "")
    assert [record.epoch for record in open_run(result.path).passes()] == [0, 0, 1, 1, 1, 1]
    assert verify_run(result.path).intact


def test_an_interlock_and_a_person_who_both_say_stop_lose_no_pass(tmp_path: Path) -> None:
    stop = StopRequest()
    options = AcquisitionOptions(run_name="night", disk_margin=0, stop=stop)
    clock = ScriptedClock(warm_in((30, 1e9)))
    ask = {"on_start": lambda index: stop.request() if index == 1 else None}
    result, scanner = watched(tmp_path, clock, site("stop"), options=options, **ask)
    assert (result.status, result.n_committed) == (RunStatus.STOPPED, 2)
    assert "abort" not in scanner.calls


def test_make_safe_acts_within_one_readout(tmp_path: Path) -> None:
    """Out of band from 61 s on, in pass 2: the readout that ends at 64 s is the last."""
    clock = ScriptedClock(warm_in((61, 1e9)))
    scanner = TimedScanner(clock)
    with pytest.raises(InterlockFault, match=r"probe_warm: .* RF and gradients are off") as caught:
        acquire(
            measurement(6), scanner, tmp_path, setup=RunSetup(clock="virtual", seed=1, site=site("make_safe")),
            clock=clock, options=AcquisitionOptions(run_name="night", disk_margin=0),
        )  # fmt: skip
    assert scanner.made_safe[0] == (64.0, "acquiring")
    assert scanner.calls.count("start") == 3
    path = tmp_path / "night"
    assert caught.value.__notes__ == [f"2 of 6 passes are kept in {path}: continue with `knightshift resume {path}`"]
    assert caught.value.exit_code == 3
    assert events(open_run(path), "ended")[0]["status"] == "failed"
    probe().temperature = 23.5
    assert resume_tiny(path).status is RunStatus.COMPLETED
    assert flagged(open_run(path)) == []


def test_make_safe_acts_while_suspended(tmp_path: Path) -> None:
    hotter = {"probe_hot": {"kind": "temperature", "watch": "probe.temperature", "high": "60 degC",
                            "action": "make_safe"}}  # fmt: skip

    def script(now: float) -> None:
        probe().temperature = 23.5 if now < 30 else 45.0 if now < 100 else 70.0

    with pytest.raises(InterlockFault, match="probe_hot"):
        watched(tmp_path, ScriptedClock(script), site("suspend", interlocks=hotter))
    assert open_run(tmp_path / "night").committed() == (0, 1)


def test_a_monitor_that_falls_silent_counts_as_out_of_band(tmp_path: Path) -> None:
    """Mute from 30 s: stale after 10 s, tripped 20 s later, at about 60 s, in pass 2."""

    def script(now: float) -> None:
        if now >= 30:
            line = line_for(PROBE)
            line.unplug(line.own_time, 1e9)

    result, _ = watched(tmp_path, ScriptedClock(script), site("flag_pass"))
    run = open_run(result.path)
    assert flagged(run) == [2, 3, 4, 5]
    changed = events(run, "reading_changed")
    assert [(entry["name"], entry["stale"]) for entry in changed] == [("probe.temperature", True)]
    assert events(run, "interlock")[-1]["reason"] == "probe.temperature: the last value is stale"


def test_the_attempt_that_is_kept_decides_about_the_flag(tmp_path: Path) -> None:
    """Pass 1 is out of band and struck by a fault at 36 s; its second attempt begins when all is well again."""
    clock = ScriptedClock(warm_in((26, 34)))
    short = site("flag_pass", interlock={"clear_after": "0 s"})
    result, _ = watched(tmp_path, clock, short, faults={1: [ReadoutTimeoutError("late")]})
    run = open_run(result.path)
    assert len(events(run, "pass_repeated")) == 1
    assert len(events(run, "interlock")) == 2
    assert flagged(run) == []


def test_every_commit_record_carries_the_readings(tmp_path: Path) -> None:
    run = open_run(watched(tmp_path, ScriptedClock(warm_in()), site("flag_pass"))[0].path)
    for entry in events(run, "committed"):
        reading = entry["readings"]["probe.temperature"]
        assert (reading["value"], reading["unit"]) == (pytest.approx(296.65), "K")
        assert 0 <= entry["finished_s"] - reading["measured_s"] <= 4
    assert [event.event for event in run.events()] == [
        "created",
        "preflight",
        "epoch_began",
        *["committed"] * 6,
        "ended",
    ]


def test_a_site_without_monitors_is_not_watched(tmp_path: Path) -> None:
    nothing = site(monitoring={})
    assert surroundings_of(RunSetup(site=nothing), VirtualClock()).watch is None
    run = open_run(watched(tmp_path, ScriptedClock(lambda _now: None), nothing)[0].path)
    assert all("readings" not in entry for entry in events(run, "committed"))


def in_real_time(runs: Path, action: str, **more: Any) -> Any:
    """The same in real time, monitors in threads; a pass takes 0.2 s."""
    fast = site(action, probe={"every": "20 ms"}, interlock={"clear_after": "50 ms"})

    def warm(index: int) -> None:
        probe().temperature = 45.0 if index >= 2 else 23.5

    clock = SystemClock()
    scanner = FakeScanner(ScriptedClock(lambda _now: None), real_delay=0.035, on_start=warm)
    return acquire(measurement(5), scanner, runs, setup=RunSetup(seed=1, site=fast), clock=clock, **more)


def test_monitors_in_threads_flag_what_they_see(tmp_path: Path) -> None:
    run = open_run(in_real_time(tmp_path, "flag_pass").path)
    assert [index for index in flagged(run) if index != 2] == [3, 4]


def test_ctrl_c_ends_a_suspension(tmp_path: Path) -> None:
    def interrupt(event: ProgressEvent) -> None:
        if event.kind is ProgressKind.SUSPENDED:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    began = time.monotonic()
    result = in_real_time(tmp_path, "suspend", on_progress=interrupt)
    assert (result.status, result.reason) == (RunStatus.STOPPED, "SIGINT")
    assert result.n_committed in {3, 4}
    assert time.monotonic() - began < 10
