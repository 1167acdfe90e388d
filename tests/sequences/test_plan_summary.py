"""What a plan promises."""

from __future__ import annotations

import json

import numpy as np
import pytest

from knightshift.core.passes import COUNTERS
from knightshift.sequences import build, describe, load_protocol
from knightshift.sequences.plan_summary import spin_echo_recovery


@pytest.fixture(scope="module")
def overnight(limits):
    return describe(build(load_protocol("overnight_t2"), limits), limits)


def test_overnight_plan_counts_passes_time_and_bytes(overnight):
    assert (overnight.passes, overnight.passes_per_image, overnight.steps) == (1725, 345, 5)
    assert (overnight.duration_s, overnight.pass_duration_s) == (pytest.approx(41400), 24.0)
    assert overnight.bytes_per_pass == 192 * (96 * 8 + COUNTERS.itemsize)
    assert overnight.bytes_total == 1725 * overnight.bytes_per_pass
    assert overnight.voxel_size_m == pytest.approx((4e-3, 23e-6, 100e-6))
    assert overnight.bandwidth_per_pixel_hz == pytest.approx(1302.08, abs=0.01)


def test_peak_gradients_are_those_of_the_closed_form(overnight, limits):
    readout = 1 / (11.262e6 * 4.8e-3 * 2 * 8e-6)  # G = 1 / (gamma FOV dwell), oversampled twice
    assert overnight.peak_gradient_t_per_m["y"] == pytest.approx(readout, rel=1e-4)
    for axis, peak in overnight.peak_gradient_t_per_m.items():
        assert overnight.peak_gradient_fraction[axis] == pytest.approx(peak / limits.max_gradient)
        assert 0 < overnight.rms_gradient_t_per_m[axis] < peak < limits.max_gradient


def test_rf_duty_is_pulse_length_over_repetition_time(overnight):
    assert overnight.rf_duty == pytest.approx(150e-6 / 0.12)
    assert overnight.peak_rf_hz == pytest.approx(5000)


def test_recovery_bias_is_named_with_the_t1_it_assumes(overnight):
    assert overnight.assumed_t1_s == 17.1e-3
    recovery = [1 - 2 * np.exp(-(0.12 - te / 2) / 17.1e-3) + np.exp(-0.12 / 17.1e-3) for te in (4e-3, 30e-3)]
    assert overnight.recovery_bias == pytest.approx(recovery[0] / recovery[1] - 1)
    assert "17.1 ms" in overnight.recovery_note


def test_full_recovery_is_the_limit_of_a_long_repetition():
    np.testing.assert_allclose(spin_echo_recovery(np.array([4e-3, 30e-3]), 1.0, 17.1e-3), 1, atol=1e-12)


@pytest.mark.parametrize("name", ["overnight_t2_train", "gradient_echo", "spectrum"])
def test_every_plan_is_json_and_within_limits(name, limits):
    plan = describe(build(load_protocol(name), limits), limits)
    plain = json.loads(json.dumps(plan.as_json()))
    assert plain["passes"] == plan.passes
    assert plain["duration_s"] == plan.duration_s > 0
    assert max(plain["peak_gradient_fraction"].values()) <= 1
    assert plan.recovery_bias is None


def test_no_t1_is_invented_for_other_nuclei(make, limits):
    plan = describe(build(make("spin_echo_series", nucleus="31P"), limits), limits)
    assert plan.assumed_t1_s is None
    assert plan.recovery_bias is None
    assert "no T1 of 31P" in plan.recovery_note
