"""A run on disk, read: safe while another process writes it, and without trust in what the files say.

::

    <runs>/<run-id>/manifest.json       immutable
                    programs/*.seq      the Pulseq files that were played, by digest
                    journal.jsonl       append-only truth
                    passes/p000123.h5   one closed, checksummed file per pass
                    rejected/  derived/  quarantine/
                    run.lock

No file name is ever taken from a file: all are made from numbers and digests.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knightshift.core.durable import read_regular_file
from knightshift.core.errors import ConfigError, DamagedDataError, InputError
from knightshift.core.journal import MAX_JOURNAL_BYTES, JournalEvent, decode_journal, read_journal
from knightshift.core.manifest import Manifest, ProgramEntry, parse_manifest
from knightshift.core.pass_file import MAX_PASS_BYTES, PassFile, content_digest, pass_file_name, read_pass_file
from knightshift.core.passes import PassRecord
from knightshift.core.program import Measurement, PassProgram

MANIFEST = "manifest.json"
JOURNAL = "journal.jsonl"
LOCK = "run.lock"
PROGRAMS = "programs"
PASSES = "passes"
REJECTED = "rejected"
DERIVED = "derived"
QUARANTINE = "quarantine"
FOLDERS = (PROGRAMS, PASSES, REJECTED, DERIVED, QUARANTINE)
"""Folders of a run."""

_MAX_MANIFEST_BYTES = 16_000_000
_MAX_PULSEQ_BYTES = 256_000_000


@dataclass(frozen=True)
class Commit:
    """The commit record of one pass: from the journal, without opening its file."""

    index: int
    """Number of the pass from 0."""
    sha256: str
    """Checksum that its file must have."""
    epoch: int
    """0 until the first resume, then one more each time."""
    started: float
    """Seconds since the Unix epoch (UTC)."""
    finished: float
    """Seconds since the Unix epoch (UTC)."""
    frequency: float
    """Working frequency [Hz]."""
    flags: tuple[str, ...]
    """Why this pass should get no weight; empty for a good one."""
    noise_std: float | None = None
    """Noise of the real part of a sample, as received; None where it is not known."""


@dataclass(frozen=True)
class Run:
    """A run folder, opened for reading."""

    path: Path
    """The folder."""
    manifest: Manifest
    """What was to be measured."""

    def events(self) -> tuple[JournalEvent, ...]:
        """Read all events so far; a line that is being written is left out. Raises `DamagedDataError`."""
        return read_journal(self.path / JOURNAL).events

    def commits(self) -> Mapping[int, Commit]:
        """Commit records of the passes that count, by index, in order of index. Raises `DamagedDataError`."""
        return committed_passes(self.events(), self.path / JOURNAL, self.manifest.n_passes)

    def committed(self) -> tuple[int, ...]:
        """Tell the indices of the passes that count, in order. Raises `DamagedDataError`."""
        return tuple(self.commits())

    def pass_path(self, index: int) -> Path:
        """Where the file of pass `index` lies."""
        return self.path / PASSES / pass_file_name(index)

    def read_pass(self, index: int) -> PassRecord:
        """Read one pass, verified against its own checksum and against the manifest.

        Raises
        ------
        InputError
            If the run has no such pass.
        DamagedDataError
            If the file is missing, altered, or of another run, pass or program.
        """
        if not 0 <= index < self.manifest.n_passes:
            raise InputError(f"{self.path}: no pass {index}: the run has passes 0 to {self.manifest.n_passes - 1}")
        return self._read_pass(index).record

    def passes(self) -> Iterator[PassRecord]:
        """Read the passes that count, in order of index, verified against their commit records too.

        Raises
        ------
        DamagedDataError
            On the first damaged one.
        """
        for commit in self.commits().values():
            yield self.read_committed(commit)

    def read_committed(self, commit: Commit) -> PassRecord:
        """Read the pass of one commit record. Raises `DamagedDataError` if its file is not the one committed."""
        pass_file = self._read_pass(commit.index)
        _require_committed(pass_file.sha256, commit, self.pass_path(commit.index))
        return pass_file.record

    def check_committed(self, commit: Commit) -> None:
        """Check that the file of a pass is, byte for byte, the one committed. Raises `DamagedDataError`."""
        path = self.pass_path(commit.index)
        _require_committed(content_digest(read_regular_file(path, MAX_PASS_BYTES), path), commit, path)

    def _read_pass(self, index: int) -> PassFile:
        path = self.pass_path(index)
        pass_file = read_pass_file(path)
        check_belongs(pass_file, index, self.manifest, path)
        return pass_file

    def program(self, entry: ProgramEntry) -> PassProgram:
        """Read one of the programs, its digest verified. Raises `DamagedDataError`."""
        path = self.path / PROGRAMS / entry.file_name
        try:
            program = entry.program(read_regular_file(path, _MAX_PULSEQ_BYTES).decode("utf-8"))
        except (UnicodeDecodeError, ConfigError) as error:
            raise DamagedDataError(path, "program", str(error)) from error
        if program.digest != entry.digest:
            raise DamagedDataError(path, "checksum", f"{program.digest} is not the digest in its name")
        return program

    def measurement(self) -> Measurement:
        """Put together what was to be played, as `acquire` got it. Raises `DamagedDataError`."""
        return Measurement(
            protocol=self.manifest.protocol,
            programs=tuple(self.program(entry) for entry in self.manifest.programs),
            encoding=self.manifest.encoding,
            n_passes=self.manifest.n_passes,
        )


def _require_committed(digest: str | None, commit: Commit, path: Path) -> None:
    if digest != commit.sha256:
        raise DamagedDataError(path, "checksum", f"{digest} is not that of the commit record, {commit.sha256}")


def open_run(path: str | Path) -> Run:
    """Open a run folder for reading, also while another process writes it.

    Raises
    ------
    ConfigError
        If it is not a run folder, or of a newer format.
    DamagedDataError
        If the manifest is not the one that the run began with, or the journal is damaged at its start.
    """
    folder = Path(path)
    manifest_path = folder / MANIFEST
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder: give the folder of one run")
    if not manifest_path.exists():
        raise ConfigError(f"{folder}: is not a run (no {MANIFEST}): give the folder of one run{_runs_inside(folder)}")
    content = read_regular_file(manifest_path, _MAX_MANIFEST_BYTES)
    _check_manifest(content, folder)
    return Run(folder, parse_manifest(content, str(manifest_path)))


def _runs_inside(folder: Path) -> str:
    names = sorted(entry.parent.name for entry in folder.glob(f"[!.]*/{MANIFEST}"))
    return f", such as {folder / names[-1]}" if names else ""


def _check_manifest(content: bytes, folder: Path) -> None:
    journal = read_regular_file(folder / JOURNAL, MAX_JOURNAL_BYTES)
    events = decode_journal(b"".join(journal.splitlines(keepends=True)[:1]), folder / JOURNAL).events
    if not events or events[0].event != "created":
        raise DamagedDataError(folder / JOURNAL, "line 1", "does not tell how the run was created")
    digest, right = hashlib.sha256(content).hexdigest(), events[0].payload.get("manifest_sha256")
    if right != digest:
        raise DamagedDataError(
            folder / MANIFEST,
            "checksum",
            f"{digest} is not that of the run's first journal line",
            f"it was changed after the run began: put back the file of SHA-256 {right} from a copy of the run, its "
            "passes are not affected; to measure with other settings, start a new run",
        )


def committed_passes(events: tuple[JournalEvent, ...], journal: Path, n_passes: int) -> Mapping[int, Commit]:
    """Replay a journal: which passes count, in order of index.

    ``committed`` and ``adopted`` add a pass; ``quarantined`` and ``rejected`` take it away again.

    Raises
    ------
    DamagedDataError
        If an event does not hold what it must.
    """
    ledger = CommitLedger(journal, n_passes)
    for event in events:
        ledger.read(event)
    return ledger.commits()


class CommitLedger:
    """Keeps count of the passes of a run, event by event.

    Parameters
    ----------
    journal
        What to call it in a message.
    n_passes
        Passes planned.
    """

    def __init__(self, journal: Path, n_passes: int) -> None:
        self._journal, self._n_passes = journal, n_passes
        self._commits: dict[int, Commit] = {}

    def read(self, event: JournalEvent) -> None:
        """Take the next event. Raises `DamagedDataError` if it does not hold what it must."""
        if event.event not in _CHANGES:
            return
        try:
            index = event.payload["pass"]
            if type(index) is not int or not 0 <= index < self._n_passes:
                raise ValueError(f"pass {index!r} is none of the {self._n_passes} of this run")  # noqa: TRY301
            if event.event in _ADDS:
                self._commits[index] = _commit(event.payload)
            else:
                self._commits.pop(index, None)
        except (KeyError, TypeError, ValueError) as error:
            where = f"line {event.sequence + 1}"
            raise DamagedDataError(self._journal, where, f"event {event.event!r}: {error}") from error

    def commits(self) -> Mapping[int, Commit]:
        """Give the passes that count, in order of index."""
        return dict(sorted(self._commits.items()))


_ADDS = frozenset({"committed", "adopted"})
_CHANGES = _ADDS | {"quarantined", "rejected"}


def finite_number(payload: Mapping[str, Any], key: str) -> float:
    """Take a number from an event; one that is missing, no number or not finite is a `ValueError`."""
    value = payload.get(key)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{key} {value!r} is not a number")
    return float(value)


def _commit(payload: Mapping[str, Any]) -> Commit:
    return Commit(
        index=payload["pass"],
        sha256=str(payload["sha256"]),
        epoch=int(payload["epoch"]),
        started=finite_number(payload, "started_s"),
        finished=finite_number(payload, "finished_s"),
        frequency=finite_number(payload, "frequency_Hz"),
        flags=tuple(str(flag) for flag in payload["flags"]),
        noise_std=None if payload.get("noise_std") is None else finite_number(payload, "noise_std"),
    )


def check_belongs(pass_file: PassFile, index: int, manifest: Manifest, path: Path) -> None:
    """Check that a pass file is the one of pass `index` of this run.

    Raises
    ------
    DamagedDataError
        If run, index, program or shape are others.
    """
    record, program = pass_file.record, manifest.program_of(index)
    pairs = {
        "run": (pass_file.run_id, manifest.run_id),
        "pass index": (record.index, index),
        "program": (pass_file.program_digest, program.digest),
        "readouts": (record.samples.shape[0], program.n_readouts),
        "samples": (record.samples.shape[2], program.samples),
    }
    for name, (found, expected) in pairs.items():
        if found != expected:
            raise DamagedDataError(path, name, f"{found}, {expected} was expected: the file is of another place")
