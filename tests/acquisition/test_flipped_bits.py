"""One bit that flips anywhere in a run is found and named, and all the rest can still be used."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_scanner import measurement
from hypothesis import given, settings
from hypothesis import strategies as st
from watched_night import TimedScanner

from knightshift.acquisition import AcquisitionOptions, RunStatus, acquire, resume
from knightshift.acquisition.salvage import set_damage_aside
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import DamagedDataError
from knightshift.core.manifest import RunSetup
from knightshift.core.run_folder import open_run
from knightshift.core.run_verification import verify_run
from knightshift.reconstruction.pass_sum import sum_passes

N_PASSES = 6
PATIENCE = AcquisitionOptions(disk_margin=0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good run with two echoes, which take turns."""
    clock, setup = VirtualClock(), RunSetup(clock="virtual", seed=1)
    runs = tmp_path_factory.mktemp("good")
    return acquire(measurement(N_PASSES), TimedScanner(clock), runs, setup=setup, clock=clock, options=PATIENCE).path


def flip(file: Path, position: float) -> int:
    """Flip the bit at `position` (0 to 1) of a file; gives its number."""
    content = bytearray(file.read_bytes())
    bit = min(int(position * 8 * len(content)), 8 * len(content) - 1)
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(bytes(content))
    return bit


@contextmanager
def flipped(file: Path, position: float) -> Iterator[int]:
    """Flip a bit for a while."""
    content = file.read_bytes()
    try:
        yield flip(file, position)
    finally:
        file.write_bytes(content)


positions = st.floats(0, 1, exclude_max=True)


@settings(max_examples=50, deadline=None)
@given(index=st.integers(0, N_PASSES - 1), position=positions)
def test_flipped_bit_in_a_pass_is_named_and_the_others_are_good(run: Path, index: int, position: float) -> None:
    file = run / "passes" / f"p{index:06d}.h5"
    with flipped(file, position):
        report = verify_run(run)
        assert [damage.path for damage in report.damage] == [file]
        assert set(report.good) == set(range(N_PASSES)) - {index}
        with pytest.raises(DamagedDataError, match=file.name):
            sum_passes(open_run(run))


@settings(max_examples=50, deadline=None)
@given(position=positions)
def test_flipped_bit_in_the_journal_is_named_or_is_that_of_a_torn_end(run: Path, position: float) -> None:
    journal = run / "journal.jsonl"
    content = journal.read_bytes()
    with flipped(journal, position) as bit:
        report = verify_run(run)
        line = content[: bit // 8].count(b"\n") + 1
        if report.intact:  # the last newline gone is what a crash leaves too: a torn line, which a resume cuts
            assert bit // 8 == len(content) - 1 or content[bit // 8 :].count(b"\n") == 1
            assert report.notes
        else:
            (damage,) = report.damage
            assert damage.path in {journal, run / "manifest.json"}
            assert line == 1 or damage.field == f"line {line}"
        assert set(report.good) == set(range(N_PASSES))


@settings(max_examples=15, deadline=None)
@given(file=st.sampled_from(["journal.jsonl", "passes/p000002.h5", "passes/p000005.h5"]), position=positions)
def test_what_is_left_can_be_summed_without_a_scanner_and_completed_with_one(
    run: Path, tmp_path_factory: pytest.TempPathFactory, file: str, position: float
) -> None:
    copy = tmp_path_factory.mktemp("flipped") / "night"
    shutil.copytree(run, copy)
    flip(copy / file, position)
    set_damage_aside(copy, VirtualClock.EVENING + 86400.0)
    report = verify_run(copy)
    assert report.intact
    lost = {int(file[-4])} if file.startswith("passes") else set()
    assert set(report.good) == set(range(N_PASSES)) - lost
    assert sum_passes(open_run(copy)).n_passes.sum() == N_PASSES - len(lost)
    clock = VirtualClock()
    assert resume(copy, TimedScanner(clock), clock=clock, options=PATIENCE).status is RunStatus.COMPLETED
    for found, wanted in zip(open_run(copy).passes(), open_run(run).passes(), strict=True):
        if found.index not in lost:  # a lost one is acquired at breakfast, when the field has drifted
            assert found.samples.tobytes() == wanted.samples.tobytes()
