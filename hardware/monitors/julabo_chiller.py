"""Julabo-type circulator, and others that speak its line-based commands.

Commands are ASCII and end with CR; answers end with LF, on most models CR LF [1]_. ``in_pv_00`` asks the bath
temperature and is answered by a bare number in degC, ``status`` by a message such as ``03 REMOTE START`` or ``-01 LOW
LEVEL ALARM``. Neither says what it answers: `status` and values alternate, so that an answer that comes one question
late has the wrong form.

References
----------
.. [1] JULABO FL recirculating coolers, operating manual, chapter 11 (remote control: list of commands, status
   messages).
"""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import Field

from knightshift.core.errors import GarbledReplyFault, WrongReplyFault
from knightshift.hardware.monitors.framers import until
from knightshift.hardware.monitors.reading import Severity
from knightshift.hardware.monitors.serial_monitor import ZERO_CELSIUS, Sample, SerialMonitor
from knightshift.hardware.monitors.temperature_controller import TemperatureSettings

_NUMBER = re.compile(rb" *[+-]?\d{1,3}(\.\d{1,3})? *\r?\n")
_NO_SENSOR = re.compile(rb" *-{2,4}\.-{1,3} *\r?\n")
_STATUS = re.compile(rb" *(-?\d{2}) ([A-Z][A-Z0-9 .:,/_+-]{2,59})\r?\n")
_COMMAND_ERRORS = range(-14, -7)
"""-08 INVALID COMMAND to -14 CHANNEL IS BLOCKED: about what was sent, not about the bath."""
_SENSOR_BROKEN = -5
"""-05 WORKING SENSOR ALARM: short-circuited or interrupted."""


Command = Annotated[str, Field(pattern=r"^in_(pv|sp)_\d\d$")]


class ChillerSettings(TemperatureSettings):
    """How to read the chiller."""

    quantities: dict[str, Command] = Field(default={"bath": "in_pv_00"})
    """Name of each temperature → command: in_pv_00 bath, in_pv_02 external sensor, in_sp_00 set point."""


FACTORY_LINE = {"baud_rate": 4800, "data_bits": 7, "parity": "even", "stop_bits": 1}
"""The line as the chiller leaves the factory."""


def parse_temperature(answer: bytes, device: str = "chiller") -> float:
    """Read the answer to an ``in_pv`` or ``in_sp`` command [degC]; NaN where no sensor is connected (``---.--``).

    Raises
    ------
    WrongReplyFault
        If it is a status message.
    GarbledReplyFault
        If it is neither.
    """
    if _NO_SENSOR.fullmatch(answer):
        return math.nan
    if _NUMBER.fullmatch(answer):
        return float(answer)
    kind = WrongReplyFault if _STATUS.fullmatch(answer) else GarbledReplyFault
    raise kind(f"{answer!r} is no temperature", device)


def parse_status(answer: bytes, device: str = "chiller") -> tuple[int, str]:
    """Read the answer to ``status``: number and words.

    Raises
    ------
    WrongReplyFault
        If it is a temperature.
    GarbledReplyFault
        If it is neither, or says that the chiller did not understand us.
    """
    match = _STATUS.fullmatch(answer)
    if match is None:
        kind = WrongReplyFault if _NUMBER.fullmatch(answer) else GarbledReplyFault
        raise kind(f"{answer!r} is no status", device)
    number = int(match[1])
    if number in _COMMAND_ERRORS:
        raise GarbledReplyFault(f"the chiller did not understand: {answer!r}", device)
    return number, match[2].decode("ascii").strip()


def severity_of(number: int, words: str) -> Severity:
    """How grave a status message is: negative numbers are alarms, unless they call themselves a warning."""
    if number >= 0:
        return Severity.OK
    if number == _SENSOR_BROKEN:
        return Severity.INVALID
    return Severity.WARNING if "WARNING" in words else Severity.ALARM


class JulaboChiller(SerialMonitor[ChillerSettings, str]):
    """Temperatures of one chiller [K]."""

    def _sample(self, channel: str) -> Sample:
        (number, words), celsius = self._twice(lambda: self._status_and_value(channel), self._settings.agreement)
        severity = severity_of(number, words)
        said = "" if severity is Severity.OK else f"{number:03d} {words}"
        if math.isnan(celsius):
            return Sample(math.nan, Severity.INVALID, said or "no sensor is connected")
        return Sample(celsius + ZERO_CELSIUS, severity, said)

    def _status_and_value(self, command: str) -> tuple[tuple[int, str], float]:
        status = parse_status(self._ask("status"), self.name)
        return status, parse_temperature(self._ask(command), self.name)

    def _ask(self, command: str) -> bytes:
        return self._link.transact(command.encode("ascii") + b"\r", until(b"\n"))
