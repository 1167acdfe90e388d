"""A replayed run: the same samples again, and a refusal of everything that was not recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import replayed

from knightshift.acquisition import AcquisitionOptions, RunStatus, StopRequest, acquire, resume
from knightshift.cli.scanning import ScanChoices, acquire_run
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import (
    ConfigError,
    ProtocolError,
    ResumeMismatchError,
    ScannerFault,
)
from knightshift.core.manifest import RunSetup
from knightshift.core.program import Encoding, Measurement
from knightshift.core.run_folder import Run, open_run
from knightshift.hardware.backends import backend_names, open_scanner
from knightshift.hardware.contract import ScannerState
from knightshift.hardware.site import SiteConfig, load_site


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


def test_a_replayed_run_that_was_stopped_is_resumed_to_the_same_samples(record, tmp_path) -> None:
    original, clock, stop = record(), VirtualClock(), StopRequest()
    result = acquire(
        original.measurement(), replayed(original.path, clock), tmp_path / "again", setup=RunSetup(), clock=clock,
        options=AcquisitionOptions(stop=stop), on_progress=lambda event: event.n_committed == 2 and stop.request(),
    )  # fmt: skip
    assert result.status is RunStatus.STOPPED
    assert resume(result.path, replayed(original.path, clock), clock=clock).status is RunStatus.COMPLETED
    for before, after in zip(original.passes(), open_run(result.path).passes(), strict=True):
        np.testing.assert_array_equal(before.samples, after.samples)
        assert after.epoch == set(after.counters["segment"].tolist()).pop() == (0 if after.index <= 2 else 1)


def test_a_run_is_not_resumed_on_another_recording(record, tmp_path) -> None:
    original, clock, stop = record(), VirtualClock(), StopRequest()
    stop.request()
    options = AcquisitionOptions(stop=stop)
    result = acquire(
        original.measurement(), replayed(original.path, clock), tmp_path / "again", setup=RunSetup(), clock=clock,
        options=options,
    )  # fmt: skip
    with pytest.raises(ResumeMismatchError, match="scanner"):
        resume(result.path, replayed(record(seed=2).path, clock), clock=clock)


def test_the_command_line_acquires_from_a_recording(tmp_path) -> None:
    protocol = tmp_path / "little.yaml"
    protocol.write_text(
        "kind: pulse_acquire\nname: little\nnucleus: 23Na\nshift: 1126 ppm\nn_samples: 64\ndwell_time: 8 us\n"
        "excitation_flip_angle: 90 deg\nexcitation_pulse_length: 10 us\nrepetition_time: 20 ms\naverages: 2\n"
        "phase_cycle: 4\ndummy_scans: 0\n"
    )
    choices = ScanChoices(phantom="pristine", virtual_clock=True, seed=1)
    first = acquire_run(str(protocol), tmp_path / "runs", choices, quiet=True)
    site = tmp_path / "replay.yaml"
    site.write_text(f"backend: replay\nlimits: microimaging_9t4\nsettings: {{recording: {first.path}, speed: 100}}\n")
    again = acquire_run(str(protocol), tmp_path / "again", ScanChoices(str(site)), quiet=True)
    for before, after in zip(open_run(first.path).passes(), open_run(again.path).passes(), strict=True):
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


@pytest.mark.parametrize("speed", [0.5, 1.0, 20.0])
def test_a_pass_takes_its_duration_over_the_speed(record, measurement, speed) -> None:
    clock, program = VirtualClock(), measurement.programs[0]
    with replayed(record().path, clock, speed=speed) as scanner:
        scanner.prepare(program)
        scanner.start(0)
        times = [clock.now() - VirtualClock.EVENING for _ in scanner.readouts(1.0)]
        np.testing.assert_allclose(times, (20e-6 + 16 * 8e-6 + 10e-3 * np.arange(3)) / speed, atol=1e-6)
        assert clock.now() - VirtualClock.EVENING == pytest.approx(program.duration / speed, abs=1e-6)


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
