"""A night on a scanner of a few samples: what is kept, what is repeated, what stops it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from fake_scanner import DURATION, FakeScanner, acquire_tiny, expected_samples, measurement, resume_tiny

from knightshift.acquisition import AcquisitionOptions, ProgressEvent, ProgressKind, RunStatus, StopRequest, acquire
from knightshift.acquisition.run_writer import RunWriter, bytes_on_disk, free_run_id
from knightshift.core.clock import VirtualClock, from_iso_time
from knightshift.core.errors import (
    InputError,
    InterlockFault,
    LimitError,
    LinkFault,
    ReadoutTimeoutError,
    StorageError,
)
from knightshift.core.manifest import RunSetup
from knightshift.core.passes import PassRecord
from knightshift.core.run_folder import open_run
from knightshift.core.run_verification import verify_run
from knightshift.hardware.contract import ScannerState, ScannerStatus

EVENING = VirtualClock.EVENING


def event_names(run: Path) -> list[str]:
    return [event.event for event in open_run(run).events()]


def test_every_pass_is_kept_as_the_scanner_delivered_it(tmp_path: Path) -> None:
    result = acquire_tiny(tmp_path)
    assert (result.status, result.n_committed, result.n_flagged) == (RunStatus.COMPLETED, 6, 0)
    run = open_run(result.path)
    assert run.committed() == tuple(range(6))
    for index, record in enumerate(run.passes()):
        assert (record.index, record.epoch, record.frequency) == (index, 0, 105.98e6)
        assert (record.started, record.finished) == (EVENING + DURATION * index, EVENING + DURATION * (index + 1))
        np.testing.assert_array_equal(record.samples, expected_samples(1, index, record.started))
        np.testing.assert_array_equal(record.counters["kspace_encode_step_1"], np.arange(6))
    assert verify_run(result.path).intact
    assert event_names(result.path) == ["created", "preflight", "epoch_began", *["committed"] * 6, "ended"]


def test_manifest_gives_the_measurement_back(tmp_path: Path) -> None:
    built, kept = measurement(), open_run(acquire_tiny(tmp_path).path).measurement()
    assert kept.programs == built.programs
    assert kept.encoding == built.encoding
    assert (kept.n_passes, kept.protocol["echo_times"]) == (6, [4e-3, 8e-3])


def test_time_stamps_of_the_journal_are_those_of_the_clock(tmp_path: Path) -> None:
    events = open_run(acquire_tiny(tmp_path).path).events()
    assert from_iso_time(events[0].time) == EVENING
    assert from_iso_time(events[-1].time) == EVENING + 6 * DURATION


def test_a_transient_fault_repeats_the_pass(tmp_path: Path) -> None:
    result = acquire_tiny(tmp_path, faults={2: [ReadoutTimeoutError("late"), LinkFault("garbled")]})
    run = open_run(result.path)
    assert result.status is RunStatus.COMPLETED
    repeated = [event.payload for event in run.events() if event.event == "pass_repeated"]
    assert [(entry["pass"], entry["attempt"], entry["fault"]) for entry in repeated] == [
        (2, 1, "late"),
        (2, 2, "garbled"),
    ]
    record = run.read_pass(2)
    np.testing.assert_array_equal(record.samples, expected_samples(1, 2, record.started))


def test_a_lost_readout_repeats_the_pass(tmp_path: Path) -> None:
    result = acquire_tiny(tmp_path, lost_readouts={1: 2})
    events = [event for event in open_run(result.path).events() if event.event == "pass_repeated"]
    assert "4 readouts came, 6 were expected" in events[0].payload["fault"]
    assert open_run(result.path).read_pass(1).samples.shape == (6, 1, 8)


def test_a_link_lost_before_the_frequency_of_a_pass_was_told_repeats_the_pass(tmp_path: Path) -> None:
    class Forgetful(FakeScanner):
        def status(self) -> ScannerStatus:
            if self.state is ScannerState.PREPARED and self.playing == (2, 0) and "lost" not in self.calls:
                self.calls.append("lost")
                self.state = ScannerState.UNKNOWN
            return super().status()

    clock = VirtualClock()
    options = AcquisitionOptions(disk_margin=0)
    result = acquire(measurement(), Forgetful(clock), tmp_path, setup=RunSetup(), clock=clock, options=options)
    assert (result.status, result.n_committed) == (RunStatus.COMPLETED, 6)
    (repeated,) = [event.payload for event in open_run(result.path).events() if event.event == "pass_repeated"]
    assert (repeated["pass"], repeated["kind"]) == (2, "LinkFault")


def test_faults_that_do_not_end_stop_the_run_with_everything_kept(tmp_path: Path) -> None:
    scanner = FakeScanner(clock := VirtualClock(), faults={3: [ReadoutTimeoutError(f"late {n}") for n in range(9)]})
    with pytest.raises(ReadoutTimeoutError, match="late 3") as caught:
        acquire(measurement(), scanner, tmp_path, setup=RunSetup(), clock=clock)
    run = next(tmp_path.iterdir())
    assert open_run(run).committed() == (0, 1, 2)
    assert caught.value.__notes__ == [f"3 of 6 passes are kept in {run}: continue with `knightshift resume {run}`"]
    assert event_names(run).count("pass_repeated") == 3
    assert open_run(run).events()[-1].payload["reason"] == "scanner: late 3"


def test_a_latched_fault_makes_safe_at_once_and_keeps_everything(tmp_path: Path) -> None:
    scanner = FakeScanner(clock := VirtualClock(), faults={3: [InterlockFault("helium low")]})
    with pytest.raises(InterlockFault, match="helium low"):
        acquire(measurement(), scanner, tmp_path, setup=RunSetup(clock="virtual"), clock=clock)
    assert scanner.calls[scanner.calls.index("start") :].count("start") == 4
    assert scanner.calls[-4:] == ["start", "make_safe", "make_safe", "close"]
    run = next(tmp_path.iterdir())
    assert open_run(run).committed() == (0, 1, 2)
    assert resume_tiny(run).status is RunStatus.COMPLETED


def test_an_overrange_pass_is_kept_with_a_flag(tmp_path: Path) -> None:
    result = acquire_tiny(tmp_path, overrange=frozenset({4}))
    run = open_run(result.path)
    assert result.n_flagged == 1
    assert [record.flags for record in run.passes()] == [(), (), (), (), ("overrange",), ()]
    assert run.commits()[4].flags == ("overrange",)


def test_a_stop_request_is_obeyed_after_the_pass(tmp_path: Path) -> None:
    stop = StopRequest()
    scanner = FakeScanner(clock := VirtualClock(), on_start=lambda index: stop.request() if index == 2 else None)
    options = AcquisitionOptions(run_name="night", stop=stop)
    setup = RunSetup(clock="virtual")
    result = acquire(measurement(), scanner, tmp_path, setup=setup, clock=clock, options=options)
    assert (result.status, result.n_committed) == (RunStatus.STOPPED, 3)
    assert result.resume_command == f"knightshift resume {tmp_path / 'night'}"
    assert resume_tiny(result.path).n_committed == 6


def test_a_second_stop_request_aborts_the_pass(tmp_path: Path) -> None:
    stop = StopRequest()

    def ask_twice(index: int) -> None:
        if index == 2:
            stop.request()
            stop.request()

    scanner = FakeScanner(clock := VirtualClock(), on_start=ask_twice)
    options = AcquisitionOptions(run_name="night", stop=stop)
    result = acquire(measurement(), scanner, tmp_path, setup=RunSetup(clock="virtual"), clock=clock, options=options)
    assert (result.status, result.n_committed) == (RunStatus.STOPPED, 2)
    assert "abort" in scanner.calls


def test_progress_counts_what_is_durable_and_foretells_the_finish(tmp_path: Path) -> None:
    told: list[ProgressEvent] = []
    clock = VirtualClock()

    def check(event: ProgressEvent) -> None:
        assert open_run(event.run_path).committed()[: event.n_committed] == tuple(range(event.n_committed))
        told.append(event)

    acquire(measurement(), FakeScanner(clock), tmp_path, setup=RunSetup(), clock=clock, on_progress=check)
    assert [event.kind for event in told[:2]] == [ProgressKind.CHECKED, ProgressKind.BEGAN]
    assert told[0].finish_time == EVENING + 6 * DURATION
    assert [event.pass_index for event in told if event.kind is ProgressKind.COMMITTED] == list(range(6))
    assert told[-1].n_committed == 6
    assert told[-1].finish_time == clock.now()


def test_a_refused_program_leaves_nothing_behind(tmp_path: Path) -> None:
    class Refusing(FakeScanner):
        def validate(self, program: object) -> None:
            raise LimitError("too strong")

    with pytest.raises(LimitError, match="too strong"):
        acquire(measurement(), Refusing(clock := VirtualClock()), tmp_path, setup=RunSetup(), clock=clock)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_before_the_first_pulse(tmp_path: Path) -> None:
    options = AcquisitionOptions(disk_margin=10**18)
    scanner = FakeScanner(clock := VirtualClock())
    with pytest.raises(StorageError, match="1000000000000 MB must stay free"):
        acquire(measurement(), scanner, tmp_path, setup=RunSetup(), clock=clock, options=options)
    assert "start" not in scanner.calls
    assert list(tmp_path.iterdir()) == []


def test_disk_estimate_covers_a_run_without_wasting_much(tmp_path: Path) -> None:
    result = acquire_tiny(tmp_path, n_passes=40)
    used = sum(path.stat().st_size for path in result.path.rglob("*") if path.is_file())
    assert used < bytes_on_disk(measurement(40)) < used + 40 * 8192


def test_a_folder_that_cannot_hold_runs_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    clock = VirtualClock()
    with pytest.raises(InputError, match=r"file/runs: cannot hold a run: Not a directory: give a writable folder"):
        acquire(measurement(), FakeScanner(clock), tmp_path / "file" / "runs", setup=RunSetup(), clock=clock)

    def read_only(_path: object, *_args: object, **_options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("os.mkdir", read_only)
    with pytest.raises(InputError, match="cannot hold a run: Read-only file system"):
        acquire(measurement(), FakeScanner(clock), tmp_path, setup=RunSetup(), clock=clock)


def test_run_names_are_made_safe_and_never_taken_twice(tmp_path: Path) -> None:
    assert free_run_id(tmp_path, "../../etc/passwd") == "etc-passwd"
    (tmp_path / "night").mkdir()
    assert free_run_id(tmp_path, "night") == "night-2"
    assert free_run_id(tmp_path, "ätsch/") == "tsch"


def test_a_run_is_named_by_date_and_protocol(tmp_path: Path) -> None:
    clock = VirtualClock()
    result = acquire(measurement(), FakeScanner(clock), tmp_path, setup=RunSetup(), clock=clock)
    assert result.path.name == "20260105-190000-tiny"


def test_the_next_pass_plays_while_one_is_committed_but_not_the_one_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = RunWriter.commit

    def slow_commit(writer: RunWriter, record: PassRecord, at: float, **facts: float) -> None:
        time.sleep(0.02)
        commit(writer, record, at, **facts)

    behind: list[int] = []

    def count_behind(index: int) -> None:
        behind.append(index - len(open_run(tmp_path / "night").committed()))

    monkeypatch.setattr(RunWriter, "commit", slow_commit)
    acquire_tiny(tmp_path, on_start=count_behind)
    assert behind == [0, 1, 1, 1, 1, 1]
