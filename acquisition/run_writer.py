"""Writing a run: the folder at once, then pass by pass, each durable before it counts."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
import shutil
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from knightshift.acquisition.abandoned_runs import folder_in_the_making, sign
from knightshift.acquisition.scripted_disk import ScriptedDisk
from knightshift.core.clock import from_iso_time
from knightshift.core.durable import move_durably, storage_error, sync_folder, write_durably
from knightshift.core.errors import InputError, StorageError
from knightshift.core.journal import JournalEvent, JournalWriter, encode_event
from knightshift.core.manifest import Manifest
from knightshift.core.pass_file import PassFile, content_digest, encode_pass
from knightshift.core.passes import PassRecord
from knightshift.core.program import Measurement
from knightshift.core.run_folder import FOLDERS, JOURNAL, MANIFEST, PROGRAMS, Run

_BYTES_PER_READOUT = 32  # the counters
_BYTES_PER_PASS = 8192  # headers, the journal line, the last block of the file system
_DISK_FAILS = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


def bytes_on_disk(measurement: Measurement, n_channels: int = 1) -> int:
    """Estimate how much disk a run takes [bytes]."""
    program = max(measurement.programs, key=lambda entry: entry.n_readouts * entry.samples)
    per_readout = program.samples * n_channels * 8 + _BYTES_PER_READOUT
    passes = measurement.n_passes * (program.n_readouts * per_readout + _BYTES_PER_PASS)
    plan = measurement.references
    per_reference = 0 if plan is None else plan.samples * n_channels * 8 + _BYTES_PER_PASS
    return passes + (0 if plan is None else plan.count(measurement.n_passes)) * per_reference


def free_run_id(runs_dir: Path, name: str) -> str:
    """Make a run id of `name` that is not taken in `runs_dir`."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:100] or "run"
    number, run_id = 1, stem
    while (runs_dir / run_id).exists() or folder_in_the_making(runs_dir, run_id).exists():
        number += 1
        run_id = f"{stem}-{number}"
    return run_id


def make_runs_folder(runs_dir: Path) -> None:
    """Create the folder that holds the runs, where it is missing.

    Raises
    ------
    InputError
        If that is not possible.
    StorageError
        If the disk is full or fails.
    """
    missing = [folder for folder in (runs_dir, *runs_dir.parents) if not folder.exists()]
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            sync_folder(folder.parent)
    except OSError as error:
        raise _no_folder(runs_dir, error) from error


def _no_folder(runs_dir: Path, error: OSError) -> InputError | StorageError:
    if error.errno in _DISK_FAILS:
        return storage_error(runs_dir, "creating a folder", error)
    return InputError(f"{runs_dir}: cannot hold a run: {error.strerror or error}: give a writable folder with --runs")


def create_run(runs_dir: Path, manifest: Manifest, measurement: Measurement) -> Path:
    """Create the folder of a run with all that does not change; it appears complete or not at all.

    Returns
    -------
    Path
        The run folder.

    Raises
    ------
    InputError
        If `runs_dir` cannot be written to.
    StorageError
        If the disk refuses later on.
    """
    folder, building = runs_dir / manifest.run_id, folder_in_the_making(runs_dir, manifest.run_id)
    try:
        building.mkdir()
    except OSError as error:
        raise _no_folder(runs_dir, error) from error
    try:
        sign(building)
        _fill(building, manifest, measurement)
        move_durably(building, folder)
    except StorageError:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return folder


def _fill(folder: Path, manifest: Manifest, measurement: Measurement) -> None:
    content = manifest.model_dump_json(indent=2).encode()
    try:
        for name in FOLDERS:
            (folder / name).mkdir()
        sync_folder(folder)
    except OSError as error:
        raise storage_error(folder, "creating folders", error) from error
    for entry, program in zip(manifest.programs, measurement.programs, strict=True):
        write_durably(folder / PROGRAMS / entry.file_name, program.pulseq.encode())
    write_durably(folder / MANIFEST, content)
    write_durably(folder / JOURNAL, first_line(manifest, content))


def first_line(manifest: Manifest, content: bytes) -> bytes:
    """Give the line with which the journal of a run begins: it ties the journal to the bytes of the manifest."""
    payload = {"run_id": manifest.run_id, "manifest_sha256": hashlib.sha256(content).hexdigest()}
    return encode_event(JournalEvent(0, manifest.created, "created", payload), 0)[0]


class RunWriter:
    """Write passes and events into a run whose lock is held. May be used from several threads.

    Parameters
    ----------
    run
        The run. A torn last line of its journal is cut, and that is journaled.

    Raises
    ------
    DamagedDataError
        If the journal is damaged.
    StorageError
        If the disk refuses.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._lock = threading.Lock()
        self._disk = ScriptedDisk(run.manifest.setup)
        self._journal = JournalWriter(run.path / JOURNAL)
        if self._journal.cut_bytes:
            self.log(from_iso_time(run.events()[-1].time), "journal_cut", bytes=self._journal.cut_bytes)

    def log(self, time: float, event: str, **payload: Any) -> None:
        """Write one event into the journal, durably. See `JournalWriter.append`."""
        with self._lock:
            self._journal.append(time, event, **payload)

    def try_to_log(self, time: float, event: str, **payload: Any) -> None:
        """Write one event if the disk lets us: for last words after the disk has failed."""
        with contextlib.suppress(StorageError):
            self.log(time, event, **payload)

    def commit(self, record: PassRecord, time: float, **facts: Any) -> None:
        """Make a pass durable, and then its commit record. On return, no crash can take the pass away.

        Parameters
        ----------
        record
            The pass.
        time
            Of the commit: seconds since the Unix epoch (UTC).
        **facts
            What else the commit record is to say, as plain JSON data.

        Raises
        ------
        StorageError
            If the disk refuses; the pass then does not count.
        """
        manifest, path = self.run.manifest, self.run.pass_path(record.index)
        content = encode_pass(PassFile(record, manifest.run_id, manifest.program_of(record.index).digest))
        write_durably(path, content, self._disk.writer_for(record.index, record.epoch))
        self.log(time, "committed", **commit_payload(record, content_digest(content, path)), **facts)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def commit_payload(record: PassRecord, sha256: str) -> dict[str, Any]:
    """Give what a commit record says about a pass."""
    return {
        "pass": record.index,
        "epoch": record.epoch,
        "started_s": record.started,
        "finished_s": record.finished,
        "frequency_Hz": record.frequency,
        "flags": list(record.flags),
        "sha256": sha256,
    }
