"""What a person may do from the live page: stop a run after its pass, and change the queue. All of it is journaled."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from knightshift.acquisition.outside_stop import ask_to_stop
from knightshift.acquisition.queue.store import QueueStore
from knightshift.core.errors import InputError

_WHO = "the live page"


class _Action(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StopRun(_Action):
    """Stop a run after its pass."""

    action: Literal["stop"]
    run: Annotated[str, Field(min_length=1, max_length=255)]
    """Name of the run."""


class ChangeJob(_Action):
    """Hold a job, or let it go on, or take it out."""

    action: Literal["hold", "release", "cancel"]
    job: PositiveInt
    """Number of the job."""


class MoveJob(_Action):
    """Put a job before another one."""

    action: Literal["move"]
    job: PositiveInt
    """Number of the job."""
    before: PositiveInt | None = None
    """The job that comes after it; None: to the end."""


Action = Annotated[StopRun | ChangeJob | MoveJob, Field(discriminator="action")]
_ACTION: TypeAdapter[StopRun | ChangeJob | MoveJob] = TypeAdapter(Action)


def parse_action(content: bytes) -> StopRun | ChangeJob | MoveJob:
    """Read what the page has sent. Raises `InputError` if it is no action."""
    try:
        return _ACTION.validate_json(content)
    except ValidationError as error:
        raise InputError(f"this is no action: {error.errors()[0]['msg']}") from error


def stop_run(path: Path) -> str:
    """Ask the process that acquires into `path` to stop after its pass. Raises `InputError` if there is none."""
    ask_to_stop(path, _WHO)
    return f"{path.name} stops after this pass"


def change_queue(folder: Path | None, action: ChangeJob | MoveJob) -> str:
    """Change the queue, and write into its history who did.

    Raises
    ------
    InputError
        If there is no queue or no such job, or it is over.
    """
    if folder is None:
        raise InputError("no queue is shown here: start the page with --queue")
    with QueueStore(folder, time.time) as store:
        if isinstance(action, MoveJob):
            store.move(action.job, action.before)
        elif action.action == "hold":
            store.hold(action.job)
        elif action.action == "release":
            store.release(action.job)
        else:
            store.cancel(action.job, f"cancelled on {_WHO}")
        store.record(f"{action.action} asked", f"on {_WHO}", action.job)
    return f"job {action.job}: {action.action}"
