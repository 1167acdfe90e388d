"""The rule of the line: one question, one answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from knightshift.core.errors import GarbledReplyFault, LinkFault, NoReplyFault, WrongReplyFault
from knightshift.hardware.monitors import LinkSettings, Transport
from knightshift.hardware.monitors.emulated import (
    EmulatedIlm,
    EmulatedLine,
    FaultKind,
    ScriptedFaults,
    plug_in,
    unplug_all,
)
from knightshift.hardware.monitors.framers import bisynch, modbus_read, until

URL = "sim://oxford_ilm/transport"
CR = until(b"\r")
SETTINGS = LinkSettings(port=URL, timeout=1.0, quiet_time=0.02, latest_reply=2.0)


@pytest.fixture
def faults() -> ScriptedFaults:
    return ScriptedFaults(seed=4)


@pytest.fixture
def line(faults: ScriptedFaults) -> Iterator[EmulatedLine]:
    made = EmulatedLine(EmulatedIlm(), faults, timeout=1.0)
    plug_in(URL, made)
    yield made
    unplug_all()


@pytest.fixture
def link(line: EmulatedLine) -> Iterator[Transport]:
    with Transport(SETTINGS, "meter") as opened:
        yield opened


def test_a_question_gets_its_answer(link: Transport) -> None:
    assert link.transact(b"@6R1\r", CR) == b"R623\r"
    assert link.transact(b"@6X\r", CR) == b"X210S040000R00\r"


def test_silence_is_no_reply_after_the_time_out_and_not_later(link: Transport, faults: ScriptedFaults) -> None:
    faults.add(FaultKind.MUTE)
    begun = link.monotonic()
    with pytest.raises(NoReplyFault, match=r"meter: nothing came in answer within 1 s"):
        link.transact(b"@6R1\r", CR)
    assert link.monotonic() - begun == pytest.approx(1.0, abs=0.05)


def test_half_an_answer_is_no_reply(link: Transport, line: EmulatedLine) -> None:
    line.device.feed = lambda data: [b"R62"]  # type: ignore[method-assign]
    with pytest.raises(NoReplyFault, match="only b'R62'"):
        link.transact(b"@6R1\r", CR)


def test_a_second_answer_is_a_wrong_reply(link: Transport, faults: ScriptedFaults) -> None:
    faults.add(FaultKind.DOUBLE)
    with pytest.raises(WrongReplyFault, match="second answer"):
        link.transact(b"@6R1\r", CR)


def test_what_comes_unasked_is_a_fault_and_is_gone_afterwards(link: Transport, line: EmulatedLine) -> None:
    link.transact(b"@6R1\r", CR)
    line.send(b"@6R2\r", link.monotonic())  # as if an answer that nobody waits for were on its way
    link.sleep(0.1)
    with pytest.raises(WrongReplyFault, match="unasked"):
        link.transact(b"@6X\r", CR)
    assert link.transact(b"@6X\r", CR).startswith(b"X")


def test_after_a_fault_nothing_is_asked_before_the_answer_can_have_come(link: Transport, line: EmulatedLine) -> None:
    """The answer to the first question comes 1.9 s late; the second question is asked later than that."""
    asked: list[tuple[float, bytes]] = []
    feed = line.device.feed

    def recorded(data: bytes) -> list[bytes]:
        asked.append((link.monotonic(), data))
        return feed(data)

    line.device.feed = recorded  # type: ignore[method-assign]
    line._delay = 1.9
    with pytest.raises(NoReplyFault):
        link.transact(b"@6R1\r", CR)
    line._delay = 0.002
    assert link.transact(b"@6R2\r", CR) == b"R815\r"
    assert asked[1][0] - asked[0][0] >= SETTINGS.latest_reply


def test_a_babbling_line_is_a_typed_fault_in_bounded_time(link: Transport, line: EmulatedLine) -> None:
    now = link.monotonic()
    line._due = [(now + 0.01 * n, b"?") for n in range(2_000)]
    link.out_of_step()
    with pytest.raises(GarbledReplyFault, match="does not fall silent"):
        link.transact(b"@6R1\r", CR)
    assert link.monotonic() - now < 2 * SETTINGS.latest_reply + SETTINGS.timeout + 0.1


def test_an_endless_answer_is_a_typed_fault_in_bounded_time(link: Transport, line: EmulatedLine) -> None:
    line.device.feed = lambda data: [b"R" * 10] * 10  # type: ignore[method-assign]
    line._schedule([b"9"] * 5, link.monotonic() + 0.5)
    begun = link.monotonic()
    with pytest.raises(NoReplyFault):
        link.transact(b"@6R1\r", CR)
    assert link.monotonic() - begun < SETTINGS.timeout + 0.1


def test_a_closed_line_says_so(link: Transport) -> None:
    link.close()
    with pytest.raises(LinkFault, match="not open"):
        link.transact(b"@6R1\r", CR)


@pytest.mark.parametrize(
    "port", ["/dev/no-such-tty", "sim://no_such_device", "nonsense://x", "sim://oxford_ilm?typo=1"]
)
def test_a_line_that_cannot_be_opened_is_a_link_fault(port: str) -> None:
    with pytest.raises(LinkFault, match="cannot be opened"):
        Transport(LinkSettings(port=port), "meter").open()


def test_a_serial_server_works_like_a_serial_port() -> None:
    """``socket://``: what serial device servers speak."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(100) == b"@6R1\r"
                connection.sendall(b"R623\r")
                connection.recv(100)

        thread = threading.Thread(target=serve)
        thread.start()
        with Transport(LinkSettings(port=f"socket://127.0.0.1:{server.getsockname()[1]}"), "meter") as link:
            assert link.transact(b"@6R1\r", CR) == b"R623\r"
        thread.join(5)


@pytest.mark.parametrize(
    ("framer", "received", "length"),
    [
        (until(b"\r"), b"R62", None),
        (until(b"\r"), b"R623\rX", 5),
        (bisynch, b"\x02PV279.8\x03", None),
        (bisynch, b"\x02PV279.8\x03/", 10),
        (bisynch, b"\x04", 1),
        (bisynch, b"\x15", 1),
        (modbus_read, b"\x01\x03", None),
        (modbus_read, bytes.fromhex("01 03 02 00 00 B8"), None),
        (modbus_read, bytes.fromhex("01 03 02 00 00 B8 44"), 7),
        (modbus_read, bytes.fromhex("01 83 02 C0 F1"), 5),
    ],
)
def test_framers_find_the_end_of_an_answer(framer: Any, received: bytes, length: int | None) -> None:
    assert framer(received) == length
