"""Eurotherm 800/900/2000 controllers, and the Bruker BVT units built around them, over EI-BISYNCH.

A question is ``EOT gid gid uid uid [channel] mnemonic ENQ``, where gid and uid are the two digits of the address; the
answer is ``STX [channel] mnemonic data ETX BCC``. BCC is the exclusive or of everything after STX, ETX included [1]_.
A lone EOT says that the mnemonic is unknown, NAK that the question was garbled. A BVT interface listens to address 0
and hands on what is meant for its Eurotherm 902 [2]_.

The answer repeats its mnemonic, so one answer is taken for another only if both were asked for the same thing. That
is why `check_mnemonic` is asked before each value. Eight bits of check let one bad answer in 256 pass: hence two
answers.

References
----------
.. [1] Eurotherm, Series 2000 Communications Handbook, chapter 4 (EI-BISYNCH protocol).
.. [2] Bruker, BVT3000 User Manual version 003, chapter 4 (remote interface control).
"""

from __future__ import annotations

import re
from functools import reduce
from operator import xor
from typing import Annotated

from pydantic import Field

from knightshift.core.errors import GarbledReplyFault, LinkFault, WrongReplyFault
from knightshift.core.quantities import KelvinDifference
from knightshift.hardware.monitors.framers import EOT, ETX, NAK, bisynch
from knightshift.hardware.monitors.temperature_controller import ControllerSettings, TemperatureController

STX, ENQ = 0x02, 0x05
_NUMBER = re.compile(rb" *[+-]? *(\d{1,5}\.?\d{0,3}|\.\d{1,3}) *")

Mnemonic = Annotated[str, Field(pattern=r"^[!-~]{2}$")]


class EurothermSettings(ControllerSettings):
    """How to read the controller."""

    address: Annotated[int, Field(ge=0, le=99)] = 0
    """Group and unit digit; 0 for a Bruker BVT."""
    channel: Annotated[str, Field(pattern=r"^[1-9]?$")] = ""
    """Channel digit before the mnemonic; most instruments want none."""
    quantities: dict[str, Mnemonic] = Field(default={"temperature": "PV"})
    """Name of each temperature → its mnemonic: PV measured, SL set point, SP working set point."""
    check_mnemonic: Mnemonic = "II"
    """What to ask before each value, so that a late value is not taken for this one: II is the identity."""
    agreement: KelvinDifference = 0.2
    """By how much two answers in a row may differ [K]."""


FACTORY_LINE = {"baud_rate": 9600, "data_bits": 7, "parity": "even", "stop_bits": 1}
"""The line as both manuals have it."""


def check_character(content: bytes) -> int:
    """Exclusive or of `content`: all bytes after STX, ETX included."""
    return reduce(xor, content, 0)


def question(address: int, name: str) -> bytes:
    """Compose the question for `name`: channel digit, if any, and mnemonic."""
    group, unit = divmod(address, 10)
    return bytes([EOT]) + f"{group}{group}{unit}{unit}{name}".encode("ascii") + bytes([ENQ])


def parse_answer(answer: bytes, name: str, device: str = "controller") -> bytes:
    """Check an answer and give its data.

    Parameters
    ----------
    answer
        Everything from STX to the check character.
    name
        Channel digit, if any, and mnemonic that was asked.
    device
        What to call the device in messages.

    Raises
    ------
    LinkFault
        If the instrument refuses: unknown mnemonic, or it understood nothing.
    GarbledReplyFault
        If form or check character are wrong.
    WrongReplyFault
        If it answers another mnemonic.
    """
    if answer == bytes([EOT]):
        raise LinkFault(f"does not know {name!r}: check channel and mnemonics", device)
    if answer == bytes([NAK]):
        raise GarbledReplyFault(f"did not understand the question for {name!r}", device)
    if len(answer) < 5 or answer[0] != STX or answer[-2] != ETX or check_character(answer[1:-1]) != answer[-1]:
        raise GarbledReplyFault(f"{answer!r}: form or check character is wrong", device)
    content = answer[1:-2]
    if not content.startswith(name.encode("ascii")):
        raise WrongReplyFault(f"{answer!r} does not answer {name!r}", device)
    return content[len(name) :]


def parse_number(data: bytes, device: str = "controller") -> float:
    """Read the data of an answer in free format: ``b" 23.5"``.

    Raises
    ------
    GarbledReplyFault
        If it is no number.
    """
    if not _NUMBER.fullmatch(data):
        raise GarbledReplyFault(f"{data!r} is no number", device)
    return float(data.replace(b" ", b""))


class EurothermBisynch(TemperatureController[EurothermSettings, str]):
    """Temperatures of one controller [K]."""

    def identity(self) -> str:
        """Ask what `check_mnemonic` says: the instrument's identity, as it writes it. Raises `LinkFault`."""
        self._link.open()
        return self._ask(self._settings.check_mnemonic).decode("ascii", "replace")

    def _check_and_value(self, channel: str) -> tuple[bytes, float]:
        identity = self._ask(self._settings.check_mnemonic)
        return identity, parse_number(self._ask(channel), self.name)

    def _ask(self, mnemonic: str) -> bytes:
        name = self._settings.channel + mnemonic
        return parse_answer(self._link.transact(question(self._settings.address, name), bisynch), name, self.name)
