"""What the link faults of a script do to the bytes of a link, and that the protocol survives each of them."""

from __future__ import annotations

import socket
import time

import pytest

from knightshift.core.clock import SystemClock
from knightshift.core.errors import IllegalTransitionError, LinkFault
from knightshift.core.yaml_files import validate
from knightshift.hardware.contract import ScannerState
from knightshift.hardware.faults import FaultScript
from knightshift.hardware.link_timing import LinkTiming
from knightshift.hardware.remote.framing import Frame, FrameKind, decode_frame, encode_frame
from knightshift.hardware.remote.link_faults import LinkFaults
from knightshift.hardware.remote.loopback import LoopbackScanner
from knightshift.hardware.remote.transport import SocketTransport

TIMING = LinkTiming(heartbeat=0.05, link_timeout=0.5, resend_interval=0.02)


def script(*faults) -> FaultScript:
    passes = {"passes": [3]}
    return validate(FaultScript, {"seed": 5, "faults": [passes | fault for fault in faults]}, "test")


def reply(number: int, payload: bytes = b"answer") -> bytes:
    return encode_frame(Frame(FrameKind.REPLY, 7, number, payload))


@pytest.fixture
def open_line():
    """Open a scripted link; gives it, our end and the raw other end."""
    sockets = []

    def begin(*faults):
        ours, theirs = socket.socketpair()
        sockets.extend((ours, theirs))
        theirs.settimeout(0.5)
        link = LinkFaults(lambda: SocketTransport(ours, "test"), script(*faults), patience=0.3)
        return link, link.open(), theirs

    yield begin
    for one in sockets:
        one.close()


def test_a_mute_link_swallows_both_directions_for_as_long_as_scripted(open_line) -> None:
    link, ours, theirs = open_line({"kind": "link_mute", "duration": 0.1})
    theirs.sendall(reply(1))
    assert ours.read(0.2) == reply(1)
    link.pass_started(3, 0)
    began = time.monotonic()
    ours.write(b"lost")
    theirs.sendall(reply(2))
    assert ours.read(0.01) == b""
    time.sleep(max(0.0, began + 0.11 - time.monotonic()))
    ours.write(b"heard")
    assert theirs.recv(100) == b"heard"
    theirs.sendall(reply(3))
    assert ours.read(0.2) == reply(3)


def test_a_garbled_answer_is_no_frame_and_the_next_one_is(open_line) -> None:
    link, ours, theirs = open_line({"kind": "link_garble", "count": 3})
    link.pass_started(3, 0)
    heartbeat = encode_frame(Frame(FrameKind.HEARTBEAT, 7, 0, b""))
    theirs.sendall(heartbeat + reply(1) + reply(2))
    received = ours.read(0.2)
    assert received.startswith(heartbeat), "the fault is kept for an answer"
    damaged = received[len(heartbeat) : -len(reply(2))]
    assert received.endswith(reply(2))
    assert sum(one != other for one, other in zip(damaged, reply(1), strict=True)) == 3
    assert all(decode_frame(piece) is None for piece in damaged.split(b"\0"))


def test_a_wrong_reply_is_the_answer_to_an_earlier_question(open_line) -> None:
    link, ours, theirs = open_line({"kind": "link_wrong_reply"})
    theirs.sendall(reply(1))
    ours.read(0.2)
    link.pass_started(3, 0)
    theirs.sendall(reply(2) + reply(3))
    assert ours.read(0.2) == reply(1) + reply(3)


def test_an_unplugged_link_fails_at_once_and_opens_again_when_it_is_back(open_line) -> None:
    link, ours, _ = open_line({"kind": "link_unplug", "duration": 0.1})
    link.pass_started(3, 0)
    for call in (lambda: ours.read(0.01), lambda: ours.write(b"x")):
        with pytest.raises(LinkFault, match="scripted"):
            call()
    began = time.monotonic()
    link.open()
    assert 0.05 < time.monotonic() - began < 0.25


def test_a_plug_that_stays_out_is_told_in_bounded_time(open_line) -> None:
    link, _, _ = open_line({"kind": "link_unplug"})
    link.pass_started(3, 0)
    began = time.monotonic()
    with pytest.raises(LinkFault, match="unplugged"):
        link.open()
    assert 0.25 < time.monotonic() - began < 1.0


def test_nothing_happens_in_other_passes_and_at_the_second_attempt(open_line) -> None:
    link, ours, theirs = open_line({"kind": "link_unplug"}, {"kind": "link_mute", "duration": 9.0})
    link.pass_started(2, 0)
    theirs.sendall(reply(1))
    assert ours.read(0.2) == reply(1)


def test_bytes_that_are_no_frames_are_passed_on_and_never_pile_up(open_line) -> None:
    _, ours, theirs = open_line({"kind": "link_garble"})
    sent = b"\x01" * 400_000
    theirs.setblocking(False)
    received, offset = b"", 0
    while offset < len(sent):
        offset += theirs.send(sent[offset : offset + 60_000])
        received += ours.read(0.05)
        assert len(ours._rest) <= 200_000
    assert len(received) > 200_000


@pytest.mark.parametrize(
    ("fault", "is_lost"),
    [
        ({"kind": "link_mute", "duration": 0.1}, False),
        ({"kind": "link_garble", "count": 4}, False),
        ({"kind": "link_wrong_reply"}, False),
        ({"kind": "link_mute", "duration": 0.9}, True),
        ({"kind": "link_unplug", "duration": 0.1}, True),
    ],
    ids=["short mute", "garble", "wrong reply", "long mute", "unplug"],
)
def test_over_a_loopback_each_is_survived_or_told_and_the_repeat_succeeds(counting, plain_program, fault, is_lost):
    clock = SystemClock()
    client = LoopbackScanner(counting, clock=clock, scanner_clock=clock, timing=TIMING, faults=script(fault))
    with client:
        client.prepare(plain_program)
        client.start(3)
        if is_lost:
            with pytest.raises((LinkFault, IllegalTransitionError)):
                list(client.readouts(1.0))
            assert client.status().state is ScannerState.UNKNOWN
            client.connect()
            assert client.status().state is ScannerState.IDLE
            client.prepare(plain_program)
            client.start(3)
        readouts = list(client.readouts(1.0))
    assert len(readouts) == plain_program.n_readouts
    assert counting.started == [(3, 0)] * (1 + is_lost)
    assert counting.states.state is ScannerState.DISCONNECTED


def test_a_loopback_may_be_left_and_entered_again(counting, plain_program) -> None:
    clock = SystemClock()
    client = LoopbackScanner(counting, clock=clock, scanner_clock=clock, timing=TIMING, faults=FaultScript())
    for _ in range(2):
        with client:
            client.prepare(plain_program)
            client.start(0)
            assert len(list(client.readouts(1.0))) == plain_program.n_readouts
