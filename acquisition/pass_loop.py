"""The pass loop: one epoch of one run, from its first missing pass to the last, or until someone says stop."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from knightshift.acquisition.adjustments.before_passes import (
    before_first_pass,
    before_going_on,
    duration_before_going_on,
)
from knightshift.acquisition.adjustments.bench import Bench
from knightshift.acquisition.adjustments.extra_player import ExtraPlayer, keeper_of
from knightshift.acquisition.adjustments.referencing import numbers_done, play_reference, write_down
from knightshift.acquisition.committer import Committer
from knightshift.acquisition.idle_time import GAP, host_gaps
from knightshift.acquisition.interlock_guard import InterlockGuard, PassAbortedError
from knightshift.acquisition.options import (
    AcquisitionOptions,
    OnProgress,
    ProgressEvent,
    ProgressKind,
    RunResult,
    RunStatus,
    resume_command,
)
from knightshift.acquisition.outside_stop import take_stop_wish
from knightshift.acquisition.pass_player import PassPlayer
from knightshift.acquisition.preflight_verdict import Check, refuse_if_failed
from knightshift.acquisition.residual_test import DEPTH, ResidualTest
from knightshift.acquisition.run_writer import RunWriter
from knightshift.acquisition.surroundings import Surroundings
from knightshift.core.clock import Clock
from knightshift.core.errors import DamagedDataError, ScannerFault
from knightshift.core.manifest import software_versions
from knightshift.core.pass_quality import quality_of_pass
from knightshift.core.passes import PassRecord
from knightshift.core.program import Measurement
from knightshift.core.run_without_passes import why_no_pass
from knightshift.hardware.contract import Scanner

_LOG = logging.getLogger(__name__)


@dataclass
class PassLoop:
    """One epoch of one run. The lock is held, the scanner connected, the folder in good order."""

    measurement: Measurement
    """What to play."""
    scanner: Scanner
    """Connected and idle."""
    clock: Clock
    """The one that the scanner uses."""
    options: AcquisitionOptions
    """Patience, and the wish to stop."""
    on_progress: OnProgress
    """Told after each step."""
    writer: RunWriter
    """Writes into the run."""
    surroundings: Surroundings = field(default_factory=Surroundings)
    """What stands around the scanner; its watch, if there is one, is started."""
    gap: float = 0.0
    """How long nothing was played before this epoch [s]."""
    _guard: InterlockGuard = field(init=False)
    _flags: dict[int, tuple[str, ...]] = field(default_factory=dict, init=False)
    _gaps: list[float] = field(default_factory=list, init=False)
    _playing: int | None = field(default=None, init=False)
    _wish: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._guard = InterlockGuard(
            self.surroundings.watch,
            self.scanner,
            self.clock,
            self.options.stop,
            self.writer.log,
            self.surroundings.max_suspension,
            self._suspended,
        )

    def run(self, epoch: int) -> RunResult:
        """Play every pass that is not committed yet, in order of index.

        Raises
        ------
        StorageError
            If the disk fails; no pass is started after that is known.
        ScannerFault
            If a fault is latched, or repeating the pass did not help; `InterlockFault` if an interlock says make safe.
        """
        self._flags = {index: commit.flags for index, commit in self.writer.run.commits().items()}
        remaining = [index for index in range(self.measurement.n_passes) if index not in self._flags]
        if not remaining:
            return self._result()
        self._count_gaps(host_gaps(self.writer.run))
        bench = self._bench(epoch)
        take_stop_wish(self.writer.run.path)  # one that was left for an epoch that ended before it looked
        try:
            with self.options.stop.looking(self._stop_wish):
                if not self.surroundings.needs_fids or self._make_ready(bench):
                    self._begin(epoch, len(remaining))
                    self._play_all(self._wanted(remaining), bench)
        except BaseException as error:
            self.writer.try_to_log(self.clock.now(), "ended", epoch=epoch, status="failed", reason=str(error))
            error.add_note(self._note())
            raise
        result = self._result()
        self.writer.log(self.clock.now(), "ended", epoch=epoch, status=str(result.status), reason=result.reason)
        return result

    def _stop_wish(self) -> str:
        """Look whether another process, the live page for one, wants the run to stop."""
        wish = take_stop_wish(self.writer.run.path)
        if wish is None:
            return ""
        self.writer.log(self.clock.now(), "stop_asked", who=wish.who, asked_s=wish.asked)
        return wish.who

    def checked(self, checks: Sequence[Check], stage: str = "dry") -> None:
        """Write down what the pre-flight found, and go on only if nothing failed. Raises as `refuse_if_failed`."""
        found = [check.for_journal() for check in checks]
        self.writer.log(self.clock.now(), "preflight", stage=stage, checks=found)
        refuse_if_failed(checks, "nothing was played" if stage == "dry" else "no pass was played")
        self._tell(ProgressKind.CHECKED, checks=tuple(checks))

    def _bench(self, epoch: int) -> Bench:
        run = self.writer.run
        player = PassPlayer(self.scanner, self.clock, self.options, self._guard, self._repeated)
        return Bench(
            self.measurement,
            self.scanner,
            self.clock,
            self.surroundings,
            ExtraPlayer(player, epoch),
            self.writer.log,
            run.path.parent,
            run.manifest.run_id,
            keeper_of(run),
        )

    def _make_ready(self, bench: Bench) -> bool:
        """Adjust and check with RF; false where someone said stop meanwhile."""
        events = self.writer.run.events()
        try:
            if any(event.event == "epoch_began" for event in events):
                checks = before_going_on(bench, events, self.gap)
            else:
                checks = before_first_pass(bench)
        except PassAbortedError:
            self.scanner.make_safe()
            self._tell(ProgressKind.STOPPING, message=self._stop_reason())
            return False
        self.checked(checks, "rf")
        if not bench.possible:
            self.measurement = replace(self.measurement, references=None)
        return True

    def lead(self) -> float:
        """How long what is played before the next pass of a resumed run takes [s]."""
        begun = any(event.event == "epoch_began" for event in self.writer.run.events())
        if not (begun and self.surroundings.needs_fids):
            return 0.0
        return duration_before_going_on(self._bench(0))

    def _references_left(self, bench: Bench) -> dict[int, int]:
        """Pass → number of the reference before it, without those that are done."""
        plan, n_passes = self.measurement.references, self.measurement.n_passes
        if plan is None or not bench.possible:
            return {}
        done = numbers_done(self.writer.run.events())
        due = {index: plan.number_before(index, n_passes) for index in range(n_passes)}
        return {index: number for index, number in due.items() if number is not None and number not in done}

    def _begin(self, epoch: int, n_remaining: int) -> None:
        now = self.clock.now()
        self.writer.log(
            now,
            "epoch_began",
            epoch=epoch,
            time_s=now,
            remaining=n_remaining,
            host=platform.node(),
            pid=os.getpid(),
            versions=software_versions(),
        )
        self._tell(ProgressKind.BEGAN)

    def _wanted(self, remaining: list[int]) -> list[int]:
        """Tell the observers; leave out the passes that an earlier epoch has decided to do without."""
        for observer in self.options.observers:
            wish = observer.began(self.writer.run, self.writer.log, self.clock.now())
            if wish is not None:
                self._wish = self._wish or wish.reason
                remaining = [index for index in remaining if index <= wish.after_pass + 1]
        return remaining

    def _play_all(self, remaining: list[int], bench: Bench) -> None:
        references = self._references_left(bench)
        with Committer(
            self.writer, self._residual_test().judge, self.options.observers, self.options.stop
        ) as committer:
            try:
                for index in remaining:
                    if self.options.stop.after_pass or self._guard.stop_reason:
                        self._tell(ProgressKind.STOPPING, message=self._stop_reason())
                        break
                    committer.raise_if_failed()
                    self._playing = index
                    self._play(index, references.get(index), bench, committer)
            except PassAbortedError:
                _LOG.warning("pass %s is not played to its end: %s", self._playing, self._stop_reason())
                self._tell(ProgressKind.STOPPING, self._playing, message=self._stop_reason())
            except BaseException:
                self.scanner.make_safe()  # first of all; leaving `with committer` then keeps the pass in flight
                raise
            self._playing = None
            self.scanner.make_safe()
            self._committed(committer.wait())

    def _play(self, index: int, number: int | None, bench: Bench, committer: Committer) -> None:
        """Play a pass, after the reference `number` if one is due, and hand both over in this order.

        The reference is written down only now, when the pass before it is durable: a run that is killed in between
        has neither, and goes on from there as if it had not been killed. By now that pass has had a whole pass of time
        to become durable, so that the scanner does not wait.
        """
        player, gap = bench.extra.player, 0.0
        reference = None if number is None else play_reference(bench, number, index)
        if reference is not None:
            gap = player.host_gap or 0.0
        record = player.play(self.measurement.program_of(index), index, bench.extra.epoch)
        self._playing = None
        if reference is not None:
            self._committed(committer.wait())
            write_down(bench, reference)
        measured = _gap(player.host_gap, gap)
        if self.writer.run.manifest.setup.clock != "virtual":
            self._count_gaps(measured.values())
        facts = self._readings() | measured | _quality(record)
        self._committed(committer.submit(record, self.clock.now(), **facts))

    def _count_gaps(self, gaps: Iterable[float]) -> None:
        """Plan what is left with the gaps that were measured: ten milliseconds are a pass in a night."""
        self._gaps.extend(gaps)
        if self._gaps:
            self.measurement = replace(self.measurement, host_gap=fmean(self._gaps))

    def _residual_test(self) -> ResidualTest:
        """Go on judging where the epoch before ended, so that a resumed run flags what an undisturbed one would."""
        run, n_programs = self.writer.run, len(self.measurement.programs)
        test, commits = ResidualTest(n_programs), run.commits()
        for program in range(n_programs):
            last = [commit for index, commit in commits.items() if index % n_programs == program][-DEPTH:]
            test.remember(run.read_committed(commit) for commit in last)
        return test

    def _readings(self) -> dict[str, Any]:
        readings = self._guard.readings()
        return {"readings": readings} if readings else {}

    def _stop_reason(self) -> str:
        return self.options.stop.reason or self._guard.stop_reason or self._wish

    def _committed(self, record: PassRecord | None) -> None:
        if record is None:
            return
        self._flags[record.index] = record.flags
        self._tell(ProgressKind.COMMITTED, record.index, flags=record.flags)

    def _repeated(self, index: int, attempt: int, fault: ScannerFault) -> None:
        now = self.clock.now()
        facts = {"pass": index, "attempt": attempt, "time_s": now, "device": fault.device, "fault": fault.message}
        self.writer.log(now, "pass_repeated", kind=type(fault).__name__, **facts)
        self._tell(ProgressKind.REPEATED, index, message=str(fault))

    def _suspended(self, index: int, suspended: bool, reason: str) -> None:
        self._tell(ProgressKind.SUSPENDED if suspended else ProgressKind.RESUMED, index, message=reason)

    def _tell(self, kind: ProgressKind, index: int | None = None, **facts: Any) -> None:
        now, n_passes = self.clock.now(), self.measurement.n_passes
        mean_duration = self.measurement.duration / n_passes
        event = ProgressEvent(
            kind=kind,
            run_path=self.writer.run.path,
            n_committed=len(self._flags),
            n_passes=n_passes,
            time=now,
            finish_time=now + (n_passes - len(self._flags)) * mean_duration,
            next_pass=self.measurement.longest_step if len(self._flags) < n_passes else 0.0,
            pass_index=index,
            **facts,
        )
        self.on_progress(event)

    def _result(self) -> RunResult:
        n_passes = self.measurement.n_passes
        complete = len(self._flags) == n_passes
        return RunResult(
            path=self.writer.run.path,
            status=RunStatus.COMPLETED if complete else RunStatus.STOPPED,
            n_committed=len(self._flags),
            n_passes=n_passes,
            n_flagged=sum(bool(flags) for flags in self._flags.values()),
            reason="" if complete else self._stop_reason(),
            interlocked=not complete and self._stop_reason() == self._guard.stop_reason != "",
        )

    def _note(self) -> str:
        path, n_passes = self.writer.run.path, self.measurement.n_passes
        try:
            n_kept = len(self.writer.run.commits())  # the pass in flight may have been kept since
            begun = not why_no_pass(self.writer.run.events())
        except DamagedDataError:
            n_kept, begun = len(self._flags), True
        if not begun:
            return (
                f"no pass was begun; what was played before is kept in {path}: if sample or scanner are mended, "
                f"`{resume_command(path)}` begins it, adjustments and checks too; if the site file has to be changed, "
                "begin a new run: this one keeps its own, and may be deleted"
            )
        return f"{n_kept} of {n_passes} passes are kept in {path}: continue with `{resume_command(path)}`"


def _gap(host_gap: float | None, before_reference: float) -> dict[str, float]:
    return {} if host_gap is None else {GAP: round(host_gap + before_reference, 6)}


def _quality(record: PassRecord) -> dict[str, Any]:
    return quality_of_pass(record.samples, record.counters).for_journal()
