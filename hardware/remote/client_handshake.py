"""The client's half of the handshake."""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass
from importlib.metadata import version

from knightshift.core.clock import Clock
from knightshift.core.errors import LinkFault
from knightshift.hardware.link_timing import LinkTiming
from knightshift.hardware.remote.frame_link import FrameHandler, FrameLink
from knightshift.hardware.remote.framing import VERSION, Frame, FrameKind
from knightshift.hardware.remote.handshake import (
    Authenticate,
    Challenge,
    ClockKind,
    Hello,
    MessageT,
    Refused,
    Welcome,
    decode_message,
    is_proof,
    new_nonce,
    proof_of,
)
from knightshift.hardware.remote.messages import MalformedMessageError, WireModel, encode_body
from knightshift.hardware.remote.virtual_time import clock_kind

_HANDSHAKE = {FrameKind.CHALLENGE, FrameKind.WELCOME, FrameKind.REFUSED}


@dataclass(frozen=True)
class Established:
    """What the handshake agreed on."""

    session: int
    """Number that all frames carry from now on."""
    server_clock: ClockKind
    """Whether the server's clock is virtual."""
    link_timeout: float
    """Silence after which the server makes the scanner safe [s]."""


class Greeter:
    """Shakes hands over a link, then passes everything on to a session.

    Parameters
    ----------
    link
        Not started.
    timing
        Patience.
    token
        Shared with the server; None if there is none.
    clock
        The client's.
    """

    def __init__(self, link: FrameLink, timing: LinkTiming, token: bytes | None, clock: Clock) -> None:
        self._link, self._timing, self._token = link, timing, token
        self._clock = clock
        self._nonce = new_nonce()
        self._arrived: queue.SimpleQueue[Frame | LinkFault] = queue.SimpleQueue()
        self._session: FrameHandler | None = None

    def received(self, frame: Frame) -> None:
        """Take a frame (reading thread)."""
        if self._session is not None:
            self._session.received(frame)
        elif frame.kind == FrameKind.REFUSED or (frame.kind in _HANDSHAKE and frame.version == VERSION):
            self._arrived.put(frame)

    def tick(self, now: float) -> None:
        """Pass the time on (reading thread)."""
        if self._session is not None:
            self._session.tick(now)

    def lost(self, fault: LinkFault) -> None:
        """Learn that the transport has ended (reading thread)."""
        self._arrived.put(fault)
        if self._session is not None:
            self._session.lost(fault)

    def pass_on_to(self, session: FrameHandler) -> None:
        """From now on `session` takes everything."""
        self._session = session
        while not self._arrived.empty():
            early = self._arrived.get()
            if isinstance(early, LinkFault):
                session.lost(early)

    def greet(self) -> Established:
        """Shake hands.

        Raises
        ------
        LinkFault
            If nobody answers within twice `link_timeout` (transient), or versions, tokens or clocks do not fit (not
            transient).
        """
        deadline = time.monotonic() + 2 * self._timing.link_timeout
        kind = clock_kind(self._clock)
        hello = Hello(software=f"knightshift {version('knightshift')}", client_nonce=self._nonce, clock=kind)
        _, challenge = self._exchange(FrameKind.HELLO, hello, (FrameKind.CHALLENGE, Challenge), deadline)
        if challenge.token_needed and self._token is None:
            raise self._refusal("a token is needed: set token_file or KNIGHTSHIFT_SCANNER_TOKEN to that of the server")
        nonces = (self._nonce, challenge.server_nonce)
        token = self._token if challenge.token_needed else None
        proof = Authenticate(client_nonce=nonces[0], server_nonce=nonces[1], proof=proof_of("client", token, *nonces))
        frame, welcome = self._exchange(FrameKind.AUTHENTICATE, proof, (FrameKind.WELCOME, Welcome), deadline)
        if not is_proof(welcome.proof, proof_of("server", token, *nonces)):
            raise self._refusal("the serving side does not know the token: is it the right one?")
        if kind == "virtual" and welcome.clock != "virtual":
            raise self._refusal("the served scanner runs in real time: acquire without a virtual clock")
        return Established(frame.session, welcome.clock, welcome.link_timeout)

    def _exchange(
        self, kind: FrameKind, message: WireModel, expected: tuple[FrameKind, type[MessageT]], deadline: float
    ) -> tuple[Frame, MessageT]:
        """Send `message` until the expected answer to this handshake comes."""
        wanted, model = expected
        refused: Refused | None = None
        payload = encode_body(message.model_dump())
        while time.monotonic() < deadline:
            self._link.send(Frame(kind, 0, 0, payload))
            frame = self._next(self._timing.resend_interval)
            while frame is not None and time.monotonic() < deadline:
                if frame.kind == wanted and (answer := self._ours(model, frame)) is not None:
                    return frame, answer
                refused = self._refused(frame) or refused
                frame = self._next(self._timing.resend_interval)
        why = "nobody answers: is the scanner being served there?" if refused is None else refused.reason
        raise LinkFault(why, self._link.name)

    def _next(self, timeout: float) -> Frame | None:
        try:
            arrived = self._arrived.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(arrived, LinkFault):
            raise arrived
        return arrived

    def _ours(self, model: type[MessageT], frame: Frame) -> MessageT | None:
        """Read the body of a frame; None if it is damaged or answers an earlier attempt."""
        try:
            answer = decode_message(model, frame.payload)
        except MalformedMessageError:
            return None
        return answer if getattr(answer, "client_nonce", None) == self._nonce else None

    def _refused(self, frame: Frame) -> Refused | None:
        refused = self._ours(Refused, frame) if frame.kind == FrameKind.REFUSED else None
        if refused is not None and not refused.transient:
            raise self._refusal(f"{refused.reason} (we speak version {VERSION} of the protocol)")
        return refused

    def _refusal(self, reason: str) -> LinkFault:
        return LinkFault(reason, self._link.name, transient=False)
