"""Power cuts: whatever was not synced may be lost, in any order, and yet no committed pass is, ever."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from adjusted_night import acquire_adjusted, resume_adjusted
from disk_recorder import recording
from fake_scanner import FakeScanner, acquire_tiny, measurement, resume_tiny
from forgetful_disk import Claim, Recording, fingerprint, states_after, write_tree

from knightshift.acquisition import AcquisitionOptions, ProgressEvent, ProgressKind, RunStatus, acquire, resume
from knightshift.core.clock import VirtualClock
from knightshift.core.manifest import RunSetup
from knightshift.core.passes import PassRecord
from knightshift.core.run_folder import MANIFEST, open_run
from knightshift.core.run_verification import verify_run
from knightshift.reconstruction.pass_sum import sum_passes

N_PASSES = 3


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[PassRecord]:
    return list(open_run(acquire_tiny(tmp_path_factory.mktemp("undisturbed"), N_PASSES).path).passes())


def claimer(recorded: Recording) -> Callable[[ProgressEvent], None]:
    """Write down when the run says that a pass is committed."""

    def claim(event: ProgressEvent) -> None:
        if event.kind is ProgressKind.COMMITTED:
            assert event.pass_index is not None
            recorded.steps.append(Claim(event.pass_index))

    return claim


def record_run(disk: Path, ignored: Callable[[str, str], bool] = lambda _call, _path: False) -> Recording:
    """Record a whole run; the run itself says when a pass is committed."""
    disk.mkdir(exist_ok=True)
    clock, options = VirtualClock(), AcquisitionOptions(run_name="night", disk_margin=0)
    with recording(disk, ignored) as recorded:
        claim, path = claimer(recorded), disk / "runs"
        if (path / "night").exists():
            resume(path / "night", FakeScanner(clock), clock=clock, options=options, on_progress=claim)
        else:
            setup = RunSetup(clock="virtual", seed=1)
            acquire(
                measurement(N_PASSES), FakeScanner(clock), path, setup=setup, clock=clock, options=options,
                on_progress=claim,
            )  # fmt: skip
    return recorded


class LostPassError(AssertionError):
    """A pass that the run had called committed is not there."""


def check_state(disk: Path, claims: set[int], expected: list[PassRecord]) -> None:
    """Open what the power cut has left, verify it, go on, and compare with a run that nobody disturbed."""
    path = disk / "runs" / "night"
    if not (path / MANIFEST).exists():
        if claims:
            raise LostPassError(f"passes {claims} went with the whole run")
        path = acquire_tiny(disk / "runs", N_PASSES).path
    else:
        report = verify_run(path)
        if not claims <= set(report.good):
            raise LostPassError(f"passes {claims - set(report.good)}: {report.damage or report.notes}")
        assert report.intact, report.damage
        kept = {index: open_run(path).commits()[index].sha256 for index in claims}
        assert resume_tiny(path).status is RunStatus.COMPLETED
        now = {index: commit.sha256 for index, commit in open_run(path).commits().items()}
        assert kept.items() <= now.items(), "a committed pass was acquired again"
    report, passes = verify_run(path), list(open_run(path).passes())
    assert (report.intact, report.notes, len(passes)) == (True, (), len(expected))
    for found, wanted in zip(passes, expected, strict=True):
        assert found.samples.tobytes() == wanted.samples.tobytes()
        assert (found.index, found.started, found.finished) == (wanted.index, wanted.started, wanted.finished)
    np.testing.assert_array_equal(sum(p.samples for p in passes), sum(p.samples for p in expected))


def cut_everywhere(
    recorded: Recording, folder: Path, expected: list[PassRecord], n_random: int, monkeypatch: pytest.MonkeyPatch,
    committed: frozenset[int] = frozenset(),
) -> int:  # fmt: skip
    """Cut the power after each step, try what may be left; returns how many different states there were."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)  # what follows is not cut: it need not be synced
    monkeypatch.setattr(os, "fdatasync", lambda _descriptor: None)
    chance, seen = random.Random(1), set()
    for n_steps in reversed(range(len(recorded.steps) + 1)):
        claims = recorded.claims(n_steps) | committed
        for state in states_after(recorded, n_steps, n_random, chance):
            key = (fingerprint(state), frozenset(claims))
            if key not in seen:
                seen.add(key)
                disk = folder / str(len(seen))
                write_tree(state, disk)
                check_state(disk, claims, expected)
    return len(seen)


def test_recording_holds_every_byte_that_a_run_writes(tmp_path: Path) -> None:
    """The end of `recording` compares what it has seen with what is on the disk: nothing is written past it."""
    recorded = record_run(tmp_path / "disk")
    assert recorded.claims(len(recorded.steps)) == set(range(N_PASSES))
    with pytest.raises(AssertionError, match="past the recorder"), recording(tmp_path / "disk"):
        (tmp_path / "disk" / "unseen").write_bytes(b"not through os.write")


def test_no_committed_pass_is_lost_in_a_power_cut(
    tmp_path: Path, undisturbed: list[PassRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record_run(tmp_path / "disk")
    assert cut_everywhere(recorded, tmp_path / "states", undisturbed, 1, monkeypatch) > 100


@pytest.mark.slow
def test_no_committed_pass_is_lost_in_a_thousand_power_cuts(
    tmp_path: Path, undisturbed: list[PassRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record_run(tmp_path / "disk")
    assert cut_everywhere(recorded, tmp_path / "states", undisturbed, 250, monkeypatch) > 1000


def battered(disk: Path) -> frozenset[int]:
    """Leave what a first power cut may leave: a torn journal, a pass not recorded, a half-written one."""
    path = acquire_tiny(disk / "runs", N_PASSES).path
    lines = (path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    until = next(number for number, line in enumerate(lines) if b'"committed","payload":{"pass":1' in line)
    (path / "journal.jsonl").write_bytes(b"".join(lines[:until]) + lines[until][:40])
    whole = (path / "passes" / "p000002.h5").read_bytes()
    (path / "passes" / "p000002.h5").write_bytes(whole[:-10])
    (path / "passes" / "p000002.h5.part").write_bytes(whole[:100])
    return frozenset({0})


@pytest.mark.slow
def test_second_power_cut_while_resuming_loses_nothing_either(
    tmp_path: Path, undisturbed: list[PassRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = battered(tmp_path / "disk")
    recorded = record_run(tmp_path / "disk")
    states = cut_everywhere(recorded, tmp_path / "states", undisturbed, 30, monkeypatch, committed)
    assert states > 250


@pytest.mark.slow
def test_power_cut_of_a_night_with_adjustments_and_references_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with recording(tmp_path / "disk") as recorded:
        path = acquire_adjusted(tmp_path / "disk" / "runs", on_progress=claimer(recorded)).path
    whole, chance, n_states = sum_passes(open_run(path)), random.Random(2), 0
    for n_steps in range(len(recorded.steps), 0, -37):
        states = list(states_after(recorded, n_steps, 3, chance))
        for state in chance.sample(states, min(3, len(states))):
            n_states += 1
            disk = tmp_path / str(n_states)
            write_tree(state, disk)
            found = disk / "runs" / "night"
            claims = recorded.claims(n_steps)
            if not (found / MANIFEST).exists():
                assert not claims
                continue
            assert claims <= set(verify_run(found).good)
            assert verify_run(found).intact
            resume_adjusted(found)
            np.testing.assert_array_equal(sum_passes(open_run(found)).kspace, whole.kspace)
    assert n_states > 20


FORGOTTEN = {
    "the bytes of a pass": lambda call, path: call == "fsync" and path.endswith(".h5.part"),
    "the name of a pass": lambda call, path: call == "fsync" and path.endswith("/passes"),
    "the commit record": lambda call, path: call == "fdatasync" and path.endswith("journal.jsonl"),
    "the name of the run": lambda call, path: call == "fsync" and path.endswith("/runs"),
    "the name of the journal": lambda call, path: call == "fsync" and path.endswith(".night.part"),
}


@pytest.mark.parametrize("what", FORGOTTEN)
def test_model_has_teeth(
    tmp_path: Path, undisturbed: list[PassRecord], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A run that leaves out one kind of sync is found out."""
    recorded = record_run(tmp_path / "disk", FORGOTTEN[what])
    with pytest.raises(LostPassError):
        cut_everywhere(recorded, tmp_path / "states", undisturbed, 1, monkeypatch)
