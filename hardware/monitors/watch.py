"""Readings and interlocks together, as a pass loop uses them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self

from knightshift.core.clock import Clock
from knightshift.hardware.faults import FaultScript
from knightshift.hardware.monitors.configuration import MonitorsConfig
from knightshift.hardware.monitors.emulated.excursions import Excursions
from knightshift.hardware.monitors.interlocks import PanelStatus
from knightshift.hardware.monitors.reading import Reading, Severity

_GLANCE = 0.1
"""Time between two glances at readings that are awaited [s]."""


class SiteWatch:
    """Everything beside the scanner, watched; use it in a ``with``.

    Call `look` as often as convenient: before a pass, with every readout, while suspended. It never waits for a device.
    Only the thread of the pass loop may call it.

    Parameters
    ----------
    config
        Monitors and interlocks of the site.
    clock
        Where the time comes from.
    threaded
        Read in threads, as in a real night. False: read what is due within `look`, as on a virtual clock.
    on_reading
        Called with every new set of readings, by the threads if there are any: to write them to the journal.
    faults
        Script of the site: emulated monitors read out of band where it says so.
    """

    def __init__(
        self,
        config: MonitorsConfig,
        clock: Clock,
        *,
        threaded: bool = True,
        on_reading: Callable[[tuple[Reading, ...]], None] | None = None,
        faults: FaultScript | None = None,
    ) -> None:
        self._clock = clock
        self._poller = config.make_poller(clock, on_reading)
        self._panel = config.make_panel()
        self._threaded = threaded
        self._excursions = Excursions(faults or FaultScript(), config, clock)

    def __enter__(self) -> Self:
        """Start to read."""
        if self._threaded:
            self._poller.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop, and close the lines."""
        self._poller.stop()
        self._excursions.end_all()

    def readings(self) -> Mapping[str, Reading]:
        """Give the latest reading of every quantity, by name."""
        return self._poller.latest()

    def first_readings(self, patience: float) -> Mapping[str, Reading]:
        """Wait until every quantity has a value that is not stale, at most `patience` [s]; give what there is then."""
        give_up = self._clock.now() + patience
        while True:
            if not self._threaded:
                self._poller.step()
            readings = self.readings()
            missing = any(reading.stale or reading.severity is Severity.INVALID for reading in readings.values())
            if not missing or self._clock.now() >= give_up:
                return readings
            self._clock.sleep(_GLANCE)

    def look(self) -> PanelStatus:
        """Let the interlocks judge the latest readings.

        Raises
        ------
        KnightshiftError
            What `on_reading` raised.
        """
        self._excursions.update()
        if not self._threaded:
            self._poller.step()
        return self._panel.update(self._poller.latest(), self._clock.now())

    def begin_pass(self, pass_index: int, epoch: int) -> None:
        """Learn that an attempt at a pass begins: scripted faults of monitors fall on it."""
        self._excursions.begin_pass(pass_index, epoch)

    def end_pass(self) -> None:
        """Learn that the pass is over, whatever became of it."""
        self._excursions.end_pass()
