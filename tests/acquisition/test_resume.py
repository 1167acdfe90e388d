"""Resume goes on with the same measurement on the same scanner, or says what is different."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from fake_scanner import DURATION, FakeScanner, acquire_tiny, measurement, resume_tiny

from knightshift.acquisition import AcquisitionOptions, RunStatus, acquire, resume, resume_time
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import ConfigError, DamagedDataError, InterlockFault, ResumeMismatchError
from knightshift.core.manifest import RunSetup
from knightshift.core.program import Measurement
from knightshift.core.run_folder import open_run

EVENING = VirtualClock.EVENING


def acquire_until_fault(runs: Path, at: int, clock_kind: Literal["system", "virtual"] = "virtual") -> Path:
    scanner = FakeScanner(clock := VirtualClock(), faults={at: [InterlockFault("helium low")]})
    options = AcquisitionOptions(run_name="night")
    with pytest.raises(InterlockFault):
        acquire(measurement(), scanner, runs, setup=RunSetup(clock=clock_kind), clock=clock, options=options)
    return runs / "night"


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """A run of which the passes 4 and 5 are missing."""
    path = acquire_until_fault(tmp_path, 4)
    assert open_run(path).committed() == (0, 1, 2, 3)
    return path


def test_the_missing_passes_are_acquired_in_a_new_epoch(interrupted: Path) -> None:
    scanner = FakeScanner(clock := VirtualClock())
    result = resume(interrupted, scanner, clock=clock, measurement=measurement())
    assert (result.status, result.n_committed) == (RunStatus.COMPLETED, 6)
    run = open_run(interrupted)
    assert [record.epoch for record in run.passes()] == [0, 0, 0, 0, 1, 1]
    assert set(run.read_pass(5).counters["segment"]) == {1}
    assert scanner.calls[:3] == ["connect", "make_safe", "prepare"]


def test_the_virtual_clock_goes_on_where_the_last_good_pass_ended(interrupted: Path) -> None:
    run = open_run(interrupted)
    assert resume_time(run) == EVENING + 4 * DURATION
    resume_tiny(interrupted)
    assert run.read_pass(4).started == EVENING + 4 * DURATION
    assert resume_time(run) == EVENING + 6 * DURATION


def test_a_run_without_a_pass_goes_on_from_its_beginning(tmp_path: Path) -> None:
    path = acquire_until_fault(tmp_path, 0)
    assert resume_time(open_run(path)) == EVENING
    resume_tiny(path)
    assert open_run(path).read_pass(0).started == EVENING


def test_a_complete_run_is_left_alone(tmp_path: Path) -> None:
    path = acquire_tiny(tmp_path).path
    before = (path / "journal.jsonl").read_bytes()
    assert resume_tiny(path).status is RunStatus.COMPLETED
    assert (path / "journal.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda m: replace(m, protocol={**m.protocol, "averages": 7}),
            "protocol averages: the run has None, now it is 7",
        ),
        (lambda m: replace(m, n_passes=8), "passes: the run has 6, now it is 8"),
        (lambda m: replace(m, programs=m.programs[:1]), "number of programs: the run has 2, now it is 1"),
        (lambda m: replace(m, programs=m.programs[::-1]), "program 1: the run has '"),
    ],
    ids=["protocol", "passes", "number of programs", "program"],
)
def test_another_measurement_is_refused(
    interrupted: Path, change: Callable[[Measurement], Measurement], told: str
) -> None:
    clock = VirtualClock()
    scanner = FakeScanner(clock)
    with pytest.raises(ResumeMismatchError) as caught:
        resume(interrupted, scanner, clock=clock, measurement=change(measurement()))
    assert told in str(caught.value)
    assert "start" not in scanner.calls
    assert resume_tiny(interrupted).n_committed == 6


def test_another_scanner_is_refused(interrupted: Path) -> None:
    with pytest.raises(ResumeMismatchError, match="scanner: the run has 'fake 1', now it is 'fake 2'"):
        resume_tiny(interrupted, device="fake 2")


def test_another_version_of_the_software_is_refused(interrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knightshift.acquisition.run_identity.software_versions", lambda: {"knightshift": "99"})
    with pytest.raises(ResumeMismatchError, match=r"knightshift version: the run has '.*', now it is '99'"):
        resume_tiny(interrupted)


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    acquire_tiny(tmp_path)
    with pytest.raises(ConfigError, match=r"is not a run .* such as .*night"):
        resume_tiny(tmp_path)
    with pytest.raises(ConfigError, match="there is no such folder"):
        resume_tiny(tmp_path / "elsewhere")
    assert not (tmp_path / "run.lock").exists()


def test_damage_in_the_middle_of_the_journal_stops_a_resume(interrupted: Path) -> None:
    journal = interrupted / "journal.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(content.replace(b'"pass":1', b'"pass":5'))
    scanner = FakeScanner(clock := VirtualClock())
    with pytest.raises(DamagedDataError, match="line 5"):
        resume(interrupted, scanner, clock=clock)
    assert "start" not in scanner.calls
    assert not (interrupted / "run.lock").exists()


def test_a_changed_manifest_or_program_stops_a_resume(interrupted: Path) -> None:
    program = next((interrupted / "programs").iterdir())
    text = program.read_bytes()
    program.write_bytes(text + b"\n")
    with pytest.raises(DamagedDataError, match="is not the digest in its name"):
        resume_tiny(interrupted)
    program.write_bytes(text)
    manifest = interrupted / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"n_passes": 6', b'"n_passes": 7'))
    with pytest.raises(DamagedDataError, match=r"manifest\.json: checksum"):
        resume_tiny(interrupted)


def test_a_real_clock_is_not_moved(tmp_path: Path) -> None:
    path = acquire_until_fault(tmp_path, 1, clock_kind="system")
    clock = VirtualClock(EVENING + 3600)
    resume(path, FakeScanner(clock), clock=clock, options=AcquisitionOptions(disk_margin=0))
    assert open_run(path).read_pass(1).started == EVENING + 3600
