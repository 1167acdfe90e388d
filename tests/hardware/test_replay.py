"""What only the replay backend promises: the same samples again, and a refusal of everything that was not recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from knightshift.acquisition import AcquisitionOptions, RunStatus, acquire
from knightshift.core.clock import SystemClock, VirtualClock
from knightshift.core.errors import (
    ConfigError,
    DamagedDataError,
    InterlockFault,
    ProtocolError,
    ReadoutTimeoutError,
    ScannerFault,
    ShapeError,
)
from knightshift.core.limits import ScannerLimits
from knightshift.core.manifest import RunSetup
from knightshift.core.passes import COUNTERS
from knightshift.core.program import Encoding, Measurement
from knightshift.core.run_folder import Run, open_run
from knightshift.core.yaml_files import read_config
from knightshift.hardware.backends import backend_names, open_scanner
from knightshift.hardware.contract import ScannerState
from knightshift.hardware.pulseq_text import read_pulseq
from knightshift.hardware.readout_plan import LABELS, plan_readouts
from knightshift.hardware.replay import (
    RecordingDescription,
    ReplayScanner,
    open_recording,
    write_kspace_recording,
)
from knightshift.hardware.replay.listening_program import ListeningWindows, listening_program
from knightshift.hardware.site import SiteConfig, load_site

DESCRIPTION = RecordingDescription(
    name="little", device="another console", nucleus="23Na", b0=9.3982, working_frequency=105.96e6,
    repetition_time=10e-3, dwell_time=8e-6, echo_times=(4e-3,), matrix=(1, 4, 8), field_of_view=(4e-3, 1e-3, 2e-3),
    center_sample=8,
)  # fmt: skip


def replayed(recording: Path, clock: Any = None, **settings: Any) -> Any:
    site = SiteConfig(
        backend="replay", limits="microimaging_9t4", settings={"recording": str(recording)} | settings, source="site"
    )
    return open_scanner(site, clock=clock or VirtualClock())


@pytest.fixture
def measurement(fid_program: Callable[..., Any]) -> Measurement:
    """Two programs that alternate over six passes."""
    encoding = Encoding(
        kind="spectrum", echo_times=(0.0,), matrix=(1, 1, 1), field_of_view=(1.0, 1.0, 1.0), axes=("x", "z", "y"),
        samples=16, center_sample=0.0, dwell_time=8e-6, repetition_time=10e-3,
    )  # fmt: skip
    programs = (fid_program(3), replace(fid_program(4), name="longer fids"))
    return Measurement({"name": "fids"}, programs, encoding, n_passes=6)


@pytest.fixture
def record(measurement: Measurement, make_scanner: Callable[..., Any], tmp_path: Path) -> Callable[..., Run]:
    """Record a run on the simulated scanner; keyword arguments change its settings."""

    def run(**settings: Any) -> Run:
        clock = VirtualClock()
        scanner = make_scanner(clock, **settings)
        return open_run(acquire(measurement, scanner, tmp_path / "runs", setup=RunSetup(), clock=clock).path)

    return run


def replay_run(run: Run, tmp_path: Path, **options: Any) -> Run:
    clock = VirtualClock()
    result = acquire(
        run.measurement(), replayed(run.path, clock), tmp_path / "again", setup=RunSetup(), clock=clock,
        options=AcquisitionOptions(**options),
    )  # fmt: skip
    assert result.status is RunStatus.COMPLETED
    return open_run(result.path)


def exported(folder: Path, n_passes: int = 3, lost: int | None = None) -> tuple[Path, np.ndarray]:
    """Passes of four lines, two receivers; pass `lost` ends after its first readout."""
    counters = np.zeros((n_passes, 4), COUNTERS)
    counters["average"] = np.arange(n_passes)[:, np.newaxis]
    counters["kspace_encode_step_1"] = [2, 0, 1, 3]
    flat = counters.ravel()
    if lost is not None:
        flat = np.delete(flat, slice(lost * 4 + 1, lost * 4 + 4))
    values = np.random.default_rng(3).uniform(-0.7, 0.7, (len(flat), 2, 16, 2)).astype(np.float32)
    samples = values.view(np.complex64)[..., 0]
    write_kspace_recording(folder, DESCRIPTION, samples, flat)
    return folder, samples


def test_it_is_found_by_its_entry_point() -> None:
    assert "replay" in backend_names()


def test_the_shipped_site_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="no recording is here"):
        open_scanner(load_site("replay"), clock=VirtualClock())


def test_a_replayed_run_is_equal_to_the_bit_time_stamps_included(record, tmp_path) -> None:
    original = record(receiver={"noise_density": 1e-5}, field_drift="100 Hz/h")
    again = replay_run(original, tmp_path)
    for before, after in zip(original.passes(), again.passes(), strict=True):
        np.testing.assert_array_equal(before.samples, after.samples)
        np.testing.assert_array_equal(before.counters, after.counters)
        for name in ("index", "epoch", "started", "finished", "frequency", "receiver_gain", "flags"):
            assert getattr(before, name) == getattr(after, name)
    assert again.manifest.programs == original.manifest.programs


def test_a_replay_of_a_replay_is_still_the_same(record, tmp_path) -> None:
    original = record()
    again = replay_run(replay_run(original, tmp_path / "a"), tmp_path / "b")
    for before, after in zip(original.passes(), again.passes(), strict=True):
        np.testing.assert_array_equal(before.samples, after.samples)


def test_the_readouts_that_hit_the_full_scale_are_flagged_again(record, tmp_path, make_scanner, measurement) -> None:
    loud = {"sensitivity": 2.0}
    with make_scanner(receiver=loud) as scanner:
        scanner.prepare(measurement.programs[0])
        scanner.start(0)
        expected = [readout.overrange for readout in scanner.readouts(1.0)]
    assert True in expected
    run = record(receiver=loud)
    assert all(commit.flags == ("overrange",) for commit in run.commits().values())
    with replayed(run.path) as scanner:
        scanner.prepare(measurement.programs[0])
        scanner.start(0)
        assert [readout.overrange for readout in scanner.readouts(1.0)] == expected
    assert all(commit.flags == ("overrange",) for commit in replay_run(run, tmp_path).commits().values())


def test_counters_follow_the_pass_and_epoch_that_are_asked_for(record, measurement) -> None:
    with replayed(record().path) as scanner:
        scanner.prepare(measurement.programs[1])
        scanner.start(3, epoch=5)
        readouts = list(scanner.readouts(1.0))
    assert {(int(r.counters["average"]), int(r.counters["segment"])) for r in readouts} == {(3, 5)}
    assert [int(r.counters["kspace_encode_step_1"]) for r in readouts] == [0, 1, 2, 3]


def test_a_program_that_was_not_recorded_is_refused_in_words(record, fid_program) -> None:
    with replayed(record().path) as scanner:
        with pytest.raises(ProtocolError, match=r"recorded with.*fids"):
            scanner.prepare(replace(fid_program(5), name="another"))
        assert scanner.status().state is ScannerState.IDLE


def test_a_pass_is_played_with_its_own_program_only(record, measurement) -> None:
    with replayed(record().path) as scanner:
        scanner.prepare(measurement.programs[0])
        with pytest.raises(ScannerFault, match="longer fids"):
            scanner.start(1)
        assert scanner.status().state is ScannerState.PREPARED


def test_a_recording_can_be_neither_retuned_nor_amplified(record, measurement) -> None:
    program = measurement.programs[0]
    with replayed(record().path) as scanner:
        scanner.prepare(program)
        for change, undo, match in (
            (lambda: scanner.set_frequency(program.working_frequency + 50),
             lambda: scanner.set_frequency(program.working_frequency), "retuned"),
            (lambda: scanner.set_receiver_gain(6.0), lambda: scanner.set_receiver_gain(0.0), "amplified"),
        ):  # fmt: skip
            change()
            with pytest.raises(ScannerFault, match=match):
                scanner.start(0)
            undo()
            scanner.start(0)
            assert len(list(scanner.readouts(1.0))) == 3


def test_a_pass_beyond_the_recording_ends_acquire_with_what_was_there(record, tmp_path) -> None:
    run = record()
    longer = replace(run.measurement(), n_passes=8)
    clock = VirtualClock()
    with pytest.raises(ScannerFault, match="holds no pass 6"):
        acquire(longer, replayed(run.path, clock), tmp_path / "again", setup=RunSetup(), clock=clock)
    (folder,) = (tmp_path / "again").iterdir()
    assert open_run(folder).committed() == tuple(range(6))


def test_a_damaged_pass_is_a_typed_fault(record, measurement) -> None:
    run = record()
    content = bytearray(run.pass_path(2).read_bytes())
    content[-20] ^= 1
    run.pass_path(2).write_bytes(content)
    with replayed(run.path) as scanner:
        scanner.prepare(measurement.programs[0])
        scanner.start(0)
        assert len(list(scanner.readouts(1.0))) == 3
        with pytest.raises(ScannerFault, match="damaged"):
            scanner.start(2)
        assert scanner.status().state is ScannerState.PREPARED


def test_a_latched_fault_reaches_whoever_waits_for_readouts(tmp_path) -> None:
    folder, _ = exported(tmp_path / "recording")
    with replayed(folder) as scanner:
        scanner.prepare(open_recording(folder).measurement().programs[0])
        scanner.start(0)
        readouts = scanner.readouts(1.0)
        next(readouts)
        scanner._states.latch(InterlockFault("the coil is too warm"))
        with pytest.raises(InterlockFault, match="too warm"):
            list(readouts)


def test_a_recording_that_was_cut_in_a_pass_times_out_and_never_hangs(tmp_path) -> None:
    folder, samples = exported(tmp_path / "cut", lost=1)
    clock = VirtualClock()
    measurement = open_recording(folder).measurement()
    options = AcquisitionOptions(max_repeats=1, readout_timeout=0.5)
    with pytest.raises(ReadoutTimeoutError, match="after 1 of 4 readouts"):
        acquire(measurement, replayed(folder, clock), tmp_path / "runs", setup=RunSetup(), clock=clock, options=options)
    (run,) = (tmp_path / "runs").iterdir()
    (kept,) = open_run(run).passes()
    np.testing.assert_array_equal(kept.samples, samples[:4])


def test_exported_kspace_comes_back_to_the_bit(tmp_path) -> None:
    folder, samples = exported(tmp_path / "recording")
    clock = VirtualClock()
    measurement = open_recording(folder).measurement()
    result = acquire(measurement, replayed(folder, clock), tmp_path / "runs", setup=RunSetup(), clock=clock)
    passes = list(open_run(result.path).passes())
    np.testing.assert_array_equal(np.concatenate([record.samples for record in passes]), samples)
    counters: Any = passes[2].counters
    assert counters["kspace_encode_step_1"].tolist() == [2, 0, 1, 3]
    assert clock.now() - VirtualClock.EVENING == pytest.approx(3 * 4 * DESCRIPTION.repetition_time, abs=1e-6)


@pytest.mark.parametrize("speed", [0.5, 1.0, 20.0])
def test_a_pass_takes_its_duration_over_the_speed(record, measurement, speed) -> None:
    clock, program = VirtualClock(), measurement.programs[0]
    with replayed(record().path, clock, speed=speed) as scanner:
        scanner.prepare(program)
        scanner.start(0)
        times = [clock.now() - VirtualClock.EVENING for _ in scanner.readouts(1.0)]
        np.testing.assert_allclose(times, (20e-6 + 16 * 8e-6 + 10e-3 * np.arange(3)) / speed, atol=1e-6)
        assert clock.now() - VirtualClock.EVENING == pytest.approx(program.duration / speed, abs=1e-6)


def test_on_the_system_clock_it_really_waits(tmp_path) -> None:
    folder, _ = exported(tmp_path / "recording")
    program = open_recording(folder).measurement().programs[0]  # 40 ms
    with replayed(folder, SystemClock(), speed=0.25) as scanner:
        scanner.prepare(program)
        began = time.monotonic()
        scanner.start(0)
        assert len(list(scanner.readouts(1.0))) == 4
        assert 0.159 < time.monotonic() - began < 3.0


@pytest.mark.parametrize("file", ["samples.npy", "counters.npy"])
@pytest.mark.parametrize("harm", ["truncate", "flip", "remove"])
def test_altered_arrays_are_found_before_anything_is_played(tmp_path, file, harm) -> None:
    folder, _ = exported(tmp_path / "recording")
    content = bytearray((folder / file).read_bytes())
    (folder / file).unlink()
    if harm == "truncate":
        (folder / file).write_bytes(content[:-40])
    elif harm == "flip":
        content[-1] ^= 1
        (folder / file).write_bytes(content)
    with pytest.raises(DamagedDataError):
        open_recording(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("b0", "9.3982"),
        ("dwell_time", "8 m"),
        ("nucleus", "23Xx"),
        ("format", "other"),
        ("unknown", "1"),
        ("matrix", "4"),
    ],
)
def test_a_description_that_cannot_be_right_is_refused(tmp_path, key, value) -> None:
    folder, _ = exported(tmp_path / "recording")
    lines = [line for line in (folder / "recording.yaml").read_text().splitlines() if not line.startswith(f"{key}:")]
    if key == "matrix":
        lines = [line for line in lines if line not in ("- 1", "- 4", "- 8")]
    (folder / "recording.yaml").write_text("\n".join([*lines, f"{key}: {value}"]))
    with pytest.raises(ConfigError):
        replayed(folder)


def test_passes_that_are_not_alike_are_refused(tmp_path) -> None:
    counters = np.zeros(4, COUNTERS)
    counters["average"] = [0, 0, 1, 1]
    counters["kspace_encode_step_1"] = [0, 1, 1, 0]
    write_kspace_recording(tmp_path / "odd", DESCRIPTION, np.zeros((4, 1, 16), np.complex64), counters)
    with pytest.raises(DamagedDataError, match="pass 1 has other counters"):
        open_recording(tmp_path / "odd")


def test_samples_that_are_not_numbers_are_a_fault_of_their_pass_alone(tmp_path) -> None:
    counters = np.zeros(2, COUNTERS)
    counters["average"] = [0, 1]
    samples = np.zeros((2, 1, 16), np.complex64)
    samples[1, 0, 3] = np.nan
    write_kspace_recording(tmp_path / "nan", DESCRIPTION, samples, counters)
    with replayed(tmp_path / "nan") as scanner:
        scanner.prepare(open_recording(tmp_path / "nan").measurement().programs[0])
        scanner.start(0)
        assert len(list(scanner.readouts(1.0))) == 1
        with pytest.raises(ScannerFault, match="not numbers"):
            scanner.start(1)


def test_what_is_no_recording_is_not_written(tmp_path) -> None:
    counters = np.zeros(4, COUNTERS)
    with pytest.raises(ShapeError):
        write_kspace_recording(tmp_path / "a", DESCRIPTION, np.zeros((3, 1, 16), np.complex64), counters)
    folder, samples = exported(tmp_path / "b")
    with pytest.raises(ConfigError, match="another name"):
        write_kspace_recording(folder, DESCRIPTION, samples[:4], counters)


def test_the_limits_must_be_of_the_field_it_was_recorded_in(tmp_path) -> None:
    folder, _ = exported(tmp_path / "recording")
    limits: ScannerLimits = read_config(ScannerLimits, "limits", "microimaging_9t4")
    with pytest.raises(ConfigError, match=r"9\.3982 T"):
        ReplayScanner(limits.model_copy(update={"b0": 7.05}), open_recording(folder), clock=VirtualClock())


def test_a_run_without_a_pass_a_phantom_and_a_seed_are_refused(record, tmp_path) -> None:
    run = record()
    site = SiteConfig(backend="replay", limits="microimaging_9t4", settings={"recording": str(run.path)})
    for extra in ({"phantom": "shorted"}, {"seed": 1}):
        with pytest.raises(ConfigError, match="leave them out"):
            open_scanner(site, clock=VirtualClock(), **extra)
    journal = run.path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(ConfigError, match="no pass yet"):
        open_scanner(site, clock=VirtualClock())


@given(
    counters=hnp.arrays(
        COUNTERS, st.integers(1, 12),
        elements=st.tuples(*[st.integers(0, 300)] * 5, st.just(0), st.just(0)),
    ),
)  # fmt: skip
def test_a_listening_program_carries_the_labels_of_any_counters(counters) -> None:
    windows = ListeningWindows(samples=16, dwell_time=8e-6, interval=5e-3, counters=counters)
    program = listening_program("any", windows, nucleus="23Na", b0=9.3982, working_frequency=105.96e6)
    plan: Any = plan_readouts(read_pulseq(program.pulseq, 105.84e6))
    for name in LABELS.values():
        np.testing.assert_array_equal(plan.counters[name], counters[name])
    np.testing.assert_allclose(plan.ends, 10e-6 + 16 * 8e-6 + 5e-3 * np.arange(len(counters)), atol=1e-9)


def test_a_window_longer_than_its_interval_is_refused() -> None:
    windows = ListeningWindows(samples=1000, dwell_time=8e-6, interval=5e-3, counters=np.zeros(2, COUNTERS))
    with pytest.raises(ConfigError, match="lengthen repetition_time"):
        listening_program("slow", windows, nucleus="23Na", b0=9.3982, working_frequency=105.96e6)
