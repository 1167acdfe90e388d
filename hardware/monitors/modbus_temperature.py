"""Temperature controllers that speak Modbus RTU, by means of minimalmodbus (extra ``monitors``).

minimalmodbus composes the question and checks address, function, length and CRC-16 of the answer. It is given not a
serial port but our transport, because the answer to a Modbus read does not say which register it comes from:
minimalmodbus alone takes a late answer to an earlier read for the answer to this one
(docs/adr/0007-minimalmodbus.md). Before each value we read one register more than the value has: that answer is
longer, so one that comes a question late has the wrong length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.clock import Clock
from knightshift.core.errors import ConfigError, GarbledReplyFault, LinkFault, WrongReplyFault
from knightshift.hardware.monitors.framers import modbus_read
from knightshift.hardware.monitors.temperature_controller import ControllerSettings, TemperatureController
from knightshift.hardware.monitors.transport import Transport

ResultT = TypeVar("ResultT")


class ModbusRegister(BaseModel):
    """Where one temperature is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_register: Annotated[int, Field(ge=0, le=0xFFFE)]
    """Address of the first register, counted from 0."""
    type: Literal["int16", "uint16", "float32"] = "int16"
    """How it is written; float32 takes two registers, high word first."""
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """What one unit of the register means: 0.1 where 235 stands for 23.5."""


class ModbusSettings(ControllerSettings):
    """How to read the controller."""

    address: Annotated[int, Field(ge=1, le=247)] = 1
    """Address on the bus."""
    quantities: dict[str, ModbusRegister] = Field(default={"temperature": ModbusRegister(first_register=1, scale=0.1)})
    """Name of each temperature → where it is kept."""
    function: Literal[3, 4] = 3
    """3 reads holding registers, 4 input registers."""
    check_register: Annotated[int, Field(ge=0, le=0xFFF0)] | None = None
    """First of the registers read before each value; the value's own if left out. One more register than the value has
    must be readable from there."""


FACTORY_LINE = {"baud_rate": 19200, "data_bits": 8, "parity": "even", "stop_bits": 1}
"""The line as the standard recommends it."""


def _minimalmodbus() -> Any:
    try:
        return import_module("minimalmodbus")
    except ImportError as error:
        raise ConfigError(
            "a monitor of kind modbus_temperature needs minimalmodbus: pip install 'knightshift[monitors]'"
        ) from error


class _TransportPort:
    """What minimalmodbus takes for a serial port: a question goes out when its answer is read."""

    is_open = True

    def __init__(self, link: Transport) -> None:
        self._link = link
        self._question = b""
        self.port = link.settings.port
        self.baudrate = link.settings.baud_rate
        self.timeout = link.settings.timeout

    def open(self) -> None:
        """Nothing to do: the monitor opens the line."""

    def close(self) -> None:
        """Nothing to do: the monitor closes the line."""

    def reset_input_buffer(self) -> None:
        """Nothing to do: the transport does more than that."""

    def reset_output_buffer(self) -> None:
        """Nothing to do."""

    def write(self, question: bytes) -> None:
        """Keep the question."""
        self._question = question

    def read(self, size: int) -> bytes:
        """Ask it, and insist on an answer of `size` bytes (or an error answer, which has five)."""
        answer = self._link.transact(self._question, modbus_read)
        if answer[:1] != self._question[:1] or answer[1] & 0x7F != self._question[1]:
            raise WrongReplyFault(f"{answer.hex(' ')} does not answer {self._question.hex(' ')}", self._link.device)
        if len(answer) != size and not answer[1] & 0x80:
            raise WrongReplyFault(f"{answer.hex(' ')}: {len(answer)} bytes, not {size}", self._link.device)
        return answer


class ModbusTemperature(TemperatureController[ModbusSettings, ModbusRegister]):
    """Temperatures of one controller [K].

    Parameters
    ----------
    link, clock, settings, retries
        As for `SerialMonitor`.

    Raises
    ------
    ConfigError
        If minimalmodbus is not installed.
    """

    def __init__(self, link: Transport, clock: Clock, settings: ModbusSettings, retries: int = 2) -> None:
        super().__init__(link, clock, settings, retries)
        self._library = _minimalmodbus()
        self._instrument = self._library.Instrument(_TransportPort(link), settings.address)

    def _check_and_value(self, channel: ModbusRegister) -> tuple[str, float]:
        self._read_longer_answer(channel)
        value = self._read_value(channel) * channel.scale
        return "", value if math.isfinite(value) else math.nan

    def _read_longer_answer(self, where: ModbusRegister) -> None:
        first = where.first_register if self._settings.check_register is None else self._settings.check_register
        count = 3 if where.type == "float32" else 2
        self._ask(lambda: self._instrument.read_registers(first, count, self._settings.function))

    def _read_value(self, where: ModbusRegister) -> float:
        function = self._settings.function
        if where.type == "float32":
            return float(self._ask(lambda: self._instrument.read_float(where.first_register, function)))
        signed = where.type == "int16"
        return float(
            self._ask(lambda: self._instrument.read_register(where.first_register, 0, function, signed=signed))
        )

    def _ask(self, read: Callable[[], ResultT]) -> ResultT:
        try:
            return read()
        except self._library.InvalidResponseError as error:
            raise GarbledReplyFault(str(error), self.name) from error
        except self._library.ModbusException as error:
            raise LinkFault(f"{error}: check address and registers", self.name) from error
