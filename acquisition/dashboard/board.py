"""What all browsers look at: read once a second at most, however many they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from knightshift.acquisition.dashboard.previews import Previews
from knightshift.acquisition.dashboard.queue_view import queue_state
from knightshift.acquisition.dashboard.runs_index import RunsIndex
from knightshift.acquisition.dashboard.settings import DashboardSettings
from knightshift.core.errors import KnightshiftError

_KEPT = 16


class Board:
    """State of runs and queue, shared by all visitors.

    Parameters
    ----------
    settings
        What is shown.
    """

    def __init__(self, settings: DashboardSettings) -> None:
        self._settings = settings
        self.runs = RunsIndex(settings.runs)
        self.previews = Previews()
        self._lock = threading.RLock()
        self._cache: dict[tuple[str, str], tuple[float, Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.previews.__exit__(kind, error, trace)

    def _once(self, what: str, name: str, read: Callable[[], Any]) -> Any:
        """Read at most once in a refresh interval; several threads may ask."""
        with self._lock:
            made, value = self._cache.get((what, name), (-float("inf"), None))
            if time.monotonic() - made >= 0.9 * self._settings.refresh:
                value = read()
                self._cache.pop((what, name), None)
                self._cache[what, name] = (time.monotonic(), value)
                while len(self._cache) > _KEPT:
                    self._cache.pop(next(iter(self._cache)))
            return value

    def overview(self) -> dict[str, Any]:
        """Give the list of runs, and the queue."""
        return dict(self._once("overview", "", self._overview))

    def _overview(self) -> dict[str, Any]:
        queue, problem = None, ""
        if self._settings.queue is not None:
            try:
                queue = queue_state(self._settings.queue)
            except KnightshiftError as error:
                problem = str(error)
        return {
            "folder": str(self._settings.runs),
            "runs": [asdict(entry) for entry in self.runs.entries()],
            "queue": queue,
            "queue_problem": problem,
            "actions": self._settings.actions,
        }

    def run_state(self, name: str) -> dict[str, Any]:
        """Give one run as it stands. Raises `KnightshiftError` if there is none, or it cannot be read."""
        return dict(self._once("run", name, lambda: self._run_state(name)))

    def _run_state(self, name: str) -> dict[str, Any]:
        watch = self.runs.watch(name)
        if self._settings.previews:
            self.previews.want(watch.run.path)
        return watch.state() | {"pictures": self.previews.names(watch.run.path)}

    def curves(self, name: str) -> list[dict[str, Any]]:
        """Give the curves of one run. Raises as `run_state`."""
        return list(self._once("curves", name, lambda: self.runs.watch(name).curves()))

    def picture(self, name: str, picture: str) -> bytes | None:
        """Give one image of a run; None if there is none. Raises `InputError` if there is no such run."""
        with self._lock:
            return self.previews.picture(self.runs.path(name), picture)
