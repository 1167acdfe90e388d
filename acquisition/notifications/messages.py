"""What is told, in words for a phone: a title and a few lines."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from knightshift.acquisition.options import ProgressEvent, ProgressKind, RunResult, RunStatus

_LONGEST = 2000
"""Characters of a reason that are passed on; some services refuse long messages."""


class Topic(StrEnum):
    """What a message tells."""

    STARTED = "started"
    """The first pass of a run is about to start."""
    CONTINUED = "continued"
    """A run that was cut short goes on in a new epoch."""
    SUSPENDED = "suspended"
    """An interlock lets no pass begin."""
    RESUMED = "resumed"
    """It does again."""
    REPEATED = "repeated"
    """A transient fault spoilt a pass, which is played again."""
    STOPPED = "stopped"
    """The run was stopped on request, by a rule or by an interlock; it can be continued."""
    DONE = "done"
    """Every pass of the plan is there."""
    FAULT = "fault"
    """The run ended by a fault, or did not begin."""


_OF_KIND = {
    ProgressKind.SUSPENDED: Topic.SUSPENDED,
    ProgressKind.RESUMED: Topic.RESUMED,
    ProgressKind.REPEATED: Topic.REPEATED,
}
_WITH_PICTURE = frozenset({Topic.SUSPENDED, Topic.STOPPED, Topic.DONE, Topic.FAULT})


class Picture:
    """A picture that is made when the first service wants it, once, in the thread of that service.

    Parameters
    ----------
    make
        Makes it; None: there is none.
    """

    def __init__(self, make: Callable[[], Path | None]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: tuple[Path | None] | None = None

    def path(self) -> Path | None:
        """Give the picture, waiting for it if it is being made; None: there is none."""
        with self._lock:
            if self._made is None:
                self._made = (self._make(),)
            return self._made[0]


@dataclass(frozen=True)
class Message:
    """One message."""

    topic: Topic
    """What it tells."""
    title: str
    """One line."""
    body: str
    """Some lines."""
    picture: Picture | None = None
    """To be added where there is one."""

    @property
    def wants_picture(self) -> bool:
        """Whether a picture would help."""
        return self.topic in _WITH_PICTURE


def message_of_event(event: ProgressEvent, continued: bool) -> Message | None:
    """Put a step of a run in words; None where it is not worth a message.

    Parameters
    ----------
    event
        The step.
    continued
        Whether the run was begun by an earlier command.
    """
    name, count = event.run_path.name, f"{event.n_committed} of {event.n_passes} passes"
    ends = f"It ends {_clock(event.finish_time)} if nothing comes between."
    if event.kind is ProgressKind.BEGAN:
        topic = Topic.CONTINUED if continued else Topic.STARTED
        return Message(topic, f"{name}: {topic}", f"{count} are there. {ends}\nOn {platform.node()}, {event.run_path}")
    if event.kind not in _OF_KIND:
        return None
    topic = _OF_KIND[event.kind]
    body = f"{_shortened(event.message)}\nBefore pass {event.pass_index}, {count} are there. {ends}"
    return Message(topic, f"{name}: {topic}", body)


def message_of_result(result: RunResult) -> Message:
    """Put the end of a run in words."""
    name = result.path.name
    lost = f", {result.n_flagged} without weight" if result.n_flagged else ""
    count = f"{result.n_committed} of {result.n_passes} passes{lost}"
    if result.status is RunStatus.COMPLETED:
        return Message(Topic.DONE, f"{name}: done", f"{count}.\nOn {platform.node()}, {result.path}")
    body = f"{count}. Stopped by: {_shortened(result.reason)}\nTo continue: {result.resume_command}"
    return Message(Topic.STOPPED, f"{name}: stopped", body)


def message_of_error(error: BaseException, run: Path | None) -> Message:
    """Put a fault that ended a run, or kept it from beginning, in words."""
    notes = getattr(error, "__notes__", ())
    title = "knightshift: did not begin" if run is None else f"{run.name}: fault"
    body = "\n".join([_shortened(str(error) or type(error).__name__), *map(_shortened, notes)])
    return Message(Topic.FAULT, title, f"{body}\nOn {platform.node()}")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC).astimezone():%a %H:%M}"
