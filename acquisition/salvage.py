"""Set what is damaged in a run aside, so that all else can be used where no scanner can acquire it again."""

from __future__ import annotations

import os
from pathlib import Path

from knightshift.acquisition.recovery import recover
from knightshift.acquisition.run_lock import RunLock
from knightshift.acquisition.run_writer import RunWriter, first_line
from knightshift.core.durable import read_regular_file, write_durably
from knightshift.core.errors import DamagedDataError
from knightshift.core.journal import MAX_JOURNAL_BYTES, decode_journal
from knightshift.core.manifest import parse_manifest
from knightshift.core.run_folder import JOURNAL, LOCK, MANIFEST, QUARANTINE, open_run

_MAX_MANIFEST_BYTES = 16_000_000


def set_damage_aside(path: Path, time: float) -> None:
    """Move damaged passes, and a damaged journal, to ``quarantine/``; what is intact counts, as after a `resume`.

    A damaged journal is kept up to its first damaged line; passes that were recorded later are adopted from their
    files, which hold all that reconstruction needs: times, frequency, flags.

    Parameters
    ----------
    path
        The run folder.
    time
        For the journal: seconds since the Unix epoch (UTC).

    Raises
    ------
    ConfigError
        If it is not a run, or its manifest cannot be read.
    RunLockedError
        If another process acquires into it.
    StorageError
        If the disk refuses.
    """
    with RunLock(path / LOCK):
        mended = _mend_journal(path)
        with RunWriter(open_run(path)) as writer:
            if mended is not None:
                writer.log(time, "journal_mended", kept_as=mended[0], reason=mended[1])
            recover(writer, time)


def _mend_journal(path: Path) -> tuple[str, str] | None:
    """Cut a journal before its first damaged line; gives the name of the copy kept, and what was wrong."""
    journal = path / JOURNAL
    content = read_regular_file(journal, MAX_JOURNAL_BYTES)
    lines = content.splitlines(keepends=True)
    try:
        decode_journal(content, journal)
    except DamagedDataError as error:
        problem = f"{error.field}: {error.problem}"
        n_good = int(error.field.removeprefix("line ")) - 1
    else:
        return None
    kept = _free_name(path / QUARANTINE, JOURNAL)
    write_durably(path / QUARANTINE / kept, content)
    write_durably(journal, b"".join(lines[:n_good]) if n_good else _first_line(path))
    return kept, problem


def _free_name(folder: Path, name: str) -> str:
    number, free = 1, name
    while os.path.lexists(folder / free):
        number += 1
        free = f"{name}.{number}"
    return free


def _first_line(path: Path) -> bytes:
    content = read_regular_file(path / MANIFEST, _MAX_MANIFEST_BYTES)
    return first_line(parse_manifest(content, str(path / MANIFEST)), content)
