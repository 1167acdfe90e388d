"""A run is shown while it goes on: incrementally, from outside, and without touching it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from uniform_cell import EVERYWHERE, VOXEL_SNR, acquire_uniform

from knightshift.acquisition import RunResult
from knightshift.acquisition.preview import RunFollower, RunState, take_snapshot, write_preview
from knightshift.acquisition.run_lock import RunLock
from knightshift.acquisition.run_writer import RunWriter
from knightshift.acquisition.stop_rules import parse_rules
from knightshift.cli.previewing import preview_run
from knightshift.core.errors import InputError
from knightshift.core.journal import read_journal
from knightshift.core.pass_file import pass_file_name
from knightshift.core.run_folder import JOURNAL, LOCK, Run, open_run
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import images_of_run

N_PASSES = 24
PNG_END = b"IEND\xaeB`\x82"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    rules = parse_rules([f"snr of echo 1 in {EVERYWHERE} >= 100"])
    return acquire_uniform(tmp_path_factory.mktemp("finished"), N_PASSES, rules)


@pytest.fixture
def growing(tmp_path: Path, finished: RunResult) -> Path:
    """A copy of the run whose journal the test lets grow."""
    return Path(shutil.copytree(finished.path, tmp_path / "run"))


def show_journal(run: Path, whole: Path, n_bytes: int) -> None:
    (run / JOURNAL).write_bytes((whole / JOURNAL).read_bytes()[:n_bytes])


def content(run: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(run)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in run.rglob("*")
        if path.is_file()
    }


def test_each_pass_is_read_once_whatever_the_journal_shows(
    growing: Path, finished: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[int] = Counter()
    read = Run.read_committed

    def counted(run: Run, commit):
        reads[commit.index] += 1
        return read(run, commit)

    monkeypatch.setattr(Run, "read_committed", counted)
    size = (finished.path / JOURNAL).stat().st_size
    first_line = (finished.path / JOURNAL).read_bytes().index(b"\n") + 1
    show_journal(growing, finished.path, first_line)
    follower = RunFollower(open_run(growing))
    found = 0
    for n_bytes in range(first_line, size + 997, 997):  # most of these cut a line in two
        show_journal(growing, finished.path, n_bytes)
        found += follower.catch_up()
    assert found == N_PASSES
    assert reads == Counter(range(N_PASSES))
    whole = images_of_run(open_run(finished.path), Recipe(correct_drift=False))
    np.testing.assert_array_equal(follower.sum.images().images, whole.images)
    assert follower.state() is RunState.COMPLETED


def test_only_its_own_folder_is_written_and_the_lock_is_neither_needed_nor_taken(growing: Path) -> None:
    with RunLock(growing / LOCK):
        before = content(growing)
        preview_run(growing, None, follow=False, every="1 s")
        after = content(growing)
    made = {name for name in after if name not in before}
    names = ("echoes.png", "t2_map.png", "histogram.png", "snr.png", "preview.json")
    assert made == {f"derived/preview/{name}" for name in names}
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("place", ["passes", "passes/pictures", "."])
def test_pictures_are_not_put_among_the_passes(growing: Path, place: str) -> None:
    with pytest.raises(InputError, match="which is not touched"):
        preview_run(growing, growing / place, follow=False, every="1 s")


@pytest.mark.parametrize(("every", "words"), [("30", "needs a unit"), ("0 s", "above zero"), ("5 mm", "--every")])
def test_how_often_it_draws_is_a_time(growing: Path, every: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        preview_run(growing, None, follow=True, every=every)


def test_the_numbers_are_those_of_the_cell(finished: RunResult, tmp_path: Path) -> None:
    follower = RunFollower(open_run(finished.path))
    follower.catch_up()
    snapshot = take_snapshot(follower)
    write_preview(snapshot, tmp_path, made=0.0)
    numbers = json.loads((tmp_path / "preview.json").read_text())
    assert numbers["passes"] == numbers["passes_planned"] == N_PASSES
    assert numbers["passes_per_echo"] == [N_PASSES // 2] * 2
    assert numbers["t2_median_s"] == pytest.approx(8e-3, rel=0.1)
    expected = VOXEL_SNR * np.exp(-0.5) * np.sqrt(N_PASSES // 2)
    assert numbers["snr_per_echo"][0] == pytest.approx(expected, rel=0.03)
    (rule,) = numbers["rules"]
    assert rule["target"] == 100
    n_passes, snr = snapshot.growth
    np.testing.assert_allclose(snr[0], expected * np.sqrt(n_passes / (N_PASSES // 2)), rtol=0.1)
    for name in numbers["figures"]:
        assert (tmp_path / name).read_bytes().endswith(PNG_END)


def test_before_every_echo_has_a_pass_there_are_numbers_and_no_pictures(tmp_path: Path) -> None:
    run = acquire_uniform(tmp_path, 2, None, overrange=frozenset({1})).path
    preview_run(run, None, follow=False, every="1 s")
    numbers = json.loads((run / "derived" / "preview" / "preview.json").read_text())
    assert (numbers["passes"], numbers["passes_flagged"], numbers["figures"]) == (2, [1], [])


def test_a_damaged_pass_is_left_out_and_named(growing: Path) -> None:
    path = growing / "passes" / pass_file_name(5)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    follower = RunFollower(open_run(growing))
    follower.catch_up()
    snapshot = take_snapshot(follower)
    assert snapshot.unreadable == (5,)
    assert snapshot.n_passes.tolist() == [N_PASSES // 2, N_PASSES // 2 - 1]


def test_a_pass_that_is_taken_out_later_is_forgotten(growing: Path) -> None:
    run = open_run(growing)
    follower = RunFollower(run)
    follower.catch_up()
    with RunWriter(run) as writer:
        writer.log(0.0, "quarantined", **{"pass": 4})
    follower.catch_up()
    assert follower.sum.n_passes.tolist() == [N_PASSES // 2 - 1, N_PASSES // 2]
    assert 4 not in follower.read


def test_following_ends_with_the_run_and_shows_all_of_it(tmp_path: Path) -> None:
    process = get_context("fork").Process(
        target=acquire_uniform, args=(tmp_path, 30, None), kwargs={"real_delay": 2e-3}
    )
    process.start()
    while not (tmp_path / "night" / LOCK).exists():
        process.join(0.01)
    preview_run(tmp_path / "night", tmp_path / "pictures", follow=True, every="100 ms")
    assert process.exitcode == 0 or process.is_alive()
    process.join()
    numbers = json.loads((tmp_path / "pictures" / "preview.json").read_text())
    assert (numbers["state"], numbers["passes"]) == ("completed", 30)
    assert read_journal(tmp_path / "night" / JOURNAL).events[-1].event == "ended"


def killed(growing: Path) -> None:
    """Take the last word from the journal."""
    events = (growing / JOURNAL).read_bytes().splitlines(keepends=True)
    (growing / JOURNAL).write_bytes(b"".join(events[:-1]))


def test_a_run_that_ended_without_a_word_was_interrupted(growing: Path) -> None:
    killed(growing)
    follower = RunFollower(open_run(growing))
    assert follower.catch_up() == N_PASSES
    assert follower.state() is RunState.INTERRUPTED


@pytest.mark.slow
def test_following_a_run_that_nobody_acquires_ends_too(growing: Path, tmp_path: Path) -> None:
    killed(growing)
    preview_run(growing, tmp_path / "pictures", follow=True, every="10 ms")
    assert json.loads((tmp_path / "pictures" / "preview.json").read_text())["state"] == "interrupted"
