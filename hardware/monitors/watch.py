"""Readings and interlocks together, as a pass loop uses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from knightshift.core.clock import Clock
from knightshift.hardware.monitors.configuration import MonitorsConfig
from knightshift.hardware.monitors.interlocks import Action, PanelStatus, gravest
from knightshift.hardware.monitors.reading import Reading, Severity

_GLANCE = 0.1
"""Time between two glances at readings that are awaited [s]."""


@dataclass(frozen=True)
class PassVerdict:
    """What the interlocks say about one pass."""

    action: Action
    """The gravest action that any of them asked for while it played."""
    reasons: tuple[str, ...]
    """Why, each reason once, in the order of its first appearance."""


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
    """

    def __init__(
        self,
        config: MonitorsConfig,
        clock: Clock,
        *,
        threaded: bool = True,
        on_reading: Callable[[tuple[Reading, ...]], None] | None = None,
    ) -> None:
        self._clock = clock
        self._poller = config.make_poller(clock, on_reading)
        self._panel = config.make_panel()
        self._threaded = threaded
        self._actions: list[Action] = []
        self._reasons: dict[str, None] = {}

    def __enter__(self) -> Self:
        """Start to read."""
        if self._threaded:
            self._poller.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop, and close the lines."""
        self._poller.stop()

    def readings(self) -> dict[str, Reading]:
        """Give the latest reading of every quantity, by name."""
        return self._poller.latest()

    def first_readings(self, patience: float) -> dict[str, Reading]:
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
        if not self._threaded:
            self._poller.step()
        status = self._panel.update(self._poller.latest(), self._clock.now())
        if status.action is not Action.NONE:
            self._actions.append(status.action)
            self._reasons.update(dict.fromkeys(status.reasons))
        return status

    def begin_pass(self) -> PanelStatus:
        """Look, and forget what was before."""
        self._actions, self._reasons = [], {}
        return self.look()

    def end_pass(self) -> PassVerdict:
        """Look once more, and say what the interlocks asked for since `begin_pass`."""
        self.look()
        return PassVerdict(gravest(self._actions), tuple(self._reasons))
