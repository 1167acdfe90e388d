"""One session of a client: requests that are sent until they are answered, and the stream of readouts."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from pydantic import JsonValue

from knightshift.core.clock import Clock
from knightshift.core.errors import LinkFault
from knightshift.hardware.link_timing import LinkTiming
from knightshift.hardware.remote.client_handshake import Established
from knightshift.hardware.remote.frame_link import FrameLink
from knightshift.hardware.remote.framing import VERSION, Frame, FrameKind
from knightshift.hardware.remote.incoming_stream import IncomingStream
from knightshift.hardware.remote.messages import (
    JsonObject,
    MalformedMessageError,
    Reply,
    Request,
    decode_reply,
    encode_body,
)
from knightshift.hardware.remote.typed_errors import error_from_wire
from knightshift.hardware.remote.virtual_time import follow, time_to_send

_LOG = logging.getLogger(__name__)


def again(fault: LinkFault) -> LinkFault:
    """Copy a fault, to be raised in one thread of several."""
    return LinkFault(fault.message, fault.device, fault.transient, fault.data_valid)


@dataclass
class _Waiting:
    """A request that has no reply yet."""

    command: str
    reply: Reply | None = None
    heard: float = 0.0
    """When the server last said that it knows of it [s, monotonic]."""


class ClientSession:
    """Talks to one serving session; once it has failed it stays so.

    Parameters
    ----------
    link
        Started; its frames come to `received`.
    established
        What the handshake agreed on.
    timing
        Patience.
    clock
        A virtual one follows the server's.
    """

    def __init__(self, link: FrameLink, established: Established, timing: LinkTiming, clock: Clock) -> None:
        self._link, self._established, self._timing, self._clock = link, established, timing, clock
        self._changed = threading.Condition()
        self._requests: dict[int, _Waiting] = {}
        self._last_number = 0
        self._stream: IncomingStream | None = None
        self._fault: LinkFault | None = None
        self._heard = time.monotonic()
        self._heartbeat = min(timing.heartbeat, established.link_timeout / 4)

    @property
    def fault(self) -> LinkFault | None:
        """Why the link is lost; None while it lives."""
        with self._changed:
            return self._fault

    def call(self, command: str, arguments: JsonObject | None = None, raw: bytes = b"") -> JsonValue:
        """Have a command carried out exactly once and give back its value.

        Raises
        ------
        LinkFault
            If no answer comes in bounded time; the session has failed then.
        KnightshiftError
            Whatever the command raised on the other side.
        """
        return self._call(command, arguments or {}, raw)[1]

    def open_stream(self, arguments: JsonObject, window: int, *, in_step: bool) -> IncomingStream:
        """Start the stream of readouts, as `IncomingStream` says; it takes the place of an earlier one."""
        number, _ = self._call("readouts", arguments, b"")
        send, clock = self._send, self._clock
        stream = IncomingStream(number, window, send, self._timing, lambda: time_to_send(clock), in_step=in_step)
        with self._changed:
            former, self._stream, fault = self._stream, stream, self._fault
        if former is not None:
            former.fail(LinkFault("its place was taken by another stream of readouts", self._link.name))
        if fault is not None:
            stream.fail(fault)
        stream.begin()
        return stream

    def cut_stream(self) -> None:
        """Drop readouts that were not taken yet: the pass is being aborted."""
        stream = self._stream
        if stream is not None:
            stream.cut()

    def _call(self, command: str, arguments: JsonObject, raw: bytes) -> tuple[int, JsonValue]:
        waiting = _Waiting(command, heard=time.monotonic())
        request = Request(command=command, arguments=arguments, clock=time_to_send(self._clock))
        payload = encode_body(request.model_dump(exclude_none=True), raw)
        with self._changed:
            self._last_number += 1
            number = self._last_number
            self._requests[number] = waiting
        try:
            reply = self._await(number, waiting, payload)
        finally:
            with self._changed:
                del self._requests[number]
        follow(self._clock, reply.clock)
        if reply.error is not None:
            raise error_from_wire(reply.error)
        return number, reply.value

    def _await(self, number: int, waiting: _Waiting, payload: bytes) -> Reply:
        """Send a request until its reply comes. After `link_timeout` without a sign of it the session has failed."""
        started, interval = time.monotonic(), self._timing.resend_interval
        while True:
            self._send(FrameKind.REQUEST, number, payload)
            with self._changed:
                self._changed.wait_for(lambda: waiting.reply is not None or self._fault is not None, interval)
                if waiting.reply is not None:
                    return waiting.reply
                if self._fault is not None:
                    raise again(self._fault)
            now = time.monotonic()
            if now - waiting.heard > self._timing.link_timeout:
                self._give_up(f"{waiting.command} was not answered for {self._timing.link_timeout:g} s")
            elif now - started > self._timing.command_timeout:
                self._give_up(f"{waiting.command} was not finished in {self._timing.command_timeout:g} s")
            interval = self._timing.next_interval(interval)

    def _give_up(self, problem: str) -> None:
        self.fail(LinkFault(f"{problem}: the serving side makes the scanner safe, connect again", self._link.name))

    def _send(self, kind: FrameKind, number: int, payload: bytes = b"") -> None:
        self._link.send(Frame(kind, self._established.session, number, payload))

    def received(self, frame: Frame) -> None:
        """Take a frame of the link (reading thread); what belongs to another session is nothing to us."""
        if frame.session != self._established.session or frame.version != VERSION:
            return
        try:
            self._dispatch(frame)
        except MalformedMessageError as problem:
            _LOG.warning("%s: a frame of kind %d is not understood: %s", self._link.name, frame.kind, problem)
            if frame.kind == FrameKind.PART:  # whole, numbered, and wrong: nothing after it can be trusted
                self.fail(LinkFault(f"the stream of readouts is damaged: {problem}", self._link.name))
            return
        self._heard = time.monotonic()

    def _dispatch(self, frame: Frame) -> None:
        if frame.kind == FrameKind.PART:
            stream = self._stream
            if stream is not None:
                stream.feed(frame)
        elif frame.kind == FrameKind.REPLY:
            self._answered(frame.number, decode_reply(frame.payload))
        elif frame.kind == FrameKind.ACCEPTED:
            with self._changed:
                if frame.number in self._requests:
                    self._requests[frame.number].heard = time.monotonic()
        elif frame.kind == FrameKind.GOODBYE:
            self.fail(LinkFault("the serving side has ended the session", self._link.name))

    def _answered(self, number: int, reply: Reply) -> None:
        with self._changed:
            waiting = self._requests.get(number)
            if waiting is None:
                return  # a second copy, or an answer to a question that nobody asks any more
            if reply.command != waiting.command:
                raise MalformedMessageError(f"a reply to {reply.command!r}, {waiting.command!r} was asked")
            waiting.reply = reply
            self._changed.notify_all()

    def tick(self, now: float) -> None:
        """Send a heartbeat when it is due; notice that the server is silent (reading thread)."""
        if now - self._link.last_sent > self._heartbeat / 2:
            self._send(FrameKind.HEARTBEAT, 0)
        silent = now - self._heard
        if silent > self._timing.link_timeout:
            self.fail(LinkFault(f"the serving side has been silent for {silent:.3g} s", self._link.name))

    def lost(self, fault: LinkFault) -> None:
        """Learn that the transport has ended."""
        self.fail(fault)

    def fail(self, fault: LinkFault) -> None:
        """End the session: whoever waits gets `fault`, and so does whoever comes later."""
        with self._changed:
            if self._fault is not None:
                return
            self._fault = fault
            self._changed.notify_all()
            stream = self._stream
        if stream is not None:
            stream.fail(fault)
        self._link.close()

    def close(self) -> None:
        """Say goodbye and give the link up; return when that is done."""
        self._send(FrameKind.GOODBYE, 0)
        self.fail(LinkFault("the link was closed from this side", self._link.name))
        self._link.close()
