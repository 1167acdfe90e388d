"""The contract suite on a simulated scanner that is served over pseudo-terminals and over TCP."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest
from contract_suite import ScannerContract

from knightshift.core.clock import SystemClock, VirtualClock
from knightshift.core.errors import InterlockFault
from knightshift.core.passes import stack_readouts
from knightshift.hardware.backends import backend_names, open_scanner
from knightshift.hardware.contract import ScannerState
from knightshift.hardware.remote import LinkTiming, ServeOptions
from knightshift.hardware.site import SiteConfig

TIMING = LinkTiming(heartbeat=0.04)


def remote(url, clock):
    settings = {"url": url, "timing": {"heartbeat": "40 ms"}}
    return open_scanner(SiteConfig(backend="remote", limits="microimaging_9t4", settings=settings), clock=clock)


@pytest.fixture(params=["pty", "tcp", "socket"])
def served(request, make_scanner, serve_on):
    """Client of a simulated scanner, with its clock and the server's."""
    ours, theirs = VirtualClock(), VirtualClock()
    scanner = make_scanner(clock=theirs, receiver={"noise_density": 1e-5}, field_drift="2 Hz/h")
    if request.param == "pty":
        cable = request.getfixturevalue("cable")
        serve_on(scanner, cable.paths[0], ServeOptions(clock=theirs, timing=TIMING))
        return remote(cable.paths[1], ours), ours, theirs
    url = serve_on(scanner, 0, ServeOptions(clock=theirs, timing=TIMING))
    if request.param == "socket":
        url = url.replace("tcp:", "socket:")
    return remote(url, ours), ours, theirs


@pytest.fixture(params=["pty", "tcp"])
def link(request):
    """Where the contract is tested."""
    return request.param


class TestServedScannerKeepsTheContract(ScannerContract):
    @pytest.fixture
    def serve_over_the_link(self, request, link, make_scanner, serve_on):
        """Serve a simulated scanner with these settings; gives it and its client."""
        clients = []

        def begin(theirs, ours, **settings):
            local = make_scanner(clock=theirs, **settings)
            where = request.getfixturevalue("cable").paths if link == "pty" else (0, None)
            url = serve_on(local, where[0], ServeOptions(clock=theirs, timing=TIMING))
            clients.append(remote(where[1] or url, ours))
            return local, clients[-1]

        yield begin
        for client in clients:
            client.close()

    @pytest.fixture
    def local_and_client(self, serve_over_the_link):
        return serve_over_the_link(VirtualClock(), VirtualClock())

    @pytest.fixture
    def scanner(self, local_and_client):
        return local_and_client[1]

    @pytest.fixture
    def losing_scanner(self, serve_over_the_link):
        return serve_over_the_link(
            SystemClock(), SystemClock(), faults={"faults": [{"kind": "lost_readout", "passes": [5], "readout": 1}]}
        )[1]

    @pytest.fixture
    def force(self, local_and_client, link):
        """Over TCP it is our link that is lost, over the pseudo-terminal that of the served scanner to its device."""

        def force_state(scanner, state):
            local, client = local_and_client
            if state is ScannerState.FAULT:
                local._states.latch(InterlockFault("the coil is too warm"))
            elif link == "pty":
                local._states.lose_link()
            else:
                client._session._link._transport._socket.shutdown(socket.SHUT_RDWR)
                while client.status().state is not state:
                    time.sleep(0.002)

        return force_state

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
