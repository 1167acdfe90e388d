"""Every promise of the `Scanner` contract, for any backend: subclass `ScannerContract` and give it two fixtures.

``scanner`` is a scanner in state DISCONNECTED, ``program`` a program that it accepts and that has three readouts or
more. Both must be cheap: each test opens a scanner of its own and plays passes 0 to 9. Two more fixtures show faults:

``force``
    ``force(scanner, state)`` brings a connected scanner to FAULT (latched) or UNKNOWN (link lost).
``losing_scanner``
    A scanner whose pass 5 loses its second readout, at least the first time it is played."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from contract_refusals import RefusalContract
from contract_steps import (
    REACHABLE,
    Force,
    S,
    bring_anywhere,
    bring_to,
    expected_counters,
    issue,
    play,
)

from knightshift.core.errors import (
    IllegalTransitionError,
    ReadoutTimeoutError,
    ScannerFault,
)
from knightshift.core.passes import COUNTERS, stack_readouts
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import TRANSITIONS, Scanner, ScannerState, StopAt


class ScannerContract(RefusalContract):
    """The suite. Backends inherit it."""

    @pytest.fixture
    def force(self) -> Force:
        return None

    @pytest.fixture
    def losing_scanner(self) -> Scanner | None:
        return None

    def test_it_is_a_scanner(self, scanner: Scanner) -> None:
        assert isinstance(scanner, Scanner)
        assert scanner.status().state is S.DISCONNECTED

    @pytest.mark.parametrize("command", TRANSITIONS)
    @pytest.mark.parametrize("state", S)
    def test_a_command_leads_where_the_table_says_or_changes_nothing(
        self, scanner: Scanner, program: PassProgram, state: ScannerState, command: str, force: Force
    ) -> None:
        bring_anywhere(scanner, state, program, force)
        if state in TRANSITIONS[command]:
            issue(scanner, command, program)
            assert scanner.status().state is TRANSITIONS[command][state]
        else:
            with pytest.raises(IllegalTransitionError):
                issue(scanner, command, program)
            assert scanner.status().state is state
        scanner.close()

    @pytest.mark.parametrize("call", ["identify", "capabilities"])
    def test_questions_need_a_link_and_get_the_same_answer_in_every_state(
        self, scanner: Scanner, program: PassProgram, call: str
    ) -> None:
        ask = getattr(scanner, call)
        with pytest.raises(ScannerFault):
            ask()
        answers = []
        for state in REACHABLE[1:]:
            bring_to(scanner, state, program)
            answers.append(ask())
            scanner.close()
        assert answers[0]
        assert all(answer == answers[0] for answer in answers)

    @pytest.mark.parametrize("state", S)
    def test_status_answers_at_once_in_every_state(
        self, scanner: Scanner, program: PassProgram, state: ScannerState, force: Force
    ) -> None:
        bring_anywhere(scanner, state, program, force)
        began = time.monotonic()
        for _ in range(5):
            assert scanner.status().state is state
        assert time.monotonic() - began < 1.0
        scanner.close()

    def test_a_pass_delivers_every_readout_in_order_and_leaves_the_program_armed(
        self, scanner: Scanner, program: PassProgram
    ) -> None:
        with scanner:
            scanner.prepare(program)
            for pass_index in (4, 9):
                scanner.start(pass_index, epoch=2)
                samples, counters = stack_readouts(list(scanner.readouts(1.0)))
                assert scanner.status().state is S.PREPARED
                assert samples.shape == (program.n_readouts, scanner.capabilities().n_channels, program.samples)
                assert samples.dtype == np.complex64
                assert counters.dtype == COUNTERS
                assert set(counters["average"]) == {pass_index}
                assert set(counters["segment"]) == {2}

    def test_readouts_carry_the_counters_of_the_labels(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            scanner.prepare(program)
            counters: Any = stack_readouts(play(scanner, 3, 1))[1]
            for name, values in expected_counters(program).items():
                np.testing.assert_array_equal(counters[name], values)

    def test_no_sample_is_beyond_the_full_scale(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            scanner.prepare(program)
            largest = scanner.capabilities().full_scale * (1 + 1e-6)
            for readout in play(scanner):
                assert max(np.abs(readout.samples.real).max(), np.abs(readout.samples.imag).max()) <= largest
                assert isinstance(readout.overrange, bool)

    def test_readouts_need_a_pass_that_plays(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            scanner.prepare(program)
            with pytest.raises(IllegalTransitionError):
                next(iter(scanner.readouts(1.0)))

    def test_a_readout_that_never_comes_ends_the_pass_in_bounded_time(
        self, losing_scanner: Scanner | None, program: PassProgram
    ) -> None:
        if losing_scanner is None:
            pytest.skip("this backend was given no way to lose a readout on demand")
        with losing_scanner as scanner:
            scanner.prepare(program)
            scanner.start(5)
            readouts = scanner.readouts(0.05)
            assert next(readouts)
            began = time.monotonic()
            with pytest.raises(ReadoutTimeoutError) as caught:
                list(readouts)
            assert time.monotonic() - began < 5.0
            assert caught.value.transient
            assert scanner.status().state is S.IDLE
            scanner.prepare(program)
            assert len(play(scanner, 6)) == program.n_readouts

    @pytest.mark.parametrize("state", S)
    def test_leaving_the_with_block_closes_whatever_happened(
        self, scanner: Scanner, program: PassProgram, state: ScannerState, force: Force
    ) -> None:
        def break_in_the_middle() -> None:
            with scanner:
                assert scanner.status().state is S.IDLE
                scanner.close()
                bring_anywhere(scanner, state, program, force)
                raise KeyError("something else went wrong")

        with pytest.raises(KeyError):
            break_in_the_middle()
        status = scanner.status()
        assert (status.state, status.fault) == (S.DISCONNECTED, None)

    def test_it_reconnects(self, scanner: Scanner, program: PassProgram) -> None:
        for _ in range(2):
            with scanner:
                scanner.prepare(program)
                scanner.start(0)
                assert len(list(scanner.readouts(1.0))) == program.n_readouts

    def test_stop_after_the_pass_delivers_all_of_it(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            scanner.prepare(program)
            scanner.start(0)
            readouts = scanner.readouts(1.0)
            received = [next(readouts)]
            scanner.stop(StopAt.PASS)
            received += list(readouts)
            assert len(received) == program.n_readouts
            assert scanner.status().state is S.IDLE

    def test_stop_after_the_readout_ends_early(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            scanner.prepare(program)
            scanner.start(0)
            readouts = scanner.readouts(1.0)
            next(readouts)
            scanner.stop(StopAt.READOUT)
            assert len(list(readouts)) < program.n_readouts - 1
            assert scanner.status().state is S.IDLE

    @pytest.mark.parametrize("command", ["abort", "make_safe"])
    def test_a_pass_that_is_cut_raises_and_never_looks_complete(
        self, scanner: Scanner, program: PassProgram, command: str
    ) -> None:
        with scanner:
            scanner.prepare(program)
            scanner.start(0)
            readouts = scanner.readouts(1.0)
            next(readouts)
            other = threading.Thread(target=getattr(scanner, command))
            other.start()
            other.join(5.0)
            assert not other.is_alive()
            assert scanner.status().state is S.IDLE
            with pytest.raises(ScannerFault):
                list(readouts)

    def test_stop_before_the_first_readout_delivers_no_more_than_one(
        self, scanner: Scanner, program: PassProgram
    ) -> None:
        with scanner:
            scanner.prepare(program)
            scanner.start(0)
            scanner.stop(StopAt.READOUT)
            assert len(list(scanner.readouts(1.0))) <= 1
            assert scanner.status().state is S.IDLE
            scanner.prepare(program)
            assert len(play(scanner, 1)) == program.n_readouts  # the wish to stop does not outlive the pass

    @pytest.mark.parametrize("command", ["abort", "make_safe", "close"])
    @pytest.mark.parametrize("delay", [0.0, 1e-4, 1e-3, 1e-2])
    def test_a_reader_in_another_thread_is_set_free(
        self, scanner: Scanner, program: PassProgram, command: str, delay: float
    ) -> None:
        outcome: list[int | ScannerFault] = []

        def read() -> None:
            try:
                outcome.append(len(list(scanner.readouts(1.0))))
            except ScannerFault as fault:
                outcome.append(fault)

        with scanner:
            scanner.prepare(program)
            scanner.start(0)
            reader = threading.Thread(target=read)
            reader.start()
            time.sleep(delay)
            getattr(scanner, command)()
            reader.join(5.0)
            assert not reader.is_alive()
            assert scanner.status().state is (S.DISCONNECTED if command == "close" else S.IDLE)
            assert isinstance(outcome[0], ScannerFault) or outcome[0] == program.n_readouts
            if command == "close":
                scanner.connect()
            scanner.prepare(program)
            assert len(play(scanner, 1)) == program.n_readouts

    @pytest.mark.parametrize("command", ["abort", "make_safe", "close"])
    def test_a_reader_that_waits_for_a_readout_that_never_comes_is_set_free(
        self, losing_scanner: Scanner | None, program: PassProgram, command: str
    ) -> None:
        """The patience is 30 s; on a clock that jumps it is over at once, and the pass lost all the same."""
        if losing_scanner is None:
            pytest.skip("this backend was given no way to lose a readout on demand")
        outcome: list[BaseException | int] = []
        first = threading.Event()

        def read() -> None:
            received = 0
            try:
                for _ in scanner.readouts(30.0):
                    received += 1
                    first.set()
                outcome.append(received)
            except ScannerFault as fault:
                outcome.append(fault)

        with losing_scanner as scanner:
            scanner.prepare(program)
            scanner.start(5)
            reader = threading.Thread(target=read)
            reader.start()
            assert first.wait(5.0)
            time.sleep(0.05)
            getattr(scanner, command)()
            reader.join(5.0)
            assert not reader.is_alive()
            assert isinstance(outcome[0], ScannerFault)

    @pytest.mark.parametrize("state", S)
    def test_make_safe_and_abort_are_possible_in_every_state_from_many_threads(
        self, scanner: Scanner, program: PassProgram, state: ScannerState, force: Force
    ) -> None:
        bring_anywhere(scanner, state, program, force)
        failures: list[BaseException] = []

        def safely() -> None:
            try:
                for _ in range(20):
                    scanner.make_safe()
                    scanner.abort()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test reports it
                failures.append(error)

        threads = [threading.Thread(target=safely) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5.0)
        assert not failures
        assert scanner.status().state is TRANSITIONS["make_safe"][state]
        scanner.close()

    def test_a_latched_fault_is_told_and_only_reset_clears_it(
        self, scanner: Scanner, program: PassProgram, force: Force
    ) -> None:
        bring_anywhere(scanner, S.FAULT, program, force)
        scanner.make_safe()
        scanner.abort()
        assert scanner.status().fault
        with pytest.raises(ScannerFault):
            scanner.prepare(program)
        scanner.reset()
        assert scanner.status().fault is None
        scanner.prepare(program)
        assert len(play(scanner)) == program.n_readouts
        scanner.close()

    @pytest.mark.parametrize("state", [S.FAULT, S.UNKNOWN])
    def test_a_pass_that_a_fault_cuts_never_looks_complete(
        self, scanner: Scanner, program: PassProgram, force: Force, state: ScannerState
    ) -> None:
        if force is None:
            pytest.skip(f"this backend was given no way to {state} on demand")
        with scanner:
            scanner.prepare(program)
            scanner.start(0)
            readouts = scanner.readouts(1.0)
            next(readouts)
            force(scanner, state)
            with pytest.raises(ScannerFault):
                list(readouts)
            assert scanner.status().state is state

    def test_a_lost_link_is_found_again_by_connect(self, scanner: Scanner, program: PassProgram, force: Force) -> None:
        bring_anywhere(scanner, S.UNKNOWN, program, force)
        with pytest.raises(ScannerFault):
            scanner.identify()
        scanner.connect()
        scanner.prepare(program)
        assert len(play(scanner)) == program.n_readouts
        scanner.close()
