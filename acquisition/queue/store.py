"""The queue as it stands on disk: jobs, their history, and a few notes. Safe to use from several processes at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from knightshift.acquisition.queue.database import Database
from knightshift.acquisition.queue.jobs import Job, JobRequest
from knightshift.acquisition.queue.transitions import FINISHED, TRANSITIONS, JobEvent, JobState
from knightshift.core.errors import DamagedDataError, InputError

SCANNER = "scanner"
"""Note: the scanner that the queue is for."""
STOPPED = "stopped"
"""Note: why no job may begin."""


class TransitionError(InputError):
    """What was asked is not possible in the present state of the job."""


@dataclass(frozen=True)
class LogEntry:
    """One line of the history of the queue."""

    time: float
    """Seconds since the Unix epoch (UTC)."""
    number: int | None
    """Which job; None for the queue itself."""
    event: str
    """What happened."""
    before: str | None
    """State before."""
    after: str | None
    """State after."""
    reason: str
    """Why, in words."""


class QueueStore:
    """The queue in a folder.

    Parameters
    ----------
    folder
        Made if needed.
    now
        Where the time of the history comes from, seconds since the Unix epoch (UTC).

    Raises
    ------
    ConfigError, DamagedDataError, StorageError
        As for `Database`.
    """

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self.folder = folder
        self._database, self._now = Database(folder), now

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, *requests: JobRequest) -> list[Job]:
        """Add jobs at the end, all or none.

        A negative number in `JobRequest.after` points to a job of the same call: -1 is the first of them.

        Raises
        ------
        InputError
            If one depends on a job that is not there, or cannot succeed any more.
        """
        numbers: list[int] = []
        with self._database.writing() as connection:
            place = connection.execute("SELECT coalesce(max(place), 0) FROM job").fetchone()[0]
            for request in requests:
                place += 1.0
                numbers.append(self._insert(connection, request, numbers, place))
        return [self.job(number) for number in numbers]

    def _insert(self, connection: sqlite3.Connection, request: JobRequest, earlier: list[int], place: float) -> int:
        after = tuple(number if number > 0 else earlier[-number - 1] for number in request.after)
        for number in after:
            state = self._load(connection, number).state
            if state in {JobState.FAILED, JobState.CANCELLED}:
                raise InputError(f"job {number} is {state}: nothing can come after it: add that one again first")
        request = request.model_copy(update={"after": after})
        cursor = connection.execute(
            "INSERT INTO job (request, state, place, created) VALUES (?, ?, ?, ?)",
            (request.model_dump_json(), JobState.QUEUED, place, self._now()),
        )
        number = int(cursor.lastrowid or 0)
        self._record(connection, number, "added", None, JobState.QUEUED, request.name)
        return number

    def job(self, number: int) -> Job:
        """Give one job. Raises `InputError` if there is none of that number."""
        with self._database.reading() as connection:
            return self._load(connection, number)

    def jobs(self) -> list[Job]:
        """Give all jobs, finished ones too, by number."""
        with self._database.reading() as connection:
            return [self._job(row) for row in connection.execute("SELECT * FROM job ORDER BY number")]

    def _load(self, connection: sqlite3.Connection, number: int) -> Job:
        row = connection.execute("SELECT * FROM job WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise InputError(f"there is no job {number}: `knightshift queue list --all` shows them")
        return self._job(row)

    def _job(self, row: sqlite3.Row) -> Job:
        fields: dict[str, Any] = dict(row)
        try:
            request = JobRequest.model_validate_json(fields.pop("request"))
            state = JobState(fields.pop("state"))
        except (ValidationError, ValueError) as error:
            raise DamagedDataError(self._database.path, f"job {row['number']}", "is not readable") from error
        fields |= {name: bool(fields[name]) for name in ("held", "cancel_asked", "paused")}
        return Job(request=request, state=state, **fields)

    def apply(self, number: int, event: JobEvent, reason: str = "", **fields: Any) -> Job:
        """Let `event` happen to a job: state, fields and history change together or not at all.

        Parameters
        ----------
        number
            Which job.
        event
            What happens.
        reason
            Why, in words.
        **fields
            Further fields of the job to set, by name.

        Raises
        ------
        TransitionError
            If the table of transitions does not allow it in the present state.
        """
        with self._database.writing() as connection:
            job = self._load(connection, number)
            after = TRANSITIONS[event].get(job.state)
            if after is None:
                raise TransitionError(f"job {number} is {job.state}: {event} is not possible")
            fields.setdefault("paused", 0)
            if after in FINISHED:
                fields.setdefault("ended", self._now())
            self._update(connection, number, state=after, reason=reason, **fields)
            self._record(connection, number, event, job.state, after, reason)
        return self.job(number)

    def note_progress(self, number: int, **fields: Any) -> None:
        """Set fields of a job without an entry in the history."""
        with self._database.writing() as connection:
            self._update(connection, number, **fields)

    def hold(self, number: int) -> Job:
        """Keep a job from beginning; one that runs is stopped after its pass, and suspended."""
        with self._database.writing() as connection:
            job = self._load(connection, number)
            self._must_not_be_over(job, "held")
            self._update(connection, number, held=1, reason="held")
            self._record(connection, number, "held", job.state, job.state, "")
        return self.job(number)

    def release(self, number: int) -> Job:
        """Let a job that is held, or waits after an interruption, go on."""
        with self._database.writing() as connection:
            job = self._load(connection, number)
            self._must_not_be_over(job, "released")
            kept = job.reason if job.paused else ""  # by an interlock, whatever a person says
            self._update(connection, number, held=0, interruptions=0, earliest=0.0, reason=kept)
            self._record(connection, number, "released", job.state, job.state, "")
        return self.job(number)

    def cancel(self, number: int, reason: str = "cancelled by a person") -> Job:
        """Take a job out; one that runs is stopped after its pass first, and what it acquired is kept."""
        with self._database.writing() as connection:
            job = self._load(connection, number)
            self._must_not_be_over(job, "cancelled")
            if job.pending:
                self._update(connection, number, state=JobState.CANCELLED, reason=reason, ended=self._now())
                self._record(connection, number, JobEvent.CANCEL, job.state, JobState.CANCELLED, reason)
            else:
                self._update(connection, number, cancel_asked=1, reason="is being cancelled")
                self._record(connection, number, "cancel asked", job.state, job.state, reason)
        return self.job(number)

    def move(self, number: int, before: int | None) -> Job:
        """Put a job before another one, or at the end.

        Raises
        ------
        TransitionError
            If one of them is over.
        """
        with self._database.writing() as connection:
            job = self._load(connection, number)
            self._must_not_be_over(job, "moved")
            query = "SELECT coalesce(max(place), 0) + 1 FROM job"
            place = connection.execute(query).fetchone()[0]
            if before is not None:
                target = self._load(connection, before)
                self._must_not_be_over(target, "a place to move to")
                query = "SELECT max(place) FROM job WHERE place < ? AND number != ?"
                lower = connection.execute(query, (target.place, number)).fetchone()[0]
                place = target.place - 1.0 if lower is None else (lower + target.place) / 2
            self._update(connection, number, place=place)
            self._renumber_if_crowded(connection)
            where = "to the end" if before is None else f"before job {before}"
            self._record(connection, number, "moved", job.state, job.state, where)
        return self.job(number)

    def _renumber_if_crowded(self, connection: sqlite3.Connection) -> None:
        """Halving runs out of digits after some fifty moves to one spot: give whole places again, well before."""
        rows = connection.execute("SELECT number, place FROM job ORDER BY place, number").fetchall()
        gaps = [later["place"] - earlier["place"] for earlier, later in pairwise(rows)]
        if min(gaps, default=1.0) < 1e-6:
            places = [(float(place), row["number"]) for place, row in enumerate(rows, start=1)]
            connection.executemany("UPDATE job SET place = ? WHERE number = ?", places)

    def _must_not_be_over(self, job: Job, what: str) -> None:
        if job.state in FINISHED:
            raise TransitionError(f"job {job.number} is {job.state}: it cannot be {what}; add it again if it is wanted")

    def _update(self, connection: sqlite3.Connection, number: int, **fields: Any) -> None:
        known = set(Job.__dataclass_fields__) - {"number", "request"}
        if not fields.keys() <= known:
            raise TypeError(f"a job has no {', '.join(sorted(fields.keys() - known))}")
        assignments = ", ".join(f"{name} = ?" for name in fields)
        statement = f"UPDATE job SET {assignments} WHERE number = ?"  # noqa: S608 - the names were checked
        connection.execute(statement, (*fields.values(), number))

    def _record(
        self,
        connection: sqlite3.Connection,
        number: int | None,
        event: str,
        before: str | None,
        after: str | None,
        reason: str,
    ) -> None:
        connection.execute(
            "INSERT INTO event (time, number, event, before, after, reason) VALUES (?, ?, ?, ?, ?, ?)",
            (self._now(), number, event, before, after, reason),
        )

    def record(self, event: str, reason: str = "", number: int | None = None) -> None:
        """Write into the history of the queue, or of one job."""
        with self._database.writing() as connection:
            self._record(connection, number, event, None, None, reason)

    def log(self, number: int | None = None, newest: int | None = None) -> list[LogEntry]:
        """Give the history, oldest first: of one job or of all, and only the newest entries if asked."""
        query = "SELECT time, number, event, before, after, reason FROM event WHERE number IS ? OR ? IS NULL"
        with self._database.reading() as connection:
            rows = connection.execute(query + " ORDER BY sequence DESC LIMIT ?", (number, number, newest or -1))
            return [LogEntry(**dict(row)) for row in rows][::-1]

    def newest_time(self) -> float:
        """Tell the time of the newest entry of the history; 0 for an empty one."""
        with self._database.reading() as connection:
            return float(connection.execute("SELECT coalesce(max(time), 0) FROM event").fetchone()[0])

    def note(self, name: str) -> str:
        """Read a note; empty if there is none."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        return "" if row is None else str(row["value"])

    def set_note(self, name: str, value: str) -> None:
        """Write a note, and its history; an empty value removes it."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM note WHERE name = ?", (name,))
            if value:
                connection.execute("INSERT INTO note (name, value) VALUES (?, ?)", (name, value))
            self._record(connection, None, name, None, None, value or "no more")
