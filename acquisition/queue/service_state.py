"""Whether a scheduler is at work, since when, and since when not: told by its lock and its heartbeat file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from knightshift.acquisition.run_lock import LockHolder, RunLock
from knightshift.core.durable import write_durably
from knightshift.core.errors import RunLockedError

HEARTBEAT = "service.json"
"""File in the folder of the queue; its time of change is a dead man's handle for any monitoring."""
LOCK = "scheduler.lock"
BEAT_EVERY = 5.0
"""Seconds between two beats."""
LATE_AFTER = 60.0
"""A beat older than this is told as a sign of trouble [s]."""
_MAX_BYTES = 1_000_000


class Heartbeat(BaseModel):
    """What a scheduler last said of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    holder: LockHolder
    """The process."""
    scanner: str
    """The scanner that it works for."""
    started: float
    """Seconds since the Unix epoch (UTC)."""
    beat: float
    """Seconds since the Unix epoch (UTC)."""
    stopped: bool = False
    """Whether it said good-bye."""
    jobs: tuple[int, ...] = ()
    """Jobs in hand."""


class ServiceStatus(BaseModel):
    """Whether a scheduler is at work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Literal["never", "running", "late", "stopped", "dead"]
    """Never begun; at work; at work but silent; stopped in good order; gone without a word."""
    since: float | None
    """Running: when it began; else when it last gave a sign; seconds since the Unix epoch (UTC)."""
    heartbeat: Heartbeat | None
    """What it last said."""


def service_status(folder: Path, now: float) -> ServiceStatus:
    """Tell whether a scheduler works on the queue in `folder`; it needs no scheduler to be alive."""
    try:
        with (folder / HEARTBEAT).open("rb") as file:
            beat = Heartbeat.model_validate_json(file.read(_MAX_BYTES))
    except (FileNotFoundError, ValidationError):
        return ServiceStatus(state="never", since=None, heartbeat=None)
    if beat.stopped:
        return ServiceStatus(state="stopped", since=beat.beat, heartbeat=beat)
    if not (beat.holder == LockHolder.this_process() or beat.holder.may_live()):
        return ServiceStatus(state="dead", since=beat.beat, heartbeat=beat)
    if now - beat.beat > LATE_AFTER:
        return ServiceStatus(state="late", since=beat.beat, heartbeat=beat)
    return ServiceStatus(state="running", since=beat.started, heartbeat=beat)


class SchedulerLock(RunLock):
    """Hold the right to be the one scheduler of a scanner for as long as the ``with`` lasts.

    Parameters
    ----------
    path
        The lock file: one for each scanner.
    scanner
        For messages.

    Raises
    ------
    RunLockedError
        On entering, if another process holds it; the message says which.
    StorageError
        If the lock file cannot be written.
    """

    def __init__(self, path: Path, scanner: str) -> None:
        super().__init__(path)
        self._scanner = scanner

    def _refusal(self, holder: LockHolder | None) -> RunLockedError:
        who = f"process {holder.pid} on {holder.host}" if holder else "another process"
        return RunLockedError(
            f"{self.path}: {who} is the scheduler of scanner {self._scanner}: there can be one only; "
            "stop it first (`systemctl --user stop knightshift`, or Ctrl-C), or just add jobs to its queue"
        )


class Pulse:
    """Writes the heartbeat file while the ``with`` lasts, and says good-bye on leaving in good order.

    Parameters
    ----------
    folder
        Folder of the queue.
    scanner
        The scanner that is worked for.
    now
        Seconds since the Unix epoch (UTC).
    """

    def __init__(self, folder: Path, scanner: str, now: Callable[[], float]) -> None:
        self._path, self._scanner, self._now = folder / HEARTBEAT, scanner, now
        self._started = now()
        self._last: tuple[float, tuple[int, ...]] = (-float("inf"), ())

    def beat(self, jobs: list[int]) -> None:
        """Give a sign of life, if the last one is some seconds old or the jobs are others."""
        now, numbers = self._now(), tuple(jobs)
        if numbers != self._last[1] or not 0 <= now - self._last[0] < BEAT_EVERY:
            self._write(numbers, stopped=False)

    def _write(self, numbers: tuple[int, ...], *, stopped: bool) -> None:
        now = self._now()
        beat = Heartbeat(
            holder=LockHolder.this_process(),
            scanner=self._scanner,
            started=self._started,
            beat=now,
            stopped=stopped,
            jobs=numbers,
        )
        write_durably(self._path, beat.model_dump_json().encode())
        self._last = now, numbers

    def __enter__(self) -> Self:
        self._write((), stopped=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write((), stopped=True)
