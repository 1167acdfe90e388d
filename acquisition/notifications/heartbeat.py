"""Signs of life while a run goes on: a file that is written anew, an address that is asked for.

They beat from a thread of their own, but only as long as the run makes steps: a process that lives and does nothing is
as dead as one that died.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from knightshift.acquisition.notifications.config import HeartbeatConfig
from knightshift.acquisition.notifications.outbox import Failure, Outbox
from knightshift.acquisition.notifications.ping import ping
from knightshift.acquisition.options import ProgressEvent, ProgressKind
from knightshift.core.clock import iso_time
from knightshift.core.durable import write_durably
from knightshift.core.errors import StorageError

Word = Literal["start", "ok", "fail"]


class Beat(BaseModel):
    """The content of a heartbeat file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: str
    """When it was written, by the clock of the computer: UTC in ISO 8601."""
    state: Literal["starting", "acquiring", "suspended", "ended", "failed"]
    """What the run was doing."""
    run: str | None
    """The run folder; None before there is one."""
    passes_committed: int
    """Passes that are durable."""
    passes_planned: int
    """Passes of the whole run."""
    host: str
    """Name of the computer."""
    pid: int
    """Process id."""


class Heartbeat:
    """Beats from `start` to `stop`.

    Parameters
    ----------
    config
        What to do, and how often.
    timeout
        How long an answer to a ping may take [s].
    on_failure
        Told of what could not be delivered: the first of a row only.
    """

    def __init__(self, config: HeartbeatConfig, timeout: float, on_failure: Callable[[Failure], None]) -> None:
        self._config, self._on_failure = config, on_failure
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._beat = self._new_beat("starting", None)
        self._last_step = time.monotonic()
        self._failing: dict[str, bool] = {}
        self._pings = self._make_pings(timeout)
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def _make_pings(self, timeout: float) -> Outbox[Word] | None:
        config = self._config.ping
        if config is None:
            return None

        def deliver(word: Word) -> str:
            address = config.address(word)
            problem = "" if address is None else ping(address, config.method, timeout)
            self._note_failure(Failure("ping", "ping", problem))
            return ""

        return Outbox("ping", deliver, str, self._note_failure)

    def start(self) -> None:
        """Begin to beat."""
        self._post("start")
        self._write()
        self._thread.start()

    def saw(self, event: ProgressEvent) -> None:
        """Take note of a step of the run."""
        suspended = event.kind is ProgressKind.SUSPENDED
        with self._lock:
            self._beat = self._new_beat("suspended" if suspended else "acquiring", event)
            self._last_step = time.monotonic()

    def stop(self, ok: bool, deadline: float) -> None:
        """Beat a last time, and say whether all is well. Waits until `deadline` (monotonic clock) at most."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._beat = self._beat.model_copy(update={"state": "ended" if ok else "failed"})
        self._write()
        self._post("ok" if ok else "fail")
        if self._pings is not None:
            self._pings.close(deadline)

    def _run(self) -> None:
        while not self._ended.wait(self._config.every):
            if self._stalled():
                self._post("fail")
            else:
                self._write()
                self._post("ok")

    def _stalled(self) -> bool:
        with self._lock:
            waits = self._beat.state == "suspended"
            return not waits and time.monotonic() - self._last_step > self._config.stalled_after

    def _post(self, word: Word) -> None:
        """Send a ping, unless the one before is still under way: then that one is late, and a queue would not help."""
        if self._pings is not None and (word != "ok" or self._pings.idle or self._ended.is_set()):
            self._pings.post(word)

    def _write(self) -> None:
        if self._config.file is None:
            return
        with self._lock:
            beat = self._beat.model_copy(update={"time": iso_time(time.time())})
        try:
            write_durably(self._config.file, (beat.model_dump_json() + "\n").encode())
            problem = ""
        except StorageError as error:
            problem = str(error)
        self._note_failure(Failure("heartbeat", "file", problem))

    def _note_failure(self, failure: Failure) -> None:
        """Pass the first failure of a row on; one without a problem ends the row."""
        with self._lock:
            before = self._failing.get(failure.service, False)
            self._failing[failure.service] = bool(failure.problem)
        if failure.problem and not before:
            self._on_failure(failure)

    def _new_beat(self, state: Literal["starting", "acquiring", "suspended"], event: ProgressEvent | None) -> Beat:
        return Beat(
            time=iso_time(time.time()),
            state=state,
            run=None if event is None else str(event.run_path),
            passes_committed=0 if event is None else event.n_committed,
            passes_planned=0 if event is None else event.n_passes,
            host=platform.node(),
            pid=os.getpid(),
        )
