"""A run ends when its result is good enough, at the pass that theory gives, whatever happens to it on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dying_process import run_and_die
from uniform_cell import (
    EVERYWHERE,
    N_VOXELS,
    acquire_uniform,
    passes_for_snr,
    resume_uniform,
    t2_std_of_one_pass,
)

from knightshift.acquisition import RunResult, RunStatus, StopRequest
from knightshift.acquisition.stop_rules import RuleObserver, RuleProgress, parse_rules, progress_of, rules_in_force
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import ConfigError, DamagedDataError, InputError
from knightshift.core.passes import PassRecord
from knightshift.core.run_folder import Run, open_run
from knightshift.reconstruction.live import RunningSum

BLOCK = 2
GOAL = 12.0
SNR_RULE = parse_rules([f"snr of echo 1 in {EVERYWHERE} >= {GOAL}"])
ANALYTIC = passes_for_snr(GOAL, echo=1)
PLANNED = 3 * ANALYTIC


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return acquire_uniform(tmp_path_factory.mktemp("stopped"), PLANNED, SNR_RULE)


def decisive_pass(run: Run) -> int:
    """The pass, counted from 0, with which the rules were met."""
    return next(int(event.payload["pass"]) for event in run.events() if event.event == "rule_met")


@pytest.mark.parametrize(("echo", "snr"), [(1, 8.0), (1, 24.0), (2, 6.0)])
def test_snr_grows_with_root_n_and_stops_at_the_analytic_pass(tmp_path: Path, echo: int, snr: float) -> None:
    analytic = passes_for_snr(snr, echo)
    result = acquire_uniform(tmp_path, 2 * analytic, parse_rules([f"snr of echo {echo} in {EVERYWHERE} >= {snr}"]))
    assert result.status is RunStatus.STOPPED
    assert abs(decisive_pass(open_run(result.path)) + 1 - analytic) <= BLOCK


@pytest.mark.parametrize(("statistic", "n_voxels"), [("median", 1), ("pooled", N_VOXELS)])
def test_t2_uncertainty_falls_with_root_n_and_stops_at_the_cramer_rao_pass(
    tmp_path: Path, statistic: str, n_voxels: int
) -> None:
    blocks = 12
    goal = t2_std_of_one_pass() / np.sqrt(blocks * n_voxels)
    result = acquire_uniform(
        tmp_path, 4 * blocks, parse_rules([f"{statistic} t2 std in {EVERYWHERE} <= {1e3 * goal} ms"])
    )
    assert abs(decisive_pass(open_run(result.path)) + 1 - BLOCK * blocks) <= BLOCK


def test_one_more_pass_plays_while_the_rule_is_evaluated_and_no_second_one(stopped: RunResult) -> None:
    run = open_run(stopped.path)
    assert run.committed() == tuple(range(decisive_pass(run) + 2))


def test_the_reason_and_the_time_saved_are_said(stopped: RunResult) -> None:
    event = next(event for event in open_run(stopped.path).events() if event.event == "rule_met")
    left = PLANNED - stopped.n_committed
    assert event.payload["saved_s"] == pytest.approx(24.0 * left)
    assert stopped.reason == event.payload["reason"]
    assert f"of {GOAL:g} after" in stopped.reason
    assert f"saved {int(24 * left // 60)} min" in stopped.reason


def test_the_prediction_from_a_tenth_of_the_passes_is_near_the_end_that_came(tmp_path: Path) -> None:
    n_needed = passes_for_snr(24.0, echo=1)
    result = acquire_uniform(tmp_path, n_needed, parse_rules([f"snr of echo 1 in {EVERYWHERE} >= 24"]))
    events = [event.payload for event in open_run(result.path).events() if event.event == "rule_progress"]
    early = next(payload for payload in events if payload["n_passes"] >= n_needed / 10)
    assert early["predicted_pass"] == pytest.approx(n_needed, rel=0.1)
    began = open_run(result.path).commits()[0].started
    assert early["predicted_time_s"] - began == pytest.approx(24.0 * early["predicted_pass"])
    assert 2 < len(events) <= 3 + n_needed * 24 / 600, "the journal is told every ten minutes"


def test_a_goal_beyond_the_plan_is_said_not_to_be_reached_in_time(tmp_path: Path) -> None:
    result = acquire_uniform(tmp_path, 30, parse_rules([f"snr of echo 1 in {EVERYWHERE} >= 400"]))
    assert result.status is RunStatus.COMPLETED
    (progress,) = progress_of(open_run(result.path).events())
    assert not progress.in_time
    assert not progress.met
    assert progress.ends == pytest.approx(open_run(result.path).commits()[29].finished)


def test_the_fewest_passes_are_played_though_the_goal_is_reached(tmp_path: Path) -> None:
    rules = SNR_RULE.model_copy(update={"minimum_passes": ANALYTIC + 11})
    assert decisive_pass(open_run(acquire_uniform(tmp_path, PLANNED, rules).path)) + 1 == ANALYTIC + 12


def test_all_rules_have_to_be_met(tmp_path: Path) -> None:
    both = parse_rules([f"snr of echo 1 in {EVERYWHERE} >= 6", f"snr of echo 2 in {EVERYWHERE} >= 6"])
    decided = decisive_pass(open_run(acquire_uniform(tmp_path, PLANNED, both).path)) + 1
    assert abs(decided - passes_for_snr(6.0, echo=2)) <= BLOCK


@pytest.mark.parametrize("n_before", [3, ANALYTIC - 1, ANALYTIC, ANALYTIC + 1])
def test_a_run_that_was_interrupted_ends_with_the_same_passes(
    tmp_path: Path, stopped: RunResult, n_before: int
) -> None:
    stop = StopRequest()
    acquire_uniform(
        tmp_path, PLANNED, SNR_RULE, stop=stop,
        on_start=lambda index: stop.request("test") if index == n_before - 1 else None,
    )  # fmt: skip
    result = resume_uniform(tmp_path / "night", SNR_RULE)
    assert_same_passes(open_run(result.path), open_run(stopped.path))
    assert result.reason == stopped.reason


@pytest.mark.parametrize("earlier", range(0, 18, 5))
def test_a_run_that_was_killed_near_its_end_ends_with_the_same_passes(
    tmp_path: Path, stopped: RunResult, earlier: int
) -> None:
    disk_calls = 6 * stopped.n_committed + 41  # six for a pass and its journal line; the rest are around them
    assert run_and_die(lambda: acquire_uniform(tmp_path, PLANNED, SNR_RULE), disk_calls - earlier, "before")
    left = stopped.n_committed - len(open_run(tmp_path / "night").committed())
    assert 0 <= left <= 2, "before the decision, between it and the last pass, or after that"
    result = resume_uniform(tmp_path / "night", SNR_RULE)
    assert_same_passes(open_run(result.path), open_run(stopped.path))


def assert_same_passes(found: Run, expected: Run) -> None:
    assert found.committed() == expected.committed()
    for mine, theirs in zip(found.passes(), expected.passes(), strict=True):
        np.testing.assert_array_equal(mine.samples, theirs.samples)


def test_the_rules_of_a_run_hold_when_it_goes_on_until_they_were_met(tmp_path: Path, stopped: RunResult) -> None:
    stop = StopRequest()
    acquire_uniform(
        tmp_path, PLANNED, SNR_RULE, stop=stop, on_start=lambda index: stop.request() if index == 3 else None
    )
    assert rules_in_force(open_run(tmp_path / "night").events()) == SNR_RULE
    assert rules_in_force(open_run(stopped.path).events()) is None


def test_a_deadline_before_the_goal_is_foreseen(tmp_path: Path) -> None:
    deadline = VirtualClock.EVENING + 24.0 * (ANALYTIC - 4)
    observer = RuleObserver(SNR_RULE, deadline)
    acquire_uniform(tmp_path, 10, None, observers=(observer,))
    (progress,) = observer.progress
    assert progress.ends == pytest.approx(VirtualClock.EVENING + 240.0), "the plan ends before the deadline"
    acquire_uniform(tmp_path / "longer", PLANNED, None, observers=(observer,))
    events = open_run(tmp_path / "longer" / "night").events()
    first = RuleProgress.of(next(event for event in events if event.event == "rule_progress"))
    assert first.ends == deadline
    assert not first.in_time


def test_rules_that_cannot_be_looked_at_any_more_do_not_end_the_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = RunningSum.add

    def failing(self: RunningSum, record: PassRecord) -> None:
        if record.index == 5:
            raise DamagedDataError("p000005.h5", "slice", "counters lie")
        add(self, record)

    monkeypatch.setattr(RunningSum, "add", failing)
    result = acquire_uniform(tmp_path, ANALYTIC + 6, SNR_RULE)
    assert result.status is RunStatus.COMPLETED
    failed = [event for event in open_run(result.path).events() if event.event == "rule_failed"]
    assert [(event.payload["pass"], event.payload["reason"]) for event in failed] == [
        (5, "p000005.h5: slice: counters lie")
    ]


@pytest.mark.parametrize("change", [{"target": "many"}, {"value": float("inf")}, {"colour": "red"}])
def test_progress_of_another_version_is_refused_with_its_line(stopped: RunResult, change: dict[str, object]) -> None:
    events = [event for event in open_run(stopped.path).events() if event.event == "rule_progress"]
    assert progress_of(events)[0].payload() == events[-1].payload
    odd = replace(events[0], payload=dict(events[0].payload) | change)
    with pytest.raises(ConfigError, match=f"line {odd.sequence + 1}: {next(iter(change))}"):
        progress_of([odd])


def test_flagged_passes_count_for_time_and_not_for_signal(tmp_path: Path) -> None:
    every_other_block = frozenset(index for index in range(PLANNED) if index // 2 % 2)
    result = acquire_uniform(tmp_path, PLANNED, SNR_RULE, overrange=every_other_block)
    assert abs(decisive_pass(open_run(result.path)) + 1 - 2 * ANALYTIC) <= 2 * BLOCK


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("snr of echo 3 in box y=[-3 mm, 3 mm] >= 4", "numbered 1 to 2"),
        ("snr of echo 1 in box y=[5 mm, 6 mm] >= 4", "the image spans"),
    ],
)
def test_rules_that_do_not_fit_the_images_are_refused_before_anything_plays(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        acquire_uniform(tmp_path, 4, parse_rules([text]))
    assert open_run(tmp_path / "night").committed() == ()
