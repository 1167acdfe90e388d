"""What is played before the first pass of a run, and before it goes on after an interruption."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from knightshift.acquisition.adjustments.adjusting import (
    adjust_frequency,
    adjust_gain,
    calibrate_transmitter,
    frequency_check,
)
from knightshift.acquisition.adjustments.bench import Bench, attempt, not_made
from knightshift.acquisition.adjustments.measured_fid import MeasuredFid
from knightshift.acquisition.adjustments.referencing import retune_if_far, values_of
from knightshift.acquisition.adjustments.rf_checks import dummy_pass_check, noise_check
from knightshift.acquisition.adjustments.schedule import brightest_program
from knightshift.acquisition.preflight_verdict import Check, apply_rules
from knightshift.core.errors import LimitError, ProtocolError
from knightshift.core.journal import JournalEvent
from knightshift.core.kept_fids import FidKind
from knightshift.core.references import ReferenceRole
from knightshift.hardware.preflight_rules import CheckName, RfChecks

_LOG = logging.getLogger(__name__)

_WITHOUT_LINE = "the line was not found"
_SHORT_GAP = 60.0
"""After a longer one the line is tuned to again, where it was tuned to before the first pass [s]."""
_NOT_ASKED = "not asked for by the site file"


def before_first_pass(bench: Bench) -> tuple[Check, ...]:
    """Adjust what the site file names and check what it asks for.

    Returns
    -------
    tuple of Check
        One for each check with RF, also those not made; failures that the site file wants as warnings are warnings.
    """
    impossible = _impossible(bench)
    if impossible is not None:
        return impossible
    now = bench.clock.now()
    bench.log(now, "adjusting", epoch=bench.extra.epoch, time_s=now)
    bench.extra.player.tune(frequency=bench.working_frequency)
    frequency = _frequency(bench)
    checks = [
        frequency,
        _transmitter(bench),
        _gain(bench),
        _noise(bench, lambda: _at_final_gain(bench)),
        _dummy_pass(bench, 0),
    ]
    return apply_rules(checks, bench.site.preflight)


def before_going_on(bench: Bench, events: Sequence[JournalEvent], gap: float) -> tuple[Check, ...]:
    """Tune the scanner as it was and make the checks again; nothing is adjusted anew.

    Parameters
    ----------
    bench
        The scanner.
    events
        The journal so far.
    gap
        How long nothing was played [s]. After less than the interval of the references (without any: a minute) the
        line is only looked at, so that a resumed run is equal to an undisturbed one.
    """
    impossible = _impossible(bench)
    if impossible is not None:
        return impossible
    restore(bench, events)
    number = len(events)  # no file of an earlier epoch has it
    before = "adjusted before the first pass"
    checks = [
        attempt(CheckName.FREQUENCY, _wanted_frequency(bench), lambda: _look_again(bench, number, gap)),
        not_made(CheckName.TRANSMITTER, before if bench.site.adjustments.rf_calibration else _NOT_ASKED),
        not_made(CheckName.GAIN, before if bench.site.adjustments.receiver_gain else _NOT_ASKED),
        _noise(bench, lambda: bench.last_fid),
        _dummy_pass(bench, number),
    ]
    return apply_rules(checks, bench.site.preflight)


def duration_before_going_on(bench: Bench) -> float:
    """How long `before_going_on` plays [s]."""
    if _impossible(bench) is not None:
        return 0.0
    program = brightest_program(bench.measurement)
    return bench.fid().program.duration + (program.duration if bench.site.preflight.with_rf else 0.0)


def restore(bench: Bench, events: Iterable[JournalEvent]) -> None:
    """Tune to the frequency and gain that were in force when the journal ends."""
    frequency, gain = bench.working_frequency, None
    for event in events:
        values = event.payload.get("values", {}) if event.event == "adjusted" else event.payload
        if event.event in {"adjusted", "reference"} and values.get("channel") is not None:
            bench.channel = int(values["channel"])
        if event.event == "adjusted":
            frequency, gain = event.payload["receiver_frequency_Hz"], event.payload["receiver_gain_dB"]
        elif event.event == "reference" and event.payload.get("retuned_to_Hz") is not None:
            frequency = event.payload["retuned_to_Hz"]
    bench.extra.player.tune(frequency=frequency, receiver_gain=gain)


def _impossible(bench: Bench) -> tuple[Check, ...] | None:
    """Say so where the scanner plays nothing but its own programs, a recording for instance."""
    fid = bench.fid().program
    try:
        bench.scanner.validate(fid)
    except LimitError:
        raise
    except ProtocolError as error:
        bench.possible = False
        _LOG.warning("no adjustments, checks with RF or references on this scanner: %s", error)
        names = (CheckName.FREQUENCY, CheckName.TRANSMITTER, CheckName.GAIN, CheckName.NOISE, CheckName.DUMMY_PASS)
        return tuple(not_made(name, f"not possible on this scanner: {error}") for name in names)
    return None


def _checks(bench: Bench) -> RfChecks:
    return bench.site.preflight.with_rf or RfChecks()


def _wanted_frequency(bench: Bench) -> str:
    return f"within {_checks(bench).frequency:g} Hz"


def _frequency(bench: Bench) -> Check:
    tolerance, limit = _checks(bench).frequency, _wanted_frequency(bench)
    if bench.site.adjustments.centre_frequency:
        return attempt(CheckName.FREQUENCY, limit, lambda: adjust_frequency(bench, tolerance))
    if bench.site.preflight.with_rf or bench.site.references:
        return attempt(CheckName.FREQUENCY, limit, lambda: _look(bench))
    return not_made(CheckName.FREQUENCY, _NOT_ASKED)


def _look(bench: Bench) -> Check:
    found, files = bench.measure(FidKind.CHECK, 0)
    bench.log(bench.clock.now(), "fid_kept", files=files)
    return frequency_check(bench, found, _checks(bench).frequency, "left as it is")


def _look_again(bench: Bench, number: int, gap: float) -> Check:
    found, files = bench.measure(FidKind.CHECK, number)
    references, measurement = bench.site.references, bench.measurement
    retuned, role = None, ReferenceRole.CHECK
    if references is None:
        if gap > _SHORT_GAP and bench.site.adjustments.centre_frequency:
            bench.extra.player.tune(frequency=found.frequency)
            retuned = found.frequency
    elif gap > references.interval * measurement.duration / measurement.n_passes:
        retuned, role = retune_if_far(bench, found), ReferenceRole.RELOCK
    facts = {"number": number, "before_pass": None, "role": role, **values_of(found), "retuned_to_Hz": retuned}
    bench.log(bench.clock.now(), "reference", epoch=bench.extra.epoch, **facts, files=files)
    done = "left as it is" if retuned is None else "tuned to it"
    return frequency_check(bench, found, _checks(bench).frequency, done)


def _transmitter(bench: Bench) -> Check:
    config = bench.site.adjustments.rf_calibration
    if config is None:
        return not_made(CheckName.TRANSMITTER, _NOT_ASKED)
    limit = f"within {100 * config.tolerance:g} %"
    return _with_line(bench, CheckName.TRANSMITTER, limit, lambda: calibrate_transmitter(bench, config))


def _gain(bench: Bench) -> Check:
    config = bench.site.adjustments.receiver_gain
    if config is None:
        return not_made(CheckName.GAIN, _NOT_ASKED)
    program = brightest_program(bench.measurement)
    limit = f"at most {100 * config.largest_sample:g} %"
    return _with_line(bench, CheckName.GAIN, limit, lambda: adjust_gain(bench, config, program))


def _noise(bench: Bench, fid: Callable[[], MeasuredFid | None]) -> Check:
    checks = bench.site.preflight.with_rf
    if checks is None:
        return not_made(CheckName.NOISE, _NOT_ASKED)
    limit = f"within {100 * checks.noise:g} %"

    def look() -> Check:
        found = fid()
        return not_made(CheckName.NOISE, _WITHOUT_LINE) if found is None else noise_check(bench, found, checks.noise)

    return _with_line(bench, CheckName.NOISE, limit, look)


def _at_final_gain(bench: Bench) -> MeasuredFid | None:
    """Measure again where the gain was changed meanwhile: a receiver's noise, referred to its input, depends on it."""
    last = bench.last_fid
    if last is None or last.receiver_gain == bench.scanner.status().receiver_gain:
        return last
    found, files = bench.measure(FidKind.CHECK, 1)
    bench.log(bench.clock.now(), "fid_kept", files=files)
    return found


def _dummy_pass(bench: Bench, number: int) -> Check:
    checks = bench.site.preflight.with_rf
    if checks is None:
        return not_made(CheckName.DUMMY_PASS, _NOT_ASKED)
    limit = f"within {100 * checks.dummy_pass:g} %"
    return _with_line(bench, CheckName.DUMMY_PASS, limit, lambda: dummy_pass_check(bench, checks.dummy_pass, number))


def _with_line(bench: Bench, name: CheckName, limit: str, work: Callable[[], Check]) -> Check:
    """Play no more where the line was looked for in vain."""
    looked = bench.site.adjustments.centre_frequency or bench.site.preflight.with_rf or bench.site.references
    if looked and bench.last_fid is None:
        return not_made(name, _WITHOUT_LINE, limit)
    return attempt(name, limit, work)
