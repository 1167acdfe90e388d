"""Stands beside a run and tells people and machines how it goes; the run never waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from knightshift.acquisition.notifications.config import NotificationConfig
from knightshift.acquisition.notifications.heartbeat import Heartbeat
from knightshift.acquisition.notifications.messages import (
    Message,
    Picture,
    message_of_error,
    message_of_event,
    message_of_result,
)
from knightshift.acquisition.notifications.outbox import Failure, FailureList, Outbox
from knightshift.acquisition.notifications.services import services_of
from knightshift.acquisition.options import AcquisitionOptions, OnProgress, ProgressEvent, ProgressKind, RunResult
from knightshift.acquisition.run_lock import RunLock
from knightshift.acquisition.run_writer import RunWriter
from knightshift.core.errors import KnightshiftError
from knightshift.core.run_folder import LOCK, open_run

if TYPE_CHECKING:
    from knightshift.acquisition.interlock_guard import Log
    from knightshift.core.passes import PassRecord
    from knightshift.core.run_folder import Run

_LOG = logging.getLogger(__name__)

MakePicture = Callable[[Path], Path | None]
"""Makes a picture of a run folder, in a thread that may take its time; None: there is none yet."""


def _no_picture(_run: Path) -> Path | None:
    return None


class Herald:
    """Tells of one run: give it to `acquire` as `on_progress` (by `watching`) and as one of the observers.

    Parameters
    ----------
    config
        Whom to tell; None: nobody, and every call returns at once.
    make_picture
        Makes the picture of a message.
    continued
        Whether the run was begun by an earlier command.

    Raises
    ------
    ConfigError
        If a service cannot be used.
    """

    def __init__(
        self, config: NotificationConfig | None, make_picture: MakePicture = _no_picture, *, continued: bool = False
    ) -> None:
        self._nobody = config is None
        self._config = config or NotificationConfig()
        self._make_picture = make_picture
        self._failures = FailureList()
        self._senders = services_of(self._config)
        self._outboxes: list[Outbox[Message]] = []
        self._heartbeat: Heartbeat | None = None
        self._run: Path | None = None
        self._run_time = 0.0
        self._continued = continued
        self._log: Log | None = None
        self._ended = False

    def joined(self, options: AcquisitionOptions) -> AcquisitionOptions:
        """Add itself to the observers of a run."""
        return options if self._nobody else replace(options, observers=(*options.observers, self))

    def watching(self, others: OnProgress) -> OnProgress:
        """Tell `others` of each step of the run first, then take note of it."""

        def both(event: ProgressEvent) -> None:
            others(event)
            self.saw(event)

        return both

    def saw(self, event: ProgressEvent) -> None:
        """Take note of a step of the run."""
        if self._heartbeat is not None:
            self._heartbeat.saw(event)
        if event.kind is ProgressKind.CHECKED:
            return  # there may be no run folder yet
        self._run, self._run_time = event.run_path, event.time
        message = message_of_event(event, self._continued)
        if message is not None:
            self._tell(message)

    def began(self, run: Run, log: Log, time: float) -> None:
        """Take note of the journal of the run, as an observer of its passes."""
        self._run, self._log, self._run_time = run.path, log, time

    def committed(self, record: PassRecord, time: float) -> None:
        """Write into the journal what was not delivered since the pass before, as an observer."""
        del record
        self._run_time = time
        if self._log is not None:
            self._write_failures(self._log)

    def ended(self, result: RunResult) -> None:
        """Tell that a run came to its end in good order."""
        self._ended, self._run = True, result.path
        self._tell(message_of_result(result))

    def _tell(self, message: Message) -> None:
        if message.topic not in self._config.tell:
            return
        run = self._run
        if self._config.picture and message.wants_picture and run is not None:
            message = replace(message, picture=Picture(lambda: self._make_picture(run)))
        for outbox in self._outboxes:
            outbox.post(message)

    def _failed(self, failure: Failure) -> None:
        _LOG.warning("not told: %s, to service %s: %s", failure.message, failure.service, failure.problem)
        self._failures.add(failure)

    def _write_failures(self, log: Log) -> None:
        for one in self._failures.take():
            log(self._run_time, "notification_failed", message=one.message, service=one.service, problem=one.problem)

    def __enter__(self) -> Self:
        for name, sender in self._senders.items():
            self._outboxes.append(Outbox(name, sender, lambda message: str(message.topic), self._failed))
        if self._config.heartbeat is not None:
            self._heartbeat = Heartbeat(self._config.heartbeat, self._config.timeout, self._failed)
            self._heartbeat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self._ended:
            self._tell(message_of_error(error, self._run))
        deadline = time.monotonic() + self._config.patience
        if self._heartbeat is not None:
            self._heartbeat.stop(error is None, deadline)
        for outbox in self._outboxes:
            outbox.close(deadline)
        self._log = None
        self._journal_after_the_end()

    def _journal_after_the_end(self) -> None:
        """Write down what was not delivered at the end, if nobody else acquires into the run by now."""
        if self._run is None or not self._failures:
            return
        try:
            with RunLock(self._run / LOCK), RunWriter(open_run(self._run)) as writer:
                self._write_failures(writer.log)
        except KnightshiftError as problem:
            _LOG.warning("what was not told could not be journaled: %s", problem)
