"""What the scanner cannot do is refused before any RF, with numbers and a remedy that works."""

from __future__ import annotations

import re

import pytest

from knightshift.core.errors import ConfigError, LimitError, ProtocolError
from knightshift.core.nuclei import nucleus_named
from knightshift.core.program import PassProgram
from knightshift.sequences import build, load_protocol, sequence_of, system_of

MS = r"([0-9.]+) ms"


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("spin_echo_series", "echo_times", "0.6 ms"),
        ("spin_echo_series", "echo_times", "0.002 ms"),
        ("multi_echo_spin_echo", "echo_spacing", "1 ms"),
        ("multi_echo_spin_echo", "echo_spacing", "1.01 ms"),
        ("gradient_echo", "echo_time", "0.5 ms"),
        ("gradient_echo", "echo_time", "0.501 ms"),
    ],
)
def test_a_short_echo_time_names_the_shortest_that_works(kind, field, value, make, limits):
    def build_with(time):
        return build(make(kind, **{field: [time] if field == "echo_times" else time}), limits)

    with pytest.raises(ProtocolError, match="is too short") as caught:
        build_with(value)
    least = float(re.search(f"need(?:s)? {MS}", str(caught.value)).group(1))
    assert build_with(f"{least} ms").encoding.echo_times[0] == pytest.approx(least * 1e-3)
    with pytest.raises(ProtocolError, match="is too short"):
        build_with(f"{least - 0.02:.6f} ms")


def test_overnight_t2_has_room_below_its_first_echo_time(limits):
    protocol = load_protocol("overnight_t2").model_copy(update={"echo_times": (1e-3,)})
    with pytest.raises(ProtocolError, match=r"need 3\.3 ms"):  # 2026-11: encoding 1.44, pulses 0.21 ms before 180 deg
        build(protocol, limits)


def test_too_strong_a_readout_names_a_dwell_time_and_a_field_of_view_that_work(make, limits):
    with pytest.raises(LimitError, match=r"the limit is 1\.5 T/m") as caught:
        build(make("gradient_echo", dwell_time="2 us"), limits)
    message = str(caught.value)
    assert "4.625 T/m" in message  # 1 / (11.262 MHz/T x 2 x 4.8 mm x 2 us)
    dwell = re.search(r"lengthen dwell_time to ([0-9.]+ us)", message).group(1)
    build(make("gradient_echo", dwell_time=dwell), limits)
    length = re.search(r"raise field_of_view to ([0-9.]+) mm", message).group(1)
    build(make("gradient_echo", dwell_time="2 us", field_of_view={"y": f"{length} mm", "z": "3.2 mm"}), limits)


def test_too_strong_a_pulse_names_a_length_that_works(make, limits):
    with pytest.raises(LimitError, match=r"needs an RF amplitude of 62.5 kHz, the limit .* is 30 kHz") as caught:
        build(make("spin_echo_series", refocusing_pulse_length="8 us"), limits)
    length = re.search(r"lengthen refocusing_pulse_length to ([0-9.]+ us)", str(caught.value)).group(1)
    build(make("spin_echo_series", refocusing_pulse_length=length), limits)


def test_too_thin_a_slice_is_refused(make, limits):
    with pytest.raises(LimitError, match=r"needs 3\.552 T/m, the limit is 1\.5 T/m"):  # 4 / 1 ms / 0.1 mm / gamma
        build(make("gradient_echo", slice_thickness="0.1 mm", excitation_pulse_length="1 ms"), limits)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("dwell_time", "7 us", "use 0.006 ms or 0.008 ms"),
        ("excitation_pulse_length", "51 us", "use 0.05 ms or 0.052 ms"),
        ("repetition_time", "60.004 ms", "use 60 ms or 60.01 ms"),
        ("echo_spacing", "4.004 ms", "use 4 ms or 4.01 ms"),
    ],
)
def test_times_off_the_raster_name_both_neighbours(field, value, said, make, limits):
    with pytest.raises(ProtocolError, match=said):
        build(make("multi_echo_spin_echo", **{field: value}), limits)


def test_a_short_repetition_is_refused(make, limits):
    with pytest.raises(ProtocolError, match=r"repetition_time 9.1 ms is too short: .* raise repetition_time"):
        build(make("spin_echo_series", repetition_time="9.1 ms"), limits)


def test_a_duration_below_one_cycle_is_refused(make, limits):
    with pytest.raises(ProtocolError, match=r"duration 0.9 s is too short: .* 2 steps takes 0.96 s"):
        build(make("spin_echo_series", averages=None, duration="0.9 s"), limits)


def test_gradients_that_work_too_hard_are_refused(make, limits):
    weak = limits.model_copy(update={"max_gradient_duty": 0.01})
    with pytest.raises(LimitError, match=r"rms gradient along x is .* allows 0.015 T/m \(1% of 1.5 T/m\)"):
        build(make("spin_echo_series", repetition_time="10 ms"), weak)


def test_a_transmitter_that_works_too_hard_is_refused(make, limits):
    weak = limits.model_copy(update={"max_rf_duty": 0.001})
    with pytest.raises(LimitError, match=r"RF is on for 0.58% of the time, .* allows 0.10%"):  # 350 us in 60 ms
        build(make("multi_echo_spin_echo"), weak)


@pytest.mark.parametrize("nucleus", ["1H", "7Li", "23Na"])
def test_limits_in_tesla_survive_pulseq_for_every_nucleus(nucleus, limits):
    isotope = nucleus_named(nucleus)
    system = system_of(isotope, limits)
    assert system.max_grad / isotope.gyromagnetic_ratio == pytest.approx(1.5)
    assert system.max_slew / isotope.gyromagnetic_ratio == pytest.approx(10_000)
    assert (system.gamma, system.B0) == (isotope.gyromagnetic_ratio, limits.b0)


def test_the_same_image_needs_weaker_gradients_with_protons(make, limits):
    """The gradient goes as 1/gamma: 23Na needs 42.58/11.26 times that of 1H."""
    peaks = {}
    for nucleus in ("1H", "23Na"):
        sequence = sequence_of(build(make("gradient_echo", nucleus=nucleus), limits).programs[0], limits)
        gy = max((b.gy.amplitude for b in map(sequence.get_block, sequence.block_events) if b.gy), default=0)
        peaks[nucleus] = gy / sequence.system.gamma
    assert peaks["23Na"] / peaks["1H"] == pytest.approx(42.577478 / 11.262, rel=1e-4)


def test_a_program_with_the_gamma_of_another_nucleus_is_refused(make, limits):
    (program,) = build(make("gradient_echo"), limits).programs
    fields = {**vars(program), "nucleus": "1H"}
    with pytest.raises(ConfigError, match="is not that of 1H"):
        PassProgram(**fields)
    proton = {**vars(program), "nucleus": "1H", "gyromagnetic_ratio": 42.577478e6}
    with pytest.raises(ProtocolError, match=r"was made for gamma 11\.2620 MHz/T"):
        sequence_of(PassProgram(**proton), limits)


def test_a_program_for_another_field_is_refused(make, limits):
    (program,) = build(make("gradient_echo"), limits).programs
    with pytest.raises(ProtocolError, match=r"built for 9\.3982 T"):
        sequence_of(program, limits.model_copy(update={"b0": 7.05}))


@pytest.mark.parametrize("kind", ["spin_echo_series", "multi_echo_spin_echo", "gradient_echo", "pulse_acquire"])
@pytest.mark.parametrize(
    "rasters",
    [
        {"rf_raster_time": 0.5e-6, "gradient_raster_time": 4e-6, "block_duration_raster": 4e-6},
        {"rf_raster_time": 2e-6, "gradient_raster_time": 10e-6, "block_duration_raster": 20e-6},
        {"rf_raster_time": 1e-6, "rf_dead_time": 1e-9, "rf_ringdown_time": 1e-9, "adc_dead_time": 1e-9},
        {"rf_raster_time": 1e-6, "adc_dead_time": 300e-6, "rf_dead_time": 333.3e-6},
    ],
    ids=["fine", "coarse", "no dead times", "long dead times"],
)
def test_other_scanners_get_correct_timing_too(kind, rasters, make, limits, walk):
    other = limits.model_copy(update=rasters)
    pulses = {"excitation_pulse_length": "48 us"}
    if kind in ("spin_echo_series", "multi_echo_spin_echo"):
        pulses["refocusing_pulse_length"] = "96 us"
    measurement = build(make(kind, **pulses), other)
    for step, program in enumerate(measurement.programs):
        sequence = sequence_of(program, other)
        correct, faults = sequence.check_timing()
        assert correct, faults[:3]
        path = walk(sequence)
        if kind == "pulse_acquire":
            assert path.sample_times[0, 0] - path.excitations[0] == pytest.approx(measurement.encoding.echo_times[0])
        else:
            first_echo = path.sample_times[0, measurement.encoding.samples // 2] - path.excitations[0]
            assert first_echo == pytest.approx(measurement.encoding.echo_times[step], abs=1e-9)
