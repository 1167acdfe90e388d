"""Frames are whole on the line however little of them it takes at once, and whoever sends them."""

from __future__ import annotations

import contextlib
import sys
import threading
import time

import numpy as np
import pytest

from knightshift.core.clock import VirtualClock
from knightshift.core.errors import LinkFault, ScannerFault
from knightshift.hardware.contract import StopAt
from knightshift.hardware.remote import ServeOptions
from knightshift.hardware.remote.frame_link import FrameLink
from knightshift.hardware.remote.framing import Deframer, Frame, FrameKind

loop = sys.modules["remote_loop"]
N_SENDERS, N_FRAMES = 4, 50


class StickyLine:
    """Takes a few bytes at once, sometimes none; the rest only from a thread that waits."""

    name = "sticky line"

    def __init__(self) -> None:
        self.arrived = bytearray()
        self.fails = False
        self._generator = np.random.default_rng(1)
        self._writing = threading.Lock()

    def _take(self, content: bytes) -> None:
        if self.fails:
            raise LinkFault("the line is gone", self.name)
        assert self._writing.acquire(blocking=False), "two threads write at the same time"
        time.sleep(1e-4)
        self.arrived += content
        self._writing.release()

    def write_at_once(self, content: bytes) -> int:
        n_taken = int(self._generator.choice([0, 5, len(content)]))
        self._take(content[:n_taken])
        return min(n_taken, len(content))

    def write(self, content: bytes) -> None:
        self._take(content)

    def read(self, timeout: float) -> bytes:
        time.sleep(timeout)
        return b""

    def reset_input(self) -> None:
        pass

    def close(self) -> None:
        pass


class Listener:
    """Notes how the link ends."""

    def __init__(self) -> None:
        self.faults: list[LinkFault] = []

    def received(self, frame: Frame) -> None:
        pass

    def tick(self, now: float) -> None:
        pass

    def lost(self, fault: LinkFault) -> None:
        self.faults.append(fault)


def test_frames_of_several_threads_arrive_whole_and_those_of_one_in_order() -> None:
    line = StickyLine()
    link = FrameLink(line, loop.QUICK)
    link.start(Listener())

    def send(sender: int) -> None:
        for number in range(N_FRAMES):
            link.send(Frame(FrameKind.REPLY, sender, number, bytes([sender, 0, number]) * (number % 7)))

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(N_SENDERS)]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()
    link.close()
    deframer = Deframer()
    frames = deframer.feed(bytes(line.arrived))
    assert deframer.dropped == 0
    for sender in range(N_SENDERS):
        own = [frame for frame in frames if frame.session == sender]
        assert [frame.number for frame in own] == list(range(N_FRAMES))
        assert all(frame.payload == bytes([sender, 0, frame.number]) * (frame.number % 7) for frame in own)


def test_a_line_that_fails_while_a_frame_is_sent_is_told_once() -> None:
    line, listener = StickyLine(), Listener()
    link = FrameLink(line, loop.QUICK)
    link.start(listener)
    line.fails = True
    for number in range(3):
        link.send(Frame(FrameKind.REPLY, 1, number, b""))
    loop.wait_for(lambda: bool(listener.faults))
    link.close()
    assert [fault.message for fault in listener.faults] == ["the line is gone"]
    assert line.arrived == b""


def test_on_virtual_clocks_sixteen_readouts_cost_one_demand(make_scanner, fid_program) -> None:
    n_readouts, theirs = 100, VirtualClock()
    server = loop.LoopServer(make_scanner(clock=theirs), ServeOptions(timing=loop.QUICK, clock=theirs))
    client = server.client(VirtualClock(), token=server.options.token())
    client.connect()
    readouts = loop.play(client, fid_program(n_readouts))
    before = server.to_server.written, server.to_client.written
    assert len(list(readouts)) == n_readouts
    demands, answers = server.to_server.written - before[0], server.to_client.written - before[1]
    client.close()
    server.close()
    n_grants = len([1, 2, 4, 8, *[16] * 6])
    assert n_grants <= demands < n_readouts / 2, "and the first word, the end, heartbeats of a slow machine"
    assert answers < n_readouts / 2, "the readouts of a grant come together"


@pytest.mark.parametrize("command", ["abort", "make_safe", "stop"])
def test_on_virtual_clocks_a_pass_is_cut_where_the_grant_ends(make_scanner, fid_program, command: str) -> None:
    """Always at the same moment, whatever the threads do: a rehearsed night can be repeated to the bit."""
    n_readouts, spacing, ends = 100, 10e-3, []
    for _ in range(5):
        ours, theirs = VirtualClock(), VirtualClock()
        server = loop.LoopServer(make_scanner(clock=theirs), ServeOptions(timing=loop.QUICK, clock=theirs))
        client = server.client(ours, token=server.options.token())
        client.connect()
        readouts = loop.play(client, fid_program(n_readouts, spacing=spacing))
        taken = [next(readouts) for _ in range(20)]
        assert ours.now() - VirtualClock.EVENING < (len(taken) + 1) * spacing, "this side is not ahead"
        client.stop(StopAt.READOUT) if command == "stop" else getattr(client, command)()
        ends.append(theirs.now() - VirtualClock.EVENING)
        with contextlib.suppress(ScannerFault):
            assert len(taken) + len(list(readouts)) < n_readouts
        client.close()
        server.close()
    granted = 1 + 2 + 4 + 8 + 16
    assert len(set(ends)) == 1
    assert granted * spacing - spacing < ends[0] <= (granted + 1) * spacing


def test_a_readout_that_is_not_followed_by_another_demand_is_confirmed_when_it_comes_again(
    make_scanner, fid_program
) -> None:
    theirs = VirtualClock()
    server = loop.LoopServer(make_scanner(clock=theirs), ServeOptions(timing=loop.QUICK, clock=theirs))
    client = server.client(VirtualClock(), token=server.options.token())
    client.connect()
    readouts = loop.play(client, fid_program(3))
    first = next(readouts)
    time.sleep(4 * loop.QUICK.resend_interval)
    sent = server.to_client.written
    time.sleep(loop.QUICK.heartbeat)
    assert server.to_client.written - sent <= 4, "heartbeats, but the readout no more"
    rest = list(readouts)
    client.close()
    server.close()
    steps = [int(readout.counters["average"]) for readout in (first, *rest)]
    assert steps == [0, 0, 0]
    assert len({readout.samples.tobytes() for readout in (first, *rest)}) == 3
