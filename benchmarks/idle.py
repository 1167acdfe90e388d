"""How long the scanner stands still between passes while all that a night brings goes on beside it.

    python benchmarks/idle.py --passes 200

Passes of `overnight_t2` are played on the simulated scanner with its clock sped up, so that a pass of 24 s takes 0.4 s:
commits, stop rules, preview and report get no more than that for what they have 24 s for in a night. The gaps between
passes are real time, with real commits to a real disk, and are set against passes of 20 s.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from knightshift.acquisition import AcquisitionOptions, StopRequest, acquire
from knightshift.acquisition.idle_time import IdleTime, idle_time
from knightshift.acquisition.stop_rules import RuleObserver, parse_rules
from knightshift.cli.processing import ReportChoices, report_to
from knightshift.cli.scanning import new_scanner
from knightshift.core.program import Measurement
from knightshift.core.run_folder import open_run
from knightshift.hardware.site import load_site
from knightshift.sequences import build, load_protocol

PASS = 20.0
"""Duration of the passes that the gaps are set against [s]."""
OUT_OF_REACH = (
    "snr of echo 5 in box z=[-0.8 mm, 0.8 mm], y=[-2 mm, 2 mm] >= 1000",
    "t2 std in box z=[-0.8 mm, 0.8 mm], y=[-2 mm, 2 mm] <= 0.001 ms",
)
CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
)
_HEAD = f"{'beside the scan':44} | gaps | {'mean':>8} {'median':>8} {'95 %':>8} {'longest':>8} | idle at {PASS:g} s"


class FastClock:
    """Real time, faster: what waits for the scanner waits less, what works has to hurry.

    Parameters
    ----------
    speed
        How many times as fast.
    """

    def __init__(self, speed: float) -> None:
        self._speed, self._start, self._zero = speed, time.time(), time.perf_counter()

    def now(self) -> float:
        """Seconds since the Unix epoch (UTC), as this clock has it."""
        return self._start + self._speed * (time.perf_counter() - self._zero)

    def sleep(self, duration: float) -> None:
        """Let `duration` [s] of this clock pass."""
        time.sleep(max(0.0, duration) / self._speed)


def measure(folder: Path, passes: int, speed: float, beside: Callable[[Path], Iterator[None]], rules: bool) -> IdleTime:
    """Play a short night with something going on beside it, and take the gaps from its journal."""
    site, clock = load_site("simulated"), FastClock(speed)
    measurement: Measurement = replace(build(load_protocol("overnight_t2"), site.limits), n_passes=passes)
    scanner, setup = new_scanner(site, clock, phantom="shorted", seed=1)
    with scanner:
        for program in measurement.programs:
            scanner.prepare(program)  # what the simulator computes once for each program is no idle time of a scanner
    observers = (RuleObserver(parse_rules(OUT_OF_REACH)),) if rules else ()
    options = AcquisitionOptions(run_name="night", disk_margin=0, observers=observers)
    with contextmanager(beside)(folder / "night"):
        result = acquire(measurement, scanner, folder, setup=setup, clock=clock, options=options)
    return idle_time(open_run(result.path).events())


def nothing(_run: Path) -> Iterator[None]:
    yield


def preview(run: Path) -> Iterator[None]:
    """`knightshift preview --follow`, as somebody who watches has it."""
    stop = StopRequest()
    started: list[subprocess.Popen[bytes]] = []

    def begin() -> None:
        while not (run / "journal.jsonl").exists() and not stop.after_pass:
            time.sleep(0.05)
        command = [sys.executable, "-m", "knightshift.cli", "preview", str(run), "--follow", "--every", "1 s"]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))

    thread = threading.Thread(target=begin)
    thread.start()
    yield
    stop.request()
    thread.join()
    for process in started:
        process.wait(timeout=60.0)


def browsers(count: int) -> Callable[[Path], Iterator[None]]:
    """`knightshift dashboard` with its previews, and so many browsers that follow the run; needs Chromium."""
    from playwright.sync_api import sync_playwright

    def beside(run: Path) -> Iterator[None]:
        command = [sys.executable, "-m", "knightshift.cli", "dashboard", "--runs", str(run.parent), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, sync_playwright() as playwright:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(CHROMIUM_OPTIONS))
            for _ in range(count):
                chromium.new_context().new_page().goto(address)
            yield
            chromium.close()
            process.terminate()

    return beside


def _again_and_again(work: Callable[[], object]) -> Iterator[None]:
    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            work()

    thread = threading.Thread(target=repeat)
    thread.start()
    yield
    stop.set()
    thread.join()


def report_in_a_thread(source: Path, output: Path) -> Callable[[Path], Iterator[None]]:
    def quiet() -> None:
        with Path(os.devnull).open("w") as sink, contextlib.redirect_stdout(sink):
            report_to(source, output, ReportChoices())

    return lambda _run: _again_and_again(quiet)


def report_in_a_process(source: Path, output: Path) -> Callable[[Path], Iterator[None]]:
    command = [sys.executable, "-m", "knightshift.cli", "report", str(source), "-o", str(output)]

    def run() -> None:
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

    return lambda _run: _again_and_again(run)


def row(name: str, idle: IdleTime) -> str:
    gaps = 1e3 * idle.gaps
    mean, median, high, longest = gaps.mean(), np.median(gaps), np.quantile(gaps, 0.95), gaps.max()
    numbers = " ".join(f"{value:5.1f} ms" for value in (mean, median, high, longest))
    return f"{name:44} | {gaps.size:4d} | {numbers} | {100 * idle.fraction(PASS):.3f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=200)
    parser.add_argument("--speed", type=float, default=60.0)
    parser.add_argument("--browsers", type=int, default=0, help="so many follow the live page in one row more")
    parser.add_argument("--only", type=int, nargs="*", help="rows to measure, from 1")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="knightshift-idle-") as name:
        folder = Path(name)
        finished = folder / "0" / "night"
        (folder / "0").mkdir()
        measure(folder / "0", 20, 600.0, nothing, rules=False)  # a run to report on; it also warms everything up
        cases = [
            ("commits", nothing, False),
            ("commits and stop rules", nothing, True),
            ("commits, stop rules and preview --follow", preview, True),
            ("commits and reports in a process", report_in_a_process(finished, folder / "r"), False),
            ("commits and reports in a thread", report_in_a_thread(finished, folder / "r"), False),
        ]
        if arguments.browsers:
            words = f"commits, live page and {arguments.browsers} browsers"
            cases.append((words, browsers(arguments.browsers), False))
        print(_HEAD)
        for number, (words, beside, rules) in enumerate(cases, start=1):
            if arguments.only and number not in arguments.only:
                continue
            place = folder / str(number)
            place.mkdir()
            print(row(words, measure(place, arguments.passes, arguments.speed, beside, rules)), flush=True)


if __name__ == "__main__":
    main()
