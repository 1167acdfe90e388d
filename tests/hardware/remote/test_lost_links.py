"""What happens to the scanner and to the client when the link between them misbehaves."""

from __future__ import annotations

import queue
import random
import sys
import threading
import time

import pytest

from knightshift.core.clock import SystemClock
from knightshift.core.errors import (
    IllegalTransitionError,
    InterlockFault,
    LinkFault,
    ProtocolError,
    ReadoutTimeoutError,
    ScannerFault,
)
from knightshift.hardware.contract import ScannerState, StopAt
from knightshift.hardware.remote import ServeOptions, serve
from knightshift.hardware.remote.framing import Frame, encode_frame
from knightshift.hardware.remote.messages import encode_body

loop = sys.modules["remote_loop"]
S = ScannerState
PATIENCE = loop.QUICK.link_timeout
play, wait_for = loop.play, loop.wait_for


def test_a_silent_link_makes_the_scanner_safe_by_itself(
    served_in_memory, memory_client, counting, plain_program
) -> None:
    next(play(memory_client, plain_program))
    counting.made_safe.clear()
    served_in_memory.to_server.mute(60.0)
    assert counting.made_safe.wait(3 * PATIENCE)
    assert counting.states.state is S.IDLE


def test_a_pulled_plug_makes_the_scanner_safe_at_once(served_in_memory, memory_client, counting, plain_program) -> None:
    next(play(memory_client, plain_program))
    counting.made_safe.clear()
    served_in_memory.to_server.unplug()
    assert counting.made_safe.wait(PATIENCE / 2)


def test_a_command_that_ends_after_the_link_was_lost_leaves_the_scanner_safe(
    served_in_memory, memory_client, counting, plain_program
) -> None:
    counting.blocked.clear()

    def prepare() -> None:
        with pytest.raises(LinkFault):
            memory_client.prepare(plain_program)

    blocked = threading.Thread(target=prepare)
    blocked.start()
    wait_for(counting.waiting.is_set)
    counting.made_safe.clear()
    served_in_memory.to_client.unplug()
    assert counting.made_safe.wait(PATIENCE), "safe at once, though a command still runs"
    blocked.join(2.0)
    counting.made_safe.clear()
    counting.blocked.set()
    assert counting.made_safe.wait(2.0), "safe once more, now that it has ended"
    assert counting.calls["prepare"] == 1
    assert counting.states.state is S.IDLE


def test_a_client_whose_link_is_lost_is_unknown_until_it_connects(
    served_in_memory, memory_client, counting, plain_program
) -> None:
    readouts = play(memory_client, plain_program)
    next(readouts)
    served_in_memory.to_client.mute(60.0)
    started = time.monotonic()
    with pytest.raises(LinkFault) as caught:
        list(readouts)
    assert caught.value.transient
    assert time.monotonic() - started < 2 * PATIENCE
    assert memory_client.status().state is S.UNKNOWN
    with pytest.raises(IllegalTransitionError) as refused:
        memory_client.prepare(plain_program)
    assert refused.value.transient, "after connect the pass may be repeated"
    memory_client.abort()
    memory_client.make_safe()
    assert memory_client.status().state is S.UNKNOWN
    memory_client.connect()
    assert memory_client.status().state is S.IDLE
    assert len(list(play(memory_client, plain_program, 1))) == plain_program.n_readouts


def test_close_is_possible_when_the_link_is_lost(served_in_memory, memory_client) -> None:
    served_in_memory.to_client.unplug()
    wait_for(lambda: memory_client.status().state is S.UNKNOWN)
    memory_client.close()
    assert memory_client.status().state is S.DISCONNECTED


def test_nobody_at_the_other_end_is_a_transient_fault_in_bounded_time(served_in_memory) -> None:
    served_in_memory.before_client = lambda server: server.to_client.mute(60.0)
    client, started = served_in_memory.client(SystemClock()), time.monotonic()
    with pytest.raises(LinkFault, match="nobody answers") as caught:
        client.connect()
    assert caught.value.transient
    assert time.monotonic() - started < 4 * PATIENCE
    assert client.status().state is S.DISCONNECTED


def test_make_safe_gets_through_while_another_call_blocks(memory_client, counting, plain_program) -> None:
    counting.blocked.clear()
    blocked = threading.Thread(target=memory_client.prepare, args=(plain_program,))
    blocked.start()
    wait_for(lambda: memory_client._session._requests)
    time.sleep(1.2 * PATIENCE)  # longer than a dead link would be given: the call is alive and known to be
    started = time.monotonic()
    memory_client.make_safe()
    assert time.monotonic() - started < PATIENCE
    assert counting.made_safe.is_set()
    assert blocked.is_alive()
    counting.blocked.set()
    blocked.join(2.0)
    assert not blocked.is_alive()


def test_abort_gets_through_while_readouts_stream(limits, plain_program) -> None:
    counting = loop.CountingScanner(limits, length=2000, period=1e-3)
    server = loop.LoopServer(counting)
    client = server.client(SystemClock(), token=server.options.token())
    with client:
        readouts = play(client, plain_program)
        next(readouts)
        aborting = threading.Timer(5e-3, client.abort)
        aborting.start()
        with pytest.raises(ScannerFault):
            list(readouts)
        aborting.join()
        assert client.status().state is S.IDLE
    server.close()


def test_a_readout_that_never_comes_is_told(memory_client, counting, plain_program) -> None:
    counting.n_readouts = 3
    memory_client.prepare(plain_program)
    memory_client.start(0)
    readouts = memory_client.readouts(0.05)
    counting.blocked.clear()
    with pytest.raises(ReadoutTimeoutError):
        list(readouts)
    assert memory_client.status().state is S.IDLE


def test_stop_after_the_readout_ends_early(limits, plain_program) -> None:
    server = loop.LoopServer(loop.CountingScanner(limits, period=0.05))
    with server.client(SystemClock(), token=server.options.token()) as client:
        readouts = play(client, plain_program)
        next(readouts)
        client.stop(StopAt.READOUT)
        assert client.status().state is S.STOPPING
    server.close()


def test_a_latched_fault_outlives_a_lost_link_and_is_cleared_by_reset_only(
    served_in_memory, memory_client, counting
) -> None:
    counting.trip()
    served_in_memory.to_client.unplug()
    wait_for(lambda: memory_client.status().state is S.UNKNOWN)
    memory_client.connect()
    status = memory_client.status()
    assert status.state is S.FAULT
    assert "too warm" in str(status.fault)
    memory_client.make_safe()
    assert memory_client.status().state is S.FAULT
    memory_client.reset()
    assert memory_client.status().state is S.IDLE


def test_what_the_scanner_raises_arrives_with_its_type(memory_client, plain_program, counting, monkeypatch) -> None:
    def trip(*args):
        raise InterlockFault("helium is low", "level meter", data_valid=True)

    monkeypatch.setattr(counting, "set_receiver_gain", trip)
    with pytest.raises(InterlockFault, match="helium is low") as caught:
        memory_client.set_receiver_gain(3.0)
    assert (caught.value.device, caught.value.transient, caught.value.data_valid) == ("level meter", False, True)
    object.__setattr__(plain_program, "name", "wrong")
    try:
        with pytest.raises(ProtocolError, match="wrong is wrong"):
            memory_client.validate(plain_program)
    finally:
        object.__setattr__(plain_program, "name", "plain")
    assert memory_client.status().readings["coil_temperature"] == 293.0


def test_a_program_travels_once(served_in_memory, memory_client, plain_program) -> None:
    memory_client.prepare(plain_program)
    before = served_in_memory.to_server.written
    memory_client.prepare(plain_program)
    assert served_in_memory.to_server.written - before < 6


def test_readouts_longer_than_a_frame_arrive_whole(limits, plain_program) -> None:
    counting = loop.CountingScanner(limits, channels=3, length=5000)
    server = loop.LoopServer(counting)
    with server.client(SystemClock(), token=server.options.token(), window=4) as client:
        for number, readout in enumerate(play(client, plain_program, 2)):
            assert (readout.samples == loop.expected_samples(2, number, 3, 5000)).all()
    server.close()


def test_old_messages_that_come_again_do_nothing(served_in_memory, memory_client, counting, plain_program) -> None:
    """Everything that was ever sent, in both directions, is sent again and again while passes play."""
    tape: list[tuple[object, bytes]] = []
    again: queue.SimpleQueue[tuple[object, bytes] | None] = queue.SimpleQueue()
    for wire in (served_in_memory.to_server, served_in_memory.to_client):

        def record(message, wire=wire, put=wire.put):
            tape.append((wire, message))
            put(message)
            for entry in tape[-80::7]:
                again.put(entry)

        wire.put = record

    def replay() -> None:  # a thread of its own: whoever writes holds one wire, and must not wait for the other
        while (entry := again.get()) is not None:
            loop.Wire.put(*entry)

    replaying = threading.Thread(target=replay, daemon=True)
    replaying.start()
    for index in range(4):
        before = counting.calls.copy()
        readouts = list(play(memory_client, plain_program, index))
        assert len(readouts) == plain_program.n_readouts
        for number, readout in enumerate(readouts):
            assert (readout.samples == loop.expected_samples(index, number, 1, 8)).all()
        assert counting.calls - before == {"prepare": 1, "start": 1}
    assert len(tape) > 200
    again.put(None)
    replaying.join()


def test_babble_and_hostile_frames_do_not_keep_a_client_from_connecting(limits, counting, plain_program) -> None:
    generator = random.Random(11)
    to_server, to_client = loop.Wire(), loop.Wire()
    stop = threading.Event()
    options = ServeOptions(timing=loop.QUICK)
    end = loop.LoopEnd("server", to_server, to_client)
    arguments = {"stop": stop, "options": options}
    server = threading.Thread(target=serve, args=(counting, lambda: end), kwargs=arguments)
    server.start()
    for _ in range(1500):
        body = generator.choice(
            [
                generator.randbytes(generator.randrange(60)),
                encode_body({"client_nonce": "0" * 32, "versions": [1], "software": "x", "clock": "system"}),
                encode_body({"client_nonce": "0" * 32, "server_nonce": "1" * 32, "proof": "2" * 64}),
                encode_body({"command": "start", "arguments": {"pass_index": 1, "epoch": 0}}),
            ]
        )
        kind, session = generator.randrange(20), generator.choice([0, 1, generator.getrandbits(64)])
        to_server.put(encode_frame(Frame(kind, session, generator.getrandbits(32), body, generator.choice([1, 1, 2]))))
        to_server.put(generator.randbytes(generator.randrange(40)))
    client = loop.RemoteScanner(
        lambda: loop.LoopEnd("client", to_client, to_server),
        clock=SystemClock(),
        timing=loop.QUICK,
        token=options.token(),
    )
    with client:
        assert counting.calls["start"] == 0
        for number, readout in enumerate(play(client, plain_program)):
            assert (readout.samples == loop.expected_samples(0, number, 1, 8)).all()
            to_server.put(generator.randbytes(50))
            to_client.put(generator.randbytes(50) + b"\0")
    stop.set()
    server.join(5.0)
    assert not server.is_alive()


def test_a_mistake_in_the_backend_is_told_on_both_sides_and_the_scanner_is_safe(counting, monkeypatch) -> None:
    def stumble(gain):
        raise TypeError("a mistake in the program")

    monkeypatch.setattr(counting, "set_receiver_gain", stumble)
    wires, stop, raised = (loop.Wire(), loop.Wire()), threading.Event(), []
    options = ServeOptions(timing=loop.QUICK)

    def run():
        with pytest.raises(ScannerFault, match="a mistake in the program") as caught:
            serve(counting, lambda: loop.LoopEnd("server", *wires), stop=stop, options=options)
        raised.append(caught.value)

    server = threading.Thread(target=run)
    server.start()
    ours = loop.LoopEnd("client", *reversed(wires))
    with loop.RemoteScanner(lambda: ours, clock=SystemClock(), timing=loop.QUICK, token=options.token()) as client:
        with pytest.raises(ScannerFault, match="TypeError: a mistake"):
            client.set_receiver_gain(1.0)
        server.join(5.0)
    assert raised
    assert counting.states.state is S.DISCONNECTED


def test_a_pass_that_is_aborted_never_looks_complete_even_if_all_of_it_is_here(memory_client, plain_program) -> None:
    readouts = play(memory_client, plain_program)
    next(readouts)
    wait_for(lambda: memory_client.status().state is S.PREPARED)
    memory_client.abort()
    with pytest.raises(ScannerFault, match="aborted"):
        list(readouts)


def test_connecting_makes_a_scanner_safe_that_somebody_left_playing(served_in_memory, counting, plain_program) -> None:
    counting.connect()
    counting.prepare(plain_program)
    counting.start(0)
    with served_in_memory.client(SystemClock(), token=served_in_memory.options.token()) as client:
        assert client.status().state is S.IDLE
