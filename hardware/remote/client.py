"""The client: a scanner that is somewhere else."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator

from knightshift.core.clock import Clock
from knightshift.core.errors import (
    ConfigError,
    HardwareError,
    IllegalTransitionError,
    KnightshiftError,
    LinkFault,
    ProtocolError,
    ReadoutTimeoutError,
    ScannerFault,
)
from knightshift.core.passes import Readout
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import (
    Capabilities,
    Identity,
    ScannerState,
    ScannerStatus,
    StopAt,
)
from knightshift.hardware.link_timing import LinkTiming
from knightshift.hardware.remote.client_handshake import Greeter
from knightshift.hardware.remote.client_session import ClientSession
from knightshift.hardware.remote.frame_link import FrameLink
from knightshift.hardware.remote.incoming_stream import IncomingStream
from knightshift.hardware.remote.messages import MAX_RAW, JsonObject
from knightshift.hardware.remote.program_store import MAX_TEXT
from knightshift.hardware.remote.transport import ByteTransport
from knightshift.hardware.remote.virtual_time import follow
from knightshift.hardware.remote.wire_values import (
    capabilities_from_wire,
    identity_from_wire,
    program_head,
    status_from_wire,
    text_digest,
)
from knightshift.hardware.scanner_base import ScannerBase, possible_frequency, possible_gain

_LOG = logging.getLogger(__name__)


class RemoteScanner(ScannerBase):
    """The `Scanner` contract over a byte stream. States and limits are those of the scanner on the other side.

    Parameters
    ----------
    open_link
        Opens the transport; called by each `connect`. Raises `LinkFault`.
    clock
        A `VirtualClock` follows that of the served scanner.
    timing
        Patience.
    token
        Shared with the serving side; None without one.
    window
        Readouts that may be on their way. With a virtual clock on the serving side none is taken in advance, but up to
        16 with the one that is asked for.
    on_start
        Told of each pass that has been started, with its epoch, before its readouts are asked for.
    """

    def __init__(
        self,
        open_link: Callable[[], ByteTransport],
        *,
        clock: Clock,
        timing: LinkTiming,
        token: bytes | None = None,
        window: int = 32,
        on_start: Callable[[int, int], None] = lambda _pass_index, _epoch: None,
    ) -> None:
        self._open_link, self._clock, self._timing, self._token = open_link, clock, timing, token
        self._window, self._in_step = window, False
        self._on_start = on_start
        self._connecting = threading.Lock()
        self._session: ClientSession | None = None
        self._last_status = ScannerStatus(ScannerState.UNKNOWN, None, 0.0)
        self._duration = 0.0

    def connect(self) -> None:
        """Open the link and make the scanner safe.

        Raises
        ------
        LinkFault
            If nobody answers in twice `link_timeout`, or the two sides do not fit together.
        """
        with self._connecting:
            if (session := self._living()) is not None:
                session.call("connect")
                return
            if self._session is not None:
                self._session.close()  # a serial port can be opened again only when it has been given up
            session, server_is_virtual = self._greet()
            try:
                session.call("attach")
            except KnightshiftError:
                session.close()
                raise
            self._in_step = server_is_virtual
            self._session = session

    def _greet(self) -> tuple[ClientSession, bool]:
        transport = self._open_link()
        transport.reset_input()
        link = FrameLink(transport, self._timing)
        greeter = Greeter(link, self._timing, self._token, self._clock)
        link.start(greeter)
        try:
            established = greeter.greet()
        except LinkFault:
            link.close()
            raise
        session = ClientSession(link, established, self._timing, self._clock)
        greeter.pass_on_to(session)
        return session, established.server_clock == "virtual"

    def _living(self) -> ClientSession | None:
        session = self._session
        return None if session is None or session.fault is not None else session

    def _require_session(self, command: str) -> ClientSession:
        """Give the session.

        Raises
        ------
        IllegalTransitionError
            If there is none. Transient if the link was lost: after `connect` the pass may be repeated.
        """
        session = self._session
        if session is not None and session.fault is None:
            return session
        if session is None:
            raise IllegalTransitionError(f"{command} is not possible while disconnected: connect first", "remote")
        raise IllegalTransitionError(
            f"{command} is not possible while the link is lost ({session.fault}): connect again", "remote", True
        )

    def _call(self, command: str, arguments: JsonObject | None = None) -> None:
        self._require_session(command).call(command, arguments)

    def close(self) -> None:
        """Make safe and give the link up. Legal in every state, even if the link fails meanwhile."""
        with self._connecting:
            session, self._session = self._session, None
            if session is None:
                return
            if session.fault is None:
                _try(session, "close")
            session.close()

    def identify(self) -> Identity:
        """Say who is there: the device on the other side, reached by the backend ``remote``."""
        there = identity_from_wire(self._require_session("identify").call("identify"))
        return Identity("remote", there.device, f"{there.backend} {there.version}")

    def capabilities(self) -> Capabilities:
        """Say what it can do."""
        return capabilities_from_wire(self._require_session("capabilities").call("capabilities"))

    def validate(self, program: PassProgram) -> None:
        """Check `program` on the other side, without arming it. Raises `LimitError` or `ProtocolError`."""
        self._with_program("validate", program)

    def prepare(self, program: PassProgram) -> None:
        """Send `program` if it is not there yet; check, load and arm it there."""
        self._with_program("prepare", program)
        self._duration = program.duration

    def _with_program(self, command: str, program: PassProgram) -> None:
        session = self._require_session(command)
        text = program.pulseq.encode()
        if len(text) > MAX_TEXT:
            raise ProtocolError(
                f"{program.name}: {len(text)} bytes of Pulseq are too long for the link, {MAX_TEXT} is the most: play "
                "fewer lines or echoes in a pass"
            )
        digest = text_digest(text)
        offset = session.call("offer_program", {"digest": digest, "size": len(text)})
        while isinstance(offset, int) and 0 <= offset < len(text):
            piece = text[offset : offset + MAX_RAW]
            offset = session.call("program_piece", {"digest": digest, "offset": offset}, piece)
        session.call(command, {"program": program_head(program)})

    def start(self, pass_index: int, epoch: int = 0) -> None:
        """Play the armed program once."""
        self._call("start", {"pass_index": int(pass_index), "epoch": int(epoch)})
        self._on_start(pass_index, epoch)

    def readouts(self, timeout: float) -> Iterator[Readout]:
        """Yield the readouts of the pass that plays, in order, each exactly once.

        Raises
        ------
        IllegalTransitionError
            If nothing plays.
        ReadoutTimeoutError
            If a readout is late by more than `timeout` [s]; the pass has been aborted then.
        LinkFault
            If the link is lost meanwhile.
        ScannerFault
            If the pass was aborted or made safe meanwhile.
        """
        session = self._require_session("readouts")
        if not (math.isfinite(timeout) and timeout >= 0):
            raise ConfigError(f"timeout {timeout!r} s is not possible: give a finite number, 0 or more")
        arguments: JsonObject = {"timeout": float(timeout), "window": self._window}
        stream = session.open_stream(arguments, self._window, in_step=self._in_step)
        return self._deliver(stream, timeout)

    def _deliver(self, stream: IncomingStream, timeout: float) -> Iterator[Readout]:
        longest = self._duration + timeout + self._timing.link_timeout
        while True:
            try:
                record = stream.take(longest)
            except TimeoutError:
                self.abort()
                raise ReadoutTimeoutError(
                    f"the link lives, but no readout came for {longest:.3g} s: repeat the pass", "remote"
                ) from None
            follow(self._clock, record.clock)
            if record.readout is not None:
                yield record.readout
                continue
            if record.error is not None:
                raise record.error
            if stream.was_cut:
                raise ScannerFault("the pass was aborted: its data are lost", "remote")
            return

    def stop(self, at: StopAt = StopAt.PASS) -> None:
        """Stop in good order."""
        self._call("stop", {"at": str(at)})

    def abort(self) -> None:
        """Stop now; the pass is lost.

        Safe from any thread, in any state, any number of times. If the link fails meanwhile nothing is raised: the
        serving side makes the scanner safe by itself, and the state is UNKNOWN.
        """
        self._safely("abort")

    def make_safe(self) -> None:
        """Blank RF, zero gradients. Never raises; from any thread, in any state. Goes ahead of everything else."""
        self._safely("make_safe")

    def _safely(self, command: str) -> None:
        session = self._living()
        if session is not None:
            session.cut_stream()
            _try(session, command)

    def set_frequency(self, frequency: float) -> None:
        """Set the working frequency [Hz]."""
        self._call("set_frequency", {"frequency": possible_frequency(frequency)})

    def set_receiver_gain(self, gain: float) -> None:
        """Set the receiver gain [dB]."""
        self._call("set_receiver_gain", {"gain": possible_gain(gain)})

    def status(self) -> ScannerStatus:
        """Say what it is doing. Legal in every state; takes `link_timeout` at most."""
        session = self._session
        if session is not None and session.fault is None:
            try:
                self._last_status = status_from_wire(session.call("status"))
            except LinkFault as fault:
                _LOG.warning("status: %s", fault)
            else:
                return self._last_status
        state = ScannerState.DISCONNECTED if session is None else ScannerState.UNKNOWN
        last = self._last_status
        return ScannerStatus(state, last.frequency, last.receiver_gain)

    def reset(self) -> None:
        """Clear a latched fault."""
        self._call("reset")


def _try(session: ClientSession, command: str) -> None:
    """Send a command that leads to safety; if the link fails, the serving side gets there by itself."""
    try:
        session.call(command)
    except HardwareError as fault:
        _LOG.warning("%s: %s", command, fault)
