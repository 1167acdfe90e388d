"""Protocol → Pulseq → simulated scanner → k-space, against reference numbers and closed forms; no formula is called."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.optimize import curve_fit

from knightshift.core.clock import VirtualClock
from knightshift.core.limits import ScannerLimits
from knightshift.core.passes import stack_readouts
from knightshift.core.yaml_files import read_config, validate
from knightshift.hardware.simulated import Phantom, SimulatedScanner, SimulatorSettings
from knightshift.sequences import build
from knightshift.sequences.protocols import Protocol

LIMITS: ScannerLimits = read_config(ScannerLimits, "limits", "microimaging_9t4")
IMAGE: dict[str, Any] = {
    "nucleus": "23Na", "field_of_view": {"y": 4.8e-3, "z": 2.208e-3}, "matrix": {"y": 8, "z": 1}, "readout_axis": "y",
    "dwell_time": 8e-6, "excitation_pulse_length": 20e-6, "refocusing_pulse_length": 20e-6, "averages": 1,
    "dummy_scans": 0, "phase_cycle": 1, "projection_depth": 1e-3,
}  # fmt: skip


def echoes(phantom: Phantom, sensitivity: float = 0.5, **protocol: Any) -> np.ndarray:
    """Magnitude at the centre of k-space over that of fully tipped magnetisation, one value an echo."""
    settings = validate(
        SimulatorSettings, {"receiver": {"sensitivity": sensitivity, "noise_density": 0.0}, "threads": 1}, ""
    )
    measurement = build(validate(Protocol, IMAGE | {"name": "road"} | protocol, "test"), LIMITS)
    found: dict[int, complex] = {}
    with SimulatedScanner(LIMITS, settings, phantom, clock=VirtualClock(), seed=0) as scanner:
        for step, program in enumerate(measurement.programs):
            scanner.prepare(program)
            scanner.start(step)
            samples, counters = stack_readouts(list(scanner.readouts(1.0)))
            center = round(measurement.encoding.center_sample)
            for readout, count in zip(samples[:, 0], counters, strict=True):
                echo = int(count["contrast"])
                found[echo] = found.get(echo, 0.0) + readout[center]
    return np.abs([found[echo] for echo in sorted(found)]) / sensitivity


def test_cpmg_trains_agree_with_three_independent_programs(cube, reference_data) -> None:
    cases = json.loads(reference_data("cpmg_echoes.json").read_text())["cases"]
    worst = 0.0
    for case in cases:
        found = echoes(
            cube(t1=case["T1_s"], t2=case["T2_s"]), kind="multi_echo_spin_echo", echo_spacing=case["ESP_s"],
            n_echoes=case["necho"], repetition_time=0.1, crusher_cycles=2,
            excitation_flip_angle=np.deg2rad(case["exc_deg"]), refocusing_flip_angle=np.deg2rad(case["alpha_deg"]),
        )  # fmt: skip
        worst = max(worst, np.abs(found - case["echo"]).max())
    assert len(cases) >= 25
    assert worst < 1e-3


@pytest.mark.parametrize("t2", [5e-3, 7.5e-3, 12e-3, 16.2e-3], ids=lambda t2: f"T2={t2 * 1e3:g}ms")
def test_a_spin_echo_series_gives_the_t2_of_the_phantom(cube, t2) -> None:
    times = np.array([4e-3, 8e-3, 13e-3, 20e-3, 30e-3])
    signal = echoes(
        cube(t1=17.1e-3, t2=t2, t2_prime=8e-3), kind="spin_echo_series", echo_times=list(times), repetition_time=0.12,
        dummy_scans=4, phase_cycle=2,
    )  # fmt: skip
    assert fitted_t2(times, signal) == pytest.approx(t2, rel=5e-3)


def test_a_spin_echo_has_its_steady_state(cube) -> None:
    t1, t2, repetition_time, echo_time = 17.1e-3, 7.5e-3, 40e-3, 8e-3
    (signal,) = echoes(
        cube(t1=t1, t2=t2), kind="spin_echo_series", echo_times=[echo_time], repetition_time=repetition_time,
        dummy_scans=8,
    )  # fmt: skip
    recovered = 1 - 2 * np.exp(-(repetition_time - echo_time / 2) / t1) + np.exp(-repetition_time / t1)
    assert signal == pytest.approx(np.exp(-echo_time / t2) * recovered, abs=1e-3)


@pytest.mark.parametrize(("t2", "seen_by_train"), [(7e-3, 8.8e-3), (16e-3, 17.8e-3)])
def test_on_a_skin_limited_slab_separate_echoes_are_true_and_a_train_is_not(cube, t2, seen_by_train) -> None:
    box = {"kind": "box", "center_y": 0.0, "center_z": 0.0, "size_y": 1e-3, "size_z": 1e-3}
    slab = cube(shape=box, metal={"skin_depth": 10.8e-6}, t1=17.1e-3, t2=t2)
    times = 6e-3 * np.arange(1, 6)
    separate = echoes(slab, 20.0, kind="spin_echo_series", echo_times=list(times), repetition_time=0.12, dummy_scans=2)
    train = echoes(slab, 20.0, kind="multi_echo_spin_echo", echo_spacing=6e-3, n_echoes=5, repetition_time=0.12)
    assert fitted_t2(times, separate) == pytest.approx(t2, rel=5e-3)
    assert fitted_t2(times, train) == pytest.approx(seen_by_train, rel=0.02)


def fitted_t2(times: np.ndarray, signal: np.ndarray) -> float:
    """T2 of a mono-exponential fit by least squares [s]."""
    (_, t2), _ = curve_fit(lambda t, s0, t2: s0 * np.exp(-t / t2), times, signal, p0=(2 * signal[0], 10e-3))
    return float(t2)
