"""Adjust a scanner without acquiring anything: what is found is told, and remembered if asked; no run is made."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from knightshift.acquisition.adjustments.before_passes import before_first_pass
from knightshift.acquisition.adjustments.bench import Bench
from knightshift.acquisition.adjustments.extra_player import ExtraPlayer
from knightshift.acquisition.adjustments.schedule import brightest_program
from knightshift.acquisition.interlock_guard import InterlockGuard
from knightshift.acquisition.options import AcquisitionOptions
from knightshift.acquisition.pass_player import PassPlayer
from knightshift.acquisition.preflight import Departure, preflight
from knightshift.acquisition.preflight_verdict import Check, refuse_if_failed
from knightshift.acquisition.run_writer import make_runs_folder
from knightshift.acquisition.surroundings import Surroundings, surroundings_of
from knightshift.core.clock import Clock
from knightshift.core.errors import ScannerFault
from knightshift.core.manifest import RunSetup
from knightshift.core.program import Measurement
from knightshift.hardware.adjustment_rules import (
    AdjustmentsConfig,
    CentreFrequencyConfig,
    ReceiverGainConfig,
    RfCalibrationConfig,
)
from knightshift.hardware.contract import Scanner
from knightshift.hardware.preflight_rules import RfChecks

_LOG = logging.getLogger(__name__)


def adjust(
    measurement: Measurement,
    scanner: Scanner,
    runs_dir: Path,
    *,
    setup: RunSetup,
    clock: Clock,
    new_baseline: bool = False,
    on_checks: Callable[[tuple[Check, ...]], None] = lambda _checks: None,
) -> tuple[Check, ...]:
    """Make the dry checks, the adjustments of the site (all three where it names none) and the checks with RF.

    Parameters
    ----------
    measurement
        For which protocol; nothing of it is kept.
    scanner
        Disconnected; it is made safe and closed at the end.
    runs_dir
        Folder that holds the runs, and what is remembered of the site.
    setup
        The site.
    clock
        The one that the scanner uses.
    new_baseline
        Forget what is remembered of receiver noise and of the signal of this protocol, and remember what is found now.
    on_checks
        Told of the dry checks before anything is played, and of the others at the end.

    Returns
    -------
    tuple of Check
        Those with RF, failures included: it is for the caller to refuse.

    Raises
    ------
    KnightshiftError
        As `refuse_if_failed` if a dry check failed; as `PassPlayer.play` where a scanner fails.
    """
    make_runs_folder(runs_dir)
    options = AcquisitionOptions(disk_margin=0)
    around = _with_defaults(surroundings_of(setup, clock))
    departure = Departure(measurement, scanner, clock, runs_dir, setup, around, options.disk_margin)
    with options.stop.on_signals(), around.watch or nullcontext(), scanner:
        dry = preflight(departure)
        on_checks(dry)
        refuse_if_failed(dry)
        guard = InterlockGuard(around.watch, scanner, clock, options.stop, _say, around.max_suspension)
        player = PassPlayer(scanner, clock, options, guard, _repeated)
        extra = ExtraPlayer(player, 0)
        bench = Bench(measurement, scanner, clock, around, extra, _say, runs_dir, "knightshift adjust")
        if new_baseline:
            _forget(bench)
        found = before_first_pass(bench)
        on_checks(found)
        return found


def _with_defaults(around: Surroundings) -> Surroundings:
    adjustments = around.adjustments
    if not adjustments.any:
        adjustments = AdjustmentsConfig(
            fid=adjustments.fid,
            centre_frequency=CentreFrequencyConfig(),
            rf_calibration=RfCalibrationConfig(),
            receiver_gain=ReceiverGainConfig(),
        )
    rules = around.preflight.model_copy(update={"with_rf": around.preflight.with_rf or RfChecks()})
    return replace(around, adjustments=adjustments, preflight=rules)


def _forget(bench: Bench) -> None:
    memory = bench.memory()
    nucleus = bench.measurement.programs[0].nucleus
    digest = brightest_program(bench.measurement).digest
    noise = {key: entry for key, entry in memory.noise.items() if key != nucleus}
    signals = {key: entry for key, entry in memory.signals.items() if key != digest}
    bench.remember(memory.model_copy(update={"noise": noise, "signals": signals}))


def _say(time: float, event: str, **payload: Any) -> None:
    _LOG.info("%s at %.3f: %s", event, time, payload)


def _repeated(_index: int, attempt: int, fault: ScannerFault) -> None:
    _LOG.warning("attempt %d: %s: played again", attempt, fault)
