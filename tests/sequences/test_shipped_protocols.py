"""The protocols that come with knightshift."""

from __future__ import annotations

import hashlib
import re

import pytest

from knightshift.core.errors import ProtocolError, StorageError
from knightshift.core.yaml_files import find_config, shipped_names
from knightshift.sequences import build, export_seq, load_protocol, sequence_of


@pytest.fixture(scope="module", params=shipped_names("protocols"))
def measurement(request, limits):
    return build(load_protocol(request.param), limits)


def test_the_five_promised_are_shipped():
    assert set(shipped_names("protocols")) >= {
        "overnight_t2", "overnight_t2_train", "quick_look", "gradient_echo", "spectrum",
    }  # fmt: skip


def test_pulseq_finds_no_fault_in_the_timing_after_reading_back(measurement, limits):
    for program in measurement.programs:
        sequence = sequence_of(program, limits)
        correct, faults = sequence.check_timing()
        assert correct, faults[:3]
        assert sum(sequence.block_durations.values()) == pytest.approx(program.duration, abs=1e-9)


def test_two_builds_are_equal_to_the_byte(measurement, limits):
    again = build(load_protocol(measurement.protocol["name"]), limits)
    assert [p.pulseq for p in again.programs] == [p.pulseq for p in measurement.programs]
    assert again == measurement


def test_what_pulseq_does_not_carry_is_in_the_definitions(measurement, limits):
    for program in measurement.programs:
        stated = sequence_of(program, limits).definitions
        assert stated["Nucleus"] == "23Na"
        assert stated["Gamma"] == program.gyromagnetic_ratio == 11.262e6
        assert stated["B0"] == program.b0 == limits.b0
        assert stated["WorkingFrequency"] == program.working_frequency
        assert str(stated["Name"]).startswith(measurement.protocol["name"])


def test_the_working_frequency_is_that_of_the_metal(measurement):
    larmor = 11.262e6 * 9.3982
    assert measurement.programs[0].working_frequency - larmor == pytest.approx(1126e-6 * larmor)
    assert measurement.programs[0].working_frequency == pytest.approx(105.9617e6, abs=100)


def test_every_pulse_states_its_use(measurement, limits):
    for program in measurement.programs:
        uses = set(sequence_of(program, limits).rf_library.type.values())
        assert uses <= {"e", "r"}
        assert "e" in uses


def test_the_signature_is_that_of_the_text(measurement):
    for program in measurement.programs:
        body, _, signature = program.pulseq.partition("\n[SIGNATURE]")
        assert hashlib.md5(body.encode()).hexdigest() in signature  # the Pulseq standard says MD5


def test_counts_agree_with_the_text(measurement, limits):
    for program in measurement.programs:
        windows = sequence_of(program, limits).evaluate_labels(evolution="adc")
        assert len(windows["LIN"]) == program.n_readouts
        assert program.samples == measurement.encoding.samples


def test_every_field_says_why():
    for name in shipped_names("protocols"):
        text = find_config("protocols", name).read_text(encoding="utf-8")
        fields = re.findall(r"^[a-z_]+: .*$", text, flags=re.MULTILINE)
        assert set(load_protocol(name).model_fields_set) == {field.partition(":")[0] for field in fields}
        assert [field for field in fields if " # " not in field] == [], name


def test_overnight_t2_fills_the_night(limits):
    measurement = build(load_protocol("overnight_t2"), limits)
    assert measurement.n_passes == 1725  # 2026-11: 11.5 h of 24 s passes, 345 of each echo time
    assert measurement.duration == pytest.approx(41400.0, abs=1e-6)
    assert [p.duration for p in measurement.programs] == [24.0] * 5
    encoding = measurement.encoding
    assert encoding.field_of_view[1] / encoding.matrix[1] == pytest.approx(23e-6)
    assert 1 / (encoding.samples * encoding.dwell_time) > 1000  # 5 ppm are 529 Hz: less than a pixel


def test_the_train_makes_the_same_image(limits):
    series, train = (build(load_protocol(name), limits) for name in ("overnight_t2", "overnight_t2_train"))
    for field in ("matrix", "field_of_view", "axes", "samples", "dwell_time"):
        assert getattr(series.encoding, field) == getattr(train.encoding, field)
    assert train.encoding.echo_times == (6e-3, 12e-3, 18e-3, 24e-3, 30e-3)
    assert (train.n_passes, train.duration) == (1725, pytest.approx(41400.0))


def test_a_quick_look_takes_minutes(limits):
    assert build(load_protocol("quick_look"), limits).duration <= 300


def test_the_spectrum_holds_metal_and_electrolyte(limits):
    encoding = build(load_protocol("spectrum"), limits).encoding
    assert encoding.kind == "spectrum"
    assert 1 / encoding.dwell_time / 2 > 119.2e3
    # from the middle of a 10 us pulse: 5 us, ring-down 30 us, receiver 10 us, half a dwell, and the raster
    assert encoding.echo_times[0] == pytest.approx(51e-6, abs=10e-6)
    assert encoding.center_sample == pytest.approx(-encoding.echo_times[0] / encoding.dwell_time)


def test_export_writes_the_text_and_does_not_overwrite_unasked(tmp_path, limits):
    measurement = build(load_protocol("quick_look"), limits)
    path = export_seq(measurement, tmp_path / "step.seq", step=2)
    assert path.read_text() == measurement.programs[2].pulseq
    with pytest.raises(ProtocolError, match="exists already"):
        export_seq(measurement, path)
    export_seq(measurement, path, step=0, overwrite=True)
    assert path.read_text() == measurement.programs[0].pulseq
    with pytest.raises(ProtocolError, match="steps 0 to 2"):
        export_seq(measurement, tmp_path / "other.seq", step=3)
    with pytest.raises(StorageError, match="cannot be written"):
        export_seq(measurement, tmp_path / "nowhere" / "step.seq")
