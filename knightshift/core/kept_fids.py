"""FIDs that a run keeps beside its passes: of adjustments, of the pre-flight and between passes.

Each is one file of the form of a pass file, ``adjustments/<kind>-<number>.h5``; an event of the journal holds its name
and checksum. Its index is that under which the scanner played it, far above those of passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

from knightshift.core.durable import read_regular_file
from knightshift.core.errors import DamagedDataError
from knightshift.core.journal import JournalEvent
from knightshift.core.manifest import MAX_PASSES
from knightshift.core.pass_file import MAX_PASS_BYTES, PassFile, decode_pass

ADJUSTMENTS = "adjustments"
"""Folder of a run that holds them."""


class FidKind(StrEnum):
    """What was played beside the passes. The order is part of the scanner's index: append only."""

    CENTRE_FREQUENCY = "centre_frequency"
    """To find the line."""
    RF_CALIBRATION = "rf_calibration"
    """One amplitude of the nutation."""
    RECEIVER_GAIN = "receiver_gain"
    """The program itself, to see its largest sample."""
    CHECK = "check"
    """To look at frequency and noise before a run, or before it goes on."""
    DUMMY_PASS = "dummy_pass"  # noqa: S105 - not a password
    """The program itself, as a check."""
    REFERENCE = "reference"
    """Between passes."""


_NAME = re.compile(rf"({'|'.join(FidKind)})-([0-9]{{6}})\.h5")


def scanner_index(kind: FidKind, number: int) -> int:
    """Pass index under which the scanner plays it: no pass has it, and a simulated scanner's noise depends on it."""
    return MAX_PASSES * (1 + list(FidKind).index(kind)) + number


def kept_fid_name(kind: FidKind, number: int) -> str:
    """Name of its file."""
    return f"{kind}-{number:06d}.h5"


def kept_fids(events: Iterable[JournalEvent], journal: Path) -> Mapping[str, str]:
    """Name and checksum of every FID that a journal tells of; measured again, the last counts.

    ``adjusting`` begins the adjustments of a run, perhaps anew: what an earlier attempt kept does not count any more.

    Raises
    ------
    DamagedDataError
        If an event does not hold what it must.
    """
    kept: dict[str, str] = {}
    for event in events:
        if event.event == "adjusting":
            kept.clear()
        for entry in event.payload.get("files", ()):
            try:
                name, digest = str(entry["file"]), str(entry["sha256"])
                if not _NAME.fullmatch(name):
                    raise ValueError(f"{name!r} is not the name of a kept FID")  # noqa: TRY301
            except (KeyError, TypeError, ValueError) as error:
                raise DamagedDataError(journal, f"line {event.sequence + 1}", f"files: {error}") from error
            kept[name] = digest
    return kept


def read_kept_fid(run_folder: Path, name: str, sha256: str) -> PassFile:
    """Read one kept FID, verified against its own checksum and against the journal.

    Raises
    ------
    DamagedDataError
        If it is missing, altered or another one.
    """
    path = run_folder / ADJUSTMENTS / name
    try:
        content = read_regular_file(path, MAX_PASS_BYTES)
        found = decode_pass(content, path)
    except DamagedDataError as error:
        raise DamagedDataError(error.path, error.field, error.problem, _REMEDY) from error
    if found.sha256 != sha256:
        raise DamagedDataError(path, "checksum", f"{found.sha256} is not that of the journal, {sha256}", _REMEDY)
    return found


_REMEDY = "the passes do not depend on it: what it gave stands in the journal"
