"""A scanner of a few samples that keeps the contract: its data depend on seed, pass and clock alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from knightshift.acquisition import AcquisitionOptions, RunResult, acquire, resume
from knightshift.core.clock import Clock, VirtualClock
from knightshift.core.errors import IllegalTransitionError, ScannerFault
from knightshift.core.limits import ScannerLimits
from knightshift.core.manifest import RunSetup
from knightshift.core.passes import COUNTERS, Readout
from knightshift.core.program import Encoding, Measurement, PassProgram
from knightshift.hardware.contract import (
    TRANSITIONS,
    Capabilities,
    Identity,
    ScannerState,
    ScannerStatus,
    StopAt,
)

N_READOUTS, N_SAMPLES, DURATION = 6, 8, 24.0

LIMITS = ScannerLimits(
    name="fake", b0=9.4, max_gradient=1.5, max_slew=1e4, max_gradient_duty=0.5, rf_raster_time=1e-6,
    gradient_raster_time=1e-5, adc_raster_time=1e-7, block_duration_raster=1e-5, rf_dead_time=1e-5,
    rf_ringdown_time=1e-5, adc_dead_time=1e-5, max_rf_amplitude=1e5, max_rf_duty=0.1,
)  # fmt: skip


def measurement(n_passes: int = 6, n_steps: int = 2, **protocol: Any) -> Measurement:
    programs = tuple(
        PassProgram(
            name=f"tiny step {step + 1}/{n_steps}",
            pulseq=f"# a sequence\n[SIGNATURE]\n{step}\n",
            nucleus="23Na",
            gyromagnetic_ratio=11.262e6,
            b0=9.4,
            working_frequency=105.98e6,
            duration=DURATION,
            n_readouts=N_READOUTS,
            samples=N_SAMPLES,
        )
        for step in range(n_steps)
    )
    encoding = Encoding(
        kind="image", echo_times=(4e-3, 8e-3), matrix=(1, N_READOUTS, N_SAMPLES), field_of_view=(1e-3, 2e-3, 3e-3),
        axes=("x", "z", "y"), samples=N_SAMPLES, center_sample=4, dwell_time=8e-6, n_steps=n_steps,
        repetition_time=0.12,
    )  # fmt: skip
    return Measurement({"name": "tiny", "echo_times": (4e-3, 8e-3), **protocol}, programs, encoding, n_passes)


@dataclass
class FakeScanner:
    clock: Clock
    seed: int = 1
    device: str = "fake 1"
    real_delay: float = 0.0
    """Real time per readout [s]."""
    slow_from: int = 0
    """The first pass that takes it."""
    slow_marker: Path | None = None
    """Made when that pass begins, for a test that watches from outside."""
    faults: dict[int, list[ScannerFault]] = field(default_factory=dict)
    """Raised, one each time the pass is played, after its second readout."""
    lost_readouts: dict[int, int] = field(default_factory=dict)
    """Readouts lost the first time that a pass is played."""
    overrange: frozenset[int] = frozenset()
    on_start: Callable[[int], None] | None = None
    state: ScannerState = ScannerState.DISCONNECTED
    calls: list[str] = field(default_factory=list)

    def _move(self, command: str) -> None:
        self.calls.append(command)
        try:
            self.state = TRANSITIONS[command][self.state]
        except KeyError:
            raise IllegalTransitionError(f"{command} is not allowed while {self.state}") from None

    def __enter__(self) -> FakeScanner:
        self.connect()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.make_safe()
        self.close()

    def connect(self) -> None:
        self._move("connect")

    def close(self) -> None:
        self._move("close")

    def identify(self) -> Identity:
        return Identity("fake", self.device, "1")

    def capabilities(self) -> Capabilities:
        return Capabilities(LIMITS, ("23Na",), n_channels=1)

    def validate(self, program: PassProgram) -> None:
        assert program.n_readouts == N_READOUTS

    def prepare(self, program: PassProgram) -> None:
        self._move("prepare")
        self.program = program

    def start(self, pass_index: int, epoch: int = 0) -> None:
        self._move("start")
        self.playing = pass_index, epoch
        if self.on_start:
            self.on_start(pass_index)

    def readouts(self, timeout: float) -> Iterator[Readout]:
        assert timeout > 0
        index, epoch = self.playing
        samples = expected_samples(self.seed, index, self.clock.now())
        n_lost = self.lost_readouts.pop(index, 0)
        for line in range(N_READOUTS - n_lost):
            self.clock.sleep(DURATION / N_READOUTS)
            if index >= self.slow_from:
                if self.slow_marker is not None:
                    self.slow_marker.touch()
                time.sleep(self.real_delay)
            if line == 2 and self.faults.get(index):
                fault = self.faults[index].pop(0)
                self.state = self.state if fault.transient else ScannerState.FAULT
                raise fault
            if self.state not in {ScannerState.ACQUIRING, ScannerState.STOPPING}:
                return
            counters = np.array((line, 0, 0, 0, 0, index, epoch), dtype=COUNTERS)
            yield Readout(counters, samples[line], overrange=index in self.overrange and line == 0)
        self.state = ScannerState.PREPARED if self.state is ScannerState.ACQUIRING else ScannerState.IDLE

    def stop(self, at: StopAt = StopAt.PASS) -> None:
        self._move("stop")

    def abort(self) -> None:
        self._move("abort")

    def make_safe(self) -> None:
        self._move("make_safe")

    def set_frequency(self, frequency: float) -> None:
        self._move("set_frequency")

    def set_receiver_gain(self, gain: float) -> None:
        self._move("set_receiver_gain")

    def status(self) -> ScannerStatus:
        return ScannerStatus(self.state, None, 0.0)

    def reset(self) -> None:
        self._move("reset")


def expected_samples(seed: int, index: int, started: float) -> np.ndarray:
    """Noise of (seed, pass) and a drift with the time of day, shape ``(readout, channel, sample)``."""
    noise = np.random.default_rng((seed, index)).standard_normal((2, N_READOUTS, 1, N_SAMPLES))
    return (noise[0] + 1j * noise[1] + 1e-4 * (started - VirtualClock.EVENING)).astype(np.complex64)


def acquire_tiny(runs: Path, n_passes: int = 6, **scanner: Any) -> RunResult:
    """A whole run on the virtual clock."""
    clock = VirtualClock()
    return acquire(
        measurement(n_passes),
        FakeScanner(clock, **scanner),
        runs,
        setup=RunSetup(clock="virtual", seed=1),
        clock=clock,
        options=AcquisitionOptions(run_name="night", disk_margin=0),
    )


def resume_tiny(run: Path, **scanner: Any) -> RunResult:
    """Go on with it, as a new process would."""
    clock = VirtualClock()
    return resume(run, FakeScanner(clock, **scanner), clock=clock, options=AcquisitionOptions(disk_margin=0))
