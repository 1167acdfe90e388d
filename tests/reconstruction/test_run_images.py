"""Images of our own runs: place, scale, noise, drift, weights, and equality to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError, InputError
from knightshift.core.program import Encoding
from knightshift.reconstruction.pass_sum import sum_passes
from knightshift.reconstruction.reconstruct import Recipe, images_of_run, reconstruct
from knightshift.reconstruction.spectrum import spectrum_of_run, transform_fid


def kspace_of_point(encoding: Encoding, row: int, column: int) -> np.ndarray:
    """K-space ``exp(-i 2 pi k r)`` of a unit point at a voxel, lines k = (n - N/2)/FOV, shape ``(line, sample)``."""
    _, n_lines, n_read = encoding.matrix
    z, y = (row - n_lines // 2) / n_lines, (column - n_read // 2) / n_read  # in fields of view
    k_z = np.arange(n_lines) - n_lines // 2
    oversampling = encoding.samples / n_read
    k_y = (np.arange(encoding.samples) - encoding.center_sample) / oversampling
    return np.exp(-2j * np.pi * np.add.outer(k_z * z, k_y * y))


def noise(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> np.ndarray:
    return std * (rng.normal(size=shape) + 1j * rng.normal(size=shape))


@pytest.mark.parametrize(("row", "column"), [(4, 4), (6, 1), (0, 7)])
def test_point_object_comes_out_at_its_voxel_and_amplitude(
    synthetic_run: Any, small_encoding: Encoding, tmp_path: Path, row: int, column: int
) -> None:
    kspace = kspace_of_point(small_encoding, row, column)
    series = images_of_run(synthetic_run(small_encoding, {0: kspace, 1: 0.5 * kspace}).write(tmp_path / "run"))
    expected = np.zeros((8, 8))
    expected[row, column] = 1
    np.testing.assert_allclose(series.images[0, 0], expected, atol=1e-6)
    np.testing.assert_allclose(series.images[1, 0], 0.5 * expected, atol=1e-6)
    position = series.geometry.affine @ [0, row, column, 1]
    np.testing.assert_allclose(position[:3], [0, (column - 4) * 100e-6, (row - 4) * 23e-6], atol=1e-12)


def test_zero_filling_interpolates_without_changing_scale_or_place(
    synthetic_run: Any, small_encoding: Encoding, tmp_path: Path
) -> None:
    kspace = kspace_of_point(small_encoding, 6, 1)
    run = synthetic_run(small_encoding, {0: kspace, 1: kspace}).write(tmp_path / "run")
    fine = images_of_run(run, Recipe(zero_fill=2))
    assert fine.images.shape == (2, 1, 16, 16)
    assert fine.images[0, 0, 12, 2] == pytest.approx(1, abs=1e-6)
    coarse = images_of_run(run)
    np.testing.assert_allclose(fine.geometry.affine @ [0, 12, 2, 1], coarse.geometry.affine @ [0, 6, 1, 1], atol=1e-12)


def test_noise_is_that_of_the_mean_of_all_passes(synthetic_run: Any, small_encoding: Encoding, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    encoding = small_encoding.model_copy(update={"phase_cycle": 1})
    n_passes, std = 200, 0.7
    passes = {p: noise(rng, (8, 16), std) for p in range(n_passes)}
    run = synthetic_run(encoding, passes).write(tmp_path / "run")
    for options, window in ((None, 1.0), (Recipe(apodisation="hamming"), None)):
        series = images_of_run(run, options)
        if window is not None:  # mean of n/2 passes an echo, mean over 128 k-space points
            np.testing.assert_allclose(series.noise_std, std / np.sqrt(n_passes / 2 * 8 * 16), rtol=0.05)
        empirical = np.std(np.concatenate([series.images.real.ravel(), series.images.imag.ravel()]))
        assert np.mean(series.noise_std) == pytest.approx(empirical, rel=0.15)


def test_flagged_pass_gets_no_weight(synthetic_run: Any, small_encoding: Encoding, tmp_path: Path) -> None:
    kspace = kspace_of_point(small_encoding, 2, 2)
    good = {0: kspace, 1: kspace}
    plain = images_of_run(synthetic_run(small_encoding, good).write(tmp_path / "plain"))
    spoiled = synthetic_run(small_encoding, {**good, 2: 1e6 * kspace}, flags={2: ("overrange",)}).write(
        tmp_path / "bad"
    )
    series = images_of_run(spoiled)
    np.testing.assert_array_equal(series.images, plain.images)
    assert series.provenance["passes_flagged"] == "2"
    assert any("1 flagged" in sentence for sentence in series.methods)


def test_a_run_of_flagged_passes_only_says_why(synthetic_run: Any, small_encoding: Encoding, tmp_path: Path) -> None:
    kspace = kspace_of_point(small_encoding, 2, 2)
    flags = {0: ("overrange",), 1: ("overrange",)}
    run = synthetic_run(small_encoding, {0: kspace, 1: kspace}, flags=flags).write(tmp_path / "run")
    with pytest.raises(InputError, match=r"all 2 passes are flagged \(overrange\).*receiver gain"):
        images_of_run(run)


def test_order_of_arrival_does_not_change_a_bit(synthetic_run: Any, small_encoding: Encoding, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    point = kspace_of_point(small_encoding, 3, 3)
    passes = {p: point * np.exp(0.01j * p) + noise(rng, (8, 16), 0.3) for p in range(60)}
    shuffled = {p: passes[p] for p in rng.permutation(60).tolist()}
    first = images_of_run(synthetic_run(small_encoding, passes).write(tmp_path / "first"))
    second = images_of_run(synthetic_run(small_encoding, shuffled).write(tmp_path / "second"))
    assert first.images.tobytes() == second.images.tobytes()
    assert first.noise_std.tobytes() == second.noise_std.tobytes()


def test_receiver_gain_is_taken_out(synthetic_run: Any, small_encoding: Encoding, tmp_path: Path) -> None:
    kspace = kspace_of_point(small_encoding, 5, 5)
    passes = {0: kspace, 1: kspace, 2: 10 * kspace, 3: 10 * kspace}
    run = synthetic_run(small_encoding, passes, gains={2: 20.0, 3: 20.0}).write(tmp_path / "run")
    assert images_of_run(run).images[0, 0, 5, 5] == pytest.approx(1, abs=1e-5)


def drifting_passes(
    encoding: Encoding, n_passes: int, phase: float, frequency: float, std: float
) -> dict[int, np.ndarray]:
    """Make passes of an object of 16 voxels whose phase and frequency run linearly, from minus to plus half."""
    rng = np.random.default_rng(3)
    clean = sum(kspace_of_point(encoding, row, column) for row in range(2, 6) for column in range(2, 6))
    t = (np.arange(16) - 8) * encoding.dwell_time
    x = np.linspace(-0.5, 0.5, n_passes)
    return {
        p: clean * np.exp(1j * (phase * x[p] - 2 * np.pi * frequency * x[p] * t)) + noise(rng, (8, 16), std)
        for p in range(n_passes)
    }


def test_drift_buried_in_noise_is_found_and_taken_out(
    synthetic_run: Any, small_encoding: Encoding, tmp_path: Path
) -> None:
    passes = drifting_passes(small_encoding, 400, phase=2.0, frequency=3000.0, std=1.5)
    run = synthetic_run(small_encoding, passes).write(tmp_path / "run")
    summed = sum_passes(run)
    x = np.linspace(-0.5, 0.5, 400)
    assert summed.drift.significant
    assert np.polyfit(x, summed.drift.phases, 1)[0] == pytest.approx(2.0, abs=0.15)
    assert np.polyfit(x, summed.drift.slopes / (-2 * np.pi), 1)[0] == pytest.approx(3000, rel=0.15)
    corrected = np.abs(images_of_run(run).images[:, 0, 2:6, 2:6]).mean()
    smeared = np.abs(images_of_run(run, Recipe(correct_drift=False)).images[:, 0, 2:6, 2:6]).mean()
    assert smeared < 0.9
    assert corrected == pytest.approx(1, abs=0.03)


def test_noise_alone_is_not_mistaken_for_drift(synthetic_run: Any, small_encoding: Encoding, tmp_path: Path) -> None:
    passes = drifting_passes(small_encoding, 200, phase=0.0, frequency=0.0, std=1.5)
    run = synthetic_run(small_encoding, passes).write(tmp_path / "run")
    summed = sum_passes(run)
    assert not summed.drift.significant
    assert "no significant drift" in summed.drift.sentence
    plain = sum_passes(run, correct_drift=False)
    np.testing.assert_array_equal(summed.kspace, plain.kspace)


@pytest.mark.parametrize("n_passes", [60, 90, 120])
def test_a_late_echo_of_noise_alone_turns_no_phase(
    synthetic_run: Any, small_encoding: Encoding, tmp_path: Path, n_passes: int
) -> None:
    """Five echo times stepped pass by pass, the last without signal: its phase is chance, and must not be followed."""
    encoding = small_encoding.model_copy(update={"echo_times": (4e-3, 8e-3, 13e-3, 20e-3, 30e-3), "phase_cycle": 1})
    rng, point = np.random.default_rng(5), kspace_of_point(encoding, 6, 1)
    heights = (4.0, 2.0, 0.8, 0.2, 0.0)
    passes = {p: heights[p % 5] * point + noise(rng, point.shape, 1.0) for p in range(n_passes)}
    summed = sum_passes(synthetic_run(encoding, passes).write(tmp_path / "run"))
    assert not np.any(summed.drift.phases)
    assert not np.any(summed.drift.slopes)


def test_lost_line_and_lying_counter_are_damage(synthetic_run: Any, small_encoding: Encoding, tmp_path: Path) -> None:
    kspace = kspace_of_point(small_encoding, 4, 4)

    def lose_line(counters: Any) -> None:
        counters["kspace_encode_step_1"][:2] = 7

    def lie(counters: Any) -> None:
        counters["kspace_encode_step_1"][3] = 10**6

    for name, spoil, word in (("lost", lose_line, "missing"), ("lie", lie, "1000000")):
        run = synthetic_run(small_encoding, {0: kspace, 1: kspace}, counters=spoil).write(tmp_path / name)
        with pytest.raises(DamagedDataError, match=word):
            images_of_run(run)


def test_interrupted_before_every_echo_was_seen(synthetic_run: Any, small_encoding: Encoding, tmp_path: Path) -> None:
    run = synthetic_run(small_encoding, {0: kspace_of_point(small_encoding, 4, 4)}).write(tmp_path / "run")
    with pytest.raises(InputError, match="8 ms has no good pass"):
        images_of_run(run)


def test_reconstruct_finds_a_run_by_its_content(synthetic_run: Any, small_encoding: Encoding, tmp_path: Path) -> None:
    kspace = kspace_of_point(small_encoding, 4, 4)
    synthetic_run(small_encoding, {0: kspace, 1: kspace}).write(tmp_path / "x")
    series = reconstruct(tmp_path / "x")
    assert series.axes == ("x", "z", "y")
    assert series.nucleus == "23Na"


def spectrum_encoding(n_samples: int, dead_time: float) -> Encoding:
    dwell = 2e-6
    return Encoding(
        kind="spectrum", echo_times=(dead_time,), matrix=(1, 1, 1), field_of_view=(1, 1, 1), axes=("x", "z", "y"),
        samples=n_samples, center_sample=-dead_time / dwell, dwell_time=dwell, repetition_time=0.1,
    )  # fmt: skip


@pytest.mark.parametrize("dead_time", [0.0, 20e-6], ids=["at once", "after 20 us"])
@pytest.mark.parametrize("offset", [0.0, 529.0, -4000.0])
def test_line_appears_at_its_frequency_absorptive(
    synthetic_run: Any, tmp_path: Path, offset: float, dead_time: float
) -> None:
    encoding = spectrum_encoding(2048, dead_time)
    t = dead_time + 2e-6 * np.arange(2048)
    fid = np.exp(0.7j) * np.exp(-2j * np.pi * offset * t - t / 300e-6)
    spectrum = spectrum_of_run(synthetic_run(encoding, {0: fid[np.newaxis]}).write(tmp_path / "run"))
    assert spectrum.frequencies[np.argmax(spectrum.values.real)] == pytest.approx(offset, abs=130)
    assert spectrum.peak_shift == pytest.approx((105.98e6 + offset) / (11.262e6 * 9.4) - 1, abs=1.5e-6)
    assert np.abs(spectrum.values.imag[np.argmax(spectrum.values.real)]) < 0.05 * spectrum.values.real.max()
    near = np.abs(spectrum.frequencies - offset) < 3000
    # what is lost in the dead time lowers the baseline by its share of the decay, and no more
    assert spectrum.values.real[near].min() > -(dead_time / 300e-6 + 0.005) * spectrum.values.real.max()


def test_strong_electrolyte_does_not_hide_the_shift_of_the_metal(synthetic_run: Any, tmp_path: Path) -> None:
    encoding = spectrum_encoding(2048, 0.0)
    t = 2e-6 * np.arange(2048)
    metal, electrolyte = np.exp(0.3j - t / 300e-6), 20 * np.exp(1j + 2j * np.pi * 119.2e3 * t - t / 300e-6)
    spectrum = spectrum_of_run(synthetic_run(encoding, {0: (metal + electrolyte)[np.newaxis]}).write(tmp_path / "run"))
    assert spectrum.peak_shift == pytest.approx(105.98e6 / (11.262e6 * 9.4) - 1, abs=1.5e-6)
    strongest = spectrum.shift[np.argmax(np.abs(spectrum.values))]
    assert strongest == pytest.approx(spectrum.peak_shift - 119.2e3 / (11.262e6 * 9.4), abs=5e-6)


def test_integral_of_the_spectrum_is_the_first_point_of_the_fid() -> None:
    t = 5e-6 * np.arange(4096)
    values, frequencies = transform_fid(np.exp(-2j * np.pi * 300 * t - t / 1e-3), 5e-6, 0.0)
    step = frequencies[1] - frequencies[0]
    assert np.sum(values) * step * 5e-6 == pytest.approx(0.5, rel=1e-6)  # half, by the trapezoid rule
