"""One serial line: the only place that knows pyserial.

The line may be a serial port (``/dev/ttyUSB0``), a pseudo-terminal, a serial server (``socket://host:4001``) or one
of our emulated devices (``sim://oxford_ilm``). All questions go through `Transport.transact`, which keeps the rule
that an answer belongs to its question:

1. What arrived unasked before the question is a fault.
2. After one answer the line must be silent for `LinkSettings.quiet_time`; a second answer is a fault.
3. After any fault the line is drained until every open question is older than `LinkSettings.latest_reply`.

Whether the *content* answers the question is for the driver to check.
"""

from __future__ import annotations

import logging
import termios
import time
from enum import StrEnum
from typing import Any, Literal, NoReturn, Self

import serial
from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.errors import GarbledReplyFault, LinkFault, NoReplyFault, WrongReplyFault
from knightshift.core.quantities import PositiveSeconds
from knightshift.hardware.monitors.framers import Framer

_log = logging.getLogger(__name__)

_SIM_HANDLERS = "knightshift.hardware.monitors.emulated"
if _SIM_HANDLERS not in serial.protocol_handler_packages:
    serial.protocol_handler_packages.append(_SIM_HANDLERS)

_LOST = (OSError, termios.error)
"""What pyserial lets through when a line goes away; its own exception is an `OSError`."""

_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}


class LinkSettings(BaseModel):
    """One serial line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: str = Field(min_length=1)
    """A device file, or a URL: ``socket://host:4001``, ``sim://oxford_ilm``."""
    baud_rate: int = Field(default=9600, ge=50, le=4_000_000)
    """Bits per second."""
    data_bits: Literal[7, 8] = 8
    """Data bits of a character."""
    parity: Literal["none", "even", "odd"] = "none"
    """Parity bit of a character."""
    stop_bits: Literal[1, 2] = 1
    """Stop bits of a character."""
    timeout: PositiveSeconds = 1.0
    """How long a complete answer may take [s]."""
    quiet_time: PositiveSeconds = 0.02
    """How long the line must be silent after an answer [s]: no second one may follow."""
    latest_reply: PositiveSeconds = 2.0
    """After a fault: how long the device might still answer a question [s]. Until then nothing is asked."""


class OutputLine(StrEnum):
    """A control line that we drive."""

    RTS = "rts"
    """Request to send."""
    DTR = "dtr"
    """Data terminal ready."""


class InputLine(StrEnum):
    """A control line that the device drives."""

    CTS = "cts"
    """Clear to send."""
    DSR = "dsr"
    """Data set ready."""


class Transport:
    """A serial line to one device. Not to be shared between threads: the monitor that owns it serialises its calls.

    Parameters
    ----------
    settings
        The line.
    device
        What to call the device in messages.
    """

    def __init__(self, settings: LinkSettings, device: str) -> None:
        self.settings = settings
        self.device = device
        self._port: Any = None
        self._in_step = True
        self._asked_at = 0.0

    def __enter__(self) -> Self:
        """Open the line."""
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the line."""
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether there is a line, as far as we know."""
        return self._port is not None

    def monotonic(self) -> float:
        """Seconds on the clock of the line: the computer's, or an emulated line's own, which needs no waiting."""
        emulated = getattr(self._port, "monotonic", None)
        return float(emulated()) if emulated is not None else time.monotonic()

    def sleep(self, duration: float) -> None:
        """Let `duration` [s] pass on the clock of the line."""
        emulated = getattr(self._port, "sleep", None)
        (emulated or time.sleep)(duration)

    def open(self, outputs: dict[OutputLine, bool] | None = None) -> None:
        """Open the line and throw away what it still holds.

        Parameters
        ----------
        outputs
            Levels of the control lines from the first moment on; left out, the operating system raises both.

        Raises
        ------
        LinkFault
            If it cannot be opened.
        """
        if self._port is not None:
            return
        s = self.settings
        try:
            port = serial.serial_for_url(
                s.port,
                s.baud_rate,
                bytesize=s.data_bits,
                parity=_PARITY[s.parity],
                stopbits=s.stop_bits,
                timeout=s.timeout,
                write_timeout=s.timeout,
                exclusive=True,
                do_not_open=True,
            )
            for line, level in (outputs or {}).items():
                setattr(port, line.value, level)
            port.open()
        except (*_LOST, ValueError) as error:
            raise LinkFault(f"{s.port} cannot be opened: {error}: check cable and `port`", self.device) from error
        self._port = port
        self._in_step = False
        self._asked_at = self.monotonic() - s.latest_reply

    def close(self) -> None:
        """Give the line up. Never raises, any number of times."""
        port, self._port = self._port, None
        if port is not None:
            try:
                port.close()
            except _LOST as error:
                _log.warning("%s: closing %s: %s", self.device, self.settings.port, error)

    def transact(self, request: bytes, framer: Framer, timeout: float | None = None) -> bytes:
        """Ask one question and give its one answer.

        Parameters
        ----------
        request
            What to send.
        framer
            Says where the answer ends.
        timeout
            Until when the answer must be complete [s]; the setting of the line if left out.

        Raises
        ------
        NoReplyFault
            If the answer is missing or incomplete.
        WrongReplyFault
            If something arrived unasked, before or after it.
        LinkFault
            If the line is lost; it is then closed.
        """
        self._require_port()
        try:
            self.reset_input()
            self._in_step = False  # until the answer is known to be the only one
            self._asked_at = self.monotonic()
            self._port.write(request)
            answer = self._receive(framer, self.settings.timeout if timeout is None else timeout)
        except _LOST as error:
            self._lost(error)
        self._in_step = True
        return answer

    def out_of_step(self) -> None:
        """Tell that the content of an answer was wrong: the line is drained before the next question."""
        self._in_step = False

    def reset_input(self) -> None:
        """Make sure that no answer to an earlier question is under way.

        Raises
        ------
        WrongReplyFault
            If something arrived unasked since the last good answer.
        GarbledReplyFault
            If the line does not fall silent.
        """
        self._require_port()
        try:
            if not self._in_step:
                self._drain()
            elif self._port.in_waiting:
                late = self._some(0.0)
                self._in_step = False
                raise WrongReplyFault(f"{len(late)} bytes came unasked: {late[:20]!r}", self.device)
        except _LOST as error:
            self._lost(error)

    def set_output(self, line: OutputLine, level: bool) -> None:
        """Set a control line. Raises `LinkFault` if the port has none."""
        self._require_port()
        try:
            setattr(self._port, line.value, level)
        except _LOST as error:
            self._lost(error)

    def output(self, line: OutputLine) -> bool:
        """Say which level we last gave a control line."""
        self._require_port()
        return bool(getattr(self._port, line.value))

    def sense(self, line: InputLine) -> bool:
        """Read a control line that the device drives. Raises `LinkFault` if the port has none."""
        self._require_port()
        try:
            return bool(getattr(self._port, line.value))
        except _LOST as error:
            self._lost(error)

    def _require_port(self) -> None:
        if self._port is None:
            raise LinkFault(f"{self.settings.port} is not open", self.device)

    def _lost(self, error: BaseException) -> NoReturn:
        self.close()
        raise LinkFault(f"{self.settings.port} is lost: {error}: check cable and power", self.device) from error

    def _some(self, wait: float) -> bytes:
        """Whatever arrives within `wait` [s]; empty if nothing does."""
        self._port.timeout = wait
        return bytes(self._port.read(max(1, self._port.in_waiting)))

    def _receive(self, framer: Framer, timeout: float) -> bytes:
        received = b""
        deadline = self.monotonic() + timeout
        while (length := framer(received)) is None:
            more = self._some(max(0.0, deadline - self.monotonic()))
            received += more
            if self.monotonic() >= deadline and framer(received) is None:
                what = f"only {received[:40]!r}" if received else "nothing"
                raise NoReplyFault(f"{what} came in answer within {timeout:.4g} s", self.device)
        surplus = received[length:] or self._some(self.settings.quiet_time)
        if surplus:
            raise WrongReplyFault(f"a second answer {surplus[:20]!r} followed {received[:length]!r}", self.device)
        return received[:length]

    def _drain(self) -> None:
        """Read until the line is silent and all that was asked is older than `latest_reply`."""
        s = self.settings
        written_off = self._asked_at + s.latest_reply
        give_up = self.monotonic() + 2 * s.latest_reply + s.timeout
        while late := self._some(max(written_off - self.monotonic(), s.quiet_time)):
            _log.debug("%s: discarded %r", self.device, late)
            if self.monotonic() > give_up:
                raise GarbledReplyFault(f"{s.port} does not fall silent: {late[:20]!r}", self.device)
        self._in_step = True
