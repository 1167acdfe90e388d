"""Oxford Instruments ILM200-type level meter for helium and nitrogen, over ISOBUS.

Questions are ASCII and end with CR; ``@6`` in front addresses instrument 6 of a bus. An answer repeats the letter of
the question and ends with CR; ``?`` says that the question was not understood [1]_.

- ``R1`` … ``R3``: level of a channel, ``R623`` = 62.3 %. The answer does not say which channel.
- ``X``: status ``XabcSuuvvwwRzz``: use of each channel (0 none, 1 nitrogen, 2 helium pulsed, 3 helium continuous, 9
  error), two hexadecimal digits of flags for each (bit 0 current flows, 1 fast, 2 slow, 5 low, 6 alarm), and the
  relays.

``R`` does not measure: a helium level may be as old as the interval between two pulses, and `Reading.measured` says
so.

References
----------
.. [1] Oxford Instruments, Intelligent Level Meter ILM200 Series, operator's handbook, chapter on remote control.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.errors import GarbledReplyFault, LinkFault, WrongReplyFault
from knightshift.core.quantities import Fraction, NonNegativeSeconds
from knightshift.hardware.monitors.framers import until
from knightshift.hardware.monitors.reading import Severity
from knightshift.hardware.monitors.serial_monitor import Sample, SerialMonitor

_LEVEL = re.compile(rb"R([+-]?\d{1,5})\r")
_STATUS = re.compile(rb"X(\d{3})S([0-9A-Fa-f]{6})R([0-9A-Fa-f]{2})\r")
_POSSIBLE = (-0.10, 1.20)
"""Levels that a meter with an imperfect calibration may show."""


class IlmSettings(BaseModel):
    """How to read the meter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: Annotated[int, Field(ge=0, le=9)] | None = None
    """ISOBUS address; left out for a meter alone on its line."""
    channels: dict[str, Annotated[int, Field(ge=1, le=3)]] = {"helium": 1, "nitrogen": 2}
    """Name of each level → channel of the meter."""
    fast_interval: NonNegativeSeconds = 10.0
    """Time between two pulses of a helium probe in fast mode [s]."""
    slow_interval: NonNegativeSeconds = 3600.0
    """Time between two pulses of a helium probe in slow mode [s]."""
    agreement: Fraction = 0.002
    """By how much two answers in a row may differ."""

    @property
    def quantities(self) -> Mapping[str, int]:
        """What is read: the same as `channels`."""
        return self.channels


FACTORY_LINE = {"baud_rate": 9600, "data_bits": 8, "parity": "none", "stop_bits": 2}
"""The line as the meter leaves the factory."""


@dataclass(frozen=True)
class ChannelStatus:
    """What ``X`` says about one channel, as far as it must not change between two questions."""

    use: int
    """0 none, 1 nitrogen, 2 helium pulsed, 3 helium continuous, 9 error."""
    fast: bool
    """The helium probe is in fast mode."""
    low: bool
    """The level is below the meter's own limit."""
    alarm: bool
    """The meter asks for an alarm."""

    def severity(self) -> tuple[Severity, str]:
        """How the meter judges the level, and in which words."""
        if self.use in (0, 9):
            return Severity.INVALID, "channel not in use" if self.use == 0 else "probe error: is it plugged in?"
        if self.alarm:
            return Severity.ALARM, "the meter is in alarm"
        return (Severity.WARNING, "the meter says low") if self.low else (Severity.OK, "")


def parse_level(answer: bytes, device: str = "level meter") -> float:
    """Read the answer to ``R1`` … ``R3`` as a fraction.

    Raises
    ------
    WrongReplyFault
        If it answers another question, or the meter did not understand ours.
    GarbledReplyFault
        If it is no possible level.
    """
    _require_letter(answer, b"R", device)
    match = _LEVEL.fullmatch(answer)
    level = int(match[1]) / 1000 if match else math.nan
    if not _POSSIBLE[0] <= level <= _POSSIBLE[1]:
        raise GarbledReplyFault(f"{answer!r} is no level", device)
    return level


def parse_status(answer: bytes, channel: int, device: str = "level meter") -> ChannelStatus:
    """Read the answer to ``X`` for one channel (1 to 3).

    Raises
    ------
    WrongReplyFault, GarbledReplyFault
        As `parse_level`.
    """
    _require_letter(answer, b"X", device)
    match = _STATUS.fullmatch(answer)
    use = int(match[1][channel - 1 : channel]) if match else -1
    if match is None or use not in (0, 1, 2, 3, 9):
        raise GarbledReplyFault(f"{answer!r} is no status", device)
    flags = int(match[2][2 * channel - 2 : 2 * channel], 16)
    return ChannelStatus(use=use, fast=bool(flags & 0x02), low=bool(flags & 0x20), alarm=bool(flags & 0x40))


def _require_letter(answer: bytes, letter: bytes, device: str) -> None:
    if answer[:1] != letter:
        raise WrongReplyFault(f"{answer!r} does not answer {letter.decode()!r}", device)


class OxfordIlm(SerialMonitor[IlmSettings, int]):
    """Helium and nitrogen levels, as fractions."""

    unit = "1"

    def version(self) -> str:
        """Ask instrument type and firmware: ``ILM200 Version 1.08 (c) OXFORD 1994``.

        Raises
        ------
        LinkFault
            If there is no answer, or not a level meter's.
        """
        self._link.open()
        answer = self._ask(b"V")
        if not answer.startswith(b"ILM"):
            raise WrongReplyFault(f"{answer!r} is no level meter", self.name)
        return answer.decode("ascii", "replace").strip()

    def _sample(self, channel: int) -> Sample:
        status, level = self._twice(lambda: self._status_and_level(channel), self._settings.agreement)
        severity, problem = status.severity()
        return Sample(level, severity, problem, age=self._longest_interval(status))

    def _status_and_level(self, channel: int) -> tuple[ChannelStatus, float]:
        status = parse_status(self._ask(b"X"), channel, self.name)
        return status, parse_level(self._ask(b"R%d" % channel), self.name)

    def _longest_interval(self, status: ChannelStatus) -> float:
        if status.use != 2:
            return 0.0  # nitrogen, and helium measured continuously
        return self._settings.fast_interval if status.fast else self._settings.slow_interval

    def _ask(self, question: bytes) -> bytes:
        address = b"" if self._settings.address is None else b"@%d" % self._settings.address
        answer = self._link.transact(address + question + b"\r", until(b"\r"))
        if answer.startswith(b"?"):
            raise LinkFault(f"did not understand {question!r}: {answer!r}: check address and channels", self.name)
        return answer
