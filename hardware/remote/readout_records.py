"""Readouts as records of bytes, and records cut into the parts that travel."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from knightshift.core.errors import KnightshiftError
from knightshift.core.passes import COUNTERS, Readout
from knightshift.hardware.remote.messages import (
    MAX_RAW,
    JsonObject,
    MalformedMessageError,
    decode_body,
    encode_body,
)
from knightshift.hardware.remote.typed_errors import error_from_wire, error_to_wire

MAX_RECORD = 64 * 2**20
"""Largest record: one readout of all channels [bytes]."""

_READOUT, _END = 1, 2
_WIRE_COUNTERS = COUNTERS.newbyteorder("<")
_RECORD = struct.Struct("<BBd")
_SHAPE = struct.Struct("<II")
_PART = struct.Struct("<IIB")
_LAST = 1
_DEMAND = struct.Struct("<IIQd")


@dataclass(frozen=True)
class Record:
    """One step of a stream: a readout, or its end."""

    readout: Readout | None
    """None at the end."""
    error: KnightshiftError | None = None
    """What ended the stream, if it did not end in good order."""
    clock: float | None = None
    """Time of the server's virtual clock when it was taken from the scanner [s since the Unix epoch]."""


def encode_record(record: Record) -> bytes:
    """Write a record: type, overrange, clock (NaN: real), then counters, shape and complex64, or the error as JSON."""
    clock = math.nan if record.clock is None else record.clock
    if record.readout is None:
        fields: JsonObject = {"error": None if record.error is None else error_to_wire(record.error)}
        return _RECORD.pack(_END, 0, clock) + encode_body(fields)
    readout = record.readout
    samples = np.ascontiguousarray(readout.samples, dtype="<c8")
    counters = np.asarray(readout.counters, dtype=_WIRE_COUNTERS).tobytes()
    head = _RECORD.pack(_READOUT, bool(readout.overrange), clock)
    return head + counters + _SHAPE.pack(*samples.shape) + samples.tobytes()


def decode_record(record: bytes) -> Record:
    """Read what `encode_record` wrote.

    Raises
    ------
    MalformedMessageError
        If it is anything else.
    """
    if len(record) < _RECORD.size:
        raise MalformedMessageError("a record without a head")
    kind, overrange, time = _RECORD.unpack_from(record)
    clock = None if math.isnan(time) else time
    if kind == _END:
        error = decode_body(record[_RECORD.size :]).fields.get("error")
        if error is not None and not isinstance(error, dict):
            raise MalformedMessageError("an error that is no object")
        return Record(None, None if error is None else error_from_wire(error), clock)
    start = _RECORD.size + _WIRE_COUNTERS.itemsize
    if kind != _READOUT or overrange > 1 or len(record) < start + _SHAPE.size:
        raise MalformedMessageError("a record of no known sort")
    counters = np.frombuffer(record, _WIRE_COUNTERS, 1, _RECORD.size)[0].astype(COUNTERS)
    channels, length = _SHAPE.unpack_from(record, start)
    if len(record) - start - _SHAPE.size != 8 * channels * length:
        raise MalformedMessageError("samples that do not fill their shape")
    samples = np.frombuffer(record, "<c8", -1, start + _SHAPE.size).reshape(channels, length).astype(np.complex64)
    return Record(Readout(np.asarray(counters), samples, bool(overrange)), None, clock)


@dataclass(frozen=True)
class Part:
    """One part of a record."""

    stream: int
    """Request that opened the stream."""
    total: int
    """Length of the whole record [bytes]."""
    is_last: bool
    """Whether the record is complete with it."""
    content: bytes
    """At most `MAX_RAW` bytes."""


def cut_into_parts(stream: int, record: bytes) -> Iterator[bytes]:
    """Cut a record into payloads of PART frames.

    Raises
    ------
    ValueError
        If the record is too long.
    """
    if len(record) > MAX_RECORD:
        raise ValueError(f"a readout of {len(record)} bytes is longer than {MAX_RECORD}")
    for start in range(0, len(record), MAX_RAW):
        content = record[start : start + MAX_RAW]
        flags = _LAST if start + MAX_RAW >= len(record) else 0
        yield _PART.pack(stream, len(record), flags) + content


def decode_part(payload: bytes) -> Part:
    """Read the payload of a PART. Raises `MalformedMessageError`."""
    if not _PART.size <= len(payload) <= _PART.size + MAX_RAW:
        raise MalformedMessageError("a part of the wrong length")
    stream, total, flags = _PART.unpack_from(payload)
    if total > MAX_RECORD or flags > 1:
        raise MalformedMessageError("a part that claims too much")
    return Part(stream, total, bool(flags), payload[_PART.size :])


@dataclass(frozen=True)
class Demand:
    """What the client has and what it wants."""

    stream: int
    """Request that opened the stream."""
    wanted: int
    """Records, counted from the first of the stream, that the server may take from the scanner."""
    received: int
    """Bit ``i``: part ``next + 1 + i`` has come, out of order (part ``next`` is missing)."""
    clock: float | None
    """Time of the client's virtual clock [s since the Unix epoch]."""


def encode_demand(demand: Demand) -> bytes:
    """Write the payload of a DEMAND; the number of its frame is the next part that is missing."""
    clock = math.nan if demand.clock is None else demand.clock
    return _DEMAND.pack(demand.stream, demand.wanted, demand.received, clock)


def decode_demand(payload: bytes) -> Demand:
    """Read the payload of a DEMAND. Raises `MalformedMessageError`."""
    if len(payload) != _DEMAND.size:
        raise MalformedMessageError("a demand of the wrong length")
    stream, wanted, received, clock = _DEMAND.unpack(payload)
    return Demand(stream, wanted, received, None if math.isnan(clock) else clock)
