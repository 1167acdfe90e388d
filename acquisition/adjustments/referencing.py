"""Reference FIDs between passes: measured, judged, and written down after the pass before is durable."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from knightshift.acquisition.adjustments.bench import Bench
from knightshift.acquisition.adjustments.measured_fid import MeasuredFid
from knightshift.core.errors import AdjustmentError
from knightshift.core.journal import JournalEvent
from knightshift.core.kept_fids import FidKind
from knightshift.core.passes import PassRecord
from knightshift.core.program import PassProgram
from knightshift.core.references import ReferenceRole

_LOG = logging.getLogger(__name__)

NO_VALUE: dict[str, None] = dict.fromkeys(
    (
        "frequency_Hz", "frequency_std_Hz", "amplitude", "amplitude_std", "phase_rad", "phase_std_rad",
        "linewidth_Hz", "noise_std", "noise_density", "snr", "channel",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Pending:
    """A reference that was played and is not written down yet."""

    program: PassProgram
    """What was played."""
    record: PassRecord
    """What came."""
    number: int
    """Of its file."""
    facts: dict[str, Any]
    """Of its event."""


def numbers_done(events: Iterable[JournalEvent]) -> set[int]:
    """Scheduled references that a journal tells of."""
    return {
        int(event.payload["number"])
        for event in events
        if event.event == "reference" and event.payload.get("role") == ReferenceRole.SCHEDULED
    }


def play_reference(bench: Bench, number: int, before_pass: int) -> Pending:
    """Play the scheduled reference `number`; the receiver is retuned at once where the line left its tolerance.

    A reference without a line does not end a night: it is written down as such, and nothing is changed.
    """
    fid = bench.fid()
    record = bench.extra.play(fid.program, FidKind.REFERENCE, number, before_pass)
    facts = {"number": number, "before_pass": before_pass, "role": ReferenceRole.SCHEDULED}
    try:
        found = bench.line_of(record, fid)
    except AdjustmentError as error:
        _LOG.warning("reference %d gives no value: %s", number, error)
        return Pending(fid.program, record, number, facts | _without_value(record, str(error)))
    values = values_of(found) | {"retuned_to_Hz": retune_if_far(bench, found)}
    return Pending(fid.program, record, number, facts | values)


def retune_if_far(bench: Bench, found: MeasuredFid) -> float | None:
    """Tune to the line if it is further from the receiver than the site allows; gives the new frequency [Hz]."""
    references = bench.site.references
    if references is None or abs(found.line.frequency) <= references.tolerance:
        return None
    _LOG.info("the line is %+.1f Hz from the receiver: retuned", found.line.frequency)
    bench.extra.player.tune(frequency=found.frequency)
    return found.frequency


def write_down(bench: Bench, pending: Pending) -> None:
    """Make the FID and then its event durable. The pass before is durable by now: call it no earlier."""
    files = bench.keep(FidKind.REFERENCE, pending.number, pending.program, pending.record)
    bench.log(bench.clock.now(), "reference", epoch=bench.extra.epoch, **pending.facts, files=files)


def values_of(found: MeasuredFid) -> dict[str, Any]:
    """Give what the event of a reference says of a line that was found."""
    return {
        "started_s": found.started,
        "time_s": found.finished,
        "receiver_frequency_Hz": found.receiver_frequency,
        "receiver_gain_dB": found.receiver_gain,
        **found.for_journal(),
        "retuned_to_Hz": None,
        "problem": "",
    }


def _without_value(record: PassRecord, problem: str) -> dict[str, Any]:
    return {
        "started_s": record.started,
        "time_s": record.finished,
        "receiver_frequency_Hz": record.frequency,
        "receiver_gain_dB": record.receiver_gain,
        **NO_VALUE,
        "retuned_to_Hz": None,
        "problem": problem,
    }
