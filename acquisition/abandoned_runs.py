"""Run folders that a crash has left half made: who makes one says so in it, and the next start takes dead ones away."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import time
from pathlib import Path

from knightshift.acquisition.run_lock import LockHolder, living_holder
from knightshift.core.durable import PART_SUFFIX, storage_error, write_all
from knightshift.core.errors import StorageError
from knightshift.core.run_folder import FOLDERS, JOURNAL, LOCK, MANIFEST

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"\.[A-Za-z0-9_-]+\.part")
_CONTENT = {LOCK, JOURNAL, MANIFEST, f"{JOURNAL}{PART_SUFFIX}", f"{MANIFEST}{PART_SUFFIX}", *FOLDERS}
_ANONYMOUS_FOR = 60.0
"""A folder in which nobody has signed yet is left alone for so long [s]."""


def folder_in_the_making(runs_dir: Path, run_id: str) -> Path:
    """Say where the folder of run `run_id` lies until it is complete."""
    return runs_dir / f".{run_id}{PART_SUFFIX}"


def sign(folder: Path) -> None:
    """Write into a run folder that is being made which process makes it; `RunLock` takes that over later.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            write_all(descriptor, LockHolder.this_process().model_dump_json().encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error(folder / LOCK, "writing", error) from error


def clear_abandoned(runs_dir: Path) -> None:
    """Remove half-made run folders whose process is gone. Nothing was ever acquired into them."""
    for folder in runs_dir.glob(f".*{PART_SUFFIX}"):
        with contextlib.suppress(OSError, StorageError):  # another process may clear too; what stays does no harm
            if _is_abandoned(folder):
                _LOG.info("%s: left by a process that died while making a run: removed", folder)
                shutil.rmtree(folder)


def _is_abandoned(folder: Path) -> bool:
    if not _NAME.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
        return False
    content = {entry.name for entry in folder.iterdir()}
    if not content <= _CONTENT:
        return False  # not one of ours
    if LOCK not in content or (folder / LOCK).stat().st_size == 0:
        return time.time() - folder.stat().st_mtime > _ANONYMOUS_FOR
    return living_holder(folder / LOCK) is None
