"""Whatever a protocol asks for: it is built right, or refused with a `ProtocolError`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from knightshift.core.errors import ProtocolError
from knightshift.sequences import build, sequence_of

MICRO = 1e-6
HASTE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

fields = st.fixed_dictionaries(
    {
        "field_of_view": st.fixed_dictionaries(
            {"y": st.floats(1e-5, 0.1), "z": st.one_of(st.floats(1e-4, 0.1), st.floats(1e-9, 2))}
        ),
        "matrix": st.fixed_dictionaries({"y": st.sampled_from([2, 4, 6, 16, 64]), "z": st.sampled_from([1, 2, 4, 6])}),
        "dwell_time": st.integers(1, 40).map(lambda n: n * 2 * MICRO),
        "repetition_time": st.integers(1, 20_000).map(lambda n: n * 10 * MICRO),
        "excitation_pulse_length": st.integers(1, 100).map(lambda n: n * 2 * MICRO),
        "projection_depth": st.floats(1e-4, 1e-1),
        "slice_thickness": st.one_of(st.none(), st.floats(1e-4, 1e-2)),
        "spoiler_cycles": st.integers(0, 20),
        "phase_encode_order": st.sampled_from(["linear", "centric", "interleaved"]),
        "phase_cycle": st.sampled_from([1, 2]),
        "dummy_scans": st.integers(0, 2),
    }
)
kinds = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.just("spin_echo_series"),
            "echo_times": st.lists(st.integers(1, 10_000), min_size=1, max_size=3, unique=True).map(
                lambda times: [2 * MICRO * time for time in sorted(times)]
            ),
            "crusher_cycles": st.integers(0, 8),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("multi_echo_spin_echo"),
            "echo_spacing": st.integers(50, 1500).map(lambda n: n * 10 * MICRO),
            "n_echoes": st.integers(1, 4),
            "crusher_cycles": st.integers(0, 8),
        }
    ),
    st.fixed_dictionaries(
        {"kind": st.just("gradient_echo"), "echo_time": st.integers(1, 20_000).map(lambda n: n * MICRO)}
    ),
)


@HASTE
@given(common=fields, family=kinds)
def test_any_protocol_is_built_right_or_refused(common, family, make, limits, walk):
    try:
        protocol = make(**family, **common)
        measurement = build(protocol, limits)
    except (ProtocolError, ValidationError):
        return
    encoding, n_echoes = measurement.encoding, len(measurement.encoding.echo_times) // measurement.encoding.n_steps
    for step, program in enumerate(measurement.programs):
        sequence = sequence_of(program, limits)
        correct, faults = sequence.check_timing()
        assert correct, faults[:3]
        path = walk(sequence)
        excitations = path.excitations[protocol.dummy_scans :]
        middle = encoding.samples // 2
        echoes = path.sample_times[:, middle].reshape(len(excitations), n_echoes) - excitations[:, None]
        expected = encoding.echo_times[step * n_echoes : (step + 1) * n_echoes]
        np.testing.assert_allclose(echoes, np.tile(expected, (len(excitations), 1)), atol=1e-9)
        extent = np.array([encoding.field_of_view[encoding.axes.index(axis)] for axis in "xyz"])
        np.testing.assert_allclose(path.samples[:, middle, 1] * extent[1], 0, atol=2e-3)
        assert sum(sequence.block_durations.values()) == pytest.approx(program.duration)


@HASTE
@given(
    echo_times=st.lists(st.integers(1600, 20_000), min_size=1, max_size=4, unique=True).map(sorted),
    lines=st.sampled_from([1, 2, 8]),
)
def test_every_even_microsecond_is_an_echo_time(echo_times, lines, make, limits, walk):
    times = [2 * MICRO * time for time in echo_times]
    protocol = make("spin_echo_series", echo_times=times, matrix={"y": 8, "z": lines}, phase_cycle=1)
    for time, program in zip(times, build(protocol, limits).programs, strict=True):
        path = walk(sequence_of(program, limits))
        np.testing.assert_allclose(path.sample_times[:, 8] - path.excitations, time, atol=1e-9)
        np.testing.assert_allclose(path.refocusings - path.excitations, time / 2, atol=1e-9)


@given(n_seconds=st.integers(1, 100_000))
@HASTE
def test_a_duration_is_filled_with_whole_cycles(n_seconds, make, limits):
    protocol = make("spin_echo_series", averages=None, duration=float(n_seconds), repetition_time="50 ms")
    cycle = 2 * 8 * 0.05
    assume(n_seconds >= cycle)
    measurement = build(protocol, limits)
    assert measurement.n_passes % 2 == 0
    assert n_seconds - cycle < measurement.duration + 1e-6
    assert measurement.duration <= n_seconds + 1e-6
