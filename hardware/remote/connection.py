"""The serving side of one transport: handshake, then sessions, one after the other."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from importlib.metadata import version

from knightshift.core.errors import LinkFault
from knightshift.hardware.contract import Scanner
from knightshift.hardware.remote.frame_link import FrameLink
from knightshift.hardware.remote.framing import VERSION, Frame, FrameKind
from knightshift.hardware.remote.handshake import (
    Authenticate,
    Challenge,
    Hello,
    Refused,
    Welcome,
    decode_message,
    is_proof,
    new_nonce,
    new_session,
    proof_of,
)
from knightshift.hardware.remote.messages import MalformedMessageError, WireModel, encode_body
from knightshift.hardware.remote.serving_session import ServingSession
from knightshift.hardware.remote.settings import ServeOptions
from knightshift.hardware.remote.transport import ByteTransport
from knightshift.hardware.remote.virtual_time import clock_kind

_LOG = logging.getLogger(__name__)
_CHALLENGES_KEPT = 4


class Desk:
    """The one place in front of the scanner: at most one session has it.

    Parameters
    ----------
    scanner
        The scanner that is served.
    options
        How.
    token
        Shared with clients; None: none is asked for.
    """

    def __init__(self, scanner: Scanner, options: ServeOptions, token: bytes | None) -> None:
        self.scanner, self.options, self.token = scanner, options, token
        self._free = threading.Lock()
        self._leaving: threading.Thread | None = None
        self.crash: BaseException | None = None
        """What the scanner raised that it must not."""

    def take(self) -> bool:
        """Take the place; False if somebody has it."""
        return self._free.acquire(blocking=False)

    def leave(self, session: ServingSession) -> None:
        """End a session: the scanner is safe when this returns; the place is free when what still ran has ended."""
        session.end()
        self._leaving = threading.Thread(target=self._clear, args=(session,), name="clear the desk")
        self._leaving.start()

    def _clear(self, session: ServingSession) -> None:
        session.wait()
        self.crash = self.crash or session.crash
        self._free.release()

    def wait(self) -> None:
        """Wait until what still runs for the last session has ended."""
        if self._leaving is not None:
            self._leaving.join()


class Connection:
    """Serves whoever is at the other end of `transport`.

    Parameters
    ----------
    transport
        Open.
    desk
        The scanner, shared between connections.
    """

    def __init__(self, transport: ByteTransport, desk: Desk) -> None:
        self._desk, self._timing = desk, desk.options.timing
        self._link = FrameLink(transport, self._timing)
        self._challenges: OrderedDict[str, Challenge] = OrderedDict()
        self._welcome: tuple[str, Frame] | None = None
        self._session: ServingSession | None = None
        self.ended = threading.Event()
        """Set when the transport has ended."""

    @property
    def is_serving(self) -> bool:
        """Whether a session is going on."""
        return self._session is not None

    def start(self) -> None:
        """Begin."""
        self._link.start(self)

    def close(self) -> None:
        """End the session in good order and give the transport up."""
        session = self._session
        if session is not None:
            self._link.send(Frame(FrameKind.GOODBYE, session.number, 0, b""))
        self._link.close()
        self._leave("the server stops")
        self.ended.set()

    def received(self, frame: Frame) -> None:
        """Take a frame (reading thread)."""
        try:
            self._dispatch(frame)
        except MalformedMessageError as problem:
            _LOG.warning("%s: a frame of kind %d is not understood: %s", self._link.name, frame.kind, problem)

    def _dispatch(self, frame: Frame) -> None:
        if frame.kind == FrameKind.HELLO:
            self._greeted(frame)
        elif frame.version != VERSION:
            return
        elif frame.kind == FrameKind.AUTHENTICATE:
            self._authenticated(decode_message(Authenticate, frame.payload))
        elif self._session is not None and frame.session == self._session.number:
            if frame.kind == FrameKind.GOODBYE:
                self._leave("the client has said goodbye")
            else:
                self._session.received(frame)

    def _greeted(self, frame: Frame) -> None:
        hello = decode_message(Hello, frame.payload)
        if VERSION not in hello.versions or frame.version != VERSION:
            self._refuse(
                hello.client_nonce, f"this side speaks version {VERSION} of the protocol only", transient=False
            )
            return
        challenge = self._challenges.get(hello.client_nonce)
        if challenge is None:
            if self._session is not None:
                self._refuse(hello.client_nonce, "another client has the scanner", transient=True)
                return
            challenge = Challenge(
                client_nonce=hello.client_nonce, server_nonce=new_nonce(), token_needed=self._desk.token is not None
            )
            self._challenges[hello.client_nonce] = challenge
            if len(self._challenges) > _CHALLENGES_KEPT:
                self._challenges.popitem(last=False)
            _LOG.info("%s: %s says hello", self._link.name, hello.software)
        self._send(FrameKind.CHALLENGE, challenge)

    def _authenticated(self, message: Authenticate) -> None:
        nonces = (message.client_nonce, message.server_nonce)
        challenge = self._challenges.get(message.client_nonce)
        if challenge is None or challenge.server_nonce != message.server_nonce:
            return
        if self._welcome is not None and self._welcome[0] == message.server_nonce:
            self._link.send(self._welcome[1])
            return
        if not is_proof(message.proof, proof_of("client", self._desk.token, *nonces)):
            _LOG.warning("%s: the token is wrong", self._link.name)
            del self._challenges[message.client_nonce]
            self._refuse(message.client_nonce, "the token is not that of the serving side", transient=False)
        elif not self._desk.take():
            self._refuse(message.client_nonce, "another client has the scanner, or has just lost it", transient=True)
        else:
            self._begin(nonces)

    def _begin(self, nonces: tuple[str, str]) -> None:
        desk = self._desk
        clock = desk.options.clock
        welcome = Welcome(
            client_nonce=nonces[0],
            proof=proof_of("server", desk.token, *nonces),
            software=f"knightshift {version('knightshift')}",
            clock=clock_kind(clock),
            link_timeout=self._timing.link_timeout,
        )
        number = new_session()
        self._session = ServingSession(number, desk.scanner, clock, self._timing, self._link.send)
        frame = Frame(FrameKind.WELCOME, number, 0, encode_body(welcome.model_dump()))
        self._welcome = (nonces[1], frame)
        _LOG.info("%s: session %x begins", self._link.name, number)
        self._link.send(frame)

    def _refuse(self, client_nonce: str, reason: str, *, transient: bool) -> None:
        self._send(FrameKind.REFUSED, Refused(client_nonce=client_nonce, reason=reason, transient=transient))

    def _send(self, kind: FrameKind, message: WireModel) -> None:
        self._link.send(Frame(kind, 0, 0, encode_body(message.model_dump())))

    def tick(self, now: float) -> None:
        """Notice a client that is silent (reading thread)."""
        session = self._session
        if session is None:
            return
        if session.crash is not None:
            self._link.send(Frame(FrameKind.GOODBYE, session.number, 0, b""))
            self._leave("the scanner failed")
        elif session.silence(now) > self._timing.link_timeout:
            self._leave(f"the client has been silent for {session.silence(now):.3g} s")
        else:
            session.tick(now)

    def lost(self, fault: LinkFault) -> None:
        """Learn that the transport has ended (reading thread)."""
        self._leave(str(fault))
        self.ended.set()

    def _leave(self, reason: str) -> None:
        session, self._session = self._session, None
        self._challenges.clear()
        self._welcome = None
        if session is not None:
            _LOG.info("%s: session %x ends, the scanner is made safe: %s", self._link.name, session.number, reason)
            self._desk.leave(session)
