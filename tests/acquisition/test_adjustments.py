"""Adjustments against the truth that the simulated scanner was given."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adjusted_night import (
    LIMITS,
    METAL,
    SEED,
    acquire_adjusted,
    body,
    events_of,
    full_site,
    measurement,
    phantom,
    setup,
    site,
)

from knightshift.acquisition import ProgressEvent
from knightshift.acquisition.adjustments.baseline import memory_path, read_memory
from knightshift.acquisition.adjustments.fid_line import FidTiming, MeanFid, find_line, mean_fid
from knightshift.acquisition.adjustments.nutation import fit_nutation, metal_signal, uniform_signal
from knightshift.acquisition.adjustments.receiver_gain import best_gain, lower_gain
from knightshift.acquisition.adjustments.stand_alone import adjust
from knightshift.acquisition.preflight_verdict import Check, Verdict
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import AdjustmentError, ConfigError, DamagedDataError, InputError, NoSignalError
from knightshift.core.nuclei import nucleus_named
from knightshift.core.run_folder import open_run
from knightshift.core.run_verification import verify_run
from knightshift.hardware.adjustment_rules import ReceiverGainConfig
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.preflight_rules import CheckName

ZERO_SHIFT = nucleus_named("23Na").frequency(LIMITS.b0)
ELECTROLYTE = body(name="electrolyte", shift=0.0, density=30.0, t2=2e-3)
ONLY_FREQUENCY = {"centre_frequency": {}, "fid": {"n_samples": 1024}}


def decay(frequency: float, timing: FidTiming, n: int = 1024, *, phase: float = 0.4, width: float = 80.0) -> np.ndarray:
    times = timing.times(n)
    return np.exp(1j * phase - (2j * np.pi * frequency + np.pi * width) * times)


def noisy(fid: np.ndarray, std: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((2, 4, 1, fid.size)) * std
    return np.asarray(fid + noise[0] + 1j * noise[1])


def started_off_by(offset: float, runs: Path, **options: Any) -> dict[str, Any]:
    """Acquire with a protocol whose working frequency is off by `offset`; gives what centre_frequency found."""
    shift = (ZERO_SHIFT * (1 + 1126e-6) + offset) / ZERO_SHIFT - 1
    where = site(adjustments=ONLY_FREQUENCY, preflight={"with_rf": {"frequency": 25e3}})
    result = acquire_adjusted(runs, where, what=measurement(1, shift=shift), **options)
    return events_of(result.path, "adjusted")[0]


@pytest.mark.parametrize("offset", [0.0, 3e3, -8e3, 15e3], ids=lambda value: f"{value / 1e3:g}kHz")
def test_the_metal_is_found_beside_a_stronger_electrolyte(offset: float, tmp_path: Path) -> None:
    found = started_off_by(offset, tmp_path, sample=phantom(body(), ELECTROLYTE))
    drift = 0.5  # 2000 Hz/h for a second
    assert found["values"]["frequency_Hz"] == pytest.approx(ZERO_SHIFT * (1 + 1126e-6), abs=1.0 + drift)
    assert found["values"]["offset_Hz"] == pytest.approx(-offset, abs=1.0 + drift)
    assert found["receiver_frequency_Hz"] == found["values"]["frequency_Hz"]


def test_without_the_metal_there_is_no_frequency_but_a_typed_failure(tmp_path: Path) -> None:
    with pytest.raises(NoSignalError, match=r"no line within ±20 kHz.*is the sample in the coil") as caught:
        started_off_by(0.0, tmp_path, sample=phantom(ELECTROLYTE))
    assert caught.value.exit_code == 3
    run = open_run(tmp_path / "night")
    assert run.committed() == ()
    checks = events_of(run.path, "preflight")[-1]["checks"]
    assert [check["verdict"] for check in checks if check["name"] == "frequency"] == ["failed"]
    assert [check["value"] for check in checks if check["name"] == "dummy_pass"] == [
        "not made: the line was not found"
    ], "no more RF where the first look was in vain"


def test_a_range_that_reaches_the_other_line_is_refused(tmp_path: Path) -> None:
    where = site(adjustments={"centre_frequency": {"search_range": 100e3}, "fid": {"dwell_time": 4e-6}})
    with pytest.raises(ConfigError, match=r"search_range 100 kHz is more than half of the 119\.2 kHz"):
        acquire_adjusted(tmp_path, where)
    assert list(tmp_path.iterdir()) == [], "said before a run is made"


@pytest.mark.parametrize("std", [0.3, 0.01])
def test_errors_of_a_line_are_those_of_many_repetitions(std: float) -> None:
    timing = FidTiming(55e-6, 10e-6)
    fid = decay(1234.5, timing, 512)
    lines = [find_line(mean_fid(noisy(fid, std, seed)), timing, 20e3) for seed in range(60)]
    for value, error, truth in (
        ([line.frequency for line in lines], lines[0].frequency_std, 1234.5),
        ([line.amplitude for line in lines], lines[0].amplitude_std, 1.0),
        ([line.phase for line in lines], lines[0].phase_std, 0.4),
    ):
        assert np.std(value) == pytest.approx(error, rel=0.35)
        assert np.mean(value) == pytest.approx(truth, abs=4 * error / math.sqrt(60))
    assert np.mean([line.noise_std for line in lines]) == pytest.approx(std, rel=0.01)


def test_noise_alone_is_never_a_line() -> None:
    timing = FidTiming(55e-6, 10e-6)
    for seed in range(100):
        with pytest.raises(NoSignalError):
            find_line(mean_fid(noisy(np.zeros(512, complex), 1.0, seed)), timing, 20e3)


def test_offset_and_quadrature_image_of_the_receiver_are_no_noise() -> None:
    timing = FidTiming(55e-6, 10e-6)
    turns = np.exp(-0.5j * np.pi * np.arange(4))[:, None, None]  # the receiver follows: what does not, turns
    fids = noisy(decay(500.0, timing), 1e-3, 1) + 0.3 * turns + 0.02 * turns**2 * decay(-500.0, timing)
    measured = mean_fid(fids)
    assert measured.noise_std == pytest.approx(1e-3, rel=0.05)
    assert find_line(measured, timing, 20e3).frequency == pytest.approx(500.0, abs=0.5)


def test_the_flank_of_a_line_outside_the_range_is_not_taken_for_one() -> None:
    timing = FidTiming(55e-6, 10e-6)
    with pytest.raises(NoSignalError, match=r"rises towards the edge|left the range"):
        find_line(MeanFid(decay(20.2e3, timing, width=400.0), 1e-6, 4), timing, 20e3)


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.15])
def test_nutation_of_a_uniform_sample_gives_b1_within_two_percent(scale: float, tmp_path: Path) -> None:
    calibration = {"sample": "uniform", "n_points": 6, "tolerance": 0.5}
    where = site(
        adjustments={"rf_calibration": calibration, "fid": {"n_samples": 512}}, settings={"transmit_scale": scale}
    )
    values = events_of(acquire_adjusted(tmp_path, where, what=measurement(1)).path, "adjusted")[0]["values"]
    assert values["scale"] == pytest.approx(scale, rel=0.02)
    assert values["amplitude_90_Hz"] == pytest.approx(5000 / scale, rel=0.02), "1/4 turn in 50 us, over the scale"


def test_nutation_of_metal_is_that_of_its_surface_and_a_sine_would_be_wrong(tmp_path: Path) -> None:
    plate = body(**METAL, size=2e-3, density=20.0)
    adjustments = {"rf_calibration": {"sample": "metal", "n_points": 8}, "fid": {"n_samples": 512}}
    where = site(adjustments=adjustments, settings={"transmit_scale": 0.97})
    values = events_of(acquire_adjusted(tmp_path, where, phantom(plate), what=measurement(1)).path, "adjusted")[0][
        "values"
    ]
    assert values["scale"] == pytest.approx(0.97, rel=0.02)
    assert values["flip_of_most_signal_rad"] * 0.97 == pytest.approx(math.radians(122.5), abs=0.02)
    wrong = site(adjustments=adjustments | {"rf_calibration": {"sample": "uniform", "n_points": 8}})
    with pytest.raises(AdjustmentError, match=r"rf_calibration\.sample"):
        acquire_adjusted(tmp_path, wrong, phantom(plate), what=measurement(1), run_name="wrong")


def test_metal_signal_is_the_integral_over_its_depth() -> None:
    """For small angles sin x = x: the integral of exp(-2 (1 + i) u) is 1 / (2 (1 + i))."""
    small = np.array([1e-4, 2e-4])
    np.testing.assert_allclose(metal_signal(small), small / (2 + 2j), rtol=1e-7)
    depth = np.linspace(0, 30, 300_001)
    for flip in (1.0, 2.0, 4.0):
        integrand = np.sin(flip * np.exp(-depth)) * np.exp(-depth * (1 + 2j))
        expected = np.sum((integrand[1:] + integrand[:-1]) / 2) * (depth[1] - depth[0])
        assert metal_signal(np.array([flip]))[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("sense", [1, -1], ids=["as_ours", "other_handedness"])
def test_nutation_does_not_depend_on_the_sense_of_phase(sense: int) -> None:
    flips = np.linspace(0.4, 4.5, 8)
    signals = 2.5 * np.exp(0.7j) * metal_signal(1.05 * flips)
    found = fit_nutation(signals if sense > 0 else signals.conj(), flips, 1e-6, "metal")
    assert found.scale == pytest.approx(1.05, rel=1e-5)
    assert found.misfit < 1e-4


def test_nutation_of_noise_gives_no_value() -> None:
    noise = np.random.default_rng(1).standard_normal((2, 8))
    with pytest.raises(NoSignalError):
        fit_nutation(noise[0] + 1j * noise[1], np.linspace(0.4, 4.5, 8), 1.0, "uniform")
    with pytest.raises(AdjustmentError, match="unexplained"):
        fit_nutation(uniform_signal(np.array([3.0, 0.2, 2.0, 1.0, 0.1])), np.linspace(0.5, 4.5, 5), 1e-6, "uniform")


@pytest.mark.parametrize("gain", [-20.0, 0.0, 17.0])
def test_the_gain_is_the_largest_step_below_the_limit(gain: float) -> None:
    config = ReceiverGainConfig(largest_sample=0.5, step=1.0)
    largest_at_0_db = 0.013
    found = best_gain(largest_at_0_db * 10 ** (gain / 20), gain, 1.0, config)
    assert largest_at_0_db * 10 ** (found / 20) <= 0.5 < largest_at_0_db * 10 ** ((found + 1) / 20)
    assert found == int(found)


def test_a_gain_beyond_the_receiver_is_clipped_or_refused() -> None:
    config = ReceiverGainConfig(lowest=-10, highest=20)
    assert best_gain(1e-9, 0.0, 1.0, config) == 20
    with pytest.raises(AdjustmentError, match="attenuator"):
        best_gain(0.9, -10.0, 1.0, ReceiverGainConfig(lowest=-10, largest_sample=0.1))
    assert lower_gain(0.0, config) == -10
    with pytest.raises(AdjustmentError, match="overflows at the lowest gain"):
        lower_gain(-10.0, config)


@pytest.mark.parametrize("sensitivity", [1e-3, 30.0], ids=["quiet", "overflowing"])
def test_the_gain_is_found_from_both_sides(sensitivity: float, tmp_path: Path) -> None:
    where = site(
        adjustments={"receiver_gain": {}}, settings={"receiver": {"sensitivity": sensitivity, "noise_density": 1e-7}}
    )
    result = acquire_adjusted(tmp_path, where, what=measurement(1))
    (found,) = events_of(result.path, "adjusted")
    assert 0.5 / 10 ** (1 / 20) * 0.99 < found["values"]["largest_sample"] <= 0.5
    record = next(open_run(result.path).passes())
    assert record.receiver_gain == found["values"]["gain_dB"]
    assert np.abs(record.samples).max() == pytest.approx(found["values"]["largest_sample"], rel=0.06)
    assert record.flags == ()


def test_results_are_kept_with_the_run_and_verified(tmp_path: Path) -> None:
    result = acquire_adjusted(tmp_path)
    assert [event["kind"] for event in events_of(result.path, "adjusted")] == [
        "centre_frequency", "rf_calibration", "receiver_gain",
    ]  # fmt: skip
    assert verify_run(result.path).intact
    victim = result.path / "adjustments" / "rf_calibration-000002.h5"
    content = bytearray(victim.read_bytes())
    content[900] ^= 1
    victim.write_bytes(content)
    (damage,) = verify_run(result.path).damage
    assert damage.path == victim
    assert isinstance(damage, DamagedDataError)


def test_checks_with_rf_compare_with_the_run_before(tmp_path: Path) -> None:
    told: list[ProgressEvent] = []

    def verdicts(**settings: Any) -> dict[CheckName, Verdict]:
        told.clear()
        receiver = {"receiver": {"sensitivity": 0.01, "noise_density": 2e-6} | settings}
        acquire_adjusted(tmp_path, full_site(settings=receiver), what=measurement(1), on_progress=told.append)
        checks = [event.checks for event in told if event.checks][-1]
        return {check.name: check.verdict for check in checks}

    assert verdicts()[CheckName.NOISE] is Verdict.WARNING, "nothing to compare with"
    again = verdicts()
    assert (again[CheckName.NOISE], again[CheckName.DUMMY_PASS]) == (Verdict.OK, Verdict.OK)
    with pytest.raises(AdjustmentError, match=r"noise \(receiver\).*150\.. % of the baseline.*preamplifier"):
        verdicts(noise_density=3e-6)
    with pytest.raises(
        AdjustmentError, match=r"dummy_pass \(signal\).*(49|50)\.. % of the prediction.*the same sample"
    ):
        verdicts(sensitivity=0.005)


def test_a_failed_check_with_rf_can_be_made_to_warn(tmp_path: Path) -> None:
    preflight = {"with_rf": {"frequency": 0.01}, "warn_only": ["frequency"]}
    acquire_adjusted(tmp_path, full_site(preflight=preflight), what=measurement(1))
    with pytest.raises(AdjustmentError, match=r"frequency \(line\).*within 0\.01 Hz"):
        acquire_adjusted(tmp_path, full_site(preflight={"with_rf": {"frequency": 0.01}}), what=measurement(1))


def test_a_recording_plays_no_fids_and_says_so(tmp_path: Path) -> None:
    recorded = acquire_adjusted(tmp_path, site(), what=measurement(1), run_name="recorded")
    where = full_site().model_copy(update={"backend": "replay", "settings": {"recording": str(recorded.path)}})
    clock = VirtualClock()
    told: list[ProgressEvent] = []
    result = acquire_adjusted(
        tmp_path, where, scanner=open_scanner(where, clock=clock), clock=clock, what=measurement(1),
        on_progress=told.append,
    )  # fmt: skip
    checks = [event.checks for event in told if event.checks][-1]
    assert {check.verdict for check in checks} == {Verdict.NOT_MADE}
    assert all("not possible on this scanner" in check.value for check in checks)
    assert result.n_committed == 2
    assert events_of(result.path, "reference") == []


def test_adjusting_alone_leaves_no_run_but_a_baseline(tmp_path: Path) -> None:
    where, sample, clock = site(), phantom(), VirtualClock()
    told: list[tuple[Check, ...]] = []
    device = open_scanner(where, clock=clock, phantom=sample, seed=SEED)
    found = adjust(
        measurement(1), device, tmp_path, setup=setup(where, sample), clock=clock, new_baseline=True,
        on_checks=told.append,
    )  # fmt: skip
    assert {check.name for check in found} == {
        CheckName.FREQUENCY, CheckName.TRANSMITTER, CheckName.GAIN, CheckName.NOISE, CheckName.DUMMY_PASS,
    }  # fmt: skip
    assert told[1] == found
    with device:
        name = device.identify().device
    assert read_memory(tmp_path, name).noise["23Na"].value == pytest.approx(2e-6, rel=0.1)
    assert [path.name for path in tmp_path.iterdir()] == [".site"]


def test_a_damaged_memory_is_named(tmp_path: Path) -> None:
    path = memory_path(tmp_path, "device")
    path.parent.mkdir()
    path.write_text('{"device": "device", "noise": {"23Na": {"value": -1}}}')
    with pytest.raises(DamagedDataError, match="delete it"):
        read_memory(tmp_path, "device")
    path.write_text('{"device": "another"}')
    with pytest.raises(DamagedDataError, match="'another'"):
        read_memory(tmp_path, "device")


def test_a_range_beyond_the_spectrum_is_refused() -> None:
    with pytest.raises(InputError, match=r"does not fit a spectrum of ±50 kHz: at most 40 kHz"):
        site(adjustments={"centre_frequency": {"search_range": 45e3}})


def test_one_receiver_is_listened_to_however_strong_another_becomes() -> None:
    timing = FidTiming(55e-6, 10e-6)
    strong, weak = decay(300.0, timing, phase=0.2), 0.5 * decay(300.0, timing, phase=2.0)
    fids = np.repeat(np.stack([weak, strong])[None], 4, axis=0)
    assert mean_fid(fids).channel == 1
    later = mean_fid(fids * np.array([3.0, 1.0])[:, None], channel=1)
    assert find_line(later, timing, 20e3).phase == pytest.approx(0.2, abs=1e-6)


def test_a_file_that_no_event_names_is_told_and_no_damage(tmp_path: Path) -> None:
    path = acquire_adjusted(tmp_path, site(adjustments=ONLY_FREQUENCY), what=measurement(1)).path
    (path / "adjustments" / "reference-000007.h5").write_bytes(b"left behind")
    report = verify_run(path)
    assert report.intact
    assert report.notes == ("adjustments/reference-000007.h5: not recorded",)
