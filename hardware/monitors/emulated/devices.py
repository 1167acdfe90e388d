"""What each device would answer: its protocol and nothing else. Values may be changed at any time."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Protocol

_ETX, _EOT, _ENQ, _STX = 0x03, 0x04, 0x05, 0x02


class EmulatedDevice(Protocol):
    """A device at the end of a serial line."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, in any portions; give the answers to the questions that are now complete."""
        ...

    def drive(self, line: str, level: bool, now: float) -> None:
        """See a control line of the computer change."""
        ...

    def sense(self, line: str) -> bool:
        """Say which level a control line of the device has."""
        ...


class _TalkingDevice:
    """A device without control lines that collects its questions."""

    def __init__(self) -> None:
        self._received = b""

    def drive(self, line: str, level: bool, now: float) -> None:
        """Take no notice of control lines."""

    def sense(self, line: str) -> bool:
        """Say that the device is ready."""
        return True

    def _lines(self, data: bytes, end: bytes) -> list[bytes]:
        *complete, self._received = (self._received + data).split(end)
        return complete


@dataclass
class IlmChannel:
    """One channel of a level meter."""

    level: float
    """Level as a fraction."""
    use: int
    """0 none, 1 nitrogen, 2 helium pulsed, 3 helium continuous, 9 error."""
    flags: int = 0
    """Bit 1 fast, 2 slow, 5 low, 6 alarm."""


class EmulatedIlm(_TalkingDevice):
    """An Oxford ILM200.

    Parameters
    ----------
    address
        ISOBUS address.
    channels
        Number of the channel → what is there.
    """

    def __init__(self, address: int = 6, channels: dict[int, IlmChannel] | None = None) -> None:
        super().__init__()
        self.address = address
        self.channels = channels or {1: IlmChannel(0.623, use=2, flags=0x04), 2: IlmChannel(0.815, use=1)}

    def feed(self, data: bytes) -> list[bytes]:
        """Answer the questions that are complete with their CR."""
        answers = [self._answer(question) for question in self._lines(data, b"\r")]
        return [answer + b"\r" for answer in answers if answer]

    def _answer(self, question: bytes) -> bytes:
        if question.startswith(b"@"):
            if question[1:2] != str(self.address).encode():
                return b""
            question = question[2:]
        if question.startswith(b"$"):
            return b""
        number = question[1:].decode("ascii", "replace")
        if question[:1] == b"R" and number in ("1", "2", "3") and int(number) in self.channels:
            return b"R%d" % round(self.channels[int(number)].level * 1000)
        fixed = {b"X": self._status(), b"V": b"ILM200 Version 1.08 (c) OXFORD 1994"}
        return fixed.get(question, b"?" + question)

    def _status(self) -> bytes:
        channels = [self.channels.get(number, IlmChannel(0.0, use=0)) for number in (1, 2, 3)]
        use = "".join(str(channel.use) for channel in channels)
        flags = "".join(f"{channel.flags:02X}" for channel in channels)
        return f"X{use}S{flags}R00".encode()


class EmulatedEurotherm(_TalkingDevice):
    """A Eurotherm 902, alone or inside a Bruker BVT.

    Parameters
    ----------
    address
        Two-digit address.
    temperature
        Measured temperature [degC].
    """

    def __init__(self, address: int = 0, temperature: float = 23.5) -> None:
        super().__init__()
        self.address = address
        self.temperature = temperature
        self.set_point = 25.0

    def feed(self, data: bytes) -> list[bytes]:
        """Answer the questions that are complete with their ENQ."""
        return [answer for question in self._lines(data, bytes([_ENQ])) if (answer := self._answer(question))]

    def _answer(self, question: bytes) -> bytes:
        digits = f"{self.address:02d}"
        start = bytes([_EOT]) + f"{digits[0] * 2}{digits[1] * 2}".encode()
        if not question.startswith(start):
            return b""
        known = {b"PV": f"{self.temperature:6.2f}", b"SL": f"{self.set_point:6.2f}", b"II": ">9020"}
        mnemonic = question[len(start) :]
        if mnemonic not in known:
            return bytes([_EOT])
        content = mnemonic + known[mnemonic].encode() + bytes([_ETX])
        check = 0
        for byte in content:
            check ^= byte
        return bytes([_STX]) + content + bytes([check])


class EmulatedModbus(_TalkingDevice):
    """A temperature controller on a Modbus RTU line.

    Parameters
    ----------
    address
        Address on the bus.
    registers
        Number of the register → its 16 bits; those that are not named hold 0, up to 200.
    """

    def __init__(self, address: int = 1, registers: dict[int, int] | None = None) -> None:
        super().__init__()
        self.address = address
        self.registers = registers or {1: 235, 2: 250}

    def feed(self, data: bytes) -> list[bytes]:
        """Answer the questions that are complete: reads have eight bytes."""
        self._received += data
        answers = []
        while len(self._received) >= 8:
            question, self._received = self._received[:8], self._received[8:]
            if answer := self._answer(question):
                answers.append(answer)
        return answers

    def _answer(self, question: bytes) -> bytes:
        address, function, first, count, check = struct.unpack(">BBHH2s", question)
        if crc16(question[:-2]) != check:
            self._received = b""
            return b""
        if address != self.address:
            return b""
        if function not in (3, 4):
            body = struct.pack(">BBB", address, function | 0x80, 1)
        elif first + count > 200:
            body = struct.pack(">BBB", address, function | 0x80, 2)
        else:
            words = [self.registers.get(number, 0) & 0xFFFF for number in range(first, first + count)]
            body = struct.pack(f">BBB{count}H", address, function, 2 * count, *words)
        return body + crc16(body)


def crc16(body: bytes) -> bytes:
    """CRC-16 of Modbus (polynomial A001 hexadecimal, start FFFF), low byte first."""
    remainder = 0xFFFF
    for byte in body:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (0xA001 if remainder & 1 else 0)
    return struct.pack("<H", remainder)


class EmulatedJulabo(_TalkingDevice):
    """A recirculating chiller.

    Parameters
    ----------
    bath
        Temperature of the bath [degC].
    status
        Its status message.
    """

    def __init__(self, bath: float = 15.5, status: str = "03 REMOTE START") -> None:
        super().__init__()
        self.bath = bath
        self.set_point = 15.0
        self.status = status
        self._complaint = ""

    def feed(self, data: bytes) -> list[bytes]:
        """Answer the questions that are complete with their CR; an unknown one is complained of in the next status."""
        answers = [self._answer(question.strip()) for question in self._lines(data, b"\r")]
        return [f"{answer}\r\n".encode("ascii") for answer in answers if answer]

    def _answer(self, question: bytes) -> str:
        if question == b"status":
            complaint, self._complaint = self._complaint, ""
            return complaint or self.status
        known = {
            b"in_pv_00": f"{self.bath:.2f}",
            b"in_pv_02": "---.--",
            b"in_sp_00": f"{self.set_point:.2f}",
            b"version": "JULABO FL601 VERSION 3.0",
        }
        if question not in known:
            self._complaint = "-08 INVALID COMMAND"
            return ""
        return known[question]


@dataclass
class EmulatedPotentiostat:
    """A potentiostat with a trigger input, wired back to CTS and DSR."""

    wire: dict[str, str] = field(default_factory=lambda: {"cts": "rts", "dsr": "dtr"})
    """Input of the computer → output that it is wired to."""
    edges: list[tuple[float, str, bool]] = field(default_factory=list)
    """Every change: when [s], which line, to which level."""
    _levels: dict[str, bool] = field(default_factory=dict)

    def feed(self, data: bytes) -> list[bytes]:
        """Say nothing: this device has only control lines."""
        return []

    def drive(self, line: str, level: bool, now: float) -> None:
        """See a control line change."""
        if self._levels.get(line) != level:
            self._levels[line] = level
            self.edges.append((now, line, level))

    def sense(self, line: str) -> bool:
        """Say which level the wire gives back."""
        return self._levels.get(self.wire.get(line, ""), False)
