"""Thousands of seeded faults: each ends in a right value or a typed fault, in bounded time."""

from __future__ import annotations

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


def _campaign(make_bench: Any, n_faults: int, seed: int, line_timeout: float | None = None) -> None:
    """Read until `n_faults` were injected; the value jumps before every reading, so that an old one is a wrong one."""
    faults = SeededFaults(seed, RATES)
    bench = make_bench(faults=faults)
    if bench.device.name == "modbus_temperature":
        n_faults //= 5  # minimalmodbus really waits 2 ms between two questions
    if line_timeout is not None:
        bench.line._timeout = line_timeout
    generator = np.random.default_rng(seed)
    s = bench.link.settings
    attempt = bench.device.n_answers * (s.timeout + s.quiet_time) + 3 * s.latest_reply + 2 * s.timeout
    right = typed = readings = 0
    while faults.injected.total() < n_faults:
        truth = float(generator.uniform(*bench.device.span))
        bench.set(truth)
        begun = bench.line.own_time
        readings += 1
        try:
            (reading,) = bench.monitor.read()
        except LinkFault as fault:
            typed += fault.device == bench.device.name
        else:
            assert reading.value == pytest.approx(truth, abs=2 * bench.device.agreement)
            right += 1
        assert bench.line.own_time - begun < 3 * attempt
    if line_timeout is None:
        assert set(faults.injected) == set(RATES)
    assert right + typed == readings
    assert right
    assert typed


@pytest.mark.parametrize("seed", [1])
def test_no_fault_delivers_a_wrong_value(sim_bench: Any, seed: int) -> None:
    _campaign(sim_bench, n_faults=400, seed=seed)


@pytest.mark.parametrize("seed", [2])
def test_answers_later_than_promised_deliver_no_wrong_value(sim_bench: Any, seed: int) -> None:
    """Slow answers come up to 15 time-outs late: long after the driver has given them up."""
    _campaign(sim_bench, n_faults=100, seed=seed, line_timeout=4.0)


@pytest.mark.slow
def test_ten_thousand_faults_deliver_no_wrong_value(sim_bench: Any) -> None:
    _campaign(sim_bench, n_faults=10_000, seed=3)
