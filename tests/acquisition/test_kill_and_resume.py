"""A run killed anywhere and resumed holds the same passes, to the bit, as one that nobody disturbed."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from dying_process import HOW, run_and_die, run_and_kill
from fake_scanner import FakeScanner, acquire_tiny, measurement, resume_tiny

from knightshift.acquisition import AcquisitionOptions, RunStatus, abandoned_runs, acquire
from knightshift.core.clock import VirtualClock
from knightshift.core.manifest import RunSetup
from knightshift.core.run_folder import Run, open_run
from knightshift.core.run_verification import verify_run

N_PASSES = 3


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return open_run(acquire_tiny(tmp_path_factory.mktemp("undisturbed"), N_PASSES).path)


def assert_same_passes(run: Run, expected: Run) -> None:
    assert run.committed() == expected.committed()
    for found, wanted in zip(run.passes(), expected.passes(), strict=True):
        np.testing.assert_array_equal(found.samples, wanted.samples)
        assert (found.index, found.started, found.finished) == (wanted.index, wanted.started, wanted.finished)


def resume_and_compare(path: Path, expected: Run) -> None:
    run = open_run(path)
    before = {index: commit.sha256 for index, commit in run.commits().items()}
    assert resume_tiny(path).status is RunStatus.COMPLETED
    after = {index: commit.sha256 for index, commit in run.commits().items()}
    assert before.items() <= after.items(), "a committed pass was lost or acquired again"
    assert_same_passes(run, expected)
    report = verify_run(path)
    assert report.intact
    assert report.notes == ()
    assert not (path / "run.lock").exists()


# Once a call is made the disk is as it is before the next one, but for files that are created and empty in between.
WAYS = [pytest.param(how, marks=pytest.mark.slow if how == "after" else ()) for how in HOW]


@pytest.mark.parametrize("how", WAYS)
def test_killed_at_each_disk_call_of_a_run(
    tmp_path: Path, undisturbed: Run, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abandoned_runs, "_ANONYMOUS_FOR", -1.0)
    step = 0
    while run_and_die(lambda: acquire_tiny(tmp_path / str(step), N_PASSES), step, how):  # noqa: B023 - runs at once
        runs = tmp_path / str(step)
        if (runs / "night").exists():
            resume_and_compare(runs / "night", undisturbed)
        else:  # killed while the folder was being made: nothing was acquired, nothing is in the way
            assert_same_passes(open_run(acquire_tiny(runs, N_PASSES).path), undisturbed)
            assert [path.name for path in runs.iterdir()] == ["night"], "what the dead process left is taken away"
        step += 1
    assert step > (4 * N_PASSES if how == "halfway" else 6 * N_PASSES + 20)


@pytest.fixture
def battered(tmp_path: Path) -> Path:
    """A run with all that a crash can leave: a torn journal, an unrecorded pass, a half-written and a damaged one."""
    path = acquire_tiny(tmp_path, N_PASSES).path
    journal = (path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    assert b'"committed","payload":{"pass":1' in journal[4]
    (path / "journal.jsonl").write_bytes(b"".join(journal[:4]) + journal[4][:40])
    whole = (path / "passes" / "p000002.h5").read_bytes()
    (path / "passes" / "p000002.h5").write_bytes(whole[:-10])
    (path / "passes" / "p000002.h5.part").write_bytes(whole[:100])
    return path


def test_resume_puts_everything_a_crash_left_in_order(battered: Path, undisturbed: Run) -> None:
    report = verify_run(battered)
    assert report.good == (0,)
    assert report.notes == (
        "journal.jsonl: 40 bytes of a torn last line",
        "passes/p000001.h5: not recorded",
        "passes/p000002.h5: not recorded",
        "passes/p000002.h5.part: half written",
    )
    resume_and_compare(battered, undisturbed)
    run = open_run(battered)
    assert [record.epoch for record in run.passes()] == [0, 0, 1]
    assert sorted(path.name for path in (battered / "quarantine").iterdir()) == ["p000002.h5", "p000002.h5.part"]
    names = [event.event for event in run.events()]
    assert names[4:8] == ["journal_cut", "adopted", "file_quarantined", "file_quarantined"]


@pytest.mark.parametrize("how", WAYS)
def test_killed_at_each_disk_call_of_a_resume(battered: Path, tmp_path: Path, undisturbed: Run, how: str) -> None:
    step = 0
    while True:
        path = tmp_path / f"{how}-{step}"
        shutil.copytree(battered, path)
        if not run_and_die(lambda: resume_tiny(path), step, how):  # noqa: B023 - runs at once
            break
        resume_and_compare(path, undisturbed)
        step += 1
    assert step > (8 if how == "halfway" else 15)


def kill_at_random_moments(folder: Path, n_kills: int, seed: int) -> None:
    moments = random.Random(seed)
    n_passes = 30
    expected = open_run(acquire_tiny(folder / "undisturbed", n_passes).path)
    for number in range(n_kills):
        runs = folder / str(number)
        journal = runs / "night" / "journal.jsonl"
        run_and_kill(
            lambda: acquire_tiny(runs, n_passes, real_delay=3e-4),  # noqa: B023 - runs at once
            journal.exists,
            moments.uniform(0, 0.12),
        )
        resume_and_compare(runs / "night", expected)


def test_sigkill_at_random_moments(tmp_path: Path) -> None:
    kill_at_random_moments(tmp_path, n_kills=12, seed=1)


@pytest.mark.slow
def test_sigkill_at_two_hundred_random_moments(tmp_path: Path) -> None:
    kill_at_random_moments(tmp_path, n_kills=200, seed=2)


def test_a_damaged_pass_in_the_middle_is_acquired_again_and_the_rest_kept(tmp_path: Path) -> None:
    path = acquire_tiny(tmp_path, N_PASSES).path
    file = path / "passes" / "p000001.h5"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    report = verify_run(path)
    assert [damage.path.name for damage in report.damage] == ["p000001.h5"]
    assert report.good == (0, 2)
    assert resume_tiny(path).status is RunStatus.COMPLETED
    assert [record.epoch for record in open_run(path).passes()] == [0, 1, 0]
    assert (path / "quarantine" / "p000001.h5").read_bytes() == bytes(content)


def test_a_pass_file_that_is_gone_is_acquired_again(tmp_path: Path) -> None:
    path = acquire_tiny(tmp_path, N_PASSES).path
    (path / "passes" / "p000000.h5").unlink()
    assert resume_tiny(path).n_committed == N_PASSES
    assert verify_run(path).good == (0, 1, 2)


def test_a_pass_of_another_run_is_not_adopted(tmp_path: Path) -> None:
    path = acquire_tiny(tmp_path / "a", N_PASSES).path

    clock = VirtualClock()
    options = AcquisitionOptions(run_name="other")
    other = acquire(measurement(3), FakeScanner(clock), tmp_path, setup=RunSetup(), clock=clock, options=options).path
    shutil.copy(other / "passes" / "p000001.h5", path / "passes" / "p000001.h5")
    assert str(verify_run(path).damage[0]).endswith("run: other, night was expected: the file is of another place")
    resume_tiny(path)
    assert {record.epoch for record in open_run(path).passes()} == {0, 1}
