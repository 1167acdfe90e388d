"""A campaign of link faults: what is asked over a bad wire succeeds exactly once, or raises a typed fault in time."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import random
import sys
import threading
import time

from knightshift.core.clock import SystemClock, VirtualClock
from knightshift.core.errors import LinkFault, ScannerFault
from knightshift.hardware.contract import ScannerState
from knightshift.hardware.remote import LinkTiming, ServeOptions

loop = sys.modules["remote_loop"]

TIMING = LinkTiming(heartbeat=0.06, link_timeout=0.5, resend_interval=0.02, command_timeout=3.0)
LONGEST = 4.0
"""No call may take longer, whatever happens to the link [s]: twice `link_timeout` for `connect`, and a busy machine."""
RECOVERY = 30.0
"""How long a client may try to have its scanner again, on a busy machine [s]."""
KINDS = (
    "drop", "garble", "cut short", "babble", "duplicate", "delay", "late echo", "reorder", "short mute", "long mute",
    "unplug",
)  # fmt: skip


def fault_of(kind: str, generator: random.Random):
    made = {
        "drop": lambda: loop.drop,
        "garble": lambda: loop.garble(generator),
        "cut short": lambda: loop.cut_short(generator),
        "babble": lambda: loop.babble(generator),
        "duplicate": lambda: loop.duplicate,
        "delay": lambda: loop.delay(generator.uniform(0.005, 0.15)),
        "late echo": lambda: loop.echo_late(generator.uniform(0.005, 0.3)),
        "reorder": lambda: loop.reorder,
        "short mute": lambda: loop.mute(generator.uniform(0.02, 0.15)),
        "long mute": lambda: loop.mute(generator.uniform(1.2, 1.4)),
        "unplug": lambda: loop.unplug,
    }
    return made[kind]()


class Campaign:
    """Workers, each with a link of its own, that inject faults until there are enough."""

    def __init__(self, n_faults: int, seed: int, limits, program, n_workers: int = 8) -> None:
        self.n_faults, self.seed, self.limits, self.program = n_faults, seed, limits, program
        self.outcomes: collections.Counter[tuple[str, str]] = collections.Counter()
        self.slowest: collections.defaultdict[str, float] = collections.defaultdict(float)
        self.problems: list[str] = []
        self.told: collections.defaultdict[str, list[str]] = collections.defaultdict(list)
        self._lock = threading.Lock()
        self._injected = 0
        self._workers = [threading.Thread(target=self._work, args=(number,)) for number in range(n_workers)]

    def run(self) -> None:
        for worker in self._workers:
            worker.start()
        for worker in self._workers:
            worker.join()

    def _next(self) -> int | None:
        with self._lock:
            if self._injected >= self.n_faults or self.problems:
                return None
            self._injected += 1
            return self._injected - 1

    def _work(self, number: int) -> None:
        worker = None
        try:
            worker = Worker(self, random.Random(self.seed * 1000 + number))
            while (fault := self._next()) is not None:
                kind = KINDS[fault % len(KINDS)]
                outcome, duration = worker.suffer(kind)
                with self._lock:
                    self.outcomes[kind, outcome] += 1
                    self.slowest[kind] = max(self.slowest[kind], duration)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test reports it
            self.problems.append(f"worker {number}: {error!r}")
        finally:
            if worker is not None:
                worker.close()

    def table(self) -> str:
        columns = sorted({outcome for _, outcome in self.outcomes})
        lines = [f"{'fault':12s}" + "".join(f"{name:>24s}" for name in columns) + f"{'slowest call [s]':>20s}"]
        for kind in KINDS:
            counts = "".join(f"{self.outcomes[kind, name]:24d}" for name in columns)
            lines.append(f"{kind:12s}{counts}{self.slowest[kind]:20.2f}")
        totals = [sum(self.outcomes[kind, name] for kind in KINDS) for name in columns]
        lines.append(f"{'all':12s}" + "".join(f"{total:24d}" for total in totals))
        return "\n".join(lines)


class Worker:
    """One client, one server, one scanner, one bad wire."""

    def __init__(self, campaign: Campaign, generator: random.Random) -> None:
        self.random, self.program = generator, campaign.program
        self.scanner = loop.CountingScanner(campaign.limits, channels=generator.choice([1, 2]), length=8)
        theirs, ours = generator.choice([(SystemClock(), SystemClock()), (VirtualClock(), VirtualClock())])
        options = ServeOptions(timing=TIMING, clock=theirs)
        self.server = loop.LoopServer(self.scanner, options)
        window = generator.choice([1, 4, 32])
        self.client = self.server.client(ours, TIMING, token=options.token(), window=window)
        self.slowest = 0.0
        self.told = campaign.told
        self.pass_index = 0
        self.frequency: float | None = None
        self._timed(self.client.connect)

    def close(self) -> None:
        self.client.close()
        self.server.close()

    def suffer(self, kind: str) -> tuple[str, float]:
        """Inject one fault and work until it has happened; the outcome, and the longest call [s]."""
        self.slowest = 0.0
        fault = fault_of(kind, self.random)
        after = self.random.choice([0, 0, 1, 2, 5, 10, 20])
        wire = self.random.choice([self.server.to_server, self.server.to_client])
        work = self.random.choice([self._tune, self._prepare, self._play, self._play, self._cut, self._reconnect])
        if work == self._reconnect:
            self.client.close()
            direction = self.random.choice(["to_server", "to_client"])
            fires = []

            def arm(server) -> None:
                fires.append(getattr(server, direction))
                fires[0].arm(fault, after % 3)
                server.before_client = lambda server: None

            self.server.before_client = arm
        else:
            wire.arm(fault, after)
            fires = [wire]
        try:
            work()
            while fires[0].is_bad:
                self._tune()
        except ScannerFault as problem:
            if not problem.transient:
                raise
            self._recover()
            self.told[kind].append(str(problem))
            return f"{type(problem).__name__}", self.slowest
        return "retry succeeded", self.slowest

    def _timed(self, call, *arguments):
        started = time.monotonic()
        try:
            return call(*arguments)
        finally:
            took = time.monotonic() - started
            self.slowest = max(self.slowest, took)
            assert took < LONGEST, f"{call} took {took:.1f} s"

    def _recover(self) -> None:
        """What acquisition does after a transient fault."""
        deadline = time.monotonic() + 5 * TIMING.link_timeout
        self._timed(self.client.abort)
        while self.scanner.states.state in {ScannerState.ACQUIRING, ScannerState.STOPPING}:
            assert time.monotonic() < deadline, "the serving side has not made the scanner safe"
            time.sleep(0.005)
        lost = {ScannerState.UNKNOWN, ScannerState.DISCONNECTED}
        until = time.monotonic() + RECOVERY
        while time.monotonic() < until:  # on a busy machine a stall may cost the new link too
            if (state := self._timed(self.client.status).state) not in lost:
                break
            with contextlib.suppress(LinkFault):
                self._timed(self.client.connect)
        assert state is ScannerState.IDLE, f"the scanner cannot be had again: {state}"

    def _once(self, command: str, call, *arguments) -> None:
        """A call that succeeds was carried out exactly once, one that fails at most once."""
        before = self.scanner.calls[command]
        try:
            self._timed(call, *arguments)
        except ScannerFault:
            times = self.scanner.calls[command] - before
            assert times in {0, 1}, f"{command} failed and was carried out {times} times"
            raise
        assert self.scanner.calls[command] - before == 1, f"{command} was carried out twice"

    def _tune(self) -> None:
        frequency = self.random.uniform(1e8, 2e8)
        self._once("set_frequency", self.client.set_frequency, frequency)
        status = self._timed(self.client.status)
        if status.state is ScannerState.UNKNOWN:
            raise LinkFault("the status says so")
        assert status.frequency == frequency, f"status of another time: {status.frequency} instead of {frequency}"

    def _prepare(self) -> None:
        text = self.program.pulseq + f"# {self.random.random()}\n"
        program = dataclasses.replace(self.program, n_readouts=self.random.randint(1, 30), pulseq=text)
        self._once("prepare", self.client.prepare, program)
        assert self.scanner.n_readouts == program.n_readouts, "another program is armed"

    def _start(self):
        self._prepare()
        self.pass_index += 1
        epoch = self.random.randint(0, 3)
        self._once("start", self.client.start, self.pass_index, epoch)
        return epoch, self._timed(self.client.readouts, 1.0)

    def _play(self) -> None:
        epoch, readouts = self._start()
        number = 0
        while (readout := self._timed(next, readouts, None)) is not None:
            self._check(readout, number, epoch)
            number += 1
        assert number == self.scanner.n_readouts, f"{number} readouts of {self.scanner.n_readouts}"

    def _cut(self) -> None:
        """Abort from another thread while this one reads."""
        epoch, readouts = self._start()
        aborting = threading.Timer(self.random.uniform(0.0, 0.01), self.client.abort)
        aborting.start()
        number = 0
        try:
            while (readout := self._timed(next, readouts, None)) is not None:
                self._check(readout, number, epoch)
                number += 1
            assert number == self.scanner.n_readouts, "a pass that was cut looks complete"
        except LinkFault:
            raise
        except ScannerFault as fault:
            if "cut" not in str(fault) and "aborted" not in str(fault):
                raise
        finally:
            aborting.join()

    def _check(self, readout, number: int, epoch: int) -> None:
        expected = loop.expected_samples(self.pass_index, number, self.scanner.channels, self.scanner.length)
        assert (readout.samples == expected).all(), "a wrong sample was delivered"
        counters = readout.counters
        found = (counters["kspace_encode_step_1"], counters["average"], counters["segment"], readout.overrange)
        assert found == (number, self.pass_index, epoch, number % 7 == 3), f"wrong counters {found}"

    def _reconnect(self) -> None:
        self._timed(self.client.connect)
        self._tune()
