"""Faults on demand: the script, and what it does to the simulated scanner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.core.clock import VirtualClock
from knightshift.core.errors import ConfigError, InterlockFault, ReadoutTimeoutError
from knightshift.core.yaml_files import shipped_names, validate
from knightshift.hardware.contract import ScannerState
from knightshift.hardware.faults import (
    LINK_FAULTS,
    MONITOR_FAULTS,
    SCANNER_FAULTS,
    STORAGE_FAULTS,
    FaultScript,
    load_fault_script,
)

EVERY_KIND = [
    {"kind": "lost_readout"}, {"kind": "late_readout", "delay": 1.0}, {"kind": "overrange"}, {"kind": "spike_noise"},
    {"kind": "rf_trip"}, {"kind": "gradient_over_temperature"}, {"kind": "link_mute", "duration": 1.0},
    {"kind": "link_garble"}, {"kind": "link_wrong_reply"}, {"kind": "link_unplug"},
    {"kind": "monitor_out_of_band", "monitor": "helium", "value": 0.1}, {"kind": "disk_full"},
]  # fmt: skip
ALL = (*SCANNER_FAULTS, *LINK_FAULTS, *MONITOR_FAULTS, *STORAGE_FAULTS)


def script(*faults, seed=0) -> FaultScript:
    return validate(FaultScript, {"seed": seed, "faults": list(faults)}, "test")


def start(scanner, program, index=5, epoch=0, timeout=2.5):
    scanner.prepare(program)
    scanner.start(index, epoch)
    return scanner.readouts(timeout)


def samples_of(readouts):
    return np.stack([readout.samples[0] for readout in readouts])


def test_every_kind_belongs_to_one_actor_and_strikes_where_it_is_scripted() -> None:
    faults = script(*({**fault, "passes": [number]} for number, fault in enumerate(EVERY_KIND)))
    for number, fault in enumerate(EVERY_KIND):
        (strike,) = faults.strikes(ALL, number)
        assert strike.fault.kind == fault["kind"]
        actors = [kinds for kinds in (SCANNER_FAULTS, LINK_FAULTS, MONITOR_FAULTS, STORAGE_FAULTS)
                  if list(faults.strikes(kinds, number))]  # fmt: skip
        assert len(actors) == 1
        assert not list(faults.strikes(ALL, number, attempt=2))


@given(seed=st.integers(0, 2**32), number=st.integers(0, 10**6), attempt=st.integers(1, 3))
def test_a_resume_meets_the_same_faults(seed, number, attempt) -> None:
    faults = [{"kind": "spike_noise", "probability": 0.5, "attempts": 3}, {"kind": "rf_trip", "probability": 0.3}]
    first, second = (list(script(*faults, seed=seed).strikes(ALL, number, attempt)) for _ in range(2))
    assert first == second
    assert [strike.readout(192) for strike in first] == [strike.readout(192) for strike in second]


@given(probability=st.floats(0.05, 0.95), seed=st.integers(0, 1000))
def test_a_probability_is_kept(probability, seed) -> None:
    faults = script({"kind": "disk_full", "probability": probability}, seed=seed)
    struck = np.mean([bool(list(faults.strikes(STORAGE_FAULTS, number))) for number in range(600)])
    assert struck == pytest.approx(probability, abs=6 * np.sqrt(probability * (1 - probability) / 600))


def test_a_fault_may_be_bound_to_an_epoch() -> None:
    faults = script({"kind": "rf_trip", "passes": [3], "epochs": [0]})
    assert list(faults.strikes(ALL, 3, epoch=0))
    assert not list(faults.strikes(ALL, 3, epoch=1))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"kind": "rf_trip"}, "say when it strikes"),
        ({"kind": "rf_trip", "passes": [1], "probability": 0.5}, "say when it strikes"),
        ({"kind": "gremlin", "passes": [1]}, "gremlin"),
        ({"kind": "late_readout", "passes": [1]}, "delay"),
        ({"kind": "disk_full", "probability": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_mistake_in_a_script_is_told(fault, told) -> None:
    with pytest.raises(ConfigError, match=told):
        script(fault)


def test_shipped_scripts_are_read_and_found_by_name(make_scanner) -> None:
    for name in shipped_names("faults"):
        assert load_fault_script(name).faults
    with make_scanner(faults="rough_night") as scanner:
        assert scanner.status().state is ScannerState.IDLE


def test_a_late_readout_is_waited_for_within_the_patience_of_the_host(make_scanner, fid_program) -> None:
    clock, program = VirtualClock(), fid_program()
    fault = {"kind": "late_readout", "passes": [5], "readout": 2, "delay": "300 ms"}
    with make_scanner(clock, faults={"faults": [fault]}) as scanner:
        times = [clock.now() for _ in start(scanner, program)]
        assert times[2] - times[1] == pytest.approx(0.3 + 10e-3, abs=1e-3)
        with pytest.raises(ReadoutTimeoutError, match="readout 2") as caught:
            list(start(scanner, program, index=5, epoch=1, timeout=0.2))
    assert caught.value.transient


@pytest.mark.parametrize(("kind", "told"), [("rf_trip", "RF amplifier"), ("gradient_over_temperature", "too hot")])
def test_an_interlock_latches_until_reset(make_scanner, fid_program, kind, told) -> None:
    program = fid_program()
    with make_scanner(faults={"faults": [{"kind": kind, "passes": [5], "readout": 1}]}) as scanner:
        readouts = start(scanner, program)
        next(readouts)
        with pytest.raises(InterlockFault, match=told) as caught:
            next(readouts)
        assert not caught.value.transient
        scanner.make_safe()
        assert scanner.status().state is ScannerState.FAULT
        assert told in (scanner.status().fault or "")
        scanner.reset()
        assert len(list(start(scanner, program))) == program.n_readouts


def test_overrange_is_flagged_and_only_where_it_is(make_scanner, fid_program) -> None:
    with make_scanner(faults={"faults": [{"kind": "overrange", "passes": [5], "readout": 1}]}) as scanner:
        readouts = list(start(scanner, fid_program()))
    assert [readout.overrange for readout in readouts] == [False, True, False]


@pytest.mark.parametrize(("amplitude", "flagged"), [(0.4, False), (3.0, True)])
def test_spikes_are_flagged_only_beyond_full_scale(make_scanner, fid_program, amplitude, flagged) -> None:
    fault = {"kind": "spike_noise", "passes": [5], "amplitude": amplitude, "count": 2}
    quiet = {"sensitivity": 1e-6, "noise_density": 0.0}
    with make_scanner(receiver=quiet, faults={"faults": [fault]}) as scanner:
        spoiled = list(start(scanner, fid_program()))
        clean = list(start(scanner, fid_program(), index=6))
    difference = np.abs(samples_of(spoiled) - samples_of(clean))
    assert np.count_nonzero(difference > 0.1) == 2
    assert any(readout.overrange for readout in spoiled) is flagged


def test_nothing_happens_in_passes_that_are_not_scripted(make_scanner, fid_program) -> None:
    program = fid_program()
    faults = [{**fault, "passes": [7]} for fault in EVERY_KIND[:6] if "delay" not in fault]
    with make_scanner() as scanner:
        plain = samples_of(start(scanner, program))
    with make_scanner(faults={"faults": faults}) as scanner:
        np.testing.assert_array_equal(samples_of(start(scanner, program)), plain)
