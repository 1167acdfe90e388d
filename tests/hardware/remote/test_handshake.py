"""The handshake, played by hand on one side: nobody gets in, or is believed, without the token."""

from __future__ import annotations

import sys
import threading

import pytest

from knightshift.core.clock import SystemClock
from knightshift.core.errors import LinkFault
from knightshift.hardware.remote.framing import Deframer, Frame, FrameKind, encode_frame
from knightshift.hardware.remote.handshake import Challenge, Hello, decode_message, new_nonce, proof_of
from knightshift.hardware.remote.messages import encode_body

loop = sys.modules["remote_loop"]
OURS = "ab" * 16


def tell(end, kind, body, session=0, number=0) -> None:
    end.write(encode_frame(Frame(kind, session, number, encode_body(body))))


def answer(end, deframer) -> Frame:
    for _ in range(100):
        for frame in deframer.feed(end.read(0.05)):
            if frame.kind != FrameKind.HEARTBEAT:
                return frame
    raise AssertionError("no answer came")


def challenged(end, deframer) -> Challenge:
    tell(end, FrameKind.HELLO, {"software": "by hand", "client_nonce": OURS, "clock": "system"})
    frame = answer(end, deframer)
    assert frame.kind == FrameKind.CHALLENGE
    challenge = decode_message(Challenge, frame.payload)
    assert (challenge.client_nonce, challenge.token_needed) == (OURS, True)
    return challenge


def authenticate(end, challenge, proof) -> None:
    body = {"client_nonce": OURS, "server_nonce": challenge.server_nonce, "proof": proof}
    tell(end, FrameKind.AUTHENTICATE, body)


@pytest.mark.parametrize("guess", [None, b"another token altogether"])
def test_the_server_lets_nobody_in_without_the_token(served_in_memory, counting, guess) -> None:
    end, deframer = served_in_memory.open(), Deframer()
    challenge = challenged(end, deframer)
    authenticate(end, challenge, proof_of("client", guess, OURS, challenge.server_nonce))
    frame = answer(end, deframer)
    assert frame.kind == FrameKind.REFUSED
    assert b"token" in frame.payload
    for session in (0, 1):
        tell(end, FrameKind.REQUEST, {"command": "attach"}, session, 1)
    assert deframer.feed(end.read(0.2)) == []
    assert counting.calls["connect"] == 0
    end.close()


def test_the_right_token_gets_a_session_and_the_same_welcome_again(served_in_memory, counting) -> None:
    end, deframer = served_in_memory.open(), Deframer()
    challenge = challenged(end, deframer)
    assert challenged(end, deframer) == challenge, "one client nonce, one challenge"
    proof = proof_of("client", served_in_memory.options.token(), OURS, challenge.server_nonce)
    authenticate(end, challenge, proof)
    welcome = answer(end, deframer)
    assert welcome.kind == FrameKind.WELCOME
    assert welcome.session != 0
    authenticate(end, challenge, proof)
    assert answer(end, deframer) == welcome
    tell(end, FrameKind.REQUEST, {"command": "attach"}, welcome.session, 1)
    assert answer(end, deframer).kind == FrameKind.REPLY
    assert counting.calls["connect"] == 1
    end.close()


def test_a_proof_that_was_overheard_is_of_no_use_later(served_in_memory, counting) -> None:
    end, deframer = served_in_memory.open(), Deframer()
    challenge = challenged(end, deframer)
    overheard = proof_of("client", served_in_memory.options.token(), OURS, challenge.server_nonce)
    end.close()
    end, deframer = served_in_memory.open(), Deframer()
    fresh = challenged(end, deframer)
    assert fresh.server_nonce != challenge.server_nonce
    authenticate(end, challenge, overheard)
    authenticate(end, fresh, overheard)
    assert answer(end, deframer).kind == FrameKind.REFUSED
    assert counting.calls["connect"] == 0
    end.close()


def impostor(to_server, to_client, make_proof, echo_nonce=True) -> threading.Thread:
    """A server that welcomes everybody."""
    end = loop.LoopEnd("impostor", to_server, to_client)

    def serve() -> None:
        deframer = Deframer()
        try:
            while True:
                for frame in deframer.feed(end.read(0.05)):
                    if frame.kind == FrameKind.HELLO:
                        theirs = decode_message(Hello, frame.payload).client_nonce if echo_nonce else new_nonce()
                        challenge = {"client_nonce": theirs, "server_nonce": OURS, "token_needed": True}
                        tell(end, FrameKind.CHALLENGE, challenge)
                    elif frame.kind == FrameKind.AUTHENTICATE:
                        body = {"client_nonce": theirs, "proof": make_proof(theirs), "software": "x"}
                        tell(end, FrameKind.WELCOME, body | {"clock": "system", "link_timeout": 1.0}, session=5)
        except LinkFault:
            pass

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("make_proof", "echo_nonce", "complaint"),
    [
        (lambda nonce: "", True, "does not know the token"),
        (lambda nonce: proof_of("client", b"0123456789abcdef", nonce, OURS), True, "does not know the token"),
        (lambda nonce: proof_of("server", b"0123456789abcdef", nonce, OURS), False, "nobody answers"),
    ],
)
def test_the_client_believes_no_server_without_the_token(make_proof, echo_nonce, complaint) -> None:
    to_server, to_client = loop.Wire(), loop.Wire()
    thread = impostor(to_server, to_client, make_proof, echo_nonce)
    ours = loop.LoopEnd("client", to_client, to_server)
    client = loop.RemoteScanner(lambda: ours, clock=SystemClock(), timing=loop.QUICK, token=b"0123456789abcdef")
    with pytest.raises(LinkFault, match=complaint):
        client.connect()
    thread.join(5.0)
    assert not thread.is_alive()
