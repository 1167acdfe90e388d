"""A request is carried out once, however often it comes; a bad line delivers all of it, once and in order."""

from __future__ import annotations

import os
import random
import sys
import threading
import time

import numpy as np
import pytest

from knightshift.core.clock import SystemClock
from knightshift.core.errors import LinkFault
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.contract import ScannerState
from knightshift.hardware.remote import ServeOptions
from knightshift.hardware.remote.framing import Frame, FrameKind, decode_frame, encode_frame
from knightshift.hardware.remote.incoming_stream import IncomingStream
from knightshift.hardware.remote.messages import decode_reply, encode_body
from knightshift.hardware.remote.outgoing_stream import OutgoingStream
from knightshift.hardware.remote.readout_records import Record, cut_into_parts, decode_demand, encode_record
from knightshift.hardware.remote.serving_session import ServingSession
from knightshift.hardware.site import SiteConfig

loop = sys.modules["remote_loop"]


@pytest.fixture
def session(counting):
    """A serving session without a link; `sent` collects its frames."""
    counting.connect()
    sent: list[Frame] = []
    made = ServingSession(1, counting, None, loop.QUICK, lambda *frames: sent.extend(frames))
    made.sent = sent
    yield made
    made.end()
    made.wait()


def ask(session, number, command, **arguments):
    session.received(Frame(FrameKind.REQUEST, 1, number, encode_body({"command": command, "arguments": arguments})))


def replies(session, number, longest=2.0):
    deadline = time.monotonic() + longest
    while time.monotonic() < deadline:
        found = [frame for frame in session.sent if (frame.kind, frame.number) == (FrameKind.REPLY, number)]
        if found:
            return found
        time.sleep(0.002)
    return []


def test_a_repeated_request_is_carried_out_once_and_answered_alike(session, counting) -> None:
    for _ in range(5):
        ask(session, 1, "set_frequency", frequency=1e8)
        assert replies(session, 1)
    assert counting.calls["set_frequency"] == 1
    assert len({frame.payload for frame in replies(session, 1)}) == 1


def test_a_request_that_runs_is_acknowledged_when_it_comes_again(session, counting, plain_program) -> None:
    counting.blocked.clear()
    monkey = counting.set_frequency
    counting.set_frequency = lambda frequency: (counting.blocked.wait(5.0), monkey(frequency))
    ask(session, 1, "set_frequency", frequency=1e8)
    assert not session.sent
    ask(session, 1, "set_frequency", frequency=1e8)
    assert [frame.kind for frame in session.sent] == [FrameKind.ACCEPTED]
    counting.blocked.set()
    assert len(replies(session, 1)) == 1
    assert counting.calls["set_frequency"] == 1


def test_a_request_older_than_the_kept_replies_is_never_carried_out_again(session, counting) -> None:
    for number in range(1, 101):
        ask(session, number, "set_frequency", frequency=float(number))
        assert replies(session, number)
    session.sent.clear()
    ask(session, 1, "set_frequency", frequency=1.0)
    assert replies(session, 1, longest=0.05) == []
    assert (counting.calls["set_frequency"], counting.status().frequency) == (100, 100.0)
    ask(session, 100, "set_frequency", frequency=100.0)
    assert len(replies(session, 100)) == 1
    assert counting.calls["set_frequency"] == 100


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("format_disk", {}),
        ("start", {}),
        ("start", {"pass_index": -1, "epoch": 0}),
        ("start", {"pass_index": True, "epoch": 0}),
        ("start", {"pass_index": 1, "epoch": 0, "power": 9}),
        ("set_frequency", {"frequency": "1e8"}),
        ("stop", {"at": "once"}),
        ("offer_program", {"digest": "../../etc/passwd", "size": 3}),
        ("offer_program", {"digest": "0" * 64, "size": 10**12}),
        ("prepare", {"program": {}}),
    ],
)
def test_what_is_no_command_is_refused_with_a_typed_error(session, counting, command, arguments) -> None:
    ask(session, 1, command, **arguments)
    (frame,) = replies(session, 1)
    error = decode_reply(frame.payload).error
    assert error is not None
    assert error["name"] in {"ConfigError", "ProtocolError"}
    assert counting.states.state is ScannerState.IDLE


def test_readouts_that_come_with_the_end_of_a_session_are_no_mistake_of_the_scanner(
    session, counting, plain_program
) -> None:
    counting.prepare(plain_program)
    counting.start(0, epoch=0)
    counting.blocked.clear()
    give, asked = counting.readouts, threading.Event()

    def readouts(timeout):
        given = give(timeout)
        asked.set()
        counting.blocked.wait(5.0)
        return given

    counting.readouts = readouts
    ask(session, 1, "readouts", timeout=1.0, window=4)
    assert asked.wait(5.0)
    session.end()
    counting.blocked.set()
    answer = decode_reply(replies(session, 1)[0].payload)
    assert answer.error["name"] == "LinkFault"
    assert session.crash is None


def test_nothing_is_begun_after_the_end_of_a_session(session, counting) -> None:
    session.end()
    ask(session, 1, "set_frequency", frequency=1e8)
    session.wait()
    assert counting.calls["set_frequency"] == 0
    assert counting.made_safe.is_set()


class TerribleLine:
    """Two ends of a stream and nothing between them: parts and demands are lost, doubled and shuffled at random."""

    def __init__(self, scanner, generator: random.Random, *, window: int, in_step: bool) -> None:
        self.generator = generator
        self.to_client: list[Frame] = []
        self.to_server: list[Frame] = []
        self.outgoing = OutgoingStream(9, scanner.readouts(1.0), self._parts, loop.QUICK, 8, lambda: 1.0)
        self.incoming = IncomingStream(9, window, self._demand, loop.QUICK, lambda: 1.0, in_step=in_step)
        self._stop = loop.threading.Event()
        self._threads = [loop.threading.Thread(target=work) for work in (self._carry_all, self.outgoing.pump)]

    def _parts(self, parts) -> None:
        self.to_client += [Frame(FrameKind.PART, 1, number, payload) for number, payload in parts]

    def _demand(self, kind, number, payload) -> None:
        self.to_server.append(Frame(kind, 1, number, payload))

    def _carry(self, frames: list[Frame]) -> list[Frame]:
        waiting, frames[:] = list(frames), []
        waiting += [frame for frame in waiting if self.generator.random() < 0.2]
        self.generator.shuffle(waiting)
        return [frame for frame in waiting if self.generator.random() > 0.3]

    def _carry_all(self) -> None:
        while not self._stop.is_set():
            for frame in self._carry(self.to_client):
                self.incoming.feed(frame)
            for frame in self._carry(self.to_server):
                self.outgoing.demanded(frame.number, decode_demand(frame.payload))
            self.outgoing.tick(time.monotonic())
            time.sleep(0.001)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self.incoming

    def __exit__(self, *exc: object) -> None:
        self.outgoing.close()
        self._stop.set()
        for thread in self._threads:
            thread.join(5.0)


@pytest.mark.parametrize("seed", range(8))
def test_a_stream_over_a_terrible_line_arrives_whole_and_in_order(limits, plain_program, seed: int) -> None:
    generator = random.Random(seed)
    scanner = loop.CountingScanner(limits, channels=2, length=generator.choice([8, 700]))
    scanner.connect()
    scanner.prepare(plain_program)
    scanner.n_readouts = 40
    scanner.start(5)
    with TerribleLine(scanner, generator, window=generator.choice([1, 3, 32]), in_step=seed % 2 == 0) as incoming:
        for number in range(40):
            record = incoming.take(10.0)
            expected = loop.expected_samples(5, number, 2, scanner.length)
            np.testing.assert_array_equal(record.readout.samples, expected)
        assert incoming.take(10.0).readout is None


def test_a_line_on_which_one_message_in_ten_is_mutated_delivers_nothing_wrong(
    served_in_memory, memory_client, counting, plain_program
) -> None:
    generator = random.Random(4)
    damages = [loop.garble(generator), loop.cut_short(generator), loop.babble(generator), loop.drop]
    delivered = 0
    for index in range(12):
        for wire in (served_in_memory.to_server, served_in_memory.to_client):
            for _ in range(12):
                wire.arm(generator.choice(damages), after=generator.randint(0, 18))
        try:
            memory_client.prepare(plain_program)
            memory_client.start(index)
            for number, readout in enumerate(memory_client.readouts(2.0)):
                np.testing.assert_array_equal(readout.samples, loop.expected_samples(index, number, 1, 8))
                delivered += 1
        except LinkFault:
            memory_client.connect()
    assert delivered > 8 * plain_program.n_readouts


def test_a_serial_port_that_was_pulled_out_is_served_again_when_it_is_back(
    counting, serve_on, tmp_path, plain_program
) -> None:
    cables = [loop.PtyCable(), loop.PtyCable()]
    port = tmp_path / "ttyUSB0"
    port.symlink_to(cables[0].paths[0])
    serve_on(counting, str(port), ServeOptions(timing=loop.QUICK))

    def client(path):
        timing = {key: f"{value} s" for key, value in loop.QUICK.model_dump().items()}
        settings = {"url": path, "timing": timing}
        site = SiteConfig(backend="remote", limits="microimaging_9t4", settings=settings)
        return open_scanner(site, clock=SystemClock())

    first = client(cables[0].paths[1])
    first.connect()
    first.prepare(plain_program)
    first.start(0)
    next(first.readouts(1.0))
    counting.made_safe.clear()
    cables[0].close()
    assert counting.made_safe.wait(2.0)
    port.unlink()
    port.symlink_to(cables[1].paths[0])
    with client(cables[1].paths[1]) as second:
        assert second.status().state is ScannerState.IDLE
    first.close()
    cables[1].close()
    assert os.path.lexists(port)


class Tape:
    """Records what comes over a wire, and plays it again before everything that comes later."""

    def __init__(self, wire) -> None:
        self._wire, self._put = wire, wire.put
        self._tape: list[bytes] = []
        wire.put = self._record

    def _record(self, message: bytes, delay: float = 0.0) -> None:
        self._tape.append(message)
        self._put(message, delay)

    def rewind(self) -> None:
        self._wire.put = self._replay

    def _replay(self, message: bytes, delay: float = 0.0) -> None:
        for old in self._tape:
            self._put(old)
        self._put(message, delay)


class LastingEnd(loop.LoopEnd):
    """The end of a serial line, which stays where it is."""

    def close(self) -> None:
        """Do nothing."""


def tuned_and_played(end, token: bytes | None, program, first: int) -> list[float | None]:
    """One session: set some frequencies, play a pass; the frequencies that the scanner says it has."""
    seen = []
    with loop.RemoteScanner(lambda: end, clock=SystemClock(), timing=loop.QUICK, token=token) as client:
        for step in range(8):
            client.set_frequency(1e8 + first + step)
            seen.append(client.status().frequency)
        client.prepare(program)
        client.start(first)
        for number, readout in enumerate(client.readouts(1.0)):
            np.testing.assert_array_equal(readout.samples, loop.expected_samples(first, number, 1, 8))
    return seen


def test_answers_of_an_earlier_session_on_the_same_line_are_never_taken(counting, plain_program) -> None:
    """On a serial line the bytes of the last session may still come; its requests had the same numbers."""
    to_server, to_client, stop = loop.Wire(), loop.Wire(), loop.threading.Event()
    options = ServeOptions(timing=loop.QUICK)
    theirs, ours = loop.LoopEnd("server", to_server, to_client), LastingEnd("client", to_client, to_server)
    arguments = {"stop": stop, "options": options}
    server = loop.threading.Thread(target=loop.serve, args=(counting, lambda: theirs), kwargs=arguments)
    server.start()
    tape = Tape(to_client)
    tuned_and_played(ours, options.token(), plain_program, 0)
    tape.rewind()
    seen = tuned_and_played(ours, options.token(), plain_program, 100)
    assert seen == [1e8 + 100 + step for step in range(8)]
    stop.set()
    server.join(5.0)
    assert not server.is_alive()


def test_a_whole_reply_to_another_command_is_no_answer(served_in_memory, memory_client) -> None:
    wire = served_in_memory.to_client
    put = wire.put

    def confuse(message: bytes, delay: float = 0.0) -> None:
        frame = decode_frame(message[:-1])
        if frame is not None and frame.kind == FrameKind.REPLY:
            fields = decode_reply(frame.payload).model_dump() | {"command": "identify"}
            message = encode_frame(Frame(frame.kind, frame.session, frame.number, encode_body(fields)))
        put(message, delay)

    wire.put = confuse
    with pytest.raises(LinkFault, match="not answered"):
        memory_client.set_receiver_gain(3.0)
    assert memory_client.status().state is ScannerState.UNKNOWN


def test_a_part_from_far_ahead_takes_no_memory() -> None:
    (payload,) = cut_into_parts(9, encode_record(Record(None)))
    told: list[int] = []
    incoming = IncomingStream(9, 4, lambda kind, number, payload: told.append(number), loop.QUICK, lambda: None)
    for number in range(65, 5000):
        incoming.feed(Frame(FrameKind.PART, 1, number, payload))
    assert not incoming._early
    assert set(told) == {0}, "part 0 is still missing"
