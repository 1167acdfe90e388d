"""The pass loop: one epoch of one run, from its first missing pass to the last, or until someone says stop."""

from __future__ import annotations

import logging
import os
import platform
from dataclasses import dataclass, field

from knightshift.acquisition.committer import Committer
from knightshift.acquisition.options import (
    AcquisitionOptions,
    OnProgress,
    ProgressEvent,
    ProgressKind,
    RunResult,
    RunStatus,
    resume_command,
)
from knightshift.acquisition.pass_player import PassAbortedError, PassPlayer
from knightshift.acquisition.run_writer import RunWriter
from knightshift.core.clock import Clock
from knightshift.core.errors import DamagedDataError, ScannerFault
from knightshift.core.manifest import software_versions
from knightshift.core.passes import PassRecord
from knightshift.core.program import Measurement
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
    _flags: dict[int, tuple[str, ...]] = field(default_factory=dict, init=False)
    _playing: int | None = field(default=None, init=False)

    def run(self, epoch: int) -> RunResult:
        """Play every pass that is not committed yet, in order of index.

        Raises
        ------
        StorageError
            If the disk fails; no pass is started after that is known.
        ScannerFault
            If a fault is latched, or repeating the pass did not help.
        """
        self._flags = {index: commit.flags for index, commit in self.writer.run.commits().items()}
        remaining = [index for index in range(self.measurement.n_passes) if index not in self._flags]
        if not remaining:
            return self._result()
        try:
            self._begin(epoch, len(remaining))
            self._play_all(remaining, epoch)
        except BaseException as error:
            self.writer.try_to_log(self.clock.now(), "ended", epoch=epoch, status="failed", reason=str(error))
            error.add_note(self._note())
            raise
        result = self._result()
        reason = self.options.stop.reason if result.status is RunStatus.STOPPED else ""
        self.writer.log(self.clock.now(), "ended", epoch=epoch, status=str(result.status), reason=reason)
        return result

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

    def _play_all(self, remaining: list[int], epoch: int) -> None:
        player = PassPlayer(self.scanner, self.clock, self.options, self._repeated)
        with Committer(self.writer) as committer:
            try:
                for index in remaining:
                    if self.options.stop.after_pass:
                        self._tell(ProgressKind.STOPPING, message=self.options.stop.reason)
                        break
                    committer.raise_if_failed()
                    self._playing = index
                    record = player.play(self.measurement.program_of(index), index, epoch)
                    self._playing = None
                    self._committed(committer.submit(record, self.clock.now()))
            except PassAbortedError:
                _LOG.warning("pass %s was aborted on request", self._playing)
            except BaseException:
                self.scanner.make_safe()  # first of all; leaving `with committer` then keeps the pass in flight
                raise
            self._playing = None
            self.scanner.make_safe()
            self._committed(committer.wait())

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

    def _tell(
        self, kind: ProgressKind, index: int | None = None, flags: tuple[str, ...] = (), message: str = ""
    ) -> None:
        now, n_passes = self.clock.now(), self.measurement.n_passes
        mean_duration = self.measurement.duration / n_passes
        event = ProgressEvent(
            kind=kind,
            run_path=self.writer.run.path,
            n_committed=len(self._flags),
            n_passes=n_passes,
            time=now,
            finish_time=now + (n_passes - len(self._flags)) * mean_duration,
            pass_index=index,
            flags=flags,
            message=message,
        )
        self.on_progress(event)

    def _result(self) -> RunResult:
        n_passes = self.measurement.n_passes
        return RunResult(
            path=self.writer.run.path,
            status=RunStatus.COMPLETED if len(self._flags) == n_passes else RunStatus.STOPPED,
            n_committed=len(self._flags),
            n_passes=n_passes,
            n_flagged=sum(bool(flags) for flags in self._flags.values()),
        )

    def _note(self) -> str:
        path, n_passes = self.writer.run.path, self.measurement.n_passes
        try:
            n_kept = len(self.writer.run.commits())  # the pass in flight may have been kept since
        except DamagedDataError:
            n_kept = len(self._flags)
        return f"{n_kept} of {n_passes} passes are kept in {path}: continue with `{resume_command(path)}`"
