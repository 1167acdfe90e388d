"""Commit one pass while the next one plays, and never more than that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from knightshift.acquisition.pass_observer import PassObserver, StopWish
from knightshift.acquisition.run_writer import RunWriter
from knightshift.acquisition.stop_request import StopRequest
from knightshift.core.passes import PassRecord


class Committer:
    """A single writer thread with at most one pass in flight.

    The scanner does not wait for the disk: pass ``p + 1`` may play while pass ``p`` is being committed. But `submit`
    of ``p + 1`` waits until ``p`` is durable, so pass ``p + 2`` never starts before that, and a disk that fails stops
    the scan before its next pulse.

    Parameters
    ----------
    writer
        Writes into the run.
    judge
        Looks at each pass first, in the writer thread, and gives it back, perhaps with a flag.
    observers
        Told of each pass when it is durable, in the writer thread.
    stop
        Asked for by an observer's wish. It is asked when the pass has been waited for, so that always exactly one more
        pass is played, however fast the disk is.
    """

    def __init__(
        self,
        writer: RunWriter,
        judge: Callable[[PassRecord], PassRecord],
        observers: Sequence[PassObserver] = (),
        stop: StopRequest | None = None,
    ) -> None:
        self._writer = writer
        self._judge = judge
        self._observers = tuple(observers)
        self._stop = stop or StopRequest()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._flight: Future[tuple[PassRecord, StopWish | None]] | None = None

    def submit(self, record: PassRecord, time: float, **facts: Any) -> PassRecord | None:
        """Hand over a pass, as for `RunWriter.commit`; returns the one before, durable by now, if it was in flight.

        Raises
        ------
        StorageError
            If the pass before could not be committed. `record` is not committed either.
        """
        before = self.wait()
        self._flight = self._thread.submit(self._judge_and_commit, record, time, facts)
        return before

    def _judge_and_commit(
        self, record: PassRecord, time: float, facts: Mapping[str, Any]
    ) -> tuple[PassRecord, StopWish | None]:
        judged = self._judge(record)
        self._writer.commit(judged, time, **facts)
        wishes = [observer.committed(judged, time) for observer in self._observers]
        return judged, next(filter(None, wishes), None)

    def raise_if_failed(self) -> None:
        """Raise `StorageError` if it is known already that the pass in flight could not be committed; do not wait."""
        if self._flight is not None and self._flight.done():
            self._flight.result()

    def wait(self) -> PassRecord | None:
        """Wait for the pass in flight; returns it, durable, or None if there was none.

        Raises
        ------
        StorageError
            If it could not be committed.
        """
        if self._flight is None:
            return None
        future, self._flight = self._flight, None
        record, wish = future.result()
        if wish is not None:
            self._stop.request_after_pass(wish.reason)
        return record

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()  # also when something else went wrong: a good pass in flight is kept
        finally:
            self._thread.shutdown()
