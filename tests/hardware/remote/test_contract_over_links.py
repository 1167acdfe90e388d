"""The contract suite on a simulated scanner that is served over pseudo-terminals and over TCP."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from knightshift.core.clock import VirtualClock
from knightshift.core.passes import stack_readouts
from knightshift.hardware.backends import backend_names, open_scanner
from knightshift.hardware.remote import ServeOptions
from knightshift.hardware.site import SiteConfig

ScannerContract = sys.modules["contract_suite"].ScannerContract


def remote(url, clock):
    return open_scanner(SiteConfig(backend="remote", limits="microimaging_9t4", settings={"url": url}), clock=clock)


@pytest.fixture(params=["pty", "tcp", "socket"])
def served(request, make_scanner, serve_on):
    """Client of a simulated scanner, with its clock and the server's."""
    ours, theirs = VirtualClock(), VirtualClock()
    scanner = make_scanner(clock=theirs, receiver={"noise_density": 1e-5}, field_drift="2 Hz/h")
    if request.param == "pty":
        cable = request.getfixturevalue("cable")
        serve_on(scanner, cable.paths[0], ServeOptions(clock=theirs))
        return remote(cable.paths[1], ours), ours, theirs
    url = serve_on(scanner, 0, ServeOptions(clock=theirs))
    if request.param == "socket":
        url = url.replace("tcp:", "socket:")
    return remote(url, ours), ours, theirs


class TestServedScannerKeepsTheContract(ScannerContract):
    @pytest.fixture(params=["pty", "tcp"])
    def scanner(self, request, make_scanner, serve_on):
        theirs = VirtualClock()
        scanner = make_scanner(clock=theirs)
        if request.param == "pty":
            cable = request.getfixturevalue("cable")
            serve_on(scanner, cable.paths[0], ServeOptions(clock=theirs))
            url = cable.paths[1]
        else:
            url = serve_on(scanner, 0, ServeOptions(clock=theirs))
        remote_scanner = remote(url, VirtualClock())
        yield remote_scanner
        remote_scanner.close()

    @pytest.fixture
    def program(self, fid_program):
        return fid_program()


def test_it_is_found_by_its_entry_point() -> None:
    assert "remote" in backend_names()


def test_samples_and_time_stamps_are_those_of_the_scanner_itself_to_the_bit(served, make_scanner, fid_program) -> None:
    client, ours, theirs = served
    program, alone = fid_program(5), VirtualClock()
    local = make_scanner(clock=alone, receiver={"noise_density": 1e-5}, field_drift="2 Hz/h")
    seen = []
    for scanner, clock in ((local, alone), (client, ours)):
        stamps, passes = [], []
        with scanner:
            scanner.prepare(program)
            for index in range(3):
                clock.sleep(1000.1)  # the host waits, and the field drifts
                stamps.append(clock.now())
                scanner.start(index)
                passes.append(stack_readouts(list(scanner.readouts(1.0))))
                stamps.append(clock.now())
        seen.append((stamps, passes))
    assert seen[0][0] == seen[1][0]
    assert theirs.now() == ours.now() == alone.now()
    for (samples, counters), (over_link, counters_over_link) in zip(seen[0][1], seen[1][1], strict=True):
        np.testing.assert_array_equal(over_link, samples)
        np.testing.assert_array_equal(counters_over_link, counters)
