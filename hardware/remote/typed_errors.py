"""Errors cross the link by name, from a fixed table; nothing is ever unpickled."""

from __future__ import annotations

from pydantic import Field, ValidationError

from knightshift.core import errors
from knightshift.core.errors import KnightshiftError, ScannerFault
from knightshift.hardware.remote.messages import JsonObject, WireModel

MAX_MESSAGE = 3000
"""Longest message of an error that crosses the link [characters]; the rest is cut."""

FAULTS: dict[str, type[ScannerFault]] = {
    "ScannerFault": errors.ScannerFault,
    "IllegalTransitionError": errors.IllegalTransitionError,
    "ReadoutTimeoutError": errors.ReadoutTimeoutError,
    "OverrangeFault": errors.OverrangeFault,
    "InterlockFault": errors.InterlockFault,
    "LinkFault": errors.LinkFault,
    "NoReplyFault": errors.NoReplyFault,
    "GarbledReplyFault": errors.GarbledReplyFault,
    "WrongReplyFault": errors.WrongReplyFault,
}
"""Faults by name: message, device, transient and data_valid cross the link."""

PLAIN: dict[str, type[KnightshiftError]] = {
    "ConfigError": errors.ConfigError,
    "ProtocolError": errors.ProtocolError,
    "LimitError": errors.LimitError,
    "ShapeError": errors.ShapeError,
    "UnsupportedDataError": errors.UnsupportedDataError,
    "InputError": errors.InputError,
    "StorageError": errors.StorageError,
}
"""Errors by name of which only the message crosses the link."""


class WireError(WireModel):
    """An error as it stands in a reply."""

    name: str = Field(max_length=60)
    """A key of `FAULTS` or `PLAIN`."""
    message: str
    """What happened."""
    device: str = "scanner"
    """Which device reports it (faults)."""
    transient: bool = False
    """Whether repeating the pass may succeed (faults)."""
    data_valid: bool = False
    """Whether the readouts already delivered may be trusted (faults)."""


def error_to_wire(error: BaseException) -> JsonObject:
    """Describe an error; a class that is not in the table goes by its nearest ancestor there, else `ScannerFault`."""
    names = [kind.__name__ for kind in type(error).__mro__ if FAULTS.get(kind.__name__) is kind]
    if isinstance(error, ScannerFault):
        wire = WireError(
            name=names[0],
            message=error.message[:MAX_MESSAGE],
            device=error.device[:200],
            transient=error.transient,
            data_valid=error.data_valid,
        )
    else:
        plain = [kind.__name__ for kind in type(error).__mro__ if PLAIN.get(kind.__name__) is kind]
        name, message = (plain[0], str(error)) if plain else ("ScannerFault", f"{type(error).__name__}: {error}")
        wire = WireError(name=name, message=message[:MAX_MESSAGE])
    return wire.model_dump()


def error_from_wire(fields: JsonObject) -> KnightshiftError:
    """Make the error that `error_to_wire` described; an unknown name becomes a `ScannerFault` that is not transient."""
    try:
        wire = WireError.model_validate(fields)
    except ValidationError:
        return ScannerFault(f"the serving side reports an error that is not understood: {str(fields)[:200]}")
    if wire.name in PLAIN:
        return PLAIN[wire.name](wire.message)
    if wire.name in FAULTS:
        return FAULTS[wire.name](wire.message, wire.device, wire.transient, wire.data_valid)
    return ScannerFault(f"{wire.name}: {wire.message}", wire.device)
