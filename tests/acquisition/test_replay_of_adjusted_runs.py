"""A run whose gain was adjusted and whose receiver was retuned comes back from a recording as it was, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from adjusted_night import LIMITS, acquire_adjusted, full_site, measurement

from knightshift.acquisition import AcquisitionOptions, RunStatus, StopRequest, acquire, resume
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import ScannerFault
from knightshift.core.manifest import RunSetup
from knightshift.core.passes import stack_readouts
from knightshift.core.run_folder import Run, open_run
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.contract import Scanner
from knightshift.hardware.site import SiteConfig
from knightshift.reconstruction.pass_sum import sum_passes

N_AVERAGES = 8


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The field drifts by some 20 Hz; beyond 2 Hz the receiver follows."""
    site = full_site(settings={"field_drift": "4000 Hz/h"})
    run = open_run(acquire_adjusted(tmp_path_factory.mktemp("original"), site, what=measurement(N_AVERAGES)).path)
    commits = run.commits().values()
    assert len({commit.frequency for commit in commits}) > 3, "retuned between the passes"
    assert {record.receiver_gain for record in run.passes()} != {0.0}, "and adjusted before them"
    return run


def replay(run: Run, clock: VirtualClock) -> Scanner:
    site = SiteConfig(backend="replay", limits=LIMITS, settings={"recording": str(run.path)}, source="test")
    return open_scanner(site, clock=clock)


def assert_equal(one: Run, other: Run) -> None:
    assert one.committed() == other.committed() == tuple(range(2 * N_AVERAGES))
    for before, after in zip(one.passes(), other.passes(), strict=True):
        np.testing.assert_array_equal(before.samples, after.samples)
        assert (before.frequency, before.receiver_gain) == (after.frequency, after.receiver_gain)
        assert before.flags == after.flags
    alone = [sum_passes(run, correct_drift=False).kspace for run in (one, other)]
    np.testing.assert_array_equal(*alone)


def test_through_the_contract_each_pass_comes_back_at_its_frequency_and_gain(original: Run) -> None:
    with replay(original, VirtualClock()) as scanner:
        for record in original.passes():
            scanner.prepare(original.measurement().program_of(record.index))
            scanner.start(record.index, record.epoch)
            status = scanner.status()
            samples, counters = stack_readouts(list(scanner.readouts(1.0)))
            np.testing.assert_array_equal(samples, record.samples)
            np.testing.assert_array_equal(counters, record.counters)
            assert (status.frequency, status.receiver_gain) == (record.frequency, record.receiver_gain)


def test_a_host_that_tunes_gets_only_what_was_recorded_so(original: Run) -> None:
    first, *_, last = original.passes()
    with replay(original, VirtualClock()) as scanner:
        for record in (first, last):
            scanner.prepare(original.measurement().program_of(record.index))
            scanner.set_frequency(record.frequency)
            scanner.set_receiver_gain(record.receiver_gain)
            scanner.start(record.index)
            np.testing.assert_array_equal(stack_readouts(list(scanner.readouts(1.0)))[0], record.samples)
        with pytest.raises(ScannerFault, match="cannot be retuned"):
            scanner.start(last.index - 2 * (N_AVERAGES - 1))
        scanner.set_receiver_gain(last.receiver_gain + 1)
        with pytest.raises(ScannerFault, match="cannot be amplified"):
            scanner.start(last.index)


def test_acquired_from_a_recording_stopped_and_resumed_it_is_the_same_run(original: Run, tmp_path: Path) -> None:
    stop, again = StopRequest(), RunSetup(clock="virtual")
    clock = VirtualClock()
    options = AcquisitionOptions(disk_margin=0, stop=stop)
    cut = acquire(
        original.measurement(), replay(original, clock), tmp_path / "again", setup=again, clock=clock, options=options,
        on_progress=lambda event: event.n_committed == 5 and stop.request(),
    )  # fmt: skip
    assert cut.status is RunStatus.STOPPED
    resumed = resume(cut.path, replay(original, clock), clock=clock, options=AcquisitionOptions(disk_margin=0))
    assert resumed.status is RunStatus.COMPLETED
    assert_equal(original, open_run(resumed.path))


def test_a_recording_of_a_recording_is_the_same_run(original: Run, tmp_path: Path) -> None:
    run = original
    for name in ("first", "second"):
        clock = VirtualClock()
        result = acquire(
            run.measurement(), replay(run, clock), tmp_path / name, setup=RunSetup(clock="virtual"), clock=clock,
            options=AcquisitionOptions(disk_margin=0),
        )  # fmt: skip
        run = open_run(result.path)
        assert_equal(original, run)
