"""Where the readouts lie in k-space, and when."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.sequences import build, load_protocol, sequence_of

AXIS = {"x": 0, "y": 1, "z": 2}
IMAGING = ["spin_echo_series", "multi_echo_spin_echo", "gradient_echo"]


@pytest.fixture(params=IMAGING)
def built(request, make, limits):
    return build(make(request.param), limits)


def test_the_centre_of_kspace_is_sampled_at_the_echo_time(built, limits, walk):
    encoding = built.encoding
    for step, program in enumerate(built.programs):
        path = walk(sequence_of(program, limits))
        n_echoes = len(encoding.echo_times) // encoding.n_steps
        middle = int(encoding.center_sample)
        readout = path.samples[:, middle, AXIS[encoding.axes[2]]] * encoding.field_of_view[2]
        np.testing.assert_allclose(readout, 0, atol=1e-3)  # in pixels of k-space
        echoes = path.sample_times[:, middle].reshape(len(path.excitations), n_echoes)
        expected = encoding.echo_times[step * n_echoes : (step + 1) * n_echoes]
        np.testing.assert_allclose(echoes - path.excitations[:, None], np.tile(expected, (len(echoes), 1)), atol=1e-9)


def test_samples_and_lines_lie_on_the_grid(built, limits, walk):
    encoding = built.encoding
    for program in built.programs:
        sequence = sequence_of(program, limits)
        path, labels = walk(sequence), sequence.evaluate_labels(evolution="adc")
        oversampling = encoding.samples / encoding.matrix[2]
        sample = (np.arange(encoding.samples) - encoding.samples / 2) / oversampling
        readout = path.samples[:, :, AXIS[encoding.axes[2]]] * encoding.field_of_view[2]
        np.testing.assert_allclose(readout, np.tile(sample, (len(readout), 1)), atol=2e-3)
        lines = labels["LIN"] - encoding.matrix[1] / 2
        phase = path.samples[:, :, AXIS[encoding.axes[1]]] * encoding.field_of_view[1]
        np.testing.assert_allclose(phase, np.tile(lines[:, None], (1, encoding.samples)), atol=1e-3)
        np.testing.assert_allclose(path.samples[:, :, AXIS[encoding.axes[0]]], 0, atol=0.05)


def test_pypulseq_finds_the_same_trajectory(built, limits, walk):
    for program in built.programs:
        sequence = sequence_of(program, limits)
        theirs, *_, times = sequence.calculate_kspace()
        ours = walk(sequence)
        np.testing.assert_allclose(theirs.T.reshape(ours.samples.shape), ours.samples, atol=0.5)
        np.testing.assert_allclose(times, ours.sample_times.ravel(), atol=1e-9)


@pytest.mark.parametrize(("readout_axis", "phase_axis"), [("x", "y"), ("y", "x"), ("z", "x"), ("z", "y"), ("x", "z")])
def test_any_two_axes_can_be_imaged(readout_axis, phase_axis, make, limits, walk):
    protocol = make(
        "spin_echo_series",
        readout_axis=readout_axis,
        field_of_view={readout_axis: "4.8 mm", phase_axis: "3.2 mm"},
        matrix={readout_axis: 8, phase_axis: 4},
    )
    measurement = build(protocol, limits)
    assert measurement.encoding.axes[1:] == (phase_axis, readout_axis)
    assert measurement.encoding.matrix == (1, 4, 8)
    k = walk(sequence_of(measurement.programs[0], limits)).samples
    assert np.ptp(k[0, :, AXIS[readout_axis]]) == pytest.approx(7.5 / 4.8e-3, rel=1e-4)
    assert np.ptp(k[:, 0, AXIS[phase_axis]]) == pytest.approx(3 / 3.2e-3, rel=1e-4)


@pytest.mark.parametrize(
    ("order", "lines"),
    [("linear", [0, 1, 2, 3, 4, 5]), ("centric", [3, 2, 4, 1, 5, 0]), ("interleaved", [0, 2, 4, 1, 3, 5])],
)
def test_lines_are_taken_in_the_order_asked_for(order, lines, make, limits):
    protocol = make("gradient_echo", phase_encode_order=order, matrix={"y": 8, "z": 6}, phase_cycle=1)
    (program,) = build(protocol, limits).programs
    labels = sequence_of(program, limits).evaluate_labels(evolution="adc")
    assert list(labels["LIN"]) == lines


def test_labels_count_lines_echoes_and_phase_cycle(make, limits):
    (program,) = build(make("multi_echo_spin_echo", dummy_scans=3), limits).programs
    labels = sequence_of(program, limits).evaluate_labels(evolution="adc")
    grid = [(line, step, echo) for line in range(4) for step in range(2) for echo in range(3)]
    assert list(zip(labels["LIN"], labels["SET"], labels["ECO"], strict=True)) == grid
    assert program.n_readouts == len(grid)
    assert {label: set(labels[label]) for label in ("PAR", "SLC", "AVG")} == {"PAR": {0}, "SLC": {0}, "AVG": {0}}


def test_the_echo_label_of_a_series_is_its_step(limits):
    measurement = build(load_protocol("quick_look"), limits)
    for step, program in enumerate(measurement.programs):
        labels = sequence_of(program, limits).evaluate_labels(evolution="adc")
        assert set(labels["ECO"]) == {step}


def test_one_line_means_no_phase_encoding(make, limits, walk):
    protocol = make("multi_echo_spin_echo", matrix={"y": 8, "z": 1})
    measurement = build(protocol, limits)
    path = walk(sequence_of(measurement.programs[0], limits))
    assert np.all(path.samples[:, :, AXIS["z"]] == 0)
    assert measurement.programs[0].n_readouts == 3 * 2


def test_receiver_follows_the_excitation(make, limits):
    (program,) = build(make("gradient_echo", phase_cycle=2), limits).programs
    sequence = sequence_of(program, limits)
    blocks = [sequence.get_block(number) for number in sequence.block_events]
    pulses = [block.rf.phase_offset for block in blocks if block.rf is not None]
    windows = [block.adc.phase_offset for block in blocks if block.adc is not None]
    np.testing.assert_allclose(pulses, windows)
    np.testing.assert_allclose(pulses[:2], [0, np.pi], atol=1e-5)


def test_a_slice_off_centre_is_selected_by_frequency_and_rephased(make, limits, walk):
    protocol = make("gradient_echo", slice_thickness="2 mm", slice_position="-1.5 mm", excitation_pulse_length="400 us")
    measurement = build(protocol, limits)
    sequence = sequence_of(measurement.programs[0], limits)
    block = next(b for b in map(sequence.get_block, sequence.block_events) if b.rf is not None)
    assert block.rf.freq_offset == pytest.approx(block.gx.amplitude * -1.5e-3, rel=1e-5)
    assert 4 / 400e-6 / block.gx.amplitude == pytest.approx(2e-3, rel=1e-5)
    np.testing.assert_allclose(walk(sequence).samples[:, :, AXIS["x"]], 0, atol=0.02)
    phase = block.rf.phase_offset + 2 * np.pi * block.rf.freq_offset * block.rf.center
    assert np.angle(np.exp(1j * phase)) == pytest.approx(0, abs=1e-4)
    assert measurement.encoding.field_of_view[0] == pytest.approx(2e-3)
