"""Requests and replies: a JSON body of bounded size, with raw bytes behind it where a command carries some."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from knightshift.hardware.remote.framing import MAX_PAYLOAD

ModelT = TypeVar("ModelT", bound=BaseModel)
JsonObject: TypeAlias = dict[str, JsonValue]

MAX_RAW = 4096
"""Most raw bytes that one request or one part of a stream carries."""
MAX_JSON = MAX_PAYLOAD - MAX_RAW - 64
"""Largest JSON body [bytes]."""

_LENGTH = struct.Struct("<I")


class MalformedMessageError(ValueError):
    """A whole frame with a body that is not understood. It never leaves this package: such a frame is dropped."""


class WireModel(BaseModel):
    """Base of all JSON bodies: strict, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Request(WireModel):
    """Body of a REQUEST."""

    command: str = Field(max_length=40)
    """A key of the table of commands."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """Its arguments by name."""
    clock: float | None = None
    """Time of the client's virtual clock [s since the Unix epoch]; None if its clock is real."""


class Reply(WireModel):
    """Body of a REPLY: a value or an error."""

    command: str = Field(max_length=40)
    """The command that was asked for, again."""
    value: JsonValue = None
    """What the command returns."""
    error: dict[str, JsonValue] | None = None
    """What it raised, see `knightshift.hardware.remote.typed_errors`."""
    clock: float | None = None
    """Time of the server's virtual clock [s since the Unix epoch]; None if its clock is real."""


@dataclass(frozen=True)
class Body:
    """A decoded payload."""

    fields: JsonObject
    """The JSON object."""
    raw: bytes
    """What follows it."""


def encode_body(fields: JsonObject, raw: bytes = b"") -> bytes:
    """Write a payload: length of the JSON as u32, the JSON in UTF-8, the raw bytes.

    Raises
    ------
    ValueError
        If either is longer than its bound, or a number is not finite.
    """
    text = json.dumps(fields, allow_nan=False, separators=(",", ":")).encode()
    if len(text) > MAX_JSON or len(raw) > MAX_RAW:
        raise ValueError(f"a body of {len(text)} + {len(raw)} bytes is longer than {MAX_JSON} + {MAX_RAW}")
    return _LENGTH.pack(len(text)) + text + raw


def decode_body(payload: bytes) -> Body:
    """Read what `encode_body` wrote.

    Raises
    ------
    MalformedMessageError
        If it is anything else.
    """
    if len(payload) < _LENGTH.size:
        raise MalformedMessageError("no length")
    (length,) = _LENGTH.unpack_from(payload)
    end = _LENGTH.size + length
    if length > MAX_JSON or end > len(payload) or len(payload) - end > MAX_RAW:
        raise MalformedMessageError("lengths that do not fit")
    try:
        fields: Any = json.loads(payload[_LENGTH.size : end].decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise MalformedMessageError(f"no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise MalformedMessageError("no JSON object")
    return Body(fields, payload[end:])


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not a number")


def decode_request(payload: bytes) -> tuple[Request, bytes]:
    """Read the payload of a REQUEST: its body and its raw bytes. Raises `MalformedMessageError`."""
    body = decode_body(payload)
    return _checked(Request, body), body.raw


def decode_reply(payload: bytes) -> Reply:
    """Read the payload of a REPLY. Raises `MalformedMessageError`."""
    return _checked(Reply, decode_body(payload))


def _checked(model: type[ModelT], body: Body) -> ModelT:
    try:
        return model.model_validate(body.fields)
    except ValidationError as error:
        raise MalformedMessageError(str(error)) from error
