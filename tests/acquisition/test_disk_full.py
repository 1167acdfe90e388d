"""A disk that fills up stops the scan before the next pulse; freed, the run is finished by a resume."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_scanner import FakeScanner, acquire_tiny, measurement, resume_tiny

from knightshift.acquisition import AcquisitionOptions, RunStatus, acquire, resume
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import StorageError
from knightshift.core.manifest import RunSetup
from knightshift.core.run_folder import open_run
from knightshift.core.run_verification import verify_run
from knightshift.hardware.contract import ScannerState

N_PASSES = 3


def disk_full_from(call_number: int, monkeypatch: pytest.MonkeyPatch, how: str) -> list[str]:
    """Let everything that may need room from `call_number` on fail; returns a list of the calls."""
    calls: list[str] = []
    real = {name: getattr(os, name) for name in ("write", "fsync", "fdatasync", "open", "mkdir", "rename")}

    def failing(name: str) -> Any:
        def call(target: Any, *args: Any, **options: Any) -> Any:
            if name == "open" and not args[0] & os.O_CREAT:
                return real[name](target, *args, **options)
            calls.append(name)
            if len(calls) <= call_number:
                return real[name](target, *args, **options)
            if how == "short" and name == "write" and len(calls) == call_number + 1:
                return real[name](target, bytes(args[0])[:7])
            raise OSError(errno.ENOSPC, "No space left on device")

        return call

    for name in real:
        monkeypatch.setattr(os, name, failing(name))
    return calls


@pytest.mark.parametrize("how", ["at once", "short"])
def test_disk_full_at_each_call_that_needs_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    with monkeypatch.context() as patch:
        every_call = disk_full_from(10**9, patch, how)
        expected = open_run(acquire_tiny(tmp_path / "undisturbed", N_PASSES).path)
    assert set(every_call) == {"write", "fsync", "fdatasync", "open", "mkdir", "rename"}
    # only a write can be short: at any other call the disk is full at once
    numbers = [number for number, name in enumerate(every_call) if how == "at once" or name == "write"]
    assert len(numbers) > (4 * N_PASSES if how == "short" else 7 * N_PASSES + 30)
    for call_number in numbers:
        runs = tmp_path / str(call_number)
        clock = VirtualClock()
        scanner = FakeScanner(clock)
        with monkeypatch.context() as patch:
            disk_full_from(call_number, patch, how)
            options = AcquisitionOptions(run_name="night", disk_margin=0)
            with contextlib.suppress(StorageError):
                setup = RunSetup(clock="virtual")
                acquire(measurement(N_PASSES), scanner, runs, setup=setup, clock=clock, options=options)
        assert scanner.state is ScannerState.DISCONNECTED
        if (runs / "night").exists():
            run = open_run(runs / "night")
            n_committed, n_started = len(run.committed()), scanner.calls.count("start")
            assert n_started <= n_committed + 2, "a pass was started after the disk had failed"
            assert verify_run(run.path).intact
            assert list(run.path.rglob("*.part")) == []
            assert resume_tiny(run.path).status is RunStatus.COMPLETED
            for found, wanted in zip(run.passes(), expected.passes(), strict=True):
                np.testing.assert_array_equal(found.samples, wanted.samples)
        else:
            assert "start" not in scanner.calls
            assert list(runs.glob(".*")) == []


def test_a_failed_commit_is_told_with_the_way_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def full_at_pass_one(descriptor: int) -> None:
        if "p000001" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_pass_one)
    with pytest.raises(
        StorageError, match=r"p000001\.h5: writing failed: No space left on device: free space"
    ) as caught:
        acquire_tiny(tmp_path)
    run = tmp_path / "night"
    assert caught.value.__notes__ == [f"1 of 6 passes are kept in {run}: continue with `knightshift resume {run}`"]
    assert open_run(run).events()[-1].payload["status"] == "failed"


def test_resume_with_too_little_space_refuses_before_the_first_pulse(tmp_path: Path) -> None:
    path = acquire_tiny(tmp_path, N_PASSES).path
    (path / "passes" / "p000000.h5").unlink()
    scanner = FakeScanner(clock := VirtualClock())
    with pytest.raises(StorageError, match="must stay free"):
        resume(path, scanner, clock=clock, options=AcquisitionOptions(disk_margin=10**18))
    assert "start" not in scanner.calls
