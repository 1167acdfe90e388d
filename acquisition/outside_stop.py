"""A wish to stop a run that comes from another process: a small file in the run folder, obeyed between passes.

Signals need the right to send them and a process id that is still the same; a file needs only the folder.
"""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from knightshift.acquisition.run_lock import living_holder
from knightshift.core.durable import read_regular_file, storage_error, write_durably
from knightshift.core.errors import DamagedDataError, InputError
from knightshift.core.run_folder import LOCK

STOP_WISH = "stop-request.json"
"""Name of the file in the run folder."""
_MAX_BYTES = 4096


class StopWishNote(BaseModel):
    """Who wants a run to stop after its pass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    who: str = Field(max_length=200)
    """A person, or where the wish was made."""
    asked: float
    """Seconds since the Unix epoch (UTC), by the clock of the computer."""


def ask_to_stop(run: Path, who: str) -> None:
    """Leave the wish to stop after the pass in the folder of a run.

    Raises
    ------
    InputError
        If no process acquires into it.
    StorageError
        If the wish cannot be written.
    """
    if living_holder(run / LOCK) is None:
        raise InputError(f"{run}: no process acquires into this run: there is nothing to stop")
    write_durably(run / STOP_WISH, StopWishNote(who=who, asked=time.time()).model_dump_json().encode())


def take_stop_wish(run: Path) -> StopWishNote | None:
    """Take the wish away, if there is one: the run that takes it obeys it, once. Raises `StorageError`."""
    path = run / STOP_WISH
    if not path.exists():  # the usual case: one look, between passes
        return None
    asked = path.lstat().st_mtime
    try:
        note = StopWishNote.model_validate_json(read_regular_file(path, _MAX_BYTES))
    except (ValidationError, DamagedDataError):  # who writes such a file wants the run to stop all the same
        note = StopWishNote(who=f"an unreadable {STOP_WISH}", asked=asked)
    try:
        path.unlink()
    except OSError as error:
        raise storage_error(path, "taking away", error) from error
    return note
