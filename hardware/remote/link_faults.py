"""A link that fails where the script of the site says so: mute, garbled, wrong reply, unplugged (rehearsals)."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from knightshift.core.errors import LinkFault
from knightshift.hardware.faults import (
    LINK_FAULTS,
    FaultScript,
    LinkGarble,
    LinkMute,
    LinkUnplug,
    LinkWrongReply,
    Strike,
    StrikeCounter,
)
from knightshift.hardware.remote.framing import FrameKind, decode_frame
from knightshift.hardware.remote.transport import ByteTransport

_LONGEST_REST = 100_000
_GLANCE = 0.005
_ANSWERS = {FrameKind.REPLY, FrameKind.PART}


class LinkFaults:
    """Opens the transports of one link, and lets the faults of a script happen to what goes through them.

    A strike falls on a pass when it has been started and its readouts are about to be asked for, so that what it does
    depends on no race. Durations are real time, on a virtual clock too.

    Parameters
    ----------
    open_link
        Opens the transport. Raises `LinkFault`.
    script
        Of the site; the kinds of `LINK_FAULTS` count.
    patience
        How long an attempt to open waits for the plug to be back [s].
    """

    def __init__(self, open_link: Callable[[], ByteTransport], script: FaultScript, patience: float) -> None:
        self._open_link, self._patience = open_link, patience
        self._counter = StrikeCounter(script, LINK_FAULTS)
        self._is_scripted = any(isinstance(fault, LINK_FAULTS) for fault in script.faults)
        self._lock = threading.Lock()
        self._muted_until = self._unplugged_until = -math.inf
        self._garbles: deque[tuple[int, np.random.Generator]] = deque()
        self._wrong_replies = 0
        self._last_reply = b""

    def open(self) -> ByteTransport:
        """Open the transport; while the plug is out, wait for it.

        Raises
        ------
        LinkFault
            If it stays out, or whatever opening raises.
        """
        give_up = time.monotonic() + self._patience
        while self.is_unplugged():
            if time.monotonic() > give_up:
                raise LinkFault(f"cannot be opened for {self._patience:g} s (scripted: unplugged)", "scripted link")
            time.sleep(_GLANCE)
        transport = self._open_link()
        return _ScriptedTransport(transport, self) if self._is_scripted else transport

    def pass_started(self, pass_index: int, epoch: int) -> None:
        """Let the faults of an attempt at a pass begin."""
        for strike in self._counter.next_attempt(pass_index, epoch):
            with self._lock:
                self._begin(strike, time.monotonic())

    def _begin(self, strike: Strike, now: float) -> None:
        fault = strike.fault
        if isinstance(fault, LinkMute):
            self._muted_until = now + fault.duration
        elif isinstance(fault, LinkUnplug):
            self._unplugged_until = now + (math.inf if fault.duration is None else fault.duration)
        elif isinstance(fault, LinkGarble):
            self._garbles.append((fault.count, strike.generator()))
        elif isinstance(fault, LinkWrongReply):
            self._wrong_replies += 1

    def is_unplugged(self) -> bool:
        """Whether the plug is out."""
        with self._lock:
            return time.monotonic() < self._unplugged_until

    def is_mute(self) -> bool:
        """Whether nothing gets through."""
        with self._lock:
            return time.monotonic() < self._muted_until

    def arrived(self, frame: bytes) -> bytes:
        """Give what becomes of a frame that came from the other end (without its closing zero)."""
        if not (self._wrong_replies or self._garbles or _may_be_reply(frame)):
            return frame
        decoded = decode_frame(frame)
        if decoded is None or decoded.kind not in _ANSWERS:
            return frame
        with self._lock:
            if self._wrong_replies and self._last_reply:
                self._wrong_replies -= 1
                return self._last_reply
            if self._garbles:
                return _garbled(frame, *self._garbles.popleft())
            if decoded.kind == FrameKind.REPLY:
                self._last_reply = frame
        return frame


class _ScriptedTransport:
    """A transport between us and the one that is real."""

    def __init__(self, transport: ByteTransport, faults: LinkFaults) -> None:
        self.name = transport.name
        self._transport, self._faults = transport, faults
        self._rest = b""

    def read(self, timeout: float) -> bytes:
        self._require_plug()
        received = self._transport.read(timeout)
        self._require_plug()
        if self._faults.is_mute():
            return b""
        *frames, self._rest = (self._rest + received).split(b"\0")
        if len(self._rest) > _LONGEST_REST:
            frames, self._rest = [*frames, self._rest], b""
        return b"".join(self._faults.arrived(frame) + b"\0" for frame in frames)

    def write(self, content: bytes) -> None:
        self._require_plug()
        if not self._faults.is_mute():
            self._transport.write(content)

    def write_at_once(self, content: bytes) -> int:
        self._require_plug()
        return len(content) if self._faults.is_mute() else self._transport.write_at_once(content)

    def _require_plug(self) -> None:
        if self._faults.is_unplugged():
            raise LinkFault("the cable is out (scripted)", self.name)

    def reset_input(self) -> None:
        self._transport.reset_input()

    def close(self) -> None:
        self._transport.close()


def _may_be_reply(frame: bytes) -> bool:
    """Look at the kind of a frame without decoding it: version and kind are no zeros, so COBS leaves them in place."""
    return frame[2:3] == bytes([FrameKind.REPLY])


def _garbled(frame: bytes, count: int, generator: np.random.Generator) -> bytes:
    damaged = bytearray(frame)
    for position in generator.choice(len(damaged), min(count, len(damaged)), replace=False):
        damaged[position] ^= int(generator.integers(1, 256))
    return bytes(damaged)
