"""A TTL trigger for a potentiostat on a control line (RTS or DTR) of a serial port.

The line rests at its idle level from the moment the port is opened, and goes back to it whatever happens. (The
operating system may raise RTS and DTR for some microseconds while it opens the port: open it before the potentiostat
is armed.) With `TtlTriggerSettings.read_back` the level is also wired back to CTS or DSR and checked after every
change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict

from knightshift.core.errors import InputError, LinkFault
from knightshift.core.quantities import PositiveSeconds
from knightshift.hardware.monitors.transport import InputLine, OutputLine, Transport


class TtlTriggerSettings(BaseModel):
    """How the trigger is wired."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line: OutputLine = OutputLine.RTS
    """The line that triggers."""
    active_level: bool = True
    """Level of the line while the trigger is set; the opposite is idle."""
    read_back: InputLine | None = None
    """Input that the line is wired back to, if it is."""
    settling_time: PositiveSeconds = 0.002
    """How long the level may take to arrive at `read_back` [s]."""
    tolerance: PositiveSeconds = 0.005
    """By how much a pulse may be longer than asked for [s]."""


@dataclass(frozen=True)
class Pulse:
    """A pulse that was given."""

    asked: float
    """Length asked for [s]."""
    length: float
    """Length by the clock of the computer [s]."""


class TtlTrigger:
    """Set, clear or pulse one TTL line.

    Parameters
    ----------
    link
        The serial port.
    settings
        How it is wired.
    """

    def __init__(self, link: Transport, settings: TtlTriggerSettings) -> None:
        self._link = link
        self._settings = settings

    def __enter__(self) -> Self:
        """Open the port with the line at rest."""
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        """Clear the trigger and close the port."""
        self.close()

    def open(self) -> None:
        """Open the port with the line at its idle level. Raises `LinkFault`."""
        self._link.open({self._settings.line: not self._settings.active_level})
        self.clear()

    def close(self) -> None:
        """Clear the trigger and close the port.

        Raises
        ------
        LinkFault
            If the line could not be cleared: the potentiostat may still be triggered.
        """
        try:
            if self._link.is_open:
                self.clear()
        finally:
            self._link.close()

    @property
    def is_set(self) -> bool:
        """Whether the trigger is set: as read back, where that is wired, else as last told."""
        s = self._settings
        level = self._link.sense(s.read_back) if s.read_back else self._link.output(s.line)
        return level == s.active_level

    def set(self) -> None:
        """Set the trigger and check it. Raises `LinkFault`."""
        self._drive(active=True)

    def clear(self) -> None:
        """Clear the trigger and check it. Raises `LinkFault`."""
        self._drive(active=False)

    def pulse(self, length: float) -> Pulse:
        """Set the trigger for `length` [s].

        Raises
        ------
        InputError
            If `length` is not positive.
        LinkFault
            If the line does not follow, or the pulse came out longer than the tolerance allows.
        """
        if not length > 0:
            raise InputError(f"a pulse of {length} s is none: give a length above 0 s")
        start = self._link.monotonic()
        try:
            self.set()
            self._link.sleep(max(0.0, start + length - self._link.monotonic()))
        finally:
            self.clear()
        given = Pulse(asked=length, length=self._link.monotonic() - start)
        if given.length > length + self._settings.tolerance + 2 * self._settings.settling_time:
            raise LinkFault(
                f"the pulse lasted {given.length * 1e3:.1f} ms, not {length * 1e3:.1f} ms: the computer was busy",
                self._link.device,
            )
        return given

    def _drive(self, *, active: bool) -> None:
        s = self._settings
        self._link.set_output(s.line, s.active_level if active else not s.active_level)
        deadline = self._link.monotonic() + s.settling_time
        while self.is_set != active:
            if self._link.monotonic() >= deadline:
                raise LinkFault(
                    f"{s.line} was {'set' if active else 'cleared'} but {s.read_back} does not follow: check the wire",
                    self._link.device,
                )
            self._link.sleep(s.settling_time / 10)
