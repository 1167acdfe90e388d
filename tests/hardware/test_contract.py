"""The contract suite on the backends that need no link: simulated, and replay of a run and of exported k-space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from contract_suite import ScannerContract
from recordings import exported, replayed

from knightshift.acquisition import acquire
from knightshift.core.clock import SystemClock, VirtualClock
from knightshift.core.errors import InterlockFault
from knightshift.core.manifest import RunSetup
from knightshift.core.program import Encoding, Measurement, PassProgram
from knightshift.hardware.contract import ScannerState
from knightshift.hardware.replay import open_recording


def force_state(scanner: Any, state: ScannerState) -> None:
    """Let something happen to a backend that stands on our state machine."""
    if state is ScannerState.FAULT:
        scanner._states.latch(InterlockFault("the coil is too warm"))
    else:
        scanner._states.lose_link()


class TestSimulatedScannerKeepsTheContract(ScannerContract):
    @pytest.fixture
    def scanner(self, make_scanner):
        return make_scanner()

    @pytest.fixture
    def program(self, fid_program):
        return fid_program()

    @pytest.fixture
    def force(self):
        return force_state

    @pytest.fixture
    def losing_scanner(self, make_scanner):
        return make_scanner(SystemClock(), faults={"faults": [{"kind": "lost_readout", "passes": [5], "readout": 1}]})


class TestReplayOfARunKeepsTheContract(ScannerContract):
    _recorded: tuple[Path, PassProgram] | None = None

    @pytest.fixture
    def recorded(self, tmp_path_factory, make_scanner, fid_program) -> tuple[Path, PassProgram]:
        """Run of ten passes, recorded once for all tests, and its program."""
        cls = type(self)
        if cls._recorded is None:
            program = fid_program()
            encoding = Encoding(
                kind="spectrum", echo_times=(0.0,), matrix=(1, 1, 1), field_of_view=(1.0, 1.0, 1.0),
                axes=("x", "z", "y"), samples=16, center_sample=0.0, dwell_time=8e-6, repetition_time=10e-3,
            )  # fmt: skip
            clock, folder = VirtualClock(), tmp_path_factory.mktemp("runs")
            measurement = Measurement({"name": "fids"}, (program,), encoding, n_passes=10)
            result = acquire(measurement, make_scanner(clock), folder, setup=RunSetup(), clock=clock)
            cls._recorded = result.path, program
        return cls._recorded

    @pytest.fixture
    def scanner(self, recorded):
        return replayed(recorded[0])

    @pytest.fixture
    def program(self, recorded):
        return recorded[1]

    @pytest.fixture
    def force(self):
        return force_state


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Ten exported passes."""
    return exported(tmp_path_factory.mktemp("exported") / "whole", 10)[0]


class TestReplayOfExportedKSpaceKeepsTheContract(ScannerContract):
    @pytest.fixture
    def scanner(self, whole):
        return replayed(whole)

    @pytest.fixture
    def program(self, whole):
        return open_recording(whole).measurement().programs[0]

    @pytest.fixture
    def force(self):
        return force_state

    @pytest.fixture
    def losing_scanner(self, tmp_path):
        return replayed(exported(tmp_path / "cut", 10, lost=5)[0])
