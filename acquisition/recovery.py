"""Bring a run folder back into good order after a crash: adopt what is complete, quarantine the rest."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

from knightshift.acquisition.run_writer import RunWriter, commit_payload
from knightshift.core.clock import from_iso_time
from knightshift.core.durable import move_durably, storage_error, sync_folder
from knightshift.core.errors import DamagedDataError
from knightshift.core.journal import JournalEvent
from knightshift.core.pass_file import PassFile, read_pass_file
from knightshift.core.references import ReferenceRole
from knightshift.core.run_folder import JOURNAL, PASSES, QUARANTINE, Commit, Run, check_belongs, finite_number

_LOG = logging.getLogger(__name__)
_BETWEEN_PASSES = {"pass_repeated", "suspended", "resumed", "reference"}
_PASS_NAME = re.compile(r"p(\d{6})\.h5")


def resume_time(run: Run) -> float:
    """Tell when the last good pass of a run ended, a failed one was given up or a wait ended, or else when it began.

    From here a virtual clock goes on, so that whatever drifts with time drifts as if nothing had come between.

    Returns
    -------
    float
        Seconds since the Unix epoch (UTC).
    """
    events, commits = run.events(), run.commits()
    times = [commit.finished for commit in commits.values()]
    times += [_exact_time(event, run) for event in events if _is_between_passes(event)]
    times += [_exact_time(event, run) for event in events if event.event == "epoch_began"][:1]
    times += [pass_file.record.finished for pass_file in _unrecorded(run, commits)[0]]
    return max(times, default=from_iso_time(run.manifest.created))


def _is_between_passes(event: JournalEvent) -> bool:
    """Leave out what is played only because a run goes on: an undisturbed one has not played it."""
    return event.event in _BETWEEN_PASSES and event.payload.get("role") != ReferenceRole.CHECK


def _exact_time(event: JournalEvent, run: Run) -> float:
    try:
        return finite_number(event.payload, "time_s")
    except ValueError as error:
        raise DamagedDataError(run.path / JOURNAL, f"line {event.sequence + 1}", str(error)) from error


def next_epoch(events: tuple[JournalEvent, ...]) -> int:
    """Tell the number of the epoch that begins now: how many there were."""
    return sum(event.event == "epoch_began" for event in events)


def recover(writer: RunWriter, time: float) -> None:
    """Make pass files and journal agree. The lock is held and nothing plays.

    Committed passes whose file is not the one committed lose their commit; complete files without a commit record
    are adopted; everything else in the folder of passes goes to quarantine.

    Parameters
    ----------
    writer
        Writes into the run.
    time
        For the journal: seconds since the Unix epoch (UTC).

    Raises
    ------
    DamagedDataError
        If the journal is damaged.
    StorageError
        If the disk refuses.
    """
    run = writer.run
    _make_durable(run.path / PASSES)
    commits = run.commits()
    for commit in commits.values():
        _check_committed(writer, commit, time)
    adoptable, others = _unrecorded(run, commits)
    for pass_file in adoptable:
        path = run.pass_path(pass_file.record.index)
        _make_durable(path)
        _LOG.info("%s: complete but not recorded: adopted", path)
        writer.log(time, "adopted", **commit_payload(pass_file.record, str(pass_file.sha256)))
    for path, reason in others:
        kept = _quarantine(run, path)
        _LOG.warning("%s: %s: moved to %s", path, reason, kept)
        writer.log(time, "file_quarantined", file=path.name, kept_as=kept.name, reason=reason)


def _check_committed(writer: RunWriter, commit: Commit, time: float) -> None:
    run = writer.run
    try:
        run.check_committed(commit)
    except DamagedDataError as error:
        path = run.pass_path(commit.index)
        kept = _quarantine(run, path) if os.path.lexists(path) else None
        _LOG.warning("%s: the pass will be acquired again", error)
        writer.log(
            time,
            "quarantined",
            **{"pass": commit.index, "kept_as": kept and kept.name, "reason": f"{error.field}: {error.problem}"},
        )


def _unrecorded(run: Run, commits: Mapping[int, Commit]) -> tuple[list[PassFile], list[tuple[Path, str]]]:
    """Sort what lies in the folder of passes without a commit record: adoptable, and others with the reason."""
    adoptable: list[PassFile] = []
    others: list[tuple[Path, str]] = []
    for path in sorted((run.path / PASSES).iterdir()):
        match = _PASS_NAME.fullmatch(path.name)
        index = int(match.group(1)) if match else -1
        if index in commits:
            continue
        if not 0 <= index < run.manifest.n_passes:
            others.append((path, "is not the file of a pass of this run"))
            continue
        try:
            pass_file = read_pass_file(path)
            check_belongs(pass_file, index, run.manifest, path)
        except DamagedDataError as error:
            others.append((path, f"{error.field}: {error.problem}"))
        else:
            adoptable.append(pass_file)
    return adoptable, others


def _quarantine(run: Run, path: Path) -> Path:
    folder = run.path / QUARANTINE
    number, target = 1, folder / path.name
    while os.path.lexists(target):
        number += 1
        target = folder / f"{path.name}.{number}"
    move_durably(path, target)
    return target


def _make_durable(path: Path) -> None:
    """Sync a file or folder that a killed process may have left in memory only."""
    try:
        if path.is_dir():
            sync_folder(path)
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error(path, "making durable", error) from error
