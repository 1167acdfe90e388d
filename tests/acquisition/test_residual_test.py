"""A pass that does not look like the others is flagged; a good one is not, more often than chance allows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from fake_scanner import expected_samples

from knightshift.acquisition import acquire
from knightshift.acquisition.residual_test import FLAG, Residual, ResidualTest, residual_of
from knightshift.core.clock import VirtualClock
from knightshift.core.manifest import RunSetup
from knightshift.core.passes import COUNTERS, PassRecord
from knightshift.core.run_folder import open_run
from knightshift.core.yaml_files import as_plain
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.faults import FaultScript
from knightshift.hardware.site import load_site
from knightshift.reconstruction.pass_sum import sum_passes
from knightshift.sequences import build, load_protocol

SHAPE = (40, 1, 50)


def noise(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Complex noise, standard deviation 1 in each part."""
    parts = generator.standard_normal((2, *shape))
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


def signal(amplitude: float) -> np.ndarray:
    """The k-space of a small object: large in the middle, nothing at the edge."""
    line, sample = np.meshgrid(np.linspace(-1, 1, SHAPE[0]), np.linspace(-1, 1, SHAPE[2]), indexing="ij")
    return (amplitude * np.exp(-((line**2 + sample**2) / 0.02)))[:, None, :].astype(np.complex64)


def record(index: int, samples: np.ndarray) -> PassRecord:
    counters = np.zeros(len(samples), dtype=COUNTERS)
    return PassRecord(index, 0, 0.0, 24.0, 1e8, 0.0, samples=samples, counters=counters)


def measured(samples: np.ndarray, before: np.ndarray) -> Residual:
    residual = residual_of(samples, before)
    assert residual is not None
    return residual


@pytest.mark.parametrize("n_before", [3, 5])
@pytest.mark.parametrize("amplitude", [0.0, 4.0, 6.0, 100.0], ids=["no signal", "weak", "just seen", "strong"])
def test_the_false_positive_rate_is_what_the_bound_says(n_before: int, amplitude: float) -> None:
    """At a rate that can be counted: of 1000 passes of noise, 20 ± 4.5 exceed the threshold for 2 %."""
    generator, rate, n_passes = np.random.default_rng(5), 0.02, 1000
    exceeding, powers = 0, []
    for _ in range(n_passes):
        passes = signal(amplitude) + noise(generator, n_before + 1, *SHAPE)
        residual = measured(passes[-1], passes[:-1])
        exceeding += residual.peak > math.log(residual.n_samples / rate)
        powers.append(residual.power)
    assert 0.4 * rate <= exceeding / n_passes <= 2.5 * rate
    assert np.mean(powers) == pytest.approx(1, abs=0.03)
    assert max(powers) < 1.3, "the limit for a burst, 1.7 here, is far away"


def test_good_passes_are_not_flagged_through_a_night_that_drifts() -> None:
    """Phase and amplitude go up and down, also from one pass to the next: 600 passes, none flagged."""
    generator, test = np.random.default_rng(6), ResidualTest(2)
    for index in range(600):
        drift = (1 + 0.05 * generator.standard_normal()) * np.exp(
            1j * (0.01 * index + 0.1 * generator.standard_normal())
        )
        samples = (signal(100.0) * drift + noise(generator, *SHAPE)).astype(np.complex64)
        assert test.judge(record(index, samples)).flags == ()


@pytest.mark.parametrize("size", [12.0, 100.0])
def test_spikes_and_bursts_are_flagged_and_do_not_spoil_the_next_pass(size: float) -> None:
    generator, test = np.random.default_rng(7), ResidualTest(1)
    flagged = []
    for index in range(40):
        samples = signal(100.0) + noise(generator, *SHAPE)
        if index in {1, 11, 12, 25}:
            samples[3, 0, 7] += size
        if index == 30:
            samples *= 1.6
            samples -= 0.6 * signal(100.0)
        judged = test.judge(record(index, samples))
        assert judged.flags in {(), (FLAG,)}
        flagged += [index] if judged.flags else []
    assert flagged == [11, 12, 25, 30], "pass 1 has too few before it to be judged"


def test_a_lasting_change_is_accepted() -> None:
    """The receiver gets noisier by half: at most three passes are flagged."""
    generator, test = np.random.default_rng(8), ResidualTest(1)
    flags = [
        test.judge(record(index, noise(generator, *SHAPE) * np.float32(1 if index < 20 else 1.5))).flags
        for index in range(60)
    ]
    assert 1 <= sum(map(bool, flags)) <= 3
    assert not any(flags[:20])
    assert not any(flags[24:])


def test_too_few_samples_or_no_noise_are_not_judged() -> None:
    tiny = np.stack([expected_samples(1, index, VirtualClock.EVENING) for index in range(4)])
    assert residual_of(tiny[3], tiny[:3]) is None
    still = np.stack([signal(1.0)] * 4)
    assert residual_of(still[3], still[:3]) is None


def test_what_is_remembered_counts_as_if_judged() -> None:
    generator = np.random.default_rng(9)
    records = [record(index, noise(generator, *SHAPE)) for index in range(30)]
    records[20].samples[0, 0, 0] += 20
    undisturbed, resumed = ResidualTest(2), ResidualTest(2)
    flags = [undisturbed.judge(one).flags for one in records]
    resumed.remember(records[8:18])
    assert [resumed.judge(one).flags for one in records[18:]] == flags[18:]
    assert flags[20] == (FLAG,)


def test_spike_noise_of_the_simulated_scanner_is_flagged_and_gets_no_weight(tmp_path: Path) -> None:
    """Two echo times, ten passes of each; spikes of a tenth of the full scale in passes 9 and 14."""
    struck = {9, 14}
    spikes = {"kind": "spike_noise", "passes": sorted(struck), "amplitude": 0.1}
    site = load_site("simulated")
    settings = {**site.settings, "isochromats": {"depth_nodes": 2, "frequencies": 1}}
    faults = FaultScript.model_validate({"faults": [spikes]})
    site = site.model_copy(update={"settings": settings, "faults": faults})
    protocol = load_protocol("quick_look")
    update = {"echo_times": protocol.echo_times[:2], "averages": 10, "duration": None}  # type: ignore[union-attr]
    measurement = build(protocol.model_copy(update=update), site.limits)
    clock = VirtualClock()
    scanner = open_scanner(site, clock=clock, seed=1)
    setup = RunSetup(clock="virtual", seed=1, site=as_plain(site))
    run = open_run(acquire(measurement, scanner, tmp_path, setup=setup, clock=clock).path)
    flags = {index: commit.flags for index, commit in run.commits().items()}
    assert {index for index, found in flags.items() if found} == struck
    assert flags[9] == (FLAG,)
    assert sum_passes(run, correct_drift=False).flagged == (9, 14)
