"""What a pass costs: linear in isochromats and in samples, and memory bounded by chunks."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pypulseq as pp
import pytest

from knightshift.core.yaml_files import validate
from knightshift.hardware.pulseq_text import read_pulseq
from knightshift.hardware.simulated import Phantom, SimulatorSettings
from knightshift.hardware.simulated.isochromats import Surroundings, cut
from knightshift.hardware.simulated.settings import IsochromatSettings
from knightshift.hardware.simulated.signals import sum_of_signals
from knightshift.hardware.simulated.timeline import build_timeline

SETTINGS = validate(SimulatorSettings, {"receiver": {"sensitivity": 1, "noise_density": 0}, "threads": 1}, "test")


def train(bench, n_lines, samples):
    """Five echoes of a multi-echo image with readout and phase encoding, no x gradient."""
    sequence = bench.sequence()
    read = pp.make_trapezoid("y", flat_area=500.0, flat_time=samples * 1e-5, rise_time=1e-4, system=bench.system)
    for line in range(n_lines):
        sequence.add_block(bench.hard(90, 0, "excitation"))
        sequence.add_block(bench.lobe("y", read.area / 2, 1e-3))
        for _ in range(5):
            sequence.add_block(bench.hard(180, 90, "refocusing"))
            sequence.add_block(bench.lobe("z", 100.0 * (line + 1), 1e-3))
            sequence.add_block(read, bench.adc(samples, 1e-5, delay=1e-4))
            sequence.add_block(bench.lobe("z", -100.0 * (line + 1), 1e-3))
    return build_timeline(read_pulseq(bench.program(sequence).pulseq, 105e6))


def sample_of(n_sites_along_y, n_sites_along_z=64):
    box = {
        "kind": "box", "center_y": 0.0, "center_z": 0.0, "size_y": n_sites_along_y * 1e-5,
        "size_z": n_sites_along_z * 1e-5,
    }  # fmt: skip
    body = {"name": "b", "shape": box, "thickness": 1e-3, "t1": 1.0, "t2": 0.1, "shift": 0.0, "spacing": 1e-5}
    return validate(Phantom, {"name": "b", "compartments": [body]}, "test")


def ensembles_of(timeline, n_sites_along_y):
    return cut(sample_of(n_sites_along_y), timeline, Surroundings(1e8, 1e8, "23Na"), IsochromatSettings())


def cpu_seconds(*cases):
    """Least processor time of each timeline with its ensembles, run in turn so that a busy machine slows all alike."""
    least = [np.inf] * len(cases)
    for _ in range(7):
        for number, (timeline, ensembles) in enumerate(cases):
            began = time.process_time()
            sum_of_signals(timeline, ensembles, SETTINGS)
            least[number] = min(least[number], time.process_time() - began)
    return least


def test_cost_grows_linearly_with_isochromats_and_with_samples(bench) -> None:
    short, long = train(bench, 4, 32), train(bench, 4, 128)
    base, four_times_the_spins, four_times_the_samples = cpu_seconds(
        (short, ensembles_of(short, 128)), (short, ensembles_of(short, 512)), (long, ensembles_of(long, 128))
    )
    assert four_times_the_spins / base < 8  # 4 if linear, 16 if quadratic
    assert four_times_the_samples / base < 8


def test_every_spin_is_in_exactly_one_chunk_and_chunks_are_bounded(bench) -> None:
    timeline = train(bench, 1, 64)
    for n_sites in (16, 1600):
        parts = ensembles_of(timeline, n_sites)
        assert sum(part.y.size for part in parts) == 64 * n_sites
        assert max(part.y.size * part.x.size for part in parts) <= 96_000
        positions = np.concatenate([part.y + 1j * part.z for part in parts])
        assert np.unique(np.round(positions * 1e9)).size == positions.size


@pytest.mark.parametrize("n_sites", [256, 1024])
def test_memory_does_not_grow_with_the_phantom(bench, n_sites) -> None:
    timeline = train(bench, 1, 64)
    parts = ensembles_of(timeline, n_sites)
    tracemalloc.start()
    sum_of_signals(timeline, parts, SETTINGS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6
