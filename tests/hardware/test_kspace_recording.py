"""Raw data of another console as a recording: played to the bit, and believed only as far as it agrees with itself."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from recordings import DESCRIPTION, exported, replayed

from knightshift.acquisition import AcquisitionOptions, acquire
from knightshift.core.clock import SystemClock, VirtualClock
from knightshift.core.errors import (
    ConfigError,
    DamagedDataError,
    InterlockFault,
    ReadoutTimeoutError,
    ScannerFault,
    ShapeError,
)
from knightshift.core.limits import ScannerLimits
from knightshift.core.manifest import RunSetup
from knightshift.core.passes import COUNTERS
from knightshift.core.run_folder import open_run
from knightshift.core.yaml_files import read_config
from knightshift.hardware.pulseq_text import read_pulseq
from knightshift.hardware.readout_plan import LABELS, plan_readouts
from knightshift.hardware.replay import (
    ReplayScanner,
    open_recording,
    write_kspace_recording,
)
from knightshift.hardware.replay.listening_program import ListeningWindows, listening_program


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


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from(["samples.npy", "counters.npy"]),
    place=st.integers(0, 200),
    replacement=st.binary(min_size=1, max_size=12),
)
def test_arrays_that_lie_with_a_right_checksum_are_still_damage(tmp_path_factory, name, place, replacement) -> None:
    folder, _ = exported(tmp_path_factory.mktemp("fuzz") / "recording")
    content = bytearray((folder / name).read_bytes())
    content[place : place + len(replacement)] = replacement
    (folder / name).write_bytes(content)
    arrays = (folder / "samples.npy").read_bytes() + (folder / "counters.npy").read_bytes()
    text = (folder / "recording.yaml").read_text()
    before = text.partition("sha256: ")[2].split()[0]
    (folder / "recording.yaml").write_text(text.replace(before, hashlib.sha256(arrays).hexdigest()))
    try:
        with replayed(folder) as scanner:
            program = open_recording(folder).measurement().programs[0]
            scanner.prepare(program)
            scanner.start(0)
            assert len(list(scanner.readouts(1.0))) == program.n_readouts
    except (DamagedDataError, ConfigError, ScannerFault):
        pass  # said in words; anything else is a crash
