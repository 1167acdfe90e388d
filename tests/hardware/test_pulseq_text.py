"""Our reader of Pulseq against what pypulseq wrote."""

from __future__ import annotations

import numpy as np
import pypulseq as pp
import pytest

from knightshift.core.errors import ProtocolError
from knightshift.hardware.pulseq_text import read_pulseq
from knightshift.hardware.simulated.timeline import build_timeline


@pytest.fixture
def rich_sequence(bench):
    """One of everything."""
    pulse, slice_gradient, _ = pp.make_sinc_pulse(
        np.pi / 3, duration=1e-3, slice_thickness=1e-3, system=bench.system, return_gz=True, use="excitation",
        freq_offset=321.0, phase_offset=0.4, delay=0.0,
    )  # fmt: skip
    sequence = bench.sequence()
    sequence.add_block(pulse, slice_gradient, pp.make_label(type="SET", label="LIN", value=4))
    wave = 1e5 * np.sin(np.linspace(0, np.pi, 60)) ** 2
    sequence.add_block(pp.make_arbitrary_grad("y", wave, system=bench.system, first=0, last=0))
    corners = pp.make_extended_trapezoid(
        "z", times=np.array([0, 1e-4, 3e-4]), amplitudes=np.array([0, 1e5, 0]), system=bench.system
    )
    sequence.add_block(corners)
    sequence.add_block(bench.adc(32, 1e-5, phase_offset=0.2), pp.make_label(type="INC", label="LIN", value=-1))
    return sequence, pulse, slice_gradient, wave


def test_events_are_read_as_they_were_written(bench, rich_sequence) -> None:
    sequence, pulse, slice_gradient, wave = rich_sequence
    tables = read_pulseq(bench.program(sequence).pulseq, 105e6)
    event = tables.rf[tables.blocks[0].rf]
    centres = 0.5 * (event.step_times[1:] + event.step_times[:-1])
    nearest = np.searchsorted(event.step_times, pulse.t, side="right") - 1
    np.testing.assert_allclose(event.envelope[nearest], pulse.signal, atol=1e-4 * np.abs(pulse.signal).max())
    assert centres.size <= pulse.t.size
    assert event.flip_angle == pytest.approx(np.pi / 3, rel=1e-4)
    assert (event.frequency, event.phase, event.use) == (321.0, 0.4, "e")
    across, shaped, straight = (
        next(tables.gradients[index] for index in block.gradients if index) for block in tables.blocks[:3]
    )
    assert across.moment(1.0) == pytest.approx(slice_gradient.area, rel=1e-5)
    assert shaped.moment(1.0) == pytest.approx(wave.sum() * 1e-5, rel=1e-3)
    assert straight.moment(1.0) == pytest.approx(1e5 * 1.5e-4, rel=1e-5)
    assert straight.moment(1e-4) == pytest.approx(1e5 * 0.5e-4, rel=1e-5)
    window = tables.adc[tables.blocks[3].adc]
    assert (window.samples, window.dwell_time, window.phase) == (32, pytest.approx(1e-5), 0.2)
    assert build_timeline(tables).counters["kspace_encode_step_1"].tolist() == [3]


def test_an_older_file_plays_the_same(bench, cube, tmp_path) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(70, 30, "excitation"))
    sequence.add_block(bench.lobe("x", 500.0, 1e-3))
    sequence.add_block(bench.adc(8, phase_offset=0.3))
    modern = bench.program(sequence).pulseq
    lines, section = [], ""
    for line in modern.splitlines():
        words = line.split()
        section = line if line.startswith("[") else section
        if line.startswith("minor"):
            words = ["minor", "4"]
        elif section == "[RF]" and len(words) == 12:
            words = [*words[:5], words[6], words[9], words[10]]
        elif section == "[ADC]" and len(words) == 9:
            words = [*words[:4], words[6], words[7]]
        lines.append(" ".join(words))
    new, old = read_pulseq(modern, 105e6), read_pulseq("\n".join(lines), 105e6)
    assert new.adc == old.adc
    assert new.rf[1].center == pytest.approx(old.rf[1].center)
    assert (new.rf[1].phase, new.rf[1].delay) == (old.rf[1].phase, old.rf[1].delay)
    np.testing.assert_array_equal(new.rf[1].envelope, old.rf[1].envelope)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("minor 5", "minor 9", "1.9"),
        ("extension LABELSET", "extension RF_SHIMS", "RF_SHIMS"),
        ("num_samples 1000", "num_samples 999", "999"),
        ("[ADC]", "[ACD]", "ADC"),
        ("[SHAPES]", "[SHAPE]", "damaged"),
    ],
)
def test_what_is_not_understood_is_refused(bench, rich_sequence, old, new, told) -> None:
    text = bench.program(rich_sequence[0]).pulseq
    assert old in text
    with pytest.raises(ProtocolError, match=told):
        read_pulseq(text.replace(old, new, 1), 105e6)


def test_a_sequence_without_a_window_is_refused(bench) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation"))
    with pytest.raises(ProtocolError, match="nothing to receive"):
        build_timeline(read_pulseq(bench.program(sequence).pulseq, 105e6))
