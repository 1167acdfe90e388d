"""What a protocol file may say, and what is said back when it cannot be."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from knightshift.core.errors import ConfigError
from knightshift.core.yaml_files import as_plain, find_config, shipped_names, validate
from knightshift.sequences import GradientEcho, Protocol, SpinEchoSeries, load_protocol


@pytest.fixture
def written(tmp_path):
    """Write overnight_t2 with some fields changed (None: left out) and return its path."""

    def write(**changes):
        fields = yaml.safe_load(find_config("protocols", "overnight_t2").read_text(encoding="utf-8"))
        fields = {key: value for key, value in {**fields, **changes}.items() if value is not None}
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(fields), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ehco_times": ["4 ms"]}, "ehco_times: unknown key"),
        ({"repetition_time": 0.12}, "0.12 needs a unit: write e.g. '12 ms'"),
        ({"repetition_time": "120"}, "needs a unit"),
        ({"repetition_time": "120 mm"}, "repetition_time"),
        ({"repetition_time": None}, "repetition_time: is missing"),
        ({"echo_times": ["4 ms", 8]}, "needs a unit"),
        ({"field_of_view": {"y": "4.8 mm", "z": 2.208}}, "needs a unit"),
        ({"excitation_flip_angle": 90}, "needs a unit"),
        ({"nucleus": "22Na"}, "unknown nucleus '22Na'"),
        ({"kind": "spin_echo"}, "spin_echo_series"),
        ({"averages": 3}, "either averages or duration, found both"),
        ({"duration": None}, "either averages or duration, found neither"),
        ({"bandwidth": "60 kHz"}, "either dwell_time or bandwidth, found both"),
        ({"dwell_time": None}, "either dwell_time or bandwidth, found neither"),
        ({"matrix": {"x": 48, "z": 96}}, "name the same two"),
        ({"matrix": {"y": 48, "z": 95}}, "matrix 95 along z is odd: use 96, or 1"),
        ({"matrix": {"y": 47, "z": 96}}, "94 samples per readout"),
        ({"matrix": {"y": 48, "z": 0}}, "greater than or equal to 1"),
        ({"readout_axis": "x"}, "readout_axis x is not imaged: choose y or z"),
        ({"echo_times": ["8 ms", "4 ms"]}, "do not ascend"),
        ({"echo_times": ["8 ms", "8 ms"]}, "do not ascend"),
        ({"echo_times": []}, "echo_times"),
        ({"repetition_time": "-1 s"}, "greater than 0"),
        ({"repetition_time": "nan s"}, "finite"),
        ({"dummy_scans": -1}, "greater than or equal to 0"),
        ({"crusher_cycles": 1.5}, "integer"),
        ({"name": "two words"}, "name"),
        ({"name": "../escape"}, "name"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_file_and_remedy(changes, said, written):
    path = written(**changes)
    with pytest.raises(ConfigError) as caught:
        load_protocol(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_echo_train_longer_than_the_repetition_is_refused(make):
    with pytest.raises(ValidationError, match=r"train lasts 80 ms, repetition_time only 60 ms: lower n_echoes"):
        make("multi_echo_spin_echo", n_echoes=20)


def test_quantities_become_si(written):
    protocol = load_protocol(written(nucleus="Na23", field_of_view={"y": "4800 µm", "z": "0.2208 cm"}))
    assert isinstance(protocol, SpinEchoSeries)
    assert protocol.nucleus == "23Na"
    assert protocol.field_of_view == {"y": 4.8e-3, "z": 2.208e-3}
    assert protocol.echo_times == (4e-3, 8e-3, 13e-3, 20e-3, 30e-3)
    assert protocol.duration == 41400.0
    assert protocol.shift == pytest.approx(1126e-6)
    assert (protocol.phase_axis, protocol.slice_axis) == ("z", "x")


def test_a_protocol_cannot_be_changed(make):
    protocol = make("gradient_echo")
    with pytest.raises(ValidationError):
        protocol.echo_time = 1.0


@pytest.mark.parametrize("name", shipped_names("protocols"))
def test_a_protocol_survives_the_manifest(name):
    protocol = load_protocol(name)
    assert validate(Protocol, as_plain(protocol), "manifest") == protocol


def test_unknown_names_list_what_is_shipped():
    with pytest.raises(ConfigError, match="overnight_t2, overnight_t2_train, quick_look, spectrum"):
        load_protocol("over_night")


def test_the_echo_must_come_before_the_next_excitation(make):
    with pytest.raises(ValidationError, match="not shorter than repetition_time"):
        make("gradient_echo", echo_time="60 ms")
    assert isinstance(make("gradient_echo", echo_time="59 ms"), GradientEcho)
