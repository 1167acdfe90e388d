"""From Pulseq events to what the spins live through: pulses, free precession, acquisition windows.

Between two pulses only the time and the moments of the gradients matter, so a pass of thousands of blocks becomes a few
hundred steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from knightshift.core.arrays import ComplexArray, IntArray, RealArray
from knightshift.core.errors import ProtocolError
from knightshift.hardware.pulseq_text import AdcEvent, Block, EventTables, RfEvent
from knightshift.hardware.readout_plan import plan_readouts

_REFOCUSING_FROM = np.deg2rad(120.0)


@dataclass(frozen=True)
class Pulse:
    """One RF pulse and the gradients that are on during it."""

    envelope: ComplexArray
    """Nutation frequency of each step, shape ``(step,)`` [Hz]."""
    steps: RealArray
    """Length of each step, shape ``(step,)`` [s]."""
    gradients: RealArray
    """Mean γG/2π during each step, shape ``(step, 3)`` for ``(x, y, z)`` [Hz/m]."""
    frequency: float
    """Offset from the working frequency [Hz]."""

    @property
    def duration(self) -> float:
        """Length [s]."""
        return float(self.steps.sum())


@dataclass(frozen=True)
class Window:
    """One acquisition window and the gradients that are on during it."""

    times: RealArray
    """Sample times from the start of the window, at dwell centres, shape ``(sample,)`` [s]."""
    moments: RealArray
    """Gradient moments from the start of the window, shape ``(sample, 3)`` [1/m]."""
    gradients: RealArray
    """γG/2π at each sample, shape ``(sample, 3)`` [Hz/m]."""
    frequency: float
    """Offset of the receiver from the working frequency [Hz]."""
    dwell_time: float
    """Time between samples [s]."""


@dataclass(frozen=True)
class Step:
    """Free precession, then a pulse or an acquisition window."""

    duration: float
    """Free precession before it [s]."""
    moment: tuple[float, float, float]
    """Gradient moments of that precession [1/m]."""
    pulse: int
    """Index into `Timeline.pulses`, or -1."""
    window: int
    """Index into `Timeline.windows`, or -1."""
    phase: float
    """Phase of the pulse or of the receiver at its start [rad]."""


@dataclass(frozen=True)
class Timeline:
    """One pass as the spins see it."""

    steps: tuple[Step, ...]
    pulses: tuple[Pulse, ...]
    windows: tuple[Window, ...]
    counters: IntArray
    """dtype `COUNTERS`, shape ``(readout,)``; ``average`` and ``segment`` are left 0."""
    ends: RealArray
    """End of each window from the start of the pass, shape ``(readout,)`` [s]."""
    evolution: RealArray
    """Time for which a constant offset has turned the signal at the start of each window, shape ``(readout,)`` [s]:
    from the excitation, negated by every refocusing pulse, 0 at the centre of a spin echo."""
    duration: float
    """Length of the pass [s]."""

    @property
    def readout_windows(self) -> IntArray:
        """Index into `windows` of each readout, shape ``(readout,)``."""
        return np.array([step.window for step in self.steps if step.window >= 0], dtype=np.intp)

    @property
    def n_samples(self) -> int:
        """Samples of the longest window."""
        return max(window.times.size for window in self.windows)

    @property
    def lengths(self) -> IntArray:
        """Samples of each readout, shape ``(readout,)``."""
        return np.array([window.times.size for window in self.windows], dtype=np.intp)[self.readout_windows]

    @property
    def sample_times(self) -> RealArray:
        """Time of each sample from the start of its window [s], shape ``(readout, sample)``; 0 beyond a short one."""
        times = np.zeros((len(self.windows), self.n_samples))
        for row, window in zip(times, self.windows, strict=True):
            row[: window.times.size] = window.times
        return times[self.readout_windows]


def build_timeline(tables: EventTables) -> Timeline:
    """Lay the blocks of `tables` out in time.

    Raises
    ------
    ProtocolError
        If a pulse and an acquisition window overlap, or nothing is acquired.
    """
    builder = _Builder(tables)
    for block in tables.blocks:
        builder.add(block)
    return builder.finish()


@dataclass
class _Builder:
    tables: EventTables
    steps: list[Step] = field(default_factory=list)
    pulses: list[Pulse] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    evolution: list[float] = field(default_factory=list)
    known: dict[object, int] = field(default_factory=dict)
    precession: float = 0.0
    moment: RealArray = field(default_factory=lambda: np.zeros(3))
    turned: float = 0.0

    def add(self, block: Block) -> None:
        position = 0.0
        for start, event in self._events(block):
            if start < position - 1e-9:
                raise ProtocolError("a pulse and an acquisition window overlap in one block: move one of them")
            self._precess(block, position, start)
            if isinstance(event, RfEvent):
                self._play(block, event, start)
                position = start + event.duration
            else:
                self._acquire(block, event, start)
                position = start
        self._precess(block, position, block.duration)

    def _events(self, block: Block) -> Iterator[tuple[float, RfEvent | AdcEvent]]:
        found: list[tuple[float, RfEvent | AdcEvent]] = []
        if block.rf:
            found.append((self.tables.rf[block.rf].delay, self.tables.rf[block.rf]))
        if block.adc:
            found.append((self.tables.adc[block.adc].delay, self.tables.adc[block.adc]))
        found.sort(key=lambda pair: pair[0])
        if len(found) == 2 and found[1][0] < found[0][0] + found[0][1].duration - 1e-9:
            raise ProtocolError("a pulse and an acquisition window overlap in one block: move one of them")
        return iter(found)

    def _moments(self, block: Block, times: RealArray) -> RealArray:
        """Gradient moments from the start of the block, shape ``(time, 3)`` [1/m]."""
        result = np.zeros((times.size, 3))
        for axis, index in enumerate(block.gradients):
            if index:
                result[:, axis] = self.tables.gradients[index].moment(times)
        return result

    def _precess(self, block: Block, start: float, end: float) -> None:
        if end <= start:
            return
        self.precession += end - start
        self.turned += end - start
        if any(block.gradients):
            moments = self._moments(block, np.array([start, end]))
            self.moment = self.moment + moments[1] - moments[0]

    def _flush(self, pulse: int, window: int, phase: float) -> None:
        kx, ky, kz = (float(k) for k in self.moment)
        self.steps.append(Step(self.precession, (kx, ky, kz), pulse, window, phase))
        self.precession, self.moment = 0.0, np.zeros(3)

    def _play(self, block: Block, event: RfEvent, start: float) -> None:
        key = ("rf", block.rf, block.gradients if any(block.gradients) else None)
        if key not in self.known:
            self.known[key] = len(self.pulses)
            self.pulses.append(self._pulse(block, event, start))
        self._flush(self.known[key], -1, event.phase)
        refocuses = event.use == "r" or (event.use == "u" and event.flip_angle >= _REFOCUSING_FROM)
        before = self.turned + event.center
        if refocuses:
            self.turned = -before + event.duration - event.center
        elif event.use in "eu":
            self.turned = event.duration - event.center
        else:
            self.turned += event.duration

    def _pulse(self, block: Block, event: RfEvent, start: float) -> Pulse:
        edges, envelope = event.step_times, event.envelope
        gradients = self._mean_gradients(block, start, edges)
        if np.ptp(self._mean_gradients(block, start, _fine(edges)), axis=0).max() > 1e-6 * np.abs(gradients).max():
            fine = _fine(edges)  # the gradient changes while the shape stands still
            envelope = envelope[np.searchsorted(edges, 0.5 * (fine[1:] + fine[:-1])) - 1]
            edges, gradients = fine, self._mean_gradients(block, start, fine)
        return Pulse(envelope, np.diff(edges), gradients, event.frequency)

    def _mean_gradients(self, block: Block, start: float, edges: RealArray) -> RealArray:
        means: RealArray = np.diff(self._moments(block, start + edges), axis=0) / np.diff(edges)[:, None]
        return means

    def _acquire(self, block: Block, event: AdcEvent, start: float) -> None:
        window = self._window(block, event, start)
        key = (np.round(window.moments, 6).tobytes(), window.frequency, window.dwell_time)
        if key not in self.known:
            self.known[key] = len(self.windows)
            self.windows.append(window)
        self.evolution.append(self.turned)
        self._flush(-1, self.known[key], event.phase)

    def _window(self, block: Block, event: AdcEvent, start: float) -> Window:
        times = (np.arange(event.samples) + 0.5) * event.dwell_time
        moments = self._moments(block, start + np.concatenate([[0.0], times]))
        edges = start + np.arange(event.samples + 1) * event.dwell_time
        gradients = np.diff(self._moments(block, edges), axis=0) / event.dwell_time
        return Window(times, moments[1:] - moments[0], gradients, event.frequency, event.dwell_time)

    def finish(self) -> Timeline:
        if not self.windows:
            raise ProtocolError("the sequence has no acquisition window: there is nothing to receive")
        plan = plan_readouts(self.tables)
        return Timeline(
            tuple(self.steps),
            tuple(self.pulses),
            tuple(self.windows),
            plan.counters,
            plan.ends,
            np.array(self.evolution),
            self.tables.duration,
        )


def _fine(edges: RealArray) -> RealArray:
    """Refine edges to steps of about 1 us."""
    pieces = [np.linspace(a, b, max(1, round((b - a) / 1e-6)) + 1)[:-1] for a, b in itertools.pairwise(edges)]
    return np.concatenate([*pieces, edges[-1:]])
