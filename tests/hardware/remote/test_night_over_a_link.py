"""A whole run over a link: the same files as without one, and complete even if the plug is pulled."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from knightshift.acquisition import AcquisitionOptions, RunStatus, acquire
from knightshift.core.clock import VirtualClock
from knightshift.core.manifest import RunSetup
from knightshift.core.program import Encoding, Measurement
from knightshift.core.run_folder import open_run
from knightshift.hardware.remote import ServeOptions

loop = sys.modules["remote_loop"]
N_PASSES = 4


@pytest.fixture
def measurement(fid_program):
    programs = tuple(fid_program(n) for n in (3, 3))
    encoding = Encoding(
        kind="spectrum", echo_times=(1e-4, 2e-4), matrix=(1, 3, 1), field_of_view=(1.0, 1.0, 1.0), axes=("x", "z", "y"),
        samples=16, center_sample=0.0, dwell_time=8e-6, n_steps=2, repetition_time=10e-3,
    )  # fmt: skip
    return Measurement({"kind": "test"}, programs, encoding, N_PASSES)


def records(run_path):
    run = open_run(run_path)
    return [run.read_pass(index) for index in range(N_PASSES)]


def simulated(make_scanner, clock):
    return make_scanner(clock=clock, receiver={"noise_density": 1e-5}, field_drift="100 Hz/h")


def served(scanner, clock):
    return loop.LoopServer(scanner, ServeOptions(timing=loop.QUICK, clock=clock))


def test_a_night_over_a_link_is_the_night_without_it_to_the_bit(measurement, make_scanner, tmp_path) -> None:
    clock = VirtualClock()
    alone = acquire(measurement, simulated(make_scanner, clock), tmp_path / "alone", setup=RunSetup(), clock=clock)
    theirs, ours = VirtualClock(), VirtualClock()
    server = served(simulated(make_scanner, theirs), theirs)
    client = server.client(ours, token=server.options.token())
    linked = acquire(measurement, client, tmp_path / "linked", setup=RunSetup(), clock=ours)
    server.close()
    for one, other in zip(records(alone.path), records(linked.path), strict=True):
        np.testing.assert_array_equal(other.samples, one.samples)
        np.testing.assert_array_equal(other.counters, one.counters)
        assert (other.started, other.finished) == (one.started, one.finished)
        assert (other.frequency, other.receiver_gain, other.flags) == (one.frequency, one.receiver_gain, one.flags)


def test_a_night_whose_plug_is_pulled_twice_is_complete(measurement, make_scanner, tmp_path) -> None:
    theirs, ours = VirtualClock(), VirtualClock()
    server = served(simulated(make_scanner, theirs), theirs)
    client = server.client(ours, token=server.options.token())
    pulled = threading.Event()

    def pull(event) -> None:
        if event.n_committed in {1, 2} and not pulled.is_set():
            server.to_client.arm(loop.unplug, after=3)
            if event.n_committed == 2:
                pulled.set()

    options = AcquisitionOptions(max_repeats=3)
    result = acquire(measurement, client, tmp_path, setup=RunSetup(), clock=ours, options=options, on_progress=pull)
    server.close()
    assert result.status is RunStatus.COMPLETED
    assert result.n_committed == N_PASSES
    journal = (result.path / "journal.jsonl").read_text()
    assert journal.count("pass_repeated") >= 1
    assert "LinkFault" in journal
    for index, record in enumerate(records(result.path)):
        assert set(record.counters["average"]) == {index}
