"""The next pass does not wait for disk, stop rules or anybody who watches."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniform_cell import EVERYWHERE, acquire_uniform

from knightshift.acquisition import ProgressEvent, ProgressKind
from knightshift.acquisition.idle_time import IdleTime, idle_time
from knightshift.acquisition.run_writer import RunWriter
from knightshift.acquisition.stop_rules import RuleObserver, parse_rules
from knightshift.core.clock import Clock, SystemClock, VirtualClock
from knightshift.core.errors import InputError
from knightshift.core.journal import JournalEvent
from knightshift.core.passes import PassRecord
from knightshift.core.run_folder import open_run

PASS, SLOW = 0.3, 0.2
N_PASSES = 5


class SlowObserver:
    """Takes its time over every pass."""

    def began(self, *_facts: Any) -> None:
        return None

    def committed(self, _record: PassRecord, _time: float) -> None:
        time.sleep(SLOW)


def slow_disk(monkeypatch: pytest.MonkeyPatch, delay: float) -> None:
    commit = RunWriter.commit

    def slow(writer: RunWriter, *what: Any, **facts: Any) -> None:
        time.sleep(delay)
        commit(writer, *what, **facts)

    monkeypatch.setattr(RunWriter, "commit", slow)


def gaps(folder: Path, duration: float, **choices: Any) -> IdleTime:
    result = acquire_uniform(folder, N_PASSES, None, clock=SystemClock(), duration=duration, **choices)
    return idle_time(open_run(result.path).events())


def test_a_slow_disk_does_not_delay_the_next_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_disk(monkeypatch, SLOW)
    found = gaps(tmp_path, PASS)
    assert found.gaps.size == N_PASSES - 1
    assert found.gaps.max() < SLOW / 2
    assert found.pass_duration == pytest.approx(PASS, rel=0.3)


def test_a_slow_observer_does_not_delay_the_next_pass(tmp_path: Path) -> None:
    assert gaps(tmp_path, PASS, observers=(SlowObserver(),)).gaps.max() < SLOW / 2


def test_a_disk_slower_than_a_pass_is_waited_for_and_that_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_disk(monkeypatch, SLOW)
    found = gaps(tmp_path, SLOW / 4)
    assert found.gaps[1:].min() > SLOW / 2, "a pass never begins before the one but one before is durable"


@pytest.mark.parametrize("clock", [SystemClock(), VirtualClock()], ids=["system", "virtual"])
def test_what_is_left_is_planned_with_the_gaps_of_the_journal_where_they_take_time(
    tmp_path: Path, clock: Clock
) -> None:
    told: list[ProgressEvent] = []
    run = open_run(acquire_uniform(tmp_path, 6, None, clock=clock, duration=0.02, on_progress=told.append).path)
    found = idle_time(run.events()).gaps
    for event in told[:-1]:
        if event.kind is ProgressKind.COMMITTED:
            known = found[: event.n_committed] if isinstance(clock, SystemClock) else []
            gap = float(np.mean(known)) if len(known) else 0.0
            assert event.next_pass == pytest.approx(0.02 + gap, abs=1e-9)
            assert event.finish_time == pytest.approx(event.time + (6 - event.n_committed) * (0.02 + gap), abs=1e-6)


def test_stop_rules_on_a_virtual_clock_are_measured_in_real_time(tmp_path: Path) -> None:
    rules = parse_rules([f"snr of echo 1 in {EVERYWHERE} >= 1000"])
    run = acquire_uniform(tmp_path, 20, None, observers=(RuleObserver(rules),)).path
    found = idle_time(open_run(run).events())
    assert found.pass_duration == pytest.approx(24.0)
    assert 0 < found.gaps.min() < 0.1


def test_the_fraction_is_the_mean_gap_over_gap_and_pass() -> None:
    events = [
        JournalEvent(0, "", "committed", {"started_s": 0.0, "finished_s": 20.0}),
        JournalEvent(1, "", "committed", {"started_s": 21.0, "finished_s": 41.0, "host_gap_s": 0.5}),
        JournalEvent(2, "", "committed", {"started_s": 41.0, "finished_s": 61.0, "host_gap_s": 1.5}),
    ]
    assert idle_time(events).fraction() == pytest.approx(1 / 21)
    assert idle_time(events).fraction(9.0) == pytest.approx(0.1)
    with pytest.raises(InputError, match="no gap"):
        idle_time(events[:1])
