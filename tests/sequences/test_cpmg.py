"""The conditions under which spin and stimulated echoes of a train add up (Carr, Purcell, Meiboom, Gill)."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from knightshift.sequences import build, sequence_of

X, Y, Z = 0, 1, 2


@pytest.fixture(scope="module", params=["4 ms", "4.01 ms", "5 ms"])
def train(request, make, limits):
    """Echo spacings on and off twice the gradient raster."""
    return sequence_of(build(make("multi_echo_spin_echo", echo_spacing=request.param), limits).programs[0], limits)


def test_kspace_is_the_same_before_every_refocusing_pulse_of_a_repetition(train, walk):
    path = walk(train)
    before = path.before_refocusing.reshape(-1, 3, 3)  # repetition, refocusing pulse, axis
    np.testing.assert_allclose(before, np.broadcast_to(before[:, :1], before.shape), atol=0.02)
    np.testing.assert_allclose(before[:, :, Z], 0, atol=0.02)  # phase encoding is rewound


def test_refocusing_pulses_sit_half_way_between_echoes(train, walk):
    path = walk(train)
    echoes = path.sample_times[:, 8].reshape(-1, 3)
    starts = np.column_stack([path.excitations, echoes[:, :-1]])
    np.testing.assert_allclose(path.refocusings.reshape(-1, 3), (starts + echoes) / 2, atol=1e-9)


def test_refocusing_is_a_quarter_turn_from_the_excitation(train):
    pulses = [b.rf for b in map(train.get_block, train.block_events) if b.rf is not None]
    refocusing = [p.phase_offset for p in pulses if p.use == "refocusing"]
    np.testing.assert_allclose(refocusing, np.pi / 2, atol=1e-5)
    excitation = {round(p.phase_offset, 4) for p in pulses if p.use == "excitation"}
    assert excitation == {0.0, round(math.pi, 4)}


@pytest.mark.parametrize("kind", ["spin_echo_series", "multi_echo_spin_echo"])
def test_crushers_turn_whole_cycles_on_both_sides_of_each_refocusing_pulse(kind, make, limits, walk):
    depth, cycles = 2.5e-3, 3
    protocol = make(kind, projection_depth=depth, crusher_cycles=cycles)
    for program in build(protocol, limits).programs:
        path = walk(sequence_of(program, limits))
        np.testing.assert_allclose(path.before_refocusing[:, X] * depth, cycles, atol=1e-4)
        np.testing.assert_allclose(path.samples[:, :, X] * depth, 0, atol=2e-4)  # the other side undoes it


def test_gradients_of_a_series_are_the_same_at_every_echo_time(make, limits):
    protocol = make("spin_echo_series", echo_times=["4 ms", "4.006 ms", "9.998 ms", "30 ms"])
    lines = []
    for program in build(protocol, limits).programs:
        text = program.pulseq
        lines.append(text[text.index("[TRAP]") : text.index("# Format of ADC")])
    assert len(set(lines)) == 1


def play(sequence, t1: float, t2: float, n_spins: int = 61) -> np.ndarray:
    """Magnetisation at the middle of each readout, from isochromats along x; pulses as instantaneous rotations.

    Shape ``(readout,)``. Plain rotation matrices, written for this test alone.
    """
    x = (np.arange(n_spins) + 0.5) / n_spins * 4e-3
    transverse, longitudinal = np.zeros(n_spins, complex), np.ones(n_spins)
    signal = []

    def evolve(transverse, longitudinal, duration, area):
        relaxed = transverse * np.exp(-duration / t2) * np.exp(-2j * np.pi * area * x)
        return relaxed, 1 + (longitudinal - 1) * np.exp(-duration / t1)

    for number, duration in sequence.block_durations.items():
        block = sequence.get_block(number)
        area = 0.0 if block.gx is None else block.gx.area
        if block.rf is not None:
            center = block.rf.delay + block.rf.center
            transverse, longitudinal = evolve(transverse, longitudinal, center, 0.0)
            angle = 2 * np.pi * abs(block.rf.signal[0]) * block.rf.shape_dur
            turn = np.exp(1j * block.rf.phase_offset)
            rotating = transverse / turn  # rotate about the pulse's axis
            across = rotating.imag * np.cos(angle) - longitudinal * np.sin(angle)
            longitudinal = rotating.imag * np.sin(angle) + longitudinal * np.cos(angle)
            transverse = (rotating.real + 1j * across) * turn
            transverse, longitudinal = evolve(transverse, longitudinal, duration - center, 0.0)
        elif block.adc is not None:
            echo = block.adc.delay + (block.adc.num_samples / 2 + 0.5) * block.adc.dwell
            transverse, longitudinal = evolve(transverse, longitudinal, echo, 0.0)
            signal.append(transverse.mean())
            transverse, longitudinal = evolve(transverse, longitudinal, duration - echo, 0.0)
        else:
            transverse, longitudinal = evolve(transverse, longitudinal, duration, area)
    return np.array(signal)


def test_trains_have_the_amplitudes_of_three_independent_programs(make, limits, reference_data):
    cases = json.loads(reference_data("cpmg_echoes.json").read_text())["cases"]
    assert cases
    for case in cases:
        protocol = make(
            "multi_echo_spin_echo",
            field_of_view={"y": "100 mm", "z": "100 mm"},
            matrix={"y": 2, "z": 1},
            echo_spacing=case["ESP_s"],
            n_echoes=case["necho"],
            refocusing_flip_angle=f"{case['alpha_deg']} deg",
            excitation_flip_angle=f"{case['exc_deg']} deg",
            crusher_cycles=1,
            phase_cycle=1,
            repetition_time=2.0,
        )
        sequence = sequence_of(build(protocol, limits).programs[0], limits)
        np.testing.assert_allclose(np.abs(play(sequence, case["T1_s"], case["T2_s"])), case["echo"], atol=2e-5)


@pytest.mark.parametrize("flip", [180.0, 140.0, 90.0])
def test_a_single_echo_decays_with_t2_alone_at_any_refocusing_angle(flip, make, limits):
    """E = sin²(α/2)·exp(−TE/T2): the angle costs signal, not truth."""
    times, t2 = (4e-3, 9e-3, 20e-3), 7e-3
    protocol = make(
        "spin_echo_series",
        echo_times=times,
        matrix={"y": 8, "z": 1},
        phase_cycle=1,
        refocusing_flip_angle=f"{flip} deg",
    )
    signal = [abs(play(sequence_of(p, limits), 1e9, t2)[0]) for p in build(protocol, limits).programs]
    expected = math.sin(math.radians(flip) / 2) ** 2 * np.exp(-np.array(times) / t2)
    np.testing.assert_allclose(signal, expected, rtol=1e-4)
