"""The thin loop round `decide`: it applies decisions, starts executors, and writes down what came of them.

Only the thread that runs the loop touches the store. Jobs run in one thread a lane.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures import Executor as Pool
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from knightshift.acquisition.queue.clock_watch import ClockWatch
from knightshift.acquisition.queue.decision import Circumstances, Decision, Start, decide
from knightshift.acquisition.queue.interruption import after_interruption
from knightshift.acquisition.queue.jobs import Job, Lane
from knightshift.acquisition.queue.store import STOPPED, QueueStore, TransitionError
from knightshift.acquisition.queue.transitions import JobEvent, JobState
from knightshift.acquisition.queue.work import JobControl, News, NewsKind, Outcome, StopCause, Workshop
from knightshift.acquisition.stop_request import StopRequest
from knightshift.core.clock import Clock, VirtualClock
from knightshift.core.errors import KnightshiftError
from knightshift.core.run_without_passes import one_line

_LOG = logging.getLogger(__name__)
_LONGEST_RETRY_DELAY = 3600.0
_WHY_TRUNCATED: dict[StopCause | None, str] = {
    StopCause.DEADLINE: "its time was over",
    StopCause.RULE: "its goal was reached",
}


@dataclass(frozen=True)
class SchedulerOptions:
    """How the loop behaves."""

    poll: float = 1.0
    """How often people's wishes are looked for [s]."""
    retry_delay: float = 60.0
    """Pause before a failed job is tried again; doubled each time, up to an hour [s]."""
    until_idle: bool = False
    """Return when nothing can begin any more without a person, instead of waiting for new jobs."""


@dataclass
class _Active:
    """A job in hand."""

    job: Job
    control: JobControl
    began: float
    """When it was handed over, seconds since the Unix epoch (UTC)."""
    work: Future[Outcome] = field(init=False)


class Scheduler:
    """Runs the jobs of one queue. The lock of the scanner is held by the caller.

    Parameters
    ----------
    store
        The queue.
    clock
        The one that the scans use.
    zone
        Local time zone, for windows.
    workshop
        Who does the jobs.
    options
        How the loop behaves.
    pool
        Where jobs run; None: a thread for each lane.
    on_beat
        Called at every turn of the loop with the jobs in hand.
    """

    def __init__(
        self,
        store: QueueStore,
        clock: Clock,
        zone: tzinfo,
        workshop: Workshop,
        options: SchedulerOptions | None = None,
        pool: Pool | None = None,
        on_beat: Callable[[list[Job]], None] = lambda _jobs: None,
    ) -> None:
        self._store, self._clock, self._zone, self._workshop = store, clock, zone, workshop
        self._options, self._on_beat = options or SchedulerOptions(), on_beat
        self._pool = pool or ThreadPoolExecutor(len(workshop.executors), thread_name_prefix="job")
        self._active: dict[int, _Active] = {}
        self._watch = ClockWatch(clock)

    def recover(self) -> None:
        """Put jobs in order that were in hand when an earlier scheduler died. Call it once, before the first step."""
        now = self._clock.now()
        if self._watch.check_history(self._store.newest_time()):
            self._store.record("clock", "the clock is behind the history of the queue: it was put back")
        for job in self._store.jobs():
            if not job.in_hand:
                continue
            try:
                n_committed = self._workshop.passes_on_disk(job)
            except (KnightshiftError, OSError) as error:
                self._fail(job.number, f"the service died while it was {job.state}, and then: {error}")
                continue
            recovery = after_interruption(job, n_committed, f"the service died while it was {job.state}")
            _LOG.warning("job %s: %s", job.number, recovery.reason)
            started = job.started or (now if n_committed else None)  # it may have died before that was written down
            fields = {
                "held": int(recovery.held), "interruptions": recovery.interruptions, "n_committed": n_committed,
                "started": started,
            }  # fmt: skip
            self._store.apply(job.number, recovery.event, recovery.reason, **fields)
            if recovery.ended:
                end = JobEvent.TRUNCATE if n_committed else JobEvent.FAIL
                self._store.apply(job.number, end, recovery.reason, ended=now)

    def run(self, stop: StopRequest) -> None:
        """Work until `stop` is asked for, or, with ``until_idle``, until nothing is left that could begin.

        Asked once, running scans finish their pass; asked twice, they stop within it. They go on when the scheduler
        is back.
        """
        try:
            while True:
                decision = self.step(stopping=stop.after_pass)
                if stop.after_pass and not self._active:
                    return
                if self._options.until_idle and not self._active and self._is_idle(decision):
                    return
                if stop.within_pass:
                    for active in self._active.values():
                        active.control.hurry()
                self._pause(decision)
        finally:
            for active in self._active.values():
                active.control.ask(StopCause.SERVICE)
            self._pool.shutdown()

    def _is_idle(self, decision: Decision) -> bool:
        return not decision.starts and decision.wake_at is None

    def step(self, *, stopping: bool = False) -> Decision:
        """Turn the loop once: collect what has ended, heed wishes, decide, begin.

        Parameters
        ----------
        stopping
            Begin nothing, and ask what runs to stop.

        Returns
        -------
        Decision
            What was decided.
        """
        if jump := self._watch.jump():
            _LOG.warning("the clock has jumped by %+.0f s", jump)
            self._store.record("clock", f"jumped by {jump:+.0f} s: no job is given up for being late for a while")
        for active in list(self._active.values()):
            ended = active.work.done()  # first, so that nothing said before the end is missed
            self._hear(active)
            if ended:
                self._end(active)
        for active in self._active.values():
            self._heed(active, stopping=stopping)
        decision = Decision() if stopping else self._decide()
        self._on_beat([active.job for active in self._active.values()])
        return decision

    def _decide(self) -> Decision:
        circumstances = Circumstances(
            now=self._clock.now(),
            zone=self._zone,
            stopped=self._store.note(STOPPED),
            clock_settled=self._watch.settled,
        )
        decision = decide(self._store.jobs(), circumstances)
        for change in decision.changes:
            try:
                if change.event is None:
                    self._store.note_progress(change.number, reason=change.reason)
                else:
                    self._store.apply(change.number, change.event, change.reason)
            except TransitionError as error:
                _LOG.info("%s: a person was quicker", error)
        for start in decision.starts:
            self._begin(start)
        return decision

    def _begin(self, start: Start) -> None:
        job = self._store.job(start.number)
        fields: dict[str, object] = {}
        if job.run_name is None:
            fields["run_name"] = _run_name(job, self._clock.now())
        if not job.begun:
            fields["averages"] = start.averages
        try:
            job = self._store.apply(start.number, JobEvent.BEGIN, start.reason, **fields)
        except TransitionError as error:
            _LOG.info("%s: a person was quicker", error)
            return
        control = JobControl(stop_at=start.stop_at)
        active = _Active(job, control, self._clock.now())
        if job.lane is Lane.PROCESSING:
            self._plays(active)
        active.work = self._pool.submit(self._workshop.executors[job.lane], job, control)
        self._active[job.number] = active
        if active.work.done():
            self._hear(active)
            self._end(active)

    def _plays(self, active: _Active) -> None:
        """Write down that the pre-flight is over, if that is not yet done."""
        if active.job.state is JobState.PRE_FLIGHT:
            started = active.job.started if active.job.begun else active.began
            active.job = self._store.apply(active.job.number, JobEvent.START, active.job.reason, started=started)

    def _end(self, active: _Active) -> None:
        """Write down how a job ended."""
        del self._active[active.job.number]
        try:
            outcome = active.work.result()
        except (KnightshiftError, OSError) as error:
            notes = getattr(error, "__notes__", [])
            self._fail(active.job.number, one_line("\n".join([f"{error}", *notes])))
        else:
            self._plays(active)
            self._succeed(active, outcome)

    def _succeed(self, active: _Active, outcome: Outcome) -> None:
        """Write down the end of a job that did not fail, though perhaps it was stopped."""
        number, cause = active.job.number, active.control.cause
        fields: dict[str, object] = {
            "result": outcome.result,
            "n_committed": outcome.n_committed,
            "n_passes": outcome.n_passes,
        }
        if outcome.complete:
            self._store.apply(number, JobEvent.COMPLETE, outcome.words or active.job.reason, **fields)
        elif cause is StopCause.CANCELLED:
            self._store.apply(number, JobEvent.CANCEL, _joined("cancelled by a person", outcome.words), **fields)
        elif cause in {StopCause.HELD, StopCause.SERVICE}:
            held = int(cause is StopCause.HELD)
            why = "held" if held else "the service was stopped: goes on by itself"
            self._store.apply(number, JobEvent.SUSPEND, why, held=held, **fields)
        elif outcome.interlocked:
            words = _joined(f"stopped by {outcome.stopped_by}", outcome.words)
            self._fail(number, words, JobEvent.TRUNCATE if outcome.n_committed else JobEvent.FAIL, **fields)
        elif outcome.n_committed:
            why = _WHY_TRUNCATED.get(cause, "stopped from outside")
            self._store.apply(number, JobEvent.TRUNCATE, _joined(why, outcome.stopped_by, outcome.words), **fields)
        else:
            why = outcome.stopped_by or "its time was over"
            self._store.apply(number, JobEvent.FAIL, f"{why} before one pass was done", **fields)

    def _fail(self, number: int, words: str, event: JobEvent = JobEvent.FAIL, **fields: object) -> None:
        """Try a job again that failed, or that an interlock stopped, if its policy says so; else it is over."""
        job, policy = self._store.job(number), self._store.job(number).request.on_failure
        _LOG.error("job %s: %s", number, words)
        if job.failures < policy.retries and not job.cancel_asked:
            delay = min(self._options.retry_delay * 2**job.failures, _LONGEST_RETRY_DELAY)
            fields |= {"failures": job.failures + 1, "earliest": self._clock.now() + delay}
            self._store.apply(number, JobEvent.RETRY, f"tried again in {delay:.0f} s: {words}", **fields)
            return
        job = self._store.apply(number, event, words, **fields)
        if policy.then == "stop":
            self._store.set_note(
                STOPPED, f"job {number} is {job.state}: `knightshift queue release` lets the others begin"
            )

    def _hear(self, active: _Active) -> None:
        """Write down what a job in hand has told since the last time."""
        while active.control.news:
            self._note_news(active, active.control.news.popleft())
        self._note_progress(active)

    def _note_news(self, active: _Active, news: News) -> None:
        number = active.job.number
        if news.kind is NewsKind.CHECKED:
            self._store.record("checked", news.words, number)
            return
        self._plays(active)
        match news.kind:
            case NewsKind.SUSPENDED:
                active.job = self._store.apply(number, JobEvent.SUSPEND, news.words, paused=1)
            case NewsKind.CONTINUED if active.job.paused:
                active.job = self._store.apply(number, JobEvent.CONTINUE, news.words)

    def _note_progress(self, active: _Active) -> None:
        progress, job = active.control.progress, active.job
        if progress is None or (progress.n_committed, progress.result) == (job.n_committed, job.result):
            return
        fields: dict[str, object] = {
            "n_committed": progress.n_committed,
            "n_passes": progress.n_passes,
            "result": progress.result,
        }
        if progress.n_committed > job.n_committed:
            fields["interruptions"] = 0
        self._store.note_progress(job.number, **fields)
        active.job = self._store.job(job.number)

    def _heed(self, active: _Active, *, stopping: bool) -> None:
        job = self._store.job(active.job.number)
        if job.cancel_asked:
            active.control.ask(StopCause.CANCELLED)
        elif job.held:
            active.control.ask(StopCause.HELD)
        elif stopping:
            active.control.ask(StopCause.SERVICE)
        elif active.control.stop_at is not None and self._clock.now() >= active.control.stop_at:
            active.control.ask(StopCause.DEADLINE)  # an executor that plays looks itself; one that waits cannot

    def _pause(self, decision: Decision) -> None:
        """Wait for a job to end, or for time to pass, but never so long that a person's wish would wait."""
        now, wake_at = self._clock.now(), decision.wake_at
        if self._active:
            wait(
                [active.work for active in self._active.values()],
                timeout=self._options.poll,
                return_when=FIRST_COMPLETED,
            )
        elif isinstance(self._clock, VirtualClock) and wake_at is not None:
            self._clock.sleep(wake_at - now)
        elif isinstance(self._clock, VirtualClock):
            time.sleep(self._options.poll)
        else:
            left = self._options.poll if wake_at is None else wake_at - now
            self._clock.sleep(min(self._options.poll, max(left, 0.0)))


def _joined(*words: str) -> str:
    return "; ".join(part for part in words if part)


def _run_name(job: Job, now: float) -> str:
    """Name the run so that no other job, and no other attempt at this one, can have the same."""
    protocol = job.request.scan.protocol.get("name", "scan") if job.request.scan else job.request.kind
    return f"{datetime.fromtimestamp(now, tz=UTC):%Y%m%d-%H%M%S}-{protocol}-job{job.number}"
