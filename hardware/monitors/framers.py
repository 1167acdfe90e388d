"""Where does an answer end? One small function for each protocol.

A framer looks at the bytes that have arrived so far and gives the length of the answer, or None if more must come. It
never judges the content.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Framer: TypeAlias = Callable[[bytes], int | None]
"""Bytes so far → length of the complete answer, or None."""


def until(terminator: bytes) -> Framer:
    """Make a framer for answers that end with `terminator`."""

    def end(received: bytes) -> int | None:
        at = received.find(terminator)
        return None if at < 0 else at + len(terminator)

    return end


ETX, EOT, NAK = 0x03, 0x04, 0x15


def bisynch(received: bytes) -> int | None:
    """End of an EI-BISYNCH answer: a lone EOT or NAK, or the check character after ETX."""
    if received[:1] in (bytes([EOT]), bytes([NAK])):
        return 1
    at = received.find(ETX)
    return at + 2 if 0 <= at < len(received) - 1 else None


def modbus_read(received: bytes) -> int | None:
    """End of the answer to a Modbus RTU read: an error answer has five bytes, else the third byte counts the data."""
    if len(received) < 3:
        return None
    length = 5 if received[1] & 0x80 else 3 + received[2] + 2
    return length if len(received) >= length else None
