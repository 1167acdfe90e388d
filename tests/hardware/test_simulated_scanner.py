"""What only the simulated backend promises; test_contract.py holds it to the contract."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from knightshift.core.clock import SystemClock, VirtualClock
from knightshift.core.errors import ConfigError, LimitError, ReadoutTimeoutError, ScannerFault
from knightshift.core.passes import stack_readouts
from knightshift.core.yaml_files import shipped_names
from knightshift.hardware.backends import backend_names, open_scanner
from knightshift.hardware.contract import ScannerState
from knightshift.hardware.site import SiteConfig, load_site


def record(scanner, program, pass_index=0, epoch=0):
    scanner.prepare(program)
    scanner.start(pass_index, epoch)
    return stack_readouts(list(scanner.readouts(1.0)))[0]


def test_it_is_found_by_its_entry_point() -> None:
    assert "simulated" in backend_names()


def test_an_unknown_backend_is_refused_with_what_is_installed() -> None:
    with pytest.raises(ConfigError, match="simulated"):
        open_scanner(SiteConfig(backend="nonesuch", limits="microimaging_9t4"), clock=VirtualClock())


def test_unknown_settings_and_bare_numbers_are_refused() -> None:
    for settings in ({"recever": 1}, {"receiver": {"sensitivity": 1, "noise_density": 0}, "field_drift": 2.0}):
        with pytest.raises(ConfigError):
            open_scanner(
                SiteConfig(backend="simulated", limits="microimaging_9t4", settings=settings), clock=VirtualClock()
            )


def test_the_shipped_site_opens_with_every_shipped_phantom() -> None:
    for phantom in shipped_names("phantoms"):
        with open_scanner(load_site("simulated"), clock=VirtualClock(), phantom=phantom, seed=3) as scanner:
            assert scanner.identify().backend == "simulated"


def test_a_pass_takes_its_duration_on_the_virtual_clock(make_scanner, fid_program) -> None:
    clock, program = VirtualClock(), fid_program()
    with make_scanner(clock) as scanner:
        scanner.prepare(program)
        assert clock.now() == VirtualClock.EVENING
        scanner.start(0)
        times = [clock.now() - VirtualClock.EVENING for _ in scanner.readouts(1.0)]
        np.testing.assert_allclose(times, 20e-6 + 16 * 8e-6 + 10e-3 * np.arange(3), atol=1e-6)
        assert clock.now() - VirtualClock.EVENING == pytest.approx(program.duration, abs=1e-6)


def test_on_the_system_clock_it_really_waits_and_an_abort_is_noticed(make_scanner, fid_program) -> None:
    program = fid_program(n_readouts=400)  # 4 s
    with make_scanner(SystemClock()) as scanner:
        scanner.prepare(program)
        scanner.start(0)
        began = time.monotonic()
        readouts = scanner.readouts(1.0)
        for _ in range(11):
            next(readouts)
        assert time.monotonic() - began >= 0.099
        timer = threading.Timer(0.05, scanner.make_safe)
        timer.start()
        with pytest.raises(ScannerFault):
            list(readouts)
        assert time.monotonic() - began < 2.0
        assert scanner.status().state is ScannerState.IDLE


def test_a_readout_that_never_comes_is_a_transient_fault_and_the_repeat_succeeds(make_scanner, fid_program) -> None:
    clock, program = VirtualClock(), fid_program()
    with make_scanner(clock, faults={"faults": [{"kind": "lost_readout", "passes": [5], "readout": 1}]}) as scanner:
        scanner.prepare(program)
        scanner.start(5)
        readouts = scanner.readouts(2.5)
        next(readouts)
        before = clock.now()
        with pytest.raises(ReadoutTimeoutError, match="readout 1 of pass 5") as caught:
            next(readouts)
        assert caught.value.transient
        assert clock.now() - before == pytest.approx(2.5 + 10e-3, abs=1e-3)
        assert scanner.status().state is ScannerState.IDLE
        assert len(record(scanner, program, 5)) == program.n_readouts


@pytest.mark.parametrize("dwell", [2e-6, 8e-6, 50e-6])
def test_noise_grows_with_the_square_root_of_the_bandwidth(make_scanner, fid_program, dwell) -> None:
    density = 1e-5
    with make_scanner(receiver={"sensitivity": 1e-9, "noise_density": density}) as scanner:
        samples = record(scanner, fid_program(20, dwell, 100))
    assert samples.real.std() == pytest.approx(density / np.sqrt(dwell), rel=0.05)
    assert samples.imag.std() == pytest.approx(density / np.sqrt(dwell), rel=0.05)
    assert abs(np.corrcoef(samples.real.ravel(), samples.imag.ravel())[0, 1]) < 0.1


def test_the_noise_of_a_pass_depends_on_seed_and_index_alone(make_scanner, fid_program) -> None:
    program = fid_program()
    with make_scanner(seed=4) as scanner:
        several = [record(scanner, program, index) for index in (0, 1, 2, 3)]
    with make_scanner(seed=4) as scanner:
        alone = record(scanner, program, 3, epoch=1)
    with make_scanner(seed=5) as scanner:
        other = record(scanner, program, 3)
    np.testing.assert_array_equal(several[3], alone)
    assert not np.array_equal(several[2], several[3])
    assert not np.array_equal(alone, other)


def test_gain_scales_signal_and_noise_until_the_converter_overflows(make_scanner, fid_program) -> None:
    program = fid_program()
    with make_scanner() as scanner:
        quiet = record(scanner, program)
        scanner.set_receiver_gain(20.0)
        loud = record(scanner, program)
        np.testing.assert_allclose(
            loud, np.clip(10 * quiet.real, -1, 1) + 1j * np.clip(10 * quiet.imag, -1, 1), atol=2e-6
        )
        scanner.set_receiver_gain(40.0)
        scanner.start(0)
        readouts = list(scanner.readouts(1.0))
    assert readouts[0].overrange
    assert max(np.abs(readout.samples.imag).max() for readout in readouts) == 1.0


def test_field_drift_turns_the_phase_of_an_fid_but_depends_on_the_clock_alone(make_scanner, fid_program) -> None:
    program, rate, hours = fid_program(1, 50e-6, 100), 100.0 / 3600, 3600.0
    with make_scanner(receiver={"noise_density": 0.0}) as scanner:
        still = record(scanner, program)[0, 0]
    with make_scanner(
        VirtualClock(VirtualClock.EVENING + hours), field_drift="100 Hz/h", receiver={"noise_density": 0.0}
    ) as scanner:
        drifted = record(scanner, program)[0, 0]
    offset = rate * 86400 / (2 * np.pi) * np.sin(2 * np.pi * hours / 86400)
    times = 10e-6 + (np.arange(100) + 0.5) * 50e-6
    np.testing.assert_allclose(np.angle(drifted / still), -2 * np.pi * offset * times, atol=2e-3)


def test_a_retuned_scanner_sees_the_offset(make_scanner, fid_program) -> None:
    program = fid_program(1, 20e-6, 64)
    with make_scanner(receiver={"noise_density": 0.0}) as scanner:
        for offset in (120.0, 2000.0):
            scanner.set_frequency(program.working_frequency - offset)  # now the spins lie above it
            retuned = record(scanner, program)[0, 0]
            tuned_away = np.unwrap(np.angle(retuned))
            slope = np.polyfit((np.arange(64) + 0.5) * 20e-6, tuned_away, 1)[0]
            assert slope / (2 * np.pi) == pytest.approx(-offset, rel=1e-3)


def test_gradients_are_compared_in_tesla_per_metre_of_the_nucleus(bench, make_scanner) -> None:
    import pypulseq as pp

    too_strong = 1.6 * 11.262e6  # [Hz/m]; as a proton gradient it would be a harmless 0.42 T/m
    bench.system.max_grad = 2 * too_strong
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation"))
    sequence.add_block(
        pp.make_trapezoid("z", amplitude=too_strong, flat_time=1e-3, rise_time=1e-3, system=bench.system)
    )
    sequence.add_block(bench.adc(16))
    program = bench.program(sequence)
    with make_scanner() as scanner:
        with pytest.raises(LimitError, match=r"1\.6 T/m"):
            scanner.prepare(program)
        assert scanner.status().state is ScannerState.IDLE
