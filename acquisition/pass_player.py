"""Play one pass on a scanner, and again if a transient fault spoils it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from knightshift.acquisition.interlock_guard import InterlockGuard, PassAbortedError
from knightshift.acquisition.options import AcquisitionOptions
from knightshift.core.arrays import ComplexArray, IntArray
from knightshift.core.clock import Clock
from knightshift.core.errors import LinkFault, ReadoutTimeoutError, ScannerFault, ShapeError
from knightshift.core.passes import PassRecord, Readout, stack_readouts
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import Scanner, ScannerState, ScannerStatus

_LOG = logging.getLogger(__name__)

OnFault: TypeAlias = Callable[[int, int, ScannerFault], None]
"""Told of a transient fault before the pass is repeated: pass index, attempt from 1, the fault."""


@dataclass(frozen=True)
class Tuned:
    """Settings of the scanner that outlast a program; None: never set."""

    frequency: float | None = None
    """Of transmitter and receiver [Hz]."""
    receiver_gain: float | None = None
    """[dB]."""


@dataclass
class PassPlayer:
    """Plays passes; remembers which program is armed."""

    scanner: Scanner
    """Connected and idle."""
    clock: Clock
    """Where time stamps come from."""
    options: AcquisitionOptions
    """Patience, and the wish to stop."""
    guard: InterlockGuard
    """Asked before each attempt and with each readout."""
    on_fault: OnFault
    """Told before a pass is repeated."""
    tuned: Tuned = field(default_factory=Tuned, init=False)
    """What the scanner was set to beside its programs; a device that lost its link may come back without it."""
    host_gap: float | None = field(default=None, init=False)
    """How long the scanner stood still before the last pass, by the clock of this computer even where the run's clock
    is virtual [s]; None for the first pass, and after a suspension or a fault."""
    _armed: str | None = field(default=None, init=False)
    _ended: float | None = field(default=None, init=False)

    def play(self, program: PassProgram, index: int, epoch: int, *, waiting: int | None = None) -> PassRecord:
        """Play pass `index` until it is complete, at most ``max_repeats`` times more than once.

        `waiting` is the pass to name in messages where `index` is not that of a pass but of something before it.

        Raises
        ------
        ScannerFault
            If a fault is latched, or transient ones do not end; `InterlockFault` if an interlock says make safe.
        PassAbortedError
            If the stop request or an interlock says so.
        """
        attempt = 0
        while True:
            attempt += 1
            if self.guard.begin_pass(index, epoch, waiting):
                self._armed = self._ended = None
            try:
                return self._play_once(program, index, epoch)
            except ScannerFault as fault:
                self._armed = self._ended = None
                if not fault.transient or attempt > self.options.max_repeats or self._is_latched():
                    raise
                _LOG.warning("pass %d, attempt %d: %s", index, attempt, fault)
                self.on_fault(index if waiting is None else waiting, attempt, fault)
                self._recover()
            if self.options.stop.within_pass:
                raise PassAbortedError

    def _is_latched(self) -> bool:
        return self.scanner.status().state is ScannerState.FAULT

    def _recover(self) -> None:
        """Bring the scanner back to idle; a link that cannot be opened yet is left to the next attempt."""
        self.scanner.abort()
        if self.scanner.status().state in {ScannerState.UNKNOWN, ScannerState.DISCONNECTED}:
            try:
                self.scanner.connect()
            except LinkFault as fault:
                if not fault.transient:
                    raise
                self.clock.sleep(self.options.readout_timeout)

    def tune(self, frequency: float | None = None, receiver_gain: float | None = None) -> None:
        """Set frequency [Hz] or gain [dB], and set them again after every fault: it may have lost them."""
        self.tuned = Tuned(
            self.tuned.frequency if frequency is None else frequency,
            self.tuned.receiver_gain if receiver_gain is None else receiver_gain,
        )
        self._retune()

    def _retune(self) -> None:
        if self.tuned.frequency is not None:
            self.scanner.set_frequency(self.tuned.frequency)
        if self.tuned.receiver_gain is not None:
            self.scanner.set_receiver_gain(self.tuned.receiver_gain)

    def _play_once(self, program: PassProgram, index: int, epoch: int) -> PassRecord:
        if self._armed is None:
            self._retune()  # the device may have lost more than its program
        if self._armed != program.digest:
            self.scanner.prepare(program)
            self._armed = program.digest
        started = self.clock.now()
        self.host_gap = None if self._ended is None else time.perf_counter() - self._ended
        self.scanner.start(index, epoch)
        readouts = self._collect(program)
        self._ended = time.perf_counter()
        finished = self.clock.now()
        flags = self.guard.end_pass()
        status = self._status_of_pass(index)
        samples, counters = _checked_stack(readouts, program, index, epoch)
        return PassRecord(
            index=index,
            epoch=epoch,
            started=started,
            finished=finished,
            frequency=program.working_frequency if status.frequency is None else status.frequency,
            receiver_gain=status.receiver_gain,
            samples=samples,
            counters=counters,
            flags=(*(("overrange",) if any(readout.overrange for readout in readouts) else ()), *flags),
        )

    def _status_of_pass(self, index: int) -> ScannerStatus:
        """Ask for frequency and gain once the pass was played: a recording has them from the pass."""
        status = self.scanner.status()
        if status.state is ScannerState.UNKNOWN:
            raise LinkFault(f"pass {index}: the link was lost before it was known at which frequency it was played")
        return status

    def _collect(self, program: PassProgram) -> list[Readout]:
        readouts = []
        for readout in self.scanner.readouts(self.options.readout_timeout):
            if self.options.stop.within_pass:
                self.scanner.abort()
                raise PassAbortedError
            self.guard.look()
            readouts.append(readout)
            if len(readouts) > program.n_readouts:
                break
        return readouts


def _checked_stack(
    readouts: list[Readout], program: PassProgram, index: int, epoch: int
) -> tuple[ComplexArray, IntArray]:
    """Stack the readouts of a pass, which must be complete and of this pass; otherwise it is worth repeating."""
    if len(readouts) != program.n_readouts:
        raise ReadoutTimeoutError(f"pass {index}: {len(readouts)} readouts came, {program.n_readouts} were expected")
    try:
        samples, structured = stack_readouts(readouts)
    except ShapeError as error:
        raise _garbled(index, str(error)) from error
    counters: Any = structured  # numpy's stubs know no field names
    if samples.ndim != 3 or samples.shape[2] != program.samples:
        raise _garbled(index, f"readouts of shape {samples.shape[1:]}, {program.samples} samples were expected")
    if not np.isfinite(samples).all():
        raise _garbled(index, "samples that are not numbers")
    tags = set(zip(counters["average"].tolist(), counters["segment"].tolist(), strict=True))
    if tags != {(index, epoch)}:
        raise _garbled(index, f"counters (average, segment) {sorted(tags)[:3]}, ({index}, {epoch}) was expected")
    return samples, counters


def _garbled(index: int, problem: str) -> ScannerFault:
    return ScannerFault(f"pass {index}: the scanner delivered {problem}", transient=True)
