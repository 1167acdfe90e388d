"""What each command of the wire does with the scanner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import Field, JsonValue

from knightshift.core.errors import ConfigError
from knightshift.core.yaml_files import validate
from knightshift.hardware.contract import Scanner, ScannerState, StopAt
from knightshift.hardware.remote.messages import MAX_RAW, Request, WireModel
from knightshift.hardware.remote.program_store import ProgramStore
from knightshift.hardware.remote.wire_values import (
    ProgramHead,
    capabilities_to_wire,
    identity_to_wire,
    status_to_wire,
)

_Digest = Field(pattern="^[0-9a-f]{64}$")


class _Offer(WireModel):
    digest: str = _Digest
    size: int = Field(ge=0)


class _Piece(WireModel):
    digest: str = _Digest
    offset: int = Field(ge=0)


class _Program(WireModel):
    program: ProgramHead


class _Start(WireModel):
    pass_index: int = Field(ge=0, lt=2**31)
    epoch: int = Field(ge=0, lt=2**31)


class _Readouts(WireModel):
    timeout: float = Field(ge=0)
    window: int = Field(ge=1)


class _Stop(WireModel):
    at: str = Field(pattern="^(pass|readout)$")


class _Frequency(WireModel):
    frequency: float


class _Gain(WireModel):
    gain: float


class StreamOpener(Protocol):
    """Opens the stream of readouts of a session."""

    def __call__(self, number: int, timeout: float, window: int) -> None:
        """Take the readouts of the pass that plays, as stream `number` with `window` parts on their way."""
        ...


@dataclass(frozen=True)
class Order:
    """One request and all that is needed to carry it out."""

    number: int
    """Of the request."""
    request: Request
    """Command and arguments."""
    raw: bytes
    """Raw bytes that came with it."""
    scanner: Scanner
    """The scanner that is served."""
    programs: ProgramStore
    """Texts that have come."""
    open_stream: StreamOpener
    """For the command ``readouts``."""

    def arguments(self, model: type[Any]) -> Any:
        """Check the arguments. Raises `ConfigError`."""
        return validate(model, self.request.arguments, f"remote command {self.request.command}")


def _attach(order: Order) -> None:
    """Bring the scanner to a safe state for a new session; a latched fault stays latched."""
    scanner = order.scanner
    if scanner.status().state in {ScannerState.DISCONNECTED, ScannerState.UNKNOWN}:
        scanner.connect()
    else:
        scanner.make_safe()


def _close(order: Order) -> None:
    order.scanner.make_safe()
    order.scanner.close()


def _offer(order: Order) -> JsonValue:
    offer: _Offer = order.arguments(_Offer)
    return order.programs.offer(offer.digest, offer.size)


def _piece(order: Order) -> JsonValue:
    piece: _Piece = order.arguments(_Piece)
    if len(order.raw) > MAX_RAW:
        raise ConfigError(f"a piece of {len(order.raw)} bytes is longer than {MAX_RAW}")
    return order.programs.add(piece.digest, piece.offset, order.raw)


def _validate(order: Order) -> None:
    order.scanner.validate(order.programs.program(order.arguments(_Program).program))


def _prepare(order: Order) -> None:
    order.scanner.prepare(order.programs.program(order.arguments(_Program).program))


def _start(order: Order) -> None:
    start: _Start = order.arguments(_Start)
    order.scanner.start(start.pass_index, start.epoch)


def _readouts(order: Order) -> None:
    readouts: _Readouts = order.arguments(_Readouts)
    order.open_stream(order.number, readouts.timeout, readouts.window)


def _stop(order: Order) -> None:
    order.scanner.stop(StopAt(order.arguments(_Stop).at))


def _set_frequency(order: Order) -> None:
    order.scanner.set_frequency(order.arguments(_Frequency).frequency)


def _set_receiver_gain(order: Order) -> None:
    order.scanner.set_receiver_gain(order.arguments(_Gain).gain)


COMMANDS: dict[str, Callable[[Order], JsonValue]] = {
    "attach": _attach,
    "connect": lambda order: order.scanner.connect(),
    "close": _close,
    "identify": lambda order: identity_to_wire(order.scanner.identify()),
    "capabilities": lambda order: capabilities_to_wire(order.scanner.capabilities()),
    "offer_program": _offer,
    "program_piece": _piece,
    "validate": _validate,
    "prepare": _prepare,
    "start": _start,
    "readouts": _readouts,
    "stop": _stop,
    "abort": lambda order: order.scanner.abort(),
    "make_safe": lambda order: order.scanner.make_safe(),
    "set_frequency": _set_frequency,
    "set_receiver_gain": _set_receiver_gain,
    "status": lambda order: status_to_wire(order.scanner.status()),
    "reset": lambda order: order.scanner.reset(),
}
"""Command → what it does. The value goes into the reply."""

AT_ONCE = frozenset({"abort", "make_safe", "status", "stop", "close"})
"""Commands that do not wait for others; the rest is carried out one after the other."""


def carry_out(order: Order) -> JsonValue:
    """Carry a request out.

    Raises
    ------
    ConfigError
        If there is no such command, or its arguments are wrong.
    KnightshiftError
        Whatever the scanner raises.
    """
    command = COMMANDS.get(order.request.command)
    if command is None:
        raise ConfigError(f"{order.request.command!r} is no command: known are {', '.join(COMMANDS)}")
    return command(order)
