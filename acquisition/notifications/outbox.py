"""A thread with a short queue: who posts never waits, and who does not answer holds nobody else up."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

_CAPACITY = 16
_MOST_FAILURES = 100


@dataclass(frozen=True)
class Failure:
    """Something that was not delivered."""

    message: str
    """What: the topic of a message, ``heartbeat`` or ``ping``."""
    service: str
    """To whom: number and kind, never the address."""
    problem: str
    """Why."""


class FailureList:
    """What was not delivered, from many threads; a full list keeps the first."""

    def __init__(self) -> None:
        self._failures: deque[Failure] = deque()
        self._lock = threading.Lock()

    def add(self, failure: Failure) -> None:
        """Remember one."""
        with self._lock:
            if len(self._failures) < _MOST_FAILURES:
                self._failures.append(failure)

    def __len__(self) -> int:
        return len(self._failures)

    def take(self) -> tuple[Failure, ...]:
        """Give those that are new since the last call."""
        with self._lock:
            taken = tuple(self._failures)
            self._failures.clear()
        return taken


class Outbox(Generic[T]):
    """Delivers one thing after another to one service, in a thread of its own.

    Parameters
    ----------
    name
        Of the service, for messages; never its address.
    deliver
        Delivers one thing, and gives the problem in words if it could not; may take as long as it likes.
    told
        Names a thing in a failure.
    on_failure
        Told of what was not delivered.
    """

    def __init__(
        self, name: str, deliver: Callable[[T], str], told: Callable[[T], str], on_failure: Callable[[Failure], None]
    ) -> None:
        self._name, self._deliver, self._told, self._on_failure = name, deliver, told, on_failure
        self._queue: queue.Queue[T | None] = queue.Queue(_CAPACITY)
        self._under_way: T | None = None
        self._thread = threading.Thread(target=self._run, name=f"notify-{name}", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting or under way."""
        return self._queue.empty() and self._under_way is None

    def post(self, thing: T) -> None:
        """Put a thing into the queue. Never waits: where the queue is full, it is a failure at once."""
        try:
            self._queue.put_nowait(thing)
        except queue.Full:
            self._fail(thing, f"{_CAPACITY} others are waiting: it does not answer, or too slowly")

    def _fail(self, thing: T, problem: str) -> None:
        self._on_failure(Failure(self._told(thing), self._name, problem))

    def _run(self) -> None:
        while (thing := self._queue.get()) is not None:
            self._under_way = thing
            problem = self._deliver(thing)
            if problem:
                self._fail(thing, problem)
            self._under_way = None

    def close(self, deadline: float) -> None:
        """Deliver what is waiting until `deadline` (monotonic clock), then give up; the thread may stay behind."""
        while True:
            try:
                self._queue.put(None, timeout=max(0.0, deadline - time.monotonic()))
                break
            except queue.Full:
                if time.monotonic() >= deadline:
                    break
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._give_up()

    def _give_up(self) -> None:
        left = [self._under_way]
        while True:
            try:
                left.append(self._queue.get_nowait())
            except queue.Empty:
                break
        for thing in left:
            if thing is not None:
                self._fail(thing, "no answer until the command ended")
        self._queue.put(None)  # should the service come back to life, its thread ends
