"""Frames on a byte stream: COBS keeps the zero byte for the end of a frame, CRC-32 guards what is inside.

A frame before stuffing, little-endian (docs/reference/remote-wire-protocol.md)::

    version u8 | kind u8 | session u64 | number u32 | payload ... | CRC-32 u32 of all before it

References
----------
.. [1] Cheshire and Baker, IEEE/ACM Trans. Networking 7 (1999) 159: consistent overhead byte stuffing.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

VERSION = 1
"""Version of the wire protocol."""
MAX_PAYLOAD = 16_384
"""Largest payload of a frame [bytes]."""

_HEADER = struct.Struct("<BBQI")
_CHECKSUM = struct.Struct("<I")
_SMALLEST = _HEADER.size + _CHECKSUM.size
_LARGEST = _SMALLEST + MAX_PAYLOAD
_LARGEST_STUFFED = _LARGEST + _LARGEST // 254 + 1
_FULL_BLOCK = 254
_WORTH_ARRAYS = 128
_CODES = [bytes([code]) for code in range(256)]


class FrameKind(IntEnum):
    """What a frame is for."""

    HELLO = 1
    """Client: I am here, this is my nonce."""
    CHALLENGE = 2
    """Server: this is mine."""
    AUTHENTICATE = 3
    """Client: proof that I know the token."""
    WELCOME = 4
    """Server: proof in return; its header names the session."""
    REFUSED = 5
    """Server: no, and why."""
    REQUEST = 6
    """Client: carry out a command; `number` is the request."""
    ACCEPTED = 7
    """Server: request `number` is known and not finished yet."""
    REPLY = 8
    """Server: what became of request `number`."""
    PART = 9
    """Server: part `number` of the stream of readouts."""
    DEMAND = 10
    """Client: all parts before `number` have come; so many records are wanted."""
    HEARTBEAT = 11
    """Either: I am alive."""
    GOODBYE = 12
    """Either: the session ends in good order."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame that arrived whole."""

    kind: int
    """A `FrameKind`, or a number that a later version has given a meaning."""
    session: int
    """Which session it belongs to; 0 before there is one."""
    number: int
    """Request or part."""
    payload: bytes
    """At most `MAX_PAYLOAD` bytes."""
    version: int = VERSION
    """Version of the protocol that the sender speaks."""


def cobs_encode(message: bytes) -> bytes:
    """Replace every zero byte, so that a zero can mark the end of the frame."""
    return (_encode_short_runs(message) if len(message) >= _WORTH_ARRAYS else None) or _encode_any(message)


def _encode_short_runs(message: bytes) -> bytes | None:
    """Encode where no block is full, as in samples of a converter: all codes at once, in the places of the zeros."""
    stuffed = np.frombuffer(b"\0" + message, np.uint8).copy()
    places = np.flatnonzero(stuffed == 0)
    codes = np.diff(places, append=stuffed.size)
    if codes.max() > _FULL_BLOCK:
        return None
    stuffed[places] = codes
    return stuffed.tobytes()


def _encode_any(message: bytes) -> bytes:
    blocks: list[bytes] = []
    runs = message.split(b"\0")
    for position, run in enumerate(runs):
        start = 0
        while len(run) - start >= _FULL_BLOCK:
            blocks += (_CODES[_FULL_BLOCK + 1], run[start : start + _FULL_BLOCK])
            start += _FULL_BLOCK
        if start and start == len(run) and position == len(runs) - 1:
            break
        blocks += (_CODES[len(run) - start + 1], run[start:] if start else run)
    return b"".join(blocks)


def cobs_decode(stuffed: bytes) -> bytes | None:
    """Undo `cobs_encode`; None if `stuffed` cannot have come from it."""
    if 0 in stuffed:
        return None
    message, after_full = bytearray(stuffed), []
    position, length = 0, len(stuffed)
    while position < length:
        code = stuffed[position]
        message[position] = 0
        position += code
        if code > _FULL_BLOCK:
            after_full.append(position)
    if position != length:
        return None
    for place in reversed(after_full):
        del message[place : place + 1]  # no zero stood behind a full block
    return bytes(message[1:])


def encode_frame(frame: Frame) -> bytes:
    """Turn a frame into the bytes of the wire, the closing zero included.

    Raises
    ------
    ValueError
        If the payload is too long: a mistake of the program, not of the line.
    """
    if len(frame.payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload of {len(frame.payload)} bytes is longer than {MAX_PAYLOAD}")
    body = _HEADER.pack(frame.version, frame.kind, frame.session, frame.number) + frame.payload
    return cobs_encode(body + _CHECKSUM.pack(zlib.crc32(body))) + b"\0"


def decode_frame(stuffed: bytes) -> Frame | None:
    """Read what stood between two zeros; None if it is not a whole frame."""
    message = cobs_decode(stuffed)
    if message is None or not _SMALLEST <= len(message) <= _LARGEST:
        return None
    body, (checksum,) = message[: -_CHECKSUM.size], _CHECKSUM.unpack(message[-_CHECKSUM.size :])
    if zlib.crc32(body) != checksum:
        return None
    version, kind, session, number = _HEADER.unpack_from(body)
    return Frame(kind, session, number, body[_HEADER.size :], version)


class Deframer:
    """Cuts a byte stream into frames; whatever is damaged is dropped and counted. Memory is bounded."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._too_long = False
        self.dropped = 0
        """Pieces between two zeros that were no frame."""

    def feed(self, received: bytes) -> list[Frame]:
        """Take the next bytes and give the frames that are complete now."""
        frames = []
        *finished, rest = received.split(b"\0")
        for piece in finished:
            self._collect(piece)
            frame = None if self._too_long else decode_frame(bytes(self._pending))
            if frame is not None:
                frames.append(frame)
            elif self._pending or self._too_long:
                self.dropped += 1
            self._pending.clear()
            self._too_long = False
        self._collect(rest)
        return frames

    def _collect(self, piece: bytes) -> None:
        if self._too_long or len(self._pending) + len(piece) > _LARGEST_STUFFED:
            self._too_long = True
            self._pending.clear()
        else:
            self._pending += piece
