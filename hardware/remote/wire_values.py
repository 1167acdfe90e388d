"""What the scanner says of itself, and what it is to play, as JSON."""

from __future__ import annotations

import hashlib
import math
from typing import Any, TypeVar, cast

from pydantic import JsonValue, TypeAdapter, ValidationError

from knightshift.core.errors import LinkFault
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import Capabilities, Identity, ScannerStatus
from knightshift.hardware.remote.messages import JsonObject, WireModel

ValueT = TypeVar("ValueT")

_IDENTITY = TypeAdapter(Identity)
_CAPABILITIES = TypeAdapter(Capabilities)
_STATUS = TypeAdapter(ScannerStatus)


class ProgramHead(WireModel):
    """A `PassProgram` without its text, which travels ahead in pieces."""

    name: str
    nucleus: str
    gyromagnetic_ratio: float
    b0: float
    working_frequency: float
    duration: float
    n_readouts: int
    samples: int
    text_digest: str
    """SHA-256 of the Pulseq text in UTF-8 (hex)."""
    digest: str
    """`PassProgram.digest`, to be found again on the other side."""


def text_digest(text: bytes) -> str:
    """SHA-256 (hex) under which the text of a program is stored."""
    return hashlib.sha256(text).hexdigest()


def program_head(program: PassProgram) -> JsonObject:
    """Describe `program` for the link."""
    head = ProgramHead(
        name=program.name,
        nucleus=program.nucleus,
        gyromagnetic_ratio=float(program.gyromagnetic_ratio),
        b0=float(program.b0),
        working_frequency=float(program.working_frequency),
        duration=float(program.duration),
        n_readouts=int(program.n_readouts),
        samples=int(program.samples),
        text_digest=text_digest(program.pulseq.encode()),
        digest=program.digest,
    )
    return head.model_dump()


def program_from(head: ProgramHead, text: bytes) -> PassProgram:
    """Put a program together again. Raises `LinkFault` if it is not the one that was sent."""
    fields = head.model_dump(exclude={"text_digest", "digest"})
    program = PassProgram(pulseq=text.decode(), **fields)
    if program.digest != head.digest:
        raise LinkFault(f"program {head.name} did not arrive as it was sent: prepare it again")
    return program


def identity_to_wire(identity: Identity) -> JsonValue:
    """Identity as JSON."""
    return cast(JsonValue, _IDENTITY.dump_python(identity, mode="json"))


def capabilities_to_wire(capabilities: Capabilities) -> JsonValue:
    """Capabilities as JSON, SI units."""
    return cast(JsonValue, _CAPABILITIES.dump_python(capabilities, mode="json"))


def status_to_wire(status: ScannerStatus) -> JsonValue:
    """Status as JSON; a reading that is not finite goes as text (``"nan"``)."""
    fields: dict[str, Any] = {
        "state": str(status.state),
        "frequency": status.frequency,
        "receiver_gain": status.receiver_gain,
        "fault": status.fault,
        "readings": {
            name: value if math.isfinite(value) else repr(float(value)) for name, value in status.readings.items()
        },
    }
    return fields


def identity_from_wire(value: JsonValue) -> Identity:
    """Read an identity. Raises `LinkFault` if it is none."""
    return _read(_IDENTITY, value)


def capabilities_from_wire(value: JsonValue) -> Capabilities:
    """Read capabilities. Raises `LinkFault` if they are none."""
    return _read(_CAPABILITIES, value)


def status_from_wire(value: JsonValue) -> ScannerStatus:
    """Read a status. Raises `LinkFault` if it is none."""
    return _read(_STATUS, value)


def _read(adapter: TypeAdapter[ValueT], value: JsonValue) -> ValueT:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise LinkFault(f"the serving side sent a value that is not understood: {error}", transient=False) from error
