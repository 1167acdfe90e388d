"""The state machine, exhaustively from the table."""

from __future__ import annotations

import threading

import pytest

from knightshift.core.errors import IllegalTransitionError, InterlockFault
from knightshift.hardware.contract import TRANSITIONS, ScannerState
from knightshift.hardware.states import StateMachine

S = ScannerState


def machine_in(state: ScannerState) -> StateMachine:
    machine = StateMachine("test")
    if state is S.FAULT:
        machine.latch(InterlockFault("over-temperature"))
        return machine
    if state is S.UNKNOWN:
        machine.lose_link()
        return machine
    way = {S.DISCONNECTED: 0, S.IDLE: 1, S.PREPARED: 2, S.ACQUIRING: 3, S.STOPPING: 4}[state]
    for command in ("connect", "prepare", "start", "stop")[:way]:
        with machine.transition(command):
            pass
    return machine


@pytest.mark.parametrize("command", TRANSITIONS)
@pytest.mark.parametrize("state", S)
def test_every_command_in_every_state(state, command) -> None:
    machine = machine_in(state)
    assert machine.state is state
    target = TRANSITIONS[command].get(state)
    if target is None:
        with pytest.raises(IllegalTransitionError, match=command), machine.transition(command):
            pytest.fail("the body of a refused command must not run")
        assert machine.state is state
    else:
        with machine.transition(command) as before:
            assert before is state
        assert machine.state is target


def test_make_safe_abort_and_close_are_legal_everywhere() -> None:
    for command in ("make_safe", "abort", "close"):
        assert set(TRANSITIONS[command]) == set(S)


def test_a_failing_body_changes_nothing() -> None:
    machine = machine_in(S.IDLE)
    with pytest.raises(OSError, match="gone"), machine.transition("prepare"):
        raise OSError("gone")
    assert machine.state is S.IDLE


def test_only_reset_leaves_a_latched_fault() -> None:
    leaving = [name for name, table in TRANSITIONS.items() if table.get(S.FAULT, S.FAULT) is not S.FAULT]
    assert sorted(leaving) == ["close", "reset"]


def test_one_of_two_threads_wins() -> None:
    for _ in range(50):
        machine, won = machine_in(S.PREPARED), []

        def start(machine: StateMachine = machine, won: list[int] = won) -> None:
            try:
                with machine.transition("start"):
                    won.append(1)
            except IllegalTransitionError:
                pass

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1


def test_the_end_of_an_old_pass_does_not_end_a_new_one() -> None:
    machine = machine_in(S.ACQUIRING)
    old = machine.generation
    for command in ("abort", "prepare", "start"):
        with machine.transition(command):
            pass
    machine.finish_pass(old)
    assert machine.state is S.ACQUIRING
    machine.finish_pass(machine.generation)
    assert machine.state is S.PREPARED
