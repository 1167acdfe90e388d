"""Every promise of the `Scanner` contract, for any backend: subclass `ScannerContract` and give it two fixtures.

``scanner`` is a scanner in state DISCONNECTED, ``program`` a program that it accepts and that has three readouts or
more. Both must be cheap: each test opens a scanner of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from knightshift.core.errors import IllegalTransitionError, InputError, LimitError, ProtocolError, ScannerFault
from knightshift.core.passes import COUNTERS, stack_readouts
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import TRANSITIONS, Scanner, ScannerState, StopAt

S = ScannerState
REACHABLE = [S.DISCONNECTED, S.IDLE, S.PREPARED, S.ACQUIRING, S.STOPPING]


def bring_to(scanner: Scanner, state: ScannerState, program: PassProgram) -> None:
    """Drive `scanner` from DISCONNECTED to `state` by legal calls."""
    way: dict[ScannerState, list[Callable[[], Any]]] = {
        S.DISCONNECTED: [],
        S.IDLE: [scanner.connect],
        S.PREPARED: [scanner.connect, lambda: scanner.prepare(program)],
        S.ACQUIRING: [scanner.connect, lambda: scanner.prepare(program), lambda: scanner.start(0)],
        S.STOPPING: [scanner.connect, lambda: scanner.prepare(program), lambda: scanner.start(0), scanner.stop],
    }
    for call in way[state]:
        call()
    assert scanner.status().state is state


def issue(scanner: Scanner, command: str, program: PassProgram) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "prepare": (program,),
        "start": (7,),
        "set_frequency": (program.working_frequency,),
        "set_receiver_gain": (0.0,),
    }
    getattr(scanner, command)(*arguments.get(command, ()))


class ScannerContract:
    """The suite. Backends inherit it."""

    def test_it_is_a_scanner(self, scanner: Scanner) -> None:
        assert isinstance(scanner, Scanner)
        assert scanner.status().state is S.DISCONNECTED

    @pytest.mark.parametrize("command", TRANSITIONS)
    @pytest.mark.parametrize("state", REACHABLE)
    def test_a_command_leads_where_the_table_says_or_changes_nothing(
        self, scanner: Scanner, program: PassProgram, state: ScannerState, command: str
    ) -> None:
        bring_to(scanner, state, program)
        if state in TRANSITIONS[command]:
            issue(scanner, command, program)
            assert scanner.status().state is TRANSITIONS[command][state]
        else:
            with pytest.raises(IllegalTransitionError):
                issue(scanner, command, program)
            assert scanner.status().state is state
        scanner.close()

    @pytest.mark.parametrize("call", ["identify", "capabilities"])
    def test_questions_need_a_link(self, scanner: Scanner, call: str) -> None:
        with pytest.raises(ScannerFault):
            getattr(scanner, call)()
        with scanner:
            assert getattr(scanner, call)()

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

    def test_readouts_need_a_pass_that_plays(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            scanner.prepare(program)
            with pytest.raises(IllegalTransitionError):
                next(iter(scanner.readouts(1.0)))

    def test_leaving_the_with_block_closes_whatever_happened(self, scanner: Scanner, program: PassProgram) -> None:
        def break_in_the_middle() -> None:
            with scanner:
                scanner.prepare(program)
                scanner.start(0)
                raise KeyError("something else went wrong")

        with pytest.raises(KeyError):
            break_in_the_middle()
        assert scanner.status().state is S.DISCONNECTED

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

    @pytest.mark.parametrize("state", REACHABLE)
    def test_make_safe_and_abort_are_possible_in_every_state_from_many_threads(
        self, scanner: Scanner, program: PassProgram, state: ScannerState
    ) -> None:
        bring_to(scanner, state, program)
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
        assert scanner.status().state in {S.IDLE, S.DISCONNECTED}
        scanner.close()

    def test_a_program_for_another_nucleus_is_refused(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            other = replace(program, nucleus="7Li", gyromagnetic_ratio=16.546e6)
            with pytest.raises(ProtocolError, match="7Li"):
                scanner.prepare(other)
            assert scanner.status().state is S.IDLE

    def test_a_program_for_another_field_is_refused(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner, pytest.raises(ProtocolError, match=r"T"):
            scanner.validate(replace(program, b0=program.b0 / 2))

    def test_a_damaged_program_is_refused_before_any_rf(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            for text in ("", program.pulseq[: len(program.pulseq) // 2], program.pulseq.replace("[BLOCKS]", "[BLOKS]")):
                with pytest.raises(InputError):
                    scanner.prepare(replace(program, pulseq=text))
            assert scanner.status().state is S.IDLE

    def test_too_strong_an_rf_pulse_is_refused_before_any_rf(self, scanner: Scanner, program: PassProgram) -> None:
        lines = program.pulseq.splitlines()
        row = lines.index("[RF]") + 1
        words = lines[row].split()
        words[1] = "1e9"
        lines[row] = " ".join(words)
        with scanner:
            with pytest.raises(LimitError, match="kHz"):
                scanner.prepare(replace(program, pulseq="\n".join(lines)))
            assert scanner.status().state is S.IDLE

    def test_frequency_and_gain_are_reported_as_set(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            scanner.prepare(program)
            assert scanner.status().frequency == program.working_frequency
            scanner.set_frequency(program.working_frequency + 50.0)
            scanner.set_receiver_gain(6.0)
            scanner.prepare(program)
            status = scanner.status()
            assert (status.frequency, status.receiver_gain) == (program.working_frequency + 50.0, 6.0)
