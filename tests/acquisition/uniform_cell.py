"""A cell that fills every voxel alike, on a scanner with white noise: signal and noise are known in closed form."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fake_scanner import FakeScanner

from knightshift.acquisition import AcquisitionOptions, RunResult, acquire, resume
from knightshift.acquisition.stop_rules import RuleObserver, StopRules
from knightshift.core.clock import Clock, SystemClock, VirtualClock
from knightshift.core.manifest import RunSetup
from knightshift.core.passes import COUNTERS, Readout
from knightshift.core.program import Encoding, Measurement, PassProgram
from knightshift.hardware.contract import ScannerState

SIDE = 24
N_VOXELS = SIDE * SIDE
ECHO_TIMES = (4e-3, 12e-3)
T2 = 8e-3
VOXEL_SNR = 6.0
"""Of one pass, at echo time zero."""
EVERYWHERE = "box y=[-3 mm, 3 mm]"


def measurement(n_passes: int, duration: float = 24.0) -> Measurement:
    programs = tuple(
        PassProgram(
            name=f"uniform step {step + 1}/2", pulseq=f"# step {step}\n", nucleus="23Na", gyromagnetic_ratio=11.262e6,
            b0=9.4, working_frequency=105.98e6, duration=duration, n_readouts=SIDE, samples=SIDE,
        )
        for step in range(2)
    )  # fmt: skip
    encoding = Encoding(
        kind="image", echo_times=ECHO_TIMES, matrix=(1, SIDE, SIDE), field_of_view=(1e-3, 2e-3, 3e-3),
        axes=("x", "z", "y"), samples=SIDE, center_sample=SIDE // 2, dwell_time=8e-6, n_steps=2, repetition_time=0.12,
    )  # fmt: skip
    return Measurement({"name": "uniform", "kind": "spin_echo_series"}, programs, encoding, n_passes)


@dataclass
class UniformCell(FakeScanner):
    """Every voxel has the signal ``VOXEL_SNR * exp(-TE / T2)`` in units of the noise of its real part."""

    duration: float = 24.0

    def validate(self, program: PassProgram) -> None:
        assert program.n_readouts == SIDE

    def readouts(self, timeout: float) -> Iterator[Readout]:
        index, epoch = self.playing
        rng = np.random.default_rng((self.seed, index))
        samples = rng.standard_normal((2, SIDE, 1, SIDE))
        kspace = (samples[0] + 1j * samples[1]) * SIDE  # the image is the mean: its noise is that of k-space over SIDE
        kspace[SIDE // 2, 0, SIDE // 2] += N_VOXELS * VOXEL_SNR * np.exp(-ECHO_TIMES[index % 2] / T2)
        for line in range(SIDE):
            self.clock.sleep(self.duration / SIDE)
            time.sleep(self.real_delay)
            counters = np.array((line, 0, index % 2, 0, 0, index, epoch), dtype=COUNTERS)
            yield Readout(counters, kspace[line].astype(np.complex64), overrange=index in self.overrange and line == 0)
        self.state = ScannerState.PREPARED if self.state is ScannerState.ACQUIRING else ScannerState.IDLE


def acquire_uniform(runs: Path, n_passes: int, rules: StopRules | None, **choices: Any) -> RunResult:
    """A run that rules may end; `choices` are of the scanner, of the options, and ``clock`` and ``duration``."""
    clock: Clock = choices.pop("clock", None) or VirtualClock()
    told = {"on_progress": choices.pop("on_progress")} if "on_progress" in choices else {}
    options, duration = _options(rules, choices), choices.get("duration", 24.0)
    kind = "system" if isinstance(clock, SystemClock) else "virtual"
    return acquire(
        measurement(n_passes, duration), UniformCell(clock, **choices), runs, setup=RunSetup(clock=kind, seed=1),
        clock=clock, options=options, **told,
    )  # fmt: skip


def resume_uniform(run: Path, rules: StopRules | None, **choices: Any) -> RunResult:
    clock = VirtualClock()
    return resume(run, UniformCell(clock, **choices), clock=clock, options=_options(rules, choices))


def _options(rules: StopRules | None, choices: dict[str, Any]) -> AcquisitionOptions:
    observers = () if rules is None else (RuleObserver(rules),)
    more = {name: choices.pop(name) for name in ("stop", "observers") if name in choices}
    return AcquisitionOptions(**{"run_name": "night", "disk_margin": 0, "observers": observers} | more)


def passes_for_snr(snr: float, echo: int) -> int:
    """Passes of the run, both echo times together, for this SNR: ``n = (SNR / SNR of one pass)²``, rounded up."""
    of_one_pass = VOXEL_SNR * np.exp(-ECHO_TIMES[echo - 1] / T2)
    return 2 * int(np.ceil((snr / of_one_pass) ** 2))


def t2_std_of_one_pass() -> float:
    """Standard deviation of T2 from two echoes, ``T2² / (TE2 - TE1) · sqrt(1/SNR1² + 1/SNR2²)`` [s]."""
    snr = VOXEL_SNR * np.exp(-np.array(ECHO_TIMES) / T2)
    return float(T2**2 / (ECHO_TIMES[1] - ECHO_TIMES[0]) * np.sqrt(np.sum(1 / snr**2)))
