"""For the tests: a wire in memory that misbehaves when told to, a cable of pseudo-terminals, a counting scanner."""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import random
import select
import threading
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from knightshift.core.clock import SystemClock
from knightshift.core.errors import InterlockFault, LinkFault, ProtocolError
from knightshift.core.limits import ScannerLimits
from knightshift.core.passes import COUNTERS, Readout
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import Capabilities, Identity, ScannerStatus, StopAt
from knightshift.hardware.pass_pacing import PassPace
from knightshift.hardware.remote import LinkTiming, RemoteScanner, ServeOptions, serve
from knightshift.hardware.scanner_base import LocalScanner

QUICK = LinkTiming(heartbeat=0.05, link_timeout=0.4, resend_interval=0.02, command_timeout=5.0)
"""Patience for links in memory."""

Fault = Callable[["Wire", bytes], None]
"""What happens to one message on its way: puts what arrives, if anything, into the wire."""


class Wire:
    """One direction of a link in memory: what is written is read, unless a fault is armed for the next message."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: collections.deque[tuple[float, bytes]] = collections.deque()
        self._held: list[bytes] = []
        self._armed: collections.deque[Fault] = collections.deque()
        self._mute_until = 0.0
        self.unplugged = False
        self.written = 0

    def arm(self, fault: Fault, after: int = 0) -> None:
        """Let `fault` happen to the message that comes after `after` others."""
        with self._changed:
            self._armed.extend([Wire.put] * after)
            self._armed.append(fault)

    @property
    def is_bad(self) -> bool:
        """Whether a fault is going on or still to come."""
        with self._changed:
            return bool(self._armed) or self.unplugged or time.monotonic() < self._mute_until

    def write(self, message: bytes) -> None:
        with self._changed:
            if self.unplugged:
                raise LinkFault("unplugged", "wire")
            self.written += 1
            if time.monotonic() < self._mute_until:
                return
            held, self._held = self._held, []
            if self._armed:
                self._armed.popleft()(self, message)
            else:
                self.put(message)
            for earlier in held:
                self.put(earlier)

    def put(self, message: bytes, delay: float = 0.0) -> None:
        with self._changed:
            self._waiting.append((time.monotonic() + delay, message))
            self._changed.notify_all()

    def hold(self, message: bytes) -> None:
        """Deliver `message` after the next one."""
        self._held.append(message)

    def mute(self, duration: float) -> None:
        """Swallow everything for `duration` [s]."""
        self._mute_until = time.monotonic() + duration

    def unplug(self) -> None:
        with self._changed:
            self.unplugged = True
            self._changed.notify_all()

    def read(self, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                if self.unplugged:
                    raise LinkFault("unplugged", "wire")
                now = time.monotonic()
                due = [entry for entry in self._waiting if entry[0] <= now]
                if due:
                    self._waiting = collections.deque(entry for entry in self._waiting if entry[0] > now)
                    return b"".join(message for _, message in due)
                if now >= deadline:
                    return b""
                soonest = min((entry[0] for entry in self._waiting), default=deadline)
                self._changed.wait(max(1e-4, min(soonest, deadline) - now))


class LoopEnd:
    """One end of a link in memory."""

    def __init__(self, name: str, incoming: Wire, outgoing: Wire) -> None:
        self.name, self.incoming, self.outgoing = name, incoming, outgoing

    def read(self, timeout: float) -> bytes:
        return self.incoming.read(timeout)

    def write(self, content: bytes) -> None:
        self.outgoing.write(content)

    def write_at_once(self, content: bytes) -> int:
        self.write(content)
        return len(content)

    def reset_input(self) -> None:
        pass

    def close(self) -> None:
        self.incoming.unplug()
        self.outgoing.unplug()


def garble(generator: random.Random) -> Fault:
    """Change a few bytes of the message."""

    def fault(wire: Wire, message: bytes) -> None:
        damaged = bytearray(message)
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        wire.put(bytes(damaged))

    return fault


def cut_short(generator: random.Random) -> Fault:
    """Lose the end of the message, or bytes out of its middle."""

    def fault(wire: Wire, message: bytes) -> None:
        start = generator.randrange(len(message))
        end = generator.randrange(start, len(message)) + 1
        wire.put(message[:start] + message[end:])

    return fault


def babble(generator: random.Random) -> Fault:
    """Noise before the message."""

    def fault(wire: Wire, message: bytes) -> None:
        wire.put(generator.randbytes(generator.randint(1, 300)) + message)

    return fault


def drop(wire: Wire, message: bytes) -> None:
    """The message never comes."""


def duplicate(wire: Wire, message: bytes) -> None:
    """It comes twice."""
    wire.put(message)
    wire.put(message)


def delay(duration: float) -> Fault:
    """It comes late, after others."""
    return lambda wire, message: wire.put(message, duration)


def echo_late(duration: float) -> Fault:
    """It comes, and once more much later: a late answer to an earlier question."""

    def fault(wire: Wire, message: bytes) -> None:
        wire.put(message)
        wire.put(message, duration)

    return fault


def reorder(wire: Wire, message: bytes) -> None:
    """It comes after the next one."""
    wire.hold(message)


def mute(duration: float) -> Fault:
    """It, and all for a while, is swallowed."""
    return lambda wire, message: wire.mute(duration)


def unplug(wire: Wire, message: bytes) -> None:
    """The plug is pulled."""
    wire.unplug()


def expected_samples(pass_index: int, number: int, channels: int, length: int) -> np.ndarray:
    """What readout `number` of pass `pass_index` of a `CountingScanner` holds: every value is different."""
    first = ((pass_index * 1000 + number) * channels) * length
    ramp = np.arange(first, first + channels * length, dtype=np.float32).reshape(channels, length)
    return (ramp - 0.5j * ramp).astype(np.complex64)


@dataclass(frozen=True)
class _CountedPass:
    pace: PassPace
    pass_index: int
    epoch: int


class CountingScanner(LocalScanner[_CountedPass]):
    """Keeps the contract, plays at once, counts what it was told, and knows what its samples must be."""

    def __init__(self, limits: ScannerLimits, channels: int = 1, length: int = 8, period: float = 0.0) -> None:
        super().__init__("counting scanner", SystemClock())
        self.limits, self.channels, self.length, self.period = limits, channels, length, period
        self.states = self._states
        self.calls: collections.Counter[str] = collections.Counter()
        self.started: list[tuple[int, int]] = []
        self.n_readouts = 0
        self.blocked = threading.Event()
        self.blocked.set()
        self.waiting = threading.Event()
        self.made_safe = threading.Event()

    @property
    def gain(self) -> float:
        return self._gain

    @property
    def stop_at(self) -> StopAt:
        return self._stop_at

    def _rest(self, command: str) -> None:
        self.calls[command] += 1
        super()._rest(command)
        if command == "make_safe":
            self.made_safe.set()

    def identify(self) -> Identity:
        self.states.require_link("identify")
        return Identity("counting", "counting scanner no. 1", "1.0")

    def capabilities(self) -> Capabilities:
        self.states.require_link("capabilities")
        return Capabilities(self.limits, ("23Na",), self.channels)

    def validate(self, program: PassProgram) -> None:
        self.states.require_link("validate")
        if "wrong" in program.name:
            raise ProtocolError(f"{program.name} is wrong")

    def prepare(self, program: PassProgram) -> None:
        self.states.check("prepare")
        self.validate(program)
        self.waiting.set()
        self.blocked.wait(10.0)
        self.calls["prepare"] += 1
        self._arm(program)
        self.n_readouts = program.n_readouts

    def start(self, pass_index: int, epoch: int = 0) -> None:
        self.calls["start"] += 1
        self._begin(pass_index, lambda pace: _CountedPass(pace, pass_index, epoch))
        self.started.append((pass_index, epoch))

    def _deliver(self, playing: _CountedPass, timeout: float) -> Iterator[Readout]:
        pace = playing.pace
        for number in range(self.n_readouts):
            time.sleep(self.period)
            if not self.blocked.wait(timeout):
                self._never_came(pace, f"readout {number} is late")
            pace.check_plays()
            counters = np.zeros((), COUNTERS)
            counters["kspace_encode_step_1"], counters["average"] = number, playing.pass_index
            counters["segment"] = playing.epoch
            samples = expected_samples(playing.pass_index, number, self.channels, self.length)
            yield Readout(counters, samples, number % 7 == 3)
        self._finish(pace, 0.0)

    def stop(self, at: StopAt = StopAt.PASS) -> None:
        self.calls["stop"] += 1
        super().stop(at)

    def set_frequency(self, frequency: float) -> None:
        self.calls["set_frequency"] += 1
        super().set_frequency(frequency)

    def set_receiver_gain(self, gain: float) -> None:
        self.calls["set_receiver_gain"] += 1
        super().set_receiver_gain(gain)

    def status(self) -> ScannerStatus:
        return replace(super().status(), readings={"coil_temperature": 293.0, "unread": float("nan")})

    def trip(self) -> None:
        """Latch an interlock."""
        self.states.latch(InterlockFault("the coil is too warm", "coil"))


def play(client, program, pass_index=0):
    """Start a pass and give its readouts."""
    client.prepare(program)
    client.start(pass_index)
    return client.readouts(2.0)


def wait_for(condition, longest: float = 3 * QUICK.link_timeout):
    """Wait until `condition` holds, at most `longest` [s]."""
    deadline = time.monotonic() + longest
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


class LoopServer:
    """Serves a scanner over links in memory: each connect of a client makes a new one."""

    def __init__(self, scanner, options: ServeOptions | None = None) -> None:
        self.scanner = scanner
        self.options = options or ServeOptions(timing=QUICK)
        self.stop = threading.Event()
        self.to_server = self.to_client = Wire()
        self.before_client: Callable[[LoopServer], None] = lambda server: None
        self._plugged: queue.SimpleQueue[LoopEnd] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def _serve(self) -> None:
        serve(self.scanner, self._next_end, stop=self.stop, options=self.options)

    def _next_end(self) -> LoopEnd:
        try:
            return self._plugged.get(timeout=0.02)
        except queue.Empty:
            raise LinkFault("nothing is plugged in", "loop") from None

    def open(self) -> LoopEnd:
        """Plug a new cable in."""
        self.to_server, self.to_client = Wire(), Wire()
        self._plugged.put(LoopEnd("loop (server)", self.to_server, self.to_client))
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve)
            self._thread.start()
        self.before_client(self)
        return LoopEnd("loop (client)", self.to_client, self.to_server)

    def client(self, clock, timing: LinkTiming = QUICK, **options) -> RemoteScanner:
        return RemoteScanner(self.open, clock=clock, timing=timing, **options)

    def close(self) -> None:
        self.stop.set()
        if self._thread is not None:
            self._thread.join(10.0)
            assert not self._thread.is_alive(), "the serving thread does not end"


class PtyCable:
    """Two pseudo-terminals and a cable between them: what goes into one comes out of the other."""

    def __init__(self) -> None:
        self._ends = [os.openpty(), os.openpty()]
        for _, slave in self._ends:
            tty.setraw(slave)
        self.paths = [os.ttyname(slave) for _, slave in self._ends]
        self._closing = threading.Event()
        self.is_connected = True
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        masters = [master for master, _ in self._ends]
        other = dict(zip(masters, reversed(masters), strict=True))
        while not self._closing.is_set():
            ready, _, _ = select.select(masters, [], [], 0.05)
            for master in ready:
                with contextlib.suppress(BlockingIOError):
                    content = os.read(master, 65536)
                    if self.is_connected:
                        os.write(other[master], content)

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        for pair in self._ends:
            for descriptor in pair:
                os.close(descriptor)
