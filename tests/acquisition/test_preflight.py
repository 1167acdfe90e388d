"""The pre-flight: each check fails for its own reason, refuses before any RF, and can be made to warn."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_scanner import LIMITS, FakeScanner, acquire_tiny, measurement, resume_tiny
from watched_night import EVENING, METER, ScriptedClock, meter, probe, site, warm_in, watched

from knightshift.acquisition import AcquisitionOptions, ProgressEvent, ProgressKind, acquire
from knightshift.acquisition.boil_off import measured_boil_off
from knightshift.acquisition.preflight_verdict import Check, Verdict, apply_rules, refuse_if_failed
from knightshift.acquisition.run_lock import LockHolder
from knightshift.core.clock import SystemClock, VirtualClock
from knightshift.core.errors import (
    ConfigError,
    HardwareError,
    InputError,
    InterlockFault,
    KnightshiftError,
    ProtocolError,
    RunLockedError,
    ScannerFault,
    StorageError,
)
from knightshift.core.journal import JournalWriter
from knightshift.core.manifest import RunSetup
from knightshift.core.run_folder import open_run
from knightshift.core.yaml_files import as_plain, validate
from knightshift.hardware.contract import Capabilities, ScannerState, ScannerStatus
from knightshift.hardware.monitors.emulated import unplug_all
from knightshift.hardware.preflight_rules import CheckName, PreflightConfig
from knightshift.hardware.site import SiteConfig

HOUR = 3600.0
CRYOSTAT = {
    "cryostat": {"kind": "oxford_ilm", "link": {"port": METER}, "settings": {"address": 6, "channels": {"helium": 1}}}
}
HELIUM_LOW = {"helium_low": {"kind": "level", "watch": "cryostat.helium", "low": "20 %", "action": "suspend"}}


@pytest.fixture(autouse=True)
def _devices_of_its_own() -> Iterator[None]:
    yield
    unplug_all()


def begin(runs: Path, plain_site: dict[str, Any] | None = None, **more: Any) -> list[Check]:
    """Acquire a tiny run, and give what the pre-flight said."""
    told: list[ProgressEvent] = []
    clock = more.pop("clock", VirtualClock())
    scanner = more.pop("scanner", FakeScanner(clock))
    limits = more.pop("limits", as_plain(LIMITS))
    setup = RunSetup(seed=more.pop("seed", 1), site=plain_site or {}, limits=limits)
    options = AcquisitionOptions(disk_margin=0)
    try:
        acquire(
            measurement(2), scanner, runs, setup=setup, clock=clock, options=options, on_progress=told.append, **more
        )
    except KnightshiftError:
        assert "start" not in scanner.calls, "nothing is played"
        assert "prepare" not in scanner.calls
        raise
    assert told[0].kind is ProgressKind.CHECKED
    return list(told[0].checks)


WITHOUT_RF = set(CheckName) - {
    CheckName.FREQUENCY, CheckName.NOISE, CheckName.TRANSMITTER, CheckName.GAIN, CheckName.DUMMY_PASS,
}  # fmt: skip


def verdicts(checks: list[Check], name: CheckName) -> list[Verdict]:
    return [check.verdict for check in checks if check.name is name]


def test_every_check_is_made_and_journaled_with_its_value(tmp_path: Path) -> None:
    checks = begin(tmp_path)
    assert {check.name for check in checks} == WITHOUT_RF
    assert {check.verdict for check in checks if check.name is not CheckName.RF} == {Verdict.OK}
    assert verdicts(checks, CheckName.RF) == [Verdict.NOT_MADE], "what nobody asked for is said, not left out"
    run = open_run(next(tmp_path.iterdir()))
    events = [event for event in run.events() if event.event == "preflight"]
    assert [event.payload["checks"] for event in events] == [[check.for_journal() for check in checks]]
    assert all(entry["value"] and entry["limit"] for entry in events[0].payload["checks"])


def test_a_resume_is_checked_again(tmp_path: Path) -> None:
    with pytest.raises(InterlockFault):
        acquire_tiny(tmp_path, faults={3: [InterlockFault("trip")]})
    resume_tiny(tmp_path / "night")
    names = [event.event for event in open_run(tmp_path / "night").events()]
    assert [name for name in names if name in {"preflight", "epoch_began"}] == ["preflight", "epoch_began"] * 2


def test_a_scanner_in_fault_is_refused(tmp_path: Path) -> None:
    @dataclass
    class Tripped(FakeScanner):
        def status(self) -> ScannerStatus:
            return ScannerStatus(ScannerState.FAULT, None, 0.0, fault="RF trip")

    with pytest.raises(ScannerFault, match="fault: RF trip") as caught:
        begin(tmp_path, scanner=Tripped(VirtualClock()))
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == [], "no run is created"


def test_a_coil_for_another_nucleus_is_refused(tmp_path: Path) -> None:
    @dataclass
    class ForProtons(FakeScanner):
        def capabilities(self) -> Capabilities:
            return Capabilities(LIMITS, ("1H",), n_channels=1)

    with pytest.raises(ProtocolError, match=r"nucleus \(coil\): 1H, wanted 23Na") as caught:
        begin(tmp_path, scanner=ForProtons(VirtualClock()))
    assert caught.value.exit_code == 2


def test_limits_that_differ_warn_and_another_field_is_refused(tmp_path: Path) -> None:
    checks = begin(tmp_path, limits={**as_plain(LIMITS), "max_gradient": 1.0})
    (limits,) = [check for check in checks if check.name is CheckName.LIMITS]
    assert (limits.verdict, limits.value) == (Verdict.WARNING, "max_gradient 1.5, the site file says 1.0")
    with pytest.raises(InputError, match=r"b0 9\.4, the site file says 7\.05"):
        begin(tmp_path, limits={**as_plain(LIMITS), "b0": 7.05})


def test_a_disk_without_room_is_refused_or_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1000))
    with pytest.raises(StorageError, match=r"disk .* 0\.0 MB free.*free space"):
        begin(tmp_path)
    checks = begin(tmp_path, site(preflight={"warn_only": ["disk"]}))
    assert verdicts(checks, CheckName.DISK) == [Verdict.WARNING]


def test_a_probe_out_of_band_is_refused_or_warned_of(tmp_path: Path) -> None:
    probe().temperature = 45.0
    with pytest.raises(InterlockFault, match=r"interlock probe_warm\): probe.temperature 318\.15 K is above"):
        begin(tmp_path, site("flag_pass", interlock={"grace": "1 h"}))
    checks = begin(tmp_path, site("flag_pass", preflight={"warn_only": ["monitors"]}))
    assert verdicts(checks, CheckName.MONITORS) == [Verdict.OK, Verdict.WARNING]


def test_a_monitor_that_is_not_there_is_refused(tmp_path: Path) -> None:
    clock = VirtualClock()
    with pytest.raises(InterlockFault, match=r"probe.temperature\): no value: .*nowhere"):
        begin(tmp_path, site(probe={"link": {"port": "sim://nowhere"}}), clock=clock)
    assert 30 <= clock.now() - EVENING <= 31, "it is waited for"


def test_levels_must_last_to_the_end(tmp_path: Path) -> None:
    """Two passes of 24 s at 30 %/h take 0.4 % of the helium; a meter in slow mode may tell what was an hour ago."""

    def at_level(level: float) -> list[Check]:
        meter().channels[1].level = level
        return begin(
            tmp_path,
            site(monitors=CRYOSTAT, interlocks=HELIUM_LOW, preflight={"boil_off": {"cryostat.helium": "30 %/h"}}),
        )

    assert verdicts(at_level(0.51), CheckName.LEVELS) == [Verdict.OK]
    with pytest.raises(InterlockFault, match=r"50\.2 %, falls 30 %/h \(site file\): 19\.8 % at the end"):
        at_level(0.502)


def test_an_unknown_boil_off_is_said_and_a_low_level_refused(tmp_path: Path) -> None:
    plain = site(monitors=CRYOSTAT, interlocks=HELIUM_LOW)
    (level,) = [check for check in begin(tmp_path, plain) if check.name is CheckName.LEVELS]
    assert (level.verdict, level.limit) == (Verdict.WARNING, "at least 20.0 % at the end")
    assert "boil-off not known" in level.value
    assert "preflight.boil_off" in level.remedy


def run_with_levels(runs: Path, name: str, points: list[tuple[float, float]]) -> None:
    """A run whose journal tells these times [s] and levels."""
    clock = VirtualClock()
    options = AcquisitionOptions(run_name=name, disk_margin=0)
    result = acquire(measurement(1), FakeScanner(clock), runs, setup=RunSetup(), clock=clock, options=options)
    with JournalWriter(result.path / "journal.jsonl") as journal:
        for when, level in points:
            journal.append(when, "resumed", readings={"cryostat.helium": {"value": level, "measured_s": when}})


def test_the_boil_off_is_measured_from_earlier_runs(tmp_path: Path) -> None:
    """0.2 %/h since the refill of 30 %, read with 0.1 % steps; before the refill it fell faster."""
    before = [(EVENING + hour * HOUR, 0.5 - 0.01 * hour) for hour in range(12)]
    after = [(EVENING + hour * HOUR, round(0.8 - 0.002 * hour, 3)) for hour in range(12, 48)]
    run_with_levels(tmp_path, "first", before)
    run_with_levels(tmp_path, "second", after)
    rate = measured_boil_off(tmp_path, "cryostat.helium", EVENING + 48 * HOUR)
    assert rate == pytest.approx(0.002 / HOUR, rel=0.01)
    assert measured_boil_off(tmp_path, "cryostat.nitrogen", EVENING + 48 * HOUR) is None
    assert measured_boil_off(tmp_path, "cryostat.helium", EVENING + 17 * HOUR) is None, "too soon after the refill"
    assert measured_boil_off(tmp_path, "cryostat.helium", EVENING + 90 * 24 * HOUR) is None, "too old"


class LateClock(SystemClock):
    """A computer whose clock has lost an hour."""

    def now(self) -> float:
        return super().now() - HOUR


def test_a_clock_behind_what_is_recorded_is_refused(tmp_path: Path) -> None:
    begin(tmp_path, clock=SystemClock(), scanner=FakeScanner(VirtualClock()))
    with pytest.raises(InputError, match=r"clock .* not before .* set the clock"):
        begin(tmp_path, clock=LateClock(), scanner=FakeScanner(VirtualClock()))


def test_a_clock_that_jumps_during_the_checks_is_refused(tmp_path: Path) -> None:
    class Jumping(SystemClock):
        asked = 0

        def now(self) -> float:
            self.asked += 1
            return time.time() + (600.0 if self.asked > 1 else 0.0)

    with pytest.raises(InputError, match=r"jumped by 600\.. s"):
        begin(tmp_path, clock=Jumping(), scanner=FakeScanner(VirtualClock()))


def test_another_run_with_the_same_scanner_is_refused_unless_simulated(tmp_path: Path) -> None:
    other = acquire_tiny(tmp_path, n_passes=1).path
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        start = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
        holder = LockHolder.this_process().model_copy(update={"pid": process.pid, "process_start": start})
        (other / "run.lock").write_text(holder.model_dump_json())
        with pytest.raises(RunLockedError, match=rf"night is acquired by process {process.pid}"):
            begin(tmp_path, seed=None)
        assert verdicts(begin(tmp_path, seed=1), CheckName.LOCK) == [Verdict.OK]
        begin(tmp_path, seed=None, scanner=FakeScanner(VirtualClock(), device="fake 2"))
    finally:
        process.kill()
        process.wait()
    begin(tmp_path, seed=None)


def test_several_failures_are_told_together() -> None:
    def failed(name: CheckName, error: type[KnightshiftError]) -> Check:
        return Check(name, "it", "is wrong", "right", Verdict.FAILED, f"mend {name}", error)

    good = Check(CheckName.LOCK, "it", "free", "free", Verdict.OK)
    disk, clock = failed(CheckName.DISK, StorageError), failed(CheckName.CLOCK, InputError)
    with pytest.raises(HardwareError, match=r"disk \(it\).*mend disk\n.*clock \(it\).*mend clock\nin order are: lock"):
        refuse_if_failed([disk, clock, good])
    refuse_if_failed(apply_rules([disk, clock, good], PreflightConfig(warn_only=(CheckName.DISK, CheckName.CLOCK))))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"preflight": {"warn_only": ["weather"]}}, "preflight.warn_only"),
        ({"preflight": {"skip": ["disk"]}}, "preflight.skip"),
        ({"preflight": {"boil_off": {"probe.temperature": "1 %/h"}}}, "the levels that are monitored are: none"),
    ],
    ids=["unknown check", "no check can be skipped", "boil-off of a temperature"],
)
def test_mistakes_in_the_site_file_are_told(section: dict[str, Any], message: str) -> None:
    plain = {**site(), **section}
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        validate(SiteConfig, plain, "site")


def test_a_refused_resume_says_so_in_the_journal_and_keeps_the_run(tmp_path: Path) -> None:
    stopped, _ = watched(tmp_path, ScriptedClock(warm_in((30, 1e9))), site("stop"))
    before = open_run(stopped.path).committed()
    with pytest.raises(InterlockFault):
        resume_tiny(stopped.path)
    run = open_run(stopped.path)
    last = run.events()[-1]
    assert (last.event, run.committed()) == ("preflight", before)
    assert "failed" in {entry["verdict"] for entry in last.payload["checks"]}
    assert not os.path.lexists(stopped.path / "run.lock")
