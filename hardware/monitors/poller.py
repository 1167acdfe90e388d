"""Read monitors regularly, beside the acquisition and never in its way.

Every monitor has a thread of its own, so that one that does not answer holds up no other; the latest readings are
always there at once. In a virtual night no thread runs: `MonitorPoller.step` reads what is due by the clock it is
given.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from knightshift.core.clock import Clock
from knightshift.core.errors import KnightshiftError, LinkFault
from knightshift.hardware.monitors.reading import Reading, no_reading
from knightshift.hardware.monitors.serial_monitor import Monitor

_log = logging.getLogger(__name__)
_ROUNDING = 1e-3
"""How long before a reading may be stale its age is looked at again [s]."""


@dataclass(frozen=True)
class PolledMonitor:
    """A monitor and how often to read it."""

    monitor: Monitor
    """The device."""
    every: float
    """Time between two readings [s]."""
    stale_after: float
    """Age at which a reading is stale [s]."""


class MonitorPoller:
    """Keep the latest reading of every quantity.

    Parameters
    ----------
    monitors
        What to read, and how often.
    clock
        Where the time comes from.
    on_reading
        Called with every new set of readings, in the thread that read them: to write them to the journal. It must be
        quick and may be called from several threads at once.
    """

    def __init__(
        self,
        monitors: Iterable[PolledMonitor],
        clock: Clock,
        on_reading: Callable[[tuple[Reading, ...]], None] | None = None,
    ) -> None:
        self._monitors = tuple(monitors)
        self._clock = clock
        self._on_reading = on_reading
        self._quantities = {polled.monitor.name: dict(polled.monitor.quantities) for polled in self._monitors}
        self._latest: dict[str, Reading] = {}
        self._seen: tuple[Mapping[str, Reading], float] | None = None
        self._faults: dict[str, LinkFault] = {}
        self._due = dict.fromkeys((polled.monitor.name for polled in self._monitors), clock.now())
        self._next_due = clock.now()
        self._lock = threading.Lock()
        self._failure: KnightshiftError | None = None
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Start the threads."""
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop the threads and close the lines."""
        self.stop()

    def start(self) -> None:
        """Read every monitor in a thread of its own from now on."""
        self._stop.clear()
        self._threads = [
            threading.Thread(target=self._keep_reading, args=(polled,), name=polled.monitor.name, daemon=True)
            for polled in self._monitors
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, patience: float = 30.0) -> None:
        """Stop the threads and close the lines.

        Parameters
        ----------
        patience
            How long to wait for a reading that is under way [s]; its thread is then left to end by itself.
        """
        self._stop.set()
        for thread, polled in zip(self._threads, self._monitors, strict=True) if self._threads else ():
            thread.join(patience)
            if thread.is_alive():
                _log.warning("%s still reads: its line stays open", polled.monitor.name)
        alive = {thread.name for thread in self._threads if thread.is_alive()}
        for polled in self._monitors:
            if polled.monitor.name not in alive:
                polled.monitor.close()
        self._threads = []

    def step(self) -> None:
        """Read, one after the other, the monitors that are due. For virtual clocks; not while the threads run."""
        if self._clock.now() < self._next_due:
            return
        for polled in self._monitors:
            if self._clock.now() >= self._due[polled.monitor.name]:
                self._read(polled)
                self._due[polled.monitor.name] = self._clock.now() + polled.every
        self._next_due = min(self._due.values(), default=math.inf)

    def latest(self) -> Mapping[str, Reading]:
        """Give the latest reading of every quantity, by name; stale where it is old, NaN where there never was one.

        Never waits for a device. As long as nothing has changed, it is the same mapping.

        Raises
        ------
        KnightshiftError
            What `on_reading` raised in one of the threads: that thread has ended.
        """
        if self._failure is not None:
            raise self._failure
        now, seen = self._clock.now(), self._seen
        if seen is not None and now < seen[1]:
            return seen[0]
        with self._lock:
            readings = self._seen_at(now)
            self._seen = readings, self._fresh_until(readings) - _ROUNDING
        return readings

    def _fresh_until(self, readings: Mapping[str, Reading]) -> float:
        """Tell when the first of `readings` is stale, if nothing new comes; one that never came is not kept at all."""
        return min(
            (
                readings[name].measured + polled.stale_after if name in self._latest else -math.inf
                for polled in self._monitors
                for name in self._quantities[polled.monitor.name]
            ),
            default=math.inf,
        )

    def _seen_at(self, now: float) -> dict[str, Reading]:
        latest, faults, readings = self._latest, self._faults, {}
        for polled in self._monitors:
            fault = faults.get(polled.monitor.name)
            for name, unit in self._quantities[polled.monitor.name].items():
                if name in latest:
                    readings[name] = latest[name].seen_at(now, polled.stale_after)
                else:
                    readings[name] = no_reading(name, unit, now, str(fault) if fault else "not read yet")
        return readings

    def faults(self) -> Mapping[str, LinkFault]:
        """Monitor → fault of its last reading, for those that failed."""
        with self._lock:
            return dict(self._faults)

    def _keep_reading(self, polled: PolledMonitor) -> None:
        try:
            while not self._stop.is_set():
                self._read(polled)
                self._stop.wait(polled.every)
        except KnightshiftError as error:
            self._failure = error  # told by the next `latest`

    def _read(self, polled: PolledMonitor) -> None:
        name = polled.monitor.name
        try:
            readings = polled.monitor.read()
        except LinkFault as fault:
            _log.log(logging.DEBUG if name in self._faults else logging.WARNING, "%s", fault)
            with self._lock:
                self._faults[name] = fault
                self._seen = None
            return
        with self._lock:
            self._seen = None
            if self._faults.pop(name, None) is not None:
                _log.warning("%s answers again", name)
            self._latest.update({reading.name: reading for reading in readings})
        if self._on_reading is not None:
            self._on_reading(readings)
