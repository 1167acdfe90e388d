"""The pre-flight: what is checked before any RF, with values and limits. Every check is made every time."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knightshift.acquisition.boil_off import LEAST_SPAN, measured_boil_off
from knightshift.acquisition.local_time import local_text, local_zone
from knightshift.acquisition.preflight_verdict import Check, Verdict, apply_rules
from knightshift.acquisition.run_lock import living_holder
from knightshift.acquisition.run_writer import bytes_on_disk
from knightshift.acquisition.surroundings import Level, Surroundings
from knightshift.core.clock import Clock, SystemClock
from knightshift.core.errors import (
    InputError,
    InterlockFault,
    KnightshiftError,
    ProtocolError,
    RunLockedError,
    ScannerFault,
    StorageError,
)
from knightshift.core.manifest import RunSetup
from knightshift.core.program import Measurement
from knightshift.core.run_folder import JOURNAL, LOCK, open_run
from knightshift.core.yaml_files import as_plain
from knightshift.hardware.contract import Scanner, ScannerState
from knightshift.hardware.monitors.interlocks import InterlockState
from knightshift.hardware.monitors.reading import Reading, Severity
from knightshift.hardware.preflight_rules import CheckName

FIRST_READING = 30.0
"""How long the monitors may take for their first readings [s]."""
_CLOCK_TOLERANCE = 30.0
"""What is on a disk of another computer may be ahead of our clock by this much [s]."""
_LARGEST_JUMP = 1.0
"""Of the clock, while the checks are made [s]."""
_WORDS = frozenset({"name", "notes"})


@dataclass(frozen=True)
class Departure:
    """What is about to begin, or to go on."""

    measurement: Measurement
    """What to play; the scanner has validated its programs."""
    scanner: Scanner
    """Connected and made safe."""
    clock: Clock
    """The one that the scanner uses."""
    runs_dir: Path
    """Folder that holds the runs."""
    setup: RunSetup
    """Site and limits as plain data."""
    surroundings: Surroundings
    """Its watch, if there is one, is started."""
    disk_margin: int
    """Bytes that must stay free."""
    fraction: float = 1.0
    """How much of the measurement is left."""

    @property
    def duration(self) -> float:
        """How long what is left takes [s]."""
        return self.fraction * self.measurement.duration

    @property
    def bytes_needed(self) -> int:
        """How much disk it takes."""
        return int(self.fraction * bytes_on_disk(self.measurement, self.scanner.capabilities().n_channels))


def preflight(departure: Departure) -> tuple[Check, ...]:
    """Make every check; what fails is for `refuse_if_failed`.

    Parameters
    ----------
    departure
        What is about to begin.

    Returns
    -------
    tuple of Check
        In the order of `CheckName`; failures that the site file wants as warnings are warnings.
    """
    offset = departure.clock.now() - time.monotonic()
    found = [
        _scanner(departure.scanner),
        _limits(departure),
        _nucleus(departure),
        *_monitors(departure.surroundings),
        *_levels(departure),
        _disk(departure),
        _clock(departure, offset),
        _lock(departure),
        _with_rf(departure),
    ]
    return apply_rules(found, departure.surroundings.preflight)


def _verdict(good: bool, otherwise: Verdict = Verdict.FAILED) -> Verdict:
    return Verdict.OK if good else otherwise


def _scanner(scanner: Scanner) -> Check:
    identity, status = scanner.identify(), scanner.status()
    good = status.state is ScannerState.IDLE and status.fault is None
    return Check(
        CheckName.SCANNER,
        identity.device,
        f"{status.state}" + (f", fault: {status.fault}" if status.fault else ""),
        f"{ScannerState.IDLE}, no fault",
        _verdict(good),
        "" if good else "clear the fault at the console, or reset it",
        ScannerFault,
    )


def _limits(departure: Departure) -> Check:
    """Compare the device's limits with the site's. Its own were validated against; another field is never right."""
    device = as_plain(departure.scanner.capabilities().limits)
    differing = {
        key: (device[key], wanted)
        for key, wanted in departure.setup.limits.items()
        if key not in _WORDS and key in device and device[key] != wanted
    }
    words = "; ".join(f"{key} {has}, the site file says {wanted}" for key, (has, wanted) in differing.items())
    verdict = _verdict(not differing, Verdict.FAILED if "b0" in differing else Verdict.WARNING)
    remedy = "correct `limits` in the site file" if differing else ""
    value = words or "as in the site file" if departure.setup.limits else "no site file"
    return Check(CheckName.LIMITS, str(device["name"]), value, "as in the site file", verdict, remedy)


def _nucleus(departure: Departure) -> Check:
    wanted = sorted({program.nucleus for program in departure.measurement.programs})
    tuned = departure.scanner.capabilities().nuclei
    good = set(wanted) <= set(tuned)
    remedy = "" if good else "change the coil, or the nucleus of the protocol"
    return Check(
        CheckName.NUCLEUS, "coil", ", ".join(tuned) or "none", ", ".join(wanted), _verdict(good), remedy, ProtocolError
    )


def _monitors(surroundings: Surroundings) -> Iterator[Check]:
    watch = surroundings.watch
    if watch is None:
        yield Check(CheckName.MONITORS, "site", "none", "valid and fresh", Verdict.OK)
        return
    for name, reading in watch.first_readings(FIRST_READING).items():
        yield _reading(name, reading)
    for entry in watch.look().interlocks:
        good = entry.severity in (Severity.OK, Severity.WARNING) and entry.state is InterlockState.CLEAR
        mild = good and entry.severity is Severity.WARNING
        value = entry.reason or ("in band" if good else entry.state.value)
        remedy = "" if good else "bring it back into its band"
        verdict = Verdict.WARNING if mild else _verdict(good)
        yield Check(
            CheckName.MONITORS, f"interlock {entry.name}", value, "in band", verdict, remedy, error=InterlockFault
        )


def _reading(name: str, reading: Reading) -> Check:
    valid = reading.severity is not Severity.INVALID and not reading.stale
    good = valid and reading.severity is not Severity.ALARM
    value = _shown(reading) + (f": {reading.problem}" if reading.problem else "")
    verdict = Verdict.WARNING if good and reading.severity is Severity.WARNING else _verdict(good)
    remedy = "" if good else "look at the device and its line: docs/how-to/connect-a-monitor.md"
    return Check(CheckName.MONITORS, name, value, "valid and fresh", verdict, remedy, InterlockFault)


def _shown(reading: Reading) -> str:
    if reading.severity is Severity.INVALID:
        return "no value"
    value = _percent(reading.value) if reading.unit == "1" else f"{reading.value:.2f} {reading.unit}"
    return f"{value}, stale" if reading.stale else value


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _levels(departure: Departure) -> Iterator[Check]:
    watch = departure.surroundings.watch
    if watch is None or not departure.surroundings.levels:
        yield Check(CheckName.LEVELS, "site", "none monitored", "enough for the run", Verdict.OK)
        return
    readings = watch.readings()
    for level in departure.surroundings.levels:
        yield _level(level, readings[level.quantity], departure)


def _level(level: Level, reading: Reading, departure: Departure) -> Check:
    now, value = departure.clock.now(), _shown(reading)
    rate, source = level.boil_off, "site file"
    if rate is None:
        rate, source = measured_boil_off(departure.runs_dir, level.quantity, now), "measured"
    at_end = reading.value - (rate or 0.0) * (now + departure.duration - reading.measured)
    verdict, remedy = Verdict.OK, ""
    if rate is None:
        value += ", boil-off not known"
        verdict = Verdict.WARNING
        remedy = f"give preflight.boil_off in the site file; it is measured once runs cover {LEAST_SPAN / 3600:g} h"
    else:
        value += f", falls {100 * rate * 3600:.3g} %/h ({source}): {_percent(at_end)} at the end"
    if reading.severity is Severity.INVALID or reading.stale:
        verdict, remedy = Verdict.FAILED, "look at the level meter and its line"
    elif not at_end >= level.lowest:
        verdict, remedy = Verdict.FAILED, "refill before you begin, or make the run shorter"
    limit = f"at least {_percent(level.lowest)} at the end"
    return Check(CheckName.LEVELS, level.quantity, value, limit, verdict, remedy, InterlockFault)


def _disk(departure: Departure) -> Check:
    needed, spare = departure.bytes_needed, departure.disk_margin
    free = shutil.disk_usage(departure.runs_dir).free
    good = free >= needed + spare
    limit = (
        f"{(needed + spare) / 1e6:.1f} MB (the run takes {needed / 1e6:.1f} MB, {spare / 1e6:.0f} MB must stay free)"
    )
    remedy = "" if good else "free space, or give another folder with --runs"
    return Check(
        CheckName.DISK,
        str(departure.runs_dir),
        f"{free / 1e6:.1f} MB free",
        limit,
        _verdict(good),
        remedy,
        StorageError,
    )


def _clock(departure: Departure, offset: float) -> Check:
    """Compare the clock with the steady one since `offset` was taken, and with the last record on disk."""
    clock, zone = departure.clock, local_zone()
    now = clock.now()
    value = local_text(now, zone)
    if not isinstance(clock, SystemClock):
        return Check(CheckName.CLOCK, "virtual clock", value, "any", Verdict.OK)
    jump = now - time.monotonic() - offset
    newest = max((path.stat().st_mtime for path in departure.runs_dir.glob(f"*/{JOURNAL}")), default=now)
    good = abs(jump) < _LARGEST_JUMP and now >= newest - _CLOCK_TOLERANCE
    limit = f"steady, and not before {local_text(newest, zone)}, the last record in {departure.runs_dir}"
    if abs(jump) >= _LARGEST_JUMP:
        value += f", jumped by {jump:.1f} s during the checks"
    remedy = "" if good else "set the clock of the computer"
    return Check(CheckName.CLOCK, "system clock", value, limit, _verdict(good), remedy, InputError)


def _lock(departure: Departure) -> Check:
    others = [] if _is_simulated(departure.setup) else list(_acquiring_elsewhere(departure))
    value = "; ".join(others) or "free"
    remedy = "stop the other run, or wait" if others else ""
    limit = "no other run with this scanner"
    return Check(
        CheckName.LOCK, str(departure.runs_dir), value, limit, _verdict(not others), remedy, error=RunLockedError
    )


def _with_rf(departure: Departure) -> Check:
    """Say whether more checks follow: with RF, once all of these have passed."""
    asked = departure.surroundings.needs_fids
    value = "follow when these have passed" if asked else "not asked for by the site file"
    return Check(CheckName.RF, "adjustments and checks with RF", value, "-", Verdict.OK if asked else Verdict.NOT_MADE)


def _is_simulated(setup: RunSetup) -> bool:
    return setup.seed is not None


def _acquiring_elsewhere(departure: Departure) -> Iterator[str]:
    """Name the other runs of this folder that a living process acquires with the same device."""
    device = departure.scanner.identify().device
    for path in departure.runs_dir.glob(f"*/{LOCK}"):
        holder = living_holder(path)
        if holder is None:
            continue
        try:
            other: Any = open_run(path.parent).manifest.scanner.device
        except KnightshiftError as error:
            other = f"a scanner that is not known ({error})"
        if other == device:
            yield f"{path.parent.name} is acquired by process {holder.pid} on {holder.host}"
