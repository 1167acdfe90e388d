"""Ctrl-C, in a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from knightshift.acquisition import StopRequest
from knightshift.core.run_folder import open_run
from knightshift.core.run_verification import verify_run

_NIGHT = """
import signal
import sys
from pathlib import Path
from fake_scanner import acquire_tiny
from knightshift.acquisition import StopRequest
ask = StopRequest.request
def ask_and_tell(request, *why):
    ask(request, *why)
    (runs / f"asked {request._level}").touch()
StopRequest.request = ask_and_tell
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
runs, marker = Path(sys.argv[1]), Path(sys.argv[1]) / "slow"
delay, slow_from = float(sys.argv[2]), int(sys.argv[3])
result = acquire_tiny(runs, n_passes=200, real_delay=delay, slow_from=slow_from, slow_marker=marker)
print(result.status, result.n_committed, result.resume_command)
"""

_PATIENCE = 60.0
"""For a process on a busy machine [s]."""


def start_night(runs: Path, real_delay: float, slow_from: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _NIGHT, str(runs), str(real_delay), str(slow_from)]
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    await_files(process, runs / "slow", runs / "night" / "passes" / "p000001.h5")
    return process


def await_files(process: subprocess.Popen[str], *paths: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not all(path.exists() for path in paths):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def interrupt(process: subprocess.Popen[str], runs: Path, times: int) -> None:
    """Send SIGINT and wait until it is seen: the kernel keeps one of a kind."""
    for number in range(1, times + 1):
        process.send_signal(signal.SIGINT)
        await_files(process, runs / f"asked {number}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_pass_with_everything_kept(tmp_path: Path, number: signal.Signals) -> None:
    process = start_night(tmp_path, real_delay=0.01)
    process.send_signal(number)
    output, errors = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 0, errors
    status, n_committed, command = output.split(maxsplit=2)
    run = open_run(tmp_path / "night")
    assert (status, command) == ("stopped", f"knightshift resume {run.path}\n")
    assert run.committed() == tuple(range(int(n_committed)))
    assert 2 <= int(n_committed) < 200
    assert run.events()[-1].payload["reason"] == number.name
    assert verify_run(run.path).intact
    assert verify_run(run.path).notes == ()


def test_a_second_ctrl_c_does_not_wait_for_the_pass(tmp_path: Path) -> None:
    process = start_night(tmp_path, real_delay=1.5, slow_from=2)  # a pass lasts 9 s
    interrupt(process, tmp_path, 2)
    asked = time.monotonic()
    output, errors = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 0, errors
    assert time.monotonic() - asked < 6.5  # a readout and the end of the process, on a busy machine
    assert output.startswith("stopped 2 ")
    assert open_run(tmp_path / "night").committed() == (0, 1)


def test_a_third_ctrl_c_ends_the_process_and_still_loses_nothing(tmp_path: Path) -> None:
    process = start_night(tmp_path, real_delay=_PATIENCE, slow_from=2)  # so that no readout ends before the third
    interrupt(process, tmp_path, 2)
    time.sleep(0.2)  # for the handler of the second to end
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=_PATIENCE / 2)
    assert process.returncode != 0
    assert open_run(tmp_path / "night").committed() == (0, 1)
    assert not (tmp_path / "night" / "run.lock").exists()


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    stop = StopRequest()
    with stop.on_signals():
        assert signal.getsignal(signal.SIGINT) is not before
        signal.raise_signal(signal.SIGINT)
        assert stop.after_pass
        assert not stop.within_pass
    assert signal.getsignal(signal.SIGINT) is before
