"""Thousands of seeded faults: each ends in a right value or a typed fault, in bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from knightshift.core.errors import LinkFault
from knightshift.hardware.monitors.emulated import FaultKind, SeededFaults

RATES = {
    FaultKind.MUTE: 0.03,
    FaultKind.GARBLE: 0.03,
    FaultKind.REPEAT: 0.02,
    FaultKind.LATE: 0.03,
    FaultKind.LAG: 0.01,
    FaultKind.DOUBLE: 0.02,
    FaultKind.SLOW: 0.03,
    FaultKind.UNPLUG: 0.01,
}


def _campaign(bench: Any, n_faults: int, seed: int, now: Callable[[], float]) -> None:
    """Read until `n_faults` were injected; the value jumps before every reading, so that an old one is a wrong one."""
    injected = bench.faults.injected
    generator = np.random.default_rng(seed)
    s = bench.link.settings
    attempt = bench.device.n_answers * (s.timeout + s.quiet_time) + 3 * s.latest_reply + 2 * s.timeout
    right = typed = readings = 0
    while injected.total() < n_faults:
        truth = float(generator.uniform(*bench.device.span))
        bench.set(truth)
        begun = now()
        readings += 1
        try:
            (reading,) = bench.monitor.read()
        except LinkFault as fault:
            typed += fault.device == bench.device.name
        else:
            assert reading.value == pytest.approx(truth, abs=2 * bench.device.agreement)
            right += 1
        assert now() - begun < 3 * attempt + 1.0
    assert right + typed == readings
    assert right
    assert typed


def _sim_campaign(make: Any, n_faults: int, seed: int, line_timeout: float = 0.4) -> None:
    bench = make(faults=SeededFaults(seed, RATES), line_timeout=line_timeout)
    _campaign(bench, n_faults, seed, lambda: bench.line.own_time)
    assert set(bench.faults.injected) == set(RATES)


def test_no_fault_delivers_a_wrong_value(sim_bench: Any) -> None:
    _sim_campaign(sim_bench, n_faults=1000, seed=1)


def test_answers_later_than_promised_deliver_no_wrong_value(sim_bench: Any) -> None:
    """Slow answers come up to 15 time-outs late: long after the driver has given them up."""
    _sim_campaign(sim_bench, n_faults=400, seed=2, line_timeout=4.0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_thousand_faults_deliver_no_wrong_value(sim_bench: Any) -> None:
    _sim_campaign(sim_bench, n_faults=10_000, seed=3)


@pytest.mark.slow
def test_faults_in_real_time_deliver_no_wrong_value(device: Any, pty_bench: Any) -> None:
    _campaign(pty_bench(faults=SeededFaults(4, RATES), timeout=0.05), n_faults=150, seed=4, now=time.monotonic)
