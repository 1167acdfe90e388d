"""What references do for images: field and phase that drift, a receiver that was retuned, noise that varies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightshift.acquisition import AcquisitionOptions, acquire
from knightshift.core.clock import VirtualClock
from knightshift.core.limits import ScannerLimits
from knightshift.core.manifest import RunSetup
from knightshift.core.references import Reference, middle_of
from knightshift.core.run_folder import Run, open_run
from knightshift.core.yaml_files import as_plain, read_config, validate
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.site import SiteConfig
from knightshift.reconstruction.pass_sum import sum_passes
from knightshift.reconstruction.pass_weights import noise_weights
from knightshift.reconstruction.reconstruct import images_of_run
from knightshift.reconstruction.reference_drift import drift_of_references, together
from knightshift.sequences import build
from knightshift.sequences.protocols import Protocol

LIMITS: ScannerLimits = read_config(ScannerLimits, "limits", "microimaging_9t4")
T2 = 20e-3
SAMPLE: dict[str, Any] = {
    "name": "strip", "compartments": [{
        "name": "strip", "thickness": 1e-3, "t1": 17e-3, "t2": T2, "shift": 1126e-6, "spacing": 0.3e-3,
        "shape": {"kind": "box", "center_y": 0.0, "center_z": 0.0, "size_y": 0.3e-3, "size_z": 0.6e-3},
    }],
}  # fmt: skip
SLOW_READOUT: dict[str, Any] = {
    "kind": "spin_echo_series", "name": "slow", "nucleus": "23Na", "shift": 1126e-6, "readout_axis": "y",
    "field_of_view": {"y": 4.8e-3, "z": 4.8e-3}, "matrix": {"y": 16, "z": 8}, "echo_times": [16e-3, 32e-3],
    "repetition_time": 0.12, "averages": 20, "dwell_time": 200e-6, "phase_cycle": 2, "dummy_scans": 1,
}  # fmt: skip
PIXEL = 1 / (32 * 200e-6)
"""Bandwidth of a pixel [Hz]: 156 Hz."""


def night(
    runs: Path,
    *,
    references: bool,
    noise: float = 3e-7,
    drift: str = "10000 Hz/h",
    gain: str = "0 %/h",
    **protocol: Any,
) -> Run:
    """40 passes in 86 s, in which the field drifts by 240 Hz, one and a half pixels."""
    content: dict[str, Any] = {
        "backend": "simulated", "limits": as_plain(LIMITS), "adjustments": {"fid": {"n_samples": 1024}},
        "settings": {
            "nuclei": ["23Na"], "threads": 1, "field_drift": drift, "gain_drift": gain,
            "receiver": {"sensitivity": 0.01, "noise_density": noise},
        },
        "references": {"interval": 4, "tolerance": 100.0} if references else None,
    }  # fmt: skip
    site: SiteConfig = validate(SiteConfig, content, "test")
    what = build(validate(Protocol, SLOW_READOUT | protocol, "test"), LIMITS)
    clock = VirtualClock()
    setup = RunSetup(clock="virtual", seed=5, site=as_plain(site), limits=as_plain(LIMITS), phantom=SAMPLE)
    scanner = open_scanner(site, clock=clock, phantom=SAMPLE, seed=5)
    return open_run(
        acquire(what, scanner, runs, setup=setup, clock=clock, options=AcquisitionOptions(disk_margin=0)).path
    )


def profile(run: Run, echo: int = 0) -> np.ndarray:
    """Magnitude along the readout through the strip."""
    return np.abs(images_of_run(run).images[echo, 0]).max(axis=0)


def width(values: np.ndarray) -> float:
    """Pixels that hold the signal: the square of the sum over the sum of squares."""
    return float(values.sum() ** 2 / np.sum(values**2))


def t2_of(run: Run) -> float:
    first, second = (float(profile(run, echo).max()) for echo in (0, 1))
    times = run.manifest.encoding.echo_times
    return (times[1] - times[0]) / float(np.log(first / second))


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A field that stays."""
    return night(tmp_path_factory.mktemp("still"), references=True, drift="0 Hz/h")


def test_an_image_is_as_sharp_in_a_drifting_field_as_in_a_still_one(still: Run, tmp_path: Path) -> None:
    followed = night(tmp_path / "followed", references=True)
    np.testing.assert_allclose(profile(followed), profile(still), atol=0.03 * profile(still).max())
    blind = night(tmp_path / "blind", references=False)
    blurred = np.abs(sum_passes(blind, correct_drift=False).kspace[0, 0, 0])
    sharp = np.abs(sum_passes(followed).kspace[0, 0, 0])
    edge = [0, 1, 30, 31]
    assert blurred[:, edge].sum() < 0.5 * sharp[:, edge].sum(), "without them high spatial frequencies cancel"
    assert "11 reference FIDs between the passes: the line moved by 2" in sum_passes(followed).drift.sentence
    assert "the receiver was retuned 2 times" in sum_passes(followed).drift.sentence


def test_t2_survives_drifts_of_field_and_gain_where_the_images_are_too_noisy_to_show_them(tmp_path: Path) -> None:
    drifts: dict[str, Any] = {"noise": 1.5e-5, "gain": "1500 %/h", "echo_times": [36e-3, 56e-3]}
    blind = night(tmp_path / "blind", references=False, **drifts)
    assert "too little signal" in sum_passes(blind).drift.sentence or "no signal" in sum_passes(blind).drift.sentence
    followed = night(tmp_path / "followed", references=True, **drifts)
    sentence = sum_passes(followed).drift.sentence
    assert "corrected pass by pass. On the image data, as a check: " in sentence
    assert profile(followed).max() > 1.25 * profile(blind).max()
    assert t2_of(followed) == pytest.approx(T2, rel=0.25)
    assert "weighted by the inverse variance" in sum_passes(followed).weighting


def line(time: float, frequency: float, phase: float = 0.3) -> Reference:
    return Reference(time, frequency, 0.5, 0.01, phase, 0.01)


def test_an_offset_and_a_jump_of_the_receiver_give_the_same_k_space() -> None:
    """The line moves evenly by 200 Hz; the receiver follows at half time: what remains is exp(-2 pi i f t)."""
    times = np.arange(10.0)
    receiver = np.where(times < 5, 1e8, 1e8 + 110)
    found = drift_of_references([line(0, 1e8), line(10, 1e8 + 200)], times, receiver)
    assert found is not None
    t = np.linspace(-1e-3, 1e-3, 21)
    for row, time in enumerate(times):
        received = np.exp(-2j * np.pi * (20 * time - (receiver[row] - 1e8)) * t)
        np.testing.assert_allclose(received * found.correction(row, t), np.ones(21), atol=1e-9)


def test_references_that_agree_correct_nothing() -> None:
    rng = np.random.default_rng(2)
    steady = [line(n, 1e8 + 0.5 * x, 0.3 + 0.01 * y) for n, (x, y) in enumerate(rng.standard_normal((30, 2)))]
    found = drift_of_references(steady, np.arange(30.0), np.full(30, 1e8))
    assert found is not None
    assert not found.significant
    assert not found.phases.any()
    assert not found.slopes.any()
    assert "the line stayed, its phase stayed; nothing was corrected" in found.sentence


def test_a_phase_that_turns_over_is_followed() -> None:
    turning = [line(n, 1e8, np.angle(np.exp(0.9j * n))) for n in range(12)]
    found = drift_of_references(turning, np.arange(12.0), np.full(12, 1e8))
    assert found is not None
    np.testing.assert_allclose(found.phases, 0.9 * np.arange(12), atol=1e-9)
    twice = together(found, replace(found, sentence="Passes were summed without frequency correction: too few."))
    np.testing.assert_allclose(twice.phases, 1.8 * np.arange(12), atol=1e-9)
    assert twice.sentence.endswith("On the image data, as a check: too few.")


def test_one_reference_shows_no_drift() -> None:
    assert drift_of_references([line(0, 1e8)], np.arange(3.0), np.full(3, 1e8)) is None


def test_time_is_taken_to_the_millisecond() -> None:
    """So that a virtual clock that went on, some tenths of a microsecond off, gives the same bits."""
    start = 1_767_639_600.12
    assert middle_of(start, start + 0.6) == middle_of(start + 3e-7, start + 0.6 + 5e-7)


def test_equal_noise_gives_equal_weights_and_a_noisy_pass_less(still: Run) -> None:
    good = list(still.commits().values())
    weights, sentence = noise_weights(still, good)
    assert set(weights.tolist()) == {1.0}
    assert sentence == ""
    noisy = [
        replace(commit, noise_std=3 * (commit.noise_std or 0)) if n % 4 == 0 else commit
        for n, commit in enumerate(good)
    ]
    weights, sentence = noise_weights(still, noisy)
    np.testing.assert_allclose(weights[::4], 1 / 9, rtol=0.45)
    np.testing.assert_allclose(np.delete(weights, np.s_[::4]), 1, rtol=0.45)
    assert "inverse variance" in sentence


def test_the_noise_of_an_adopted_pass_is_measured_again(still: Run) -> None:
    good = list(still.commits().values())
    known = [replace(commit, noise_std=(commit.noise_std or 0) * (1 + n % 2)) for n, commit in enumerate(good)]
    adopted = [replace(commit, noise_std=None) if n == 6 else commit for n, commit in enumerate(known)]
    np.testing.assert_array_equal(noise_weights(still, known)[0], noise_weights(still, adopted)[0])
    unknown = [replace(commit, noise_std=None) for commit in good]
    assert set(noise_weights(still, unknown)[0].tolist()) == {1.0}
