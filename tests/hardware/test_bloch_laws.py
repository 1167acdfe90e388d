"""The simulated scanner against closed forms and reference numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pypulseq as pp
import pytest
from scipy.optimize import curve_fit


def cpmg(bench: Any, spacing: float, excitation: float, refocusing: float, n_echoes: int, crusher: float = 1e3) -> Any:
    """A CPMG train with `crusher` [1/m] on x in each half spacing, one sample on each echo centre."""
    half, pulse, dwell = spacing / 2, 20e-6, 20e-6
    sequence = bench.sequence()
    sequence.add_block(bench.hard(excitation, 0, "excitation"))
    before = half - pulse  # from the end of one pulse to the start of the next, in the first half spacing
    sequence.add_block(bench.lobe("x", crusher, round(before, 7)))
    for _ in range(n_echoes):
        sequence.add_block(bench.hard(refocusing, 90, "refocusing"))
        sequence.add_block(bench.lobe("x", crusher, round(half - pulse / 2 - dwell / 2, 7)))
        sequence.add_block(bench.adc(1, dwell))
        sequence.add_block(bench.lobe("x", crusher, round(half - pulse / 2 - dwell / 2, 7)))
    return sequence


def test_cpmg_amplitudes_are_those_of_three_independent_programs(bench, cube, reference_data) -> None:
    cases = json.loads(reference_data("cpmg_echoes.json").read_text())["cases"]
    assert len(cases) >= 20
    for case in cases:
        train = cpmg(bench, case["ESP_s"], case["exc_deg"], case["alpha_deg"], case["necho"])
        signal = np.abs(bench.play(train, cube(t1=case["T1_s"], t2=case["T2_s"])))[:, 0]
        np.testing.assert_allclose(signal, case["echo"], atol=2e-4, err_msg=str(case))


@pytest.mark.parametrize("alpha", [60.0, 90.0, 120.0, 150.0, 180.0])
def test_first_two_echoes_obey_their_closed_forms(bench, cube, alpha) -> None:
    t1, t2, spacing = 17e-3, 7e-3, 4e-3
    first, second = np.abs(bench.play(cpmg(bench, spacing, 90, alpha, 2), cube(t1=t1, t2=t2)))[:, 0]
    a = np.deg2rad(alpha)
    e1 = np.sin(a / 2) ** 2 * np.exp(-spacing / t2)
    e2 = np.sin(a / 2) ** 4 * np.exp(-2 * spacing / t2) + 0.5 * np.sin(a) ** 2 * np.exp(-spacing / t2 - spacing / t1)
    np.testing.assert_allclose([first, second], [e1, e2], atol=1e-4)


@pytest.mark.parametrize("repetition_time", [20e-3, 60e-3, 120e-3])
def test_spin_echo_reaches_its_steady_state(bench, cube, repetition_time) -> None:
    t1, t2, echo_time = 17.1e-3, 7e-3, 8e-3
    sequence = bench.sequence()
    for _ in range(8):
        half = echo_time / 2
        sequence.add_block(bench.hard(90, 0, "excitation"))
        sequence.add_block(bench.lobe("x", 1e3, round(half - 20e-6, 7)))
        sequence.add_block(bench.hard(180, 90, "refocusing"))
        sequence.add_block(bench.lobe("x", 1e3, round(half - 20e-6, 7)))
        sequence.add_block(bench.adc(1, 20e-6))
        sequence.add_block(bench.lobe("x", 2e3, round(repetition_time - echo_time - 20e-6, 7)))
    signal = np.abs(bench.play(sequence, cube(t1=t1, t2=t2)))[-1, 0]
    steady = 1 - 2 * np.exp(-(repetition_time - echo_time / 2) / t1) + np.exp(-repetition_time / t1)
    assert signal == pytest.approx(np.exp(-echo_time / t2) * steady, abs=2e-4)


@pytest.mark.parametrize(
    ("duration", "expected"), [(10e-6, 0.257), (20e-6, 0.197), (50e-6, 0.009), (100e-6, 0.010), (200e-6, 0.010)]
)
def test_a_hard_pulse_excites_what_lies_119_khz_away_as_little_as_it_does(bench, cube, duration, expected) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation", duration))
    sequence.add_block(bench.adc(10, 1e-7))
    signal = bench.play(sequence, cube(shift=0.0), shift=119.2e3 / (11.262e6 * 9.3982))
    assert np.abs(signal[0, 0]) == pytest.approx(expected, abs=1e-3)


def test_the_electrolyte_comes_out_of_the_receiver_as_weak_as_its_filter_makes_it(bench, cube) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation", 10e-6))
    sequence.add_block(bench.adc(64, 8e-6))
    signal = bench.play(sequence, cube(shift=0.0), shift=119.2e3 / (11.262e6 * 9.3982))
    expected = 0.257 / (119.2e3 / 62.5e3) ** 16  # far beyond the corner a Butterworth filter falls with its order
    np.testing.assert_allclose(np.abs(signal), expected, rtol=0.05)


def test_the_filter_leaves_its_pass_band_alone(bench, cube) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation"))
    sequence.add_block(bench.adc(64, 8e-6))
    signal = bench.play(sequence, cube(shift=300e-6 + 1e-4), shift=300e-6)
    assert np.abs(signal[0, 0]) == pytest.approx(np.abs(bench.play(sequence, cube())[0, 0]), rel=0.15)
    np.testing.assert_allclose(np.abs(signal[0]), np.abs(signal[0, 0]), rtol=2e-3)


def slab(cube: Any, **changes: Any) -> Any:
    """A thick metal plate, 1 mm² of face on either side, δ = 10.8 µm."""
    box = {"kind": "box", "center_y": 0.0, "center_z": 0.0, "size_y": 1e-3, "size_z": 1e-3}
    return cube(shape=box, metal={"skin_depth": 10.8e-6}, **changes)


FINE = {"isochromats": {"depth_nodes": 32, "depth": 9.0}}


def test_fid_of_a_skin_limited_slab_is_0_431_of_that_in_a_uniform_field(bench, cube) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation"))
    sequence.add_block(bench.adc(10, 1e-7))
    uniform = 2 * 10.8e-3  # [mm³] of two faces, one skin depth deep
    fine = np.abs(bench.play(sequence, slab(cube), **FINE)[0, 0])
    shipped = np.abs(bench.play(sequence, slab(cube))[0, 0])
    assert fine / uniform == pytest.approx(0.431, abs=1e-3)
    assert shipped / uniform == pytest.approx(0.431, abs=0.01)


def fitted_t2(times: np.ndarray, signal: np.ndarray) -> float:
    """T2 of a mono-exponential fit by least squares [s]."""
    (_, t2), _ = curve_fit(lambda t, s0, t2: s0 * np.exp(-t / t2), times, signal, p0=(2 * signal[0], 10e-3))
    return float(t2)


@pytest.mark.parametrize(("t2", "seen_by_train"), [(7e-3, 8.8e-3), (16e-3, 17.8e-3)])
def test_separate_spin_echoes_give_the_true_t2_of_a_skin_limited_slab_and_a_train_does_not(
    bench, cube, t2, seen_by_train
) -> None:
    times = 6e-3 * np.arange(1, 6)
    phantom = slab(cube, t1=17.1e-3, t2=t2)
    separate = [np.abs(bench.play(cpmg(bench, te, 90, 180, 1, 2e3), phantom)[0, 0]) for te in times]
    train = np.abs(bench.play(cpmg(bench, 6e-3, 90, 180, 5), phantom, **FINE))[:, 0]
    assert fitted_t2(times, np.array(separate)) == pytest.approx(t2, rel=2e-3)
    assert fitted_t2(times, train) == pytest.approx(seen_by_train, rel=0.01)


def test_a_lorentzian_distribution_of_frequencies_decays_with_t2_prime(bench, cube) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation"))
    sequence.add_block(bench.adc(100, 40e-6))
    signal = bench.play(sequence, cube(t2=10.0, t1=10.0, t2_prime=4e-3, spacing=50e-6))
    times = (np.arange(100) + 0.5) * 40e-6 + 10e-6
    np.testing.assert_allclose(np.abs(signal[0]), np.exp(-times / 4e-3), atol=0.01)


def test_t2_prime_is_refocused_by_a_spin_echo(bench, cube) -> None:
    plain = bench.play(cpmg(bench, 8e-3, 90, 180, 1), cube(t1=17e-3, t2=7e-3))
    spread = bench.play(cpmg(bench, 8e-3, 90, 180, 1), cube(t1=17e-3, t2=7e-3, t2_prime=2e-3))
    assert abs(spread[0, 0]) == pytest.approx(abs(plain[0, 0]), rel=3e-3)


@pytest.mark.parametrize(("z0", "selected"), [(0.5e-3, 1.0), (-0.5e-3, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_slice_pulse_with_positive_offset_selects_the_positive_side(bench, cube, axis, z0, selected) -> None:
    pulse, slice_gradient, _ = pp.make_sinc_pulse(
        np.pi / 2, duration=2e-3, slice_thickness=0.2e-3, time_bw_product=4, system=bench.system, return_gz=True,
        use="excitation", delay=0.0,
    )  # fmt: skip
    slice_gradient.channel = axis
    pulse.freq_offset = slice_gradient.amplitude * 0.5e-3
    sequence = bench.sequence()
    sequence.add_block(pulse, slice_gradient)
    sequence.add_block(bench.lobe(axis, -slice_gradient.area / 2, 1e-3))
    sequence.add_block(bench.adc(10, 1e-7))
    box = {"kind": "box", "center_y": 0.0, "center_z": 0.0, "size_y": 1e-6, "size_z": 1e-6}
    place = {"center_x": z0} if axis == "x" else {"shape": box | {f"center_{axis}": z0}}
    thin = cube(**({"shape": box} | place), thickness=1e-6, t1=10.0, t2=10.0)
    signal = abs(bench.play(sequence, thin)[0, 0]) / 1e-9
    assert signal == pytest.approx(selected, abs=0.08)


def turn(axis: Any, angle: float) -> np.ndarray:
    """Right-handed rotation matrix (Rodrigues)."""
    n = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -n[2], n[1]], [n[2], 0, -n[0]], [-n[1], n[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@pytest.mark.parametrize("offset", [0.0, 180.0, -730.0])
@pytest.mark.parametrize("phase", [0.0, 90.0, 37.0])
def test_an_uncrushed_140_degree_echo_agrees_with_hand_multiplied_rotations(bench, cube, offset, phase) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation"))
    sequence.add_block(bench.pause(1e-3))
    sequence.add_block(bench.hard(140, phase, "refocusing"))
    sequence.add_block(bench.pause(0.5e-3))
    sequence.add_block(bench.adc(10, 1e-7))
    shift = offset / (11.262e6 * 9.3982)
    signal = bench.play(sequence, cube(shift=shift, t1=1e3, t2=1e3))[0, 0]

    def pulse(flip: float, phi: float) -> np.ndarray:
        nutation = flip / 20e-6
        field = [nutation * np.cos(phi), nutation * np.sin(phi), 2 * np.pi * offset]
        return turn(field, np.linalg.norm(field) * 20e-6)

    def free(duration: float) -> np.ndarray:
        return turn([0, 0, 1], 2 * np.pi * offset * duration)

    magnetisation = free(0.5e-3 + 5e-8) @ pulse(np.deg2rad(140), np.deg2rad(phase)) @ free(1e-3)
    magnetisation = magnetisation @ pulse(np.pi / 2, 0) @ [0, 0, 1]
    expected = complex(magnetisation[0], -magnetisation[1])  # the laboratory sees the mirror image
    assert signal == pytest.approx(expected, abs=2e-5)  # Pulseq writes six digits


def test_a_positive_offset_turns_like_a_positive_position_under_a_positive_gradient(bench, cube) -> None:
    by_offset, by_gradient = bench.sequence(), bench.sequence()
    offset, z0 = 400.0, 2e-3
    lobe = pp.make_trapezoid("z", amplitude=offset / z0, flat_time=1e-3, rise_time=1e-5, system=bench.system)
    for sequence, events in ((by_offset, [bench.pause(1.01e-3)]), (by_gradient, [lobe])):
        sequence.add_block(bench.hard(90, 0, "excitation"))
        sequence.add_block(*events)
        sequence.add_block(bench.adc(10, 1e-7))
    box = {"kind": "box", "center_y": 0.0, "center_z": z0, "size_y": 1e-6, "size_z": 1e-6}
    shifted = bench.play(by_offset, cube(shift=offset / (11.262e6 * 9.3982)))[0, 0]
    placed = bench.play(by_gradient, cube(shape=box))[0, 0]
    rest = bench.play(by_offset, cube())[0, 0]
    assert np.angle(placed / rest) == pytest.approx(-2 * np.pi * 0.404, abs=1e-3)
    assert np.angle(shifted / rest) == pytest.approx(np.angle(placed / rest), abs=0.05)


def test_a_point_comes_out_at_its_own_pixel(bench, cube) -> None:
    n, voxel = 16, 200e-6
    y0, z0 = 3 * voxel, 5 * voxel
    box = {"kind": "box", "center_y": y0, "center_z": z0, "size_y": 1e-6, "size_z": 1e-6}
    read = pp.make_trapezoid("y", flat_area=1 / voxel, flat_time=n * 40e-6, rise_time=200e-6, system=bench.system)
    sequence = bench.sequence()
    for line in range(n):
        sequence.add_block(bench.hard(90, 0, "excitation"))
        encode = bench.lobe("z", (line - n // 2) / (n * voxel), 1e-3)
        k_at_center = (n // 2 + 0.5) / (n * voxel)
        sequence.add_block(encode, bench.lobe("y", -(k_at_center + read.amplitude * 200e-6 / 2), 1e-3))
        sequence.add_block(read, bench.adc(n, 40e-6, delay=200e-6))
        sequence.add_block(bench.pause(0.1))
    kspace = bench.play(sequence, cube(shape=box, t1=10e-3, t2=15e-3))
    image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace)))
    peak = np.unravel_index(np.argmax(np.abs(image)), image.shape)
    assert peak == (n // 2 + 5, n // 2 + 3)
    assert np.abs(image[peak]) > 20 * np.median(np.abs(image))


def test_receiver_phase_follows_transmitter_phase(bench, cube) -> None:
    sequence = bench.sequence()
    for phase in (0.0, 180.0, 77.0):
        sequence.add_block(bench.hard(90, phase, "excitation"))
        sequence.add_block(bench.adc(1, phase_offset=np.deg2rad(phase)))
        sequence.add_block(bench.lobe("x", 4e3, 50e-3))
        sequence.add_block(bench.pause(1.0))
    signal = bench.play(sequence, cube(t1=10e-3, t2=10e-3))
    np.testing.assert_allclose(signal, signal[0, 0], atol=1e-5)


def test_a_tuned_receiver_stops_the_turning_of_an_offset(bench, cube) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation"))
    sequence.add_block(bench.adc(32, 20e-6, freq_offset=2e3))
    signal = bench.play(sequence, cube(shift=2e3 / (11.262e6 * 9.3982), t2=10.0, t1=10.0))[0]
    np.testing.assert_allclose(signal, signal[0], rtol=1e-3)
