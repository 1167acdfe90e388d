"""The part of the contract suite that is about refusals: programs, frequencies and gains that are not possible."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract_steps import S, play, with_event, with_strong_pulse

from knightshift.core.errors import IllegalTransitionError, InputError, LimitError, ProtocolError
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import Scanner


class RefusalContract:
    """What must be refused, and what must be as before then."""

    def test_validate_arms_nothing(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            scanner.validate(program)
            assert scanner.status().state is S.IDLE
            with pytest.raises(IllegalTransitionError):
                scanner.start(0)

    def test_a_refused_program_leaves_the_armed_one(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            scanner.prepare(program)
            with pytest.raises(InputError):
                scanner.prepare(replace(program, b0=program.b0 / 2))
            assert scanner.status().state is S.PREPARED
            assert len(play(scanner)) == program.n_readouts

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
        with scanner:
            with pytest.raises(LimitError, match="kHz"):
                scanner.prepare(with_strong_pulse(program))
            assert scanner.status().state is S.IDLE

    @pytest.mark.parametrize("axis", [3, 4, 5], ids=["x", "y", "z"])
    def test_too_strong_a_gradient_is_refused_before_any_rf(
        self, scanner: Scanner, program: PassProgram, axis: int
    ) -> None:
        with scanner:
            amplitude = 2 * scanner.capabilities().limits.max_gradient * program.gyromagnetic_ratio
            with pytest.raises(LimitError, match="T/m"):
                scanner.prepare(with_event(program, "[TRAP]", axis, f"999 {amplitude:.6g} 5 1 5 0"))
            assert scanner.status().state is S.IDLE

    def test_too_steep_a_gradient_is_refused_before_any_rf(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            limits = scanner.capabilities().limits
            rise_us = 0.5 * 0.5 * limits.max_gradient / limits.max_slew * 1e6  # half the amplitude in half the time
            amplitude = 0.5 * limits.max_gradient * program.gyromagnetic_ratio
            ramp = max(1, int(rise_us))
            with pytest.raises(LimitError, match="T/m/s"):
                scanner.prepare(with_event(program, "[TRAP]", 4, f"999 {amplitude:.6g} {ramp} 1 {ramp} 0"))
            assert scanner.status().state is S.IDLE

    def test_validate_refuses_what_prepare_refuses(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            for wrong in (with_strong_pulse(program), replace(program, b0=program.b0 / 2), replace(program, pulseq="")):
                with pytest.raises(InputError):
                    scanner.validate(wrong)

    @pytest.mark.parametrize("gain", [float("nan"), float("inf")])
    def test_an_impossible_gain_is_refused_and_changes_nothing(
        self, scanner: Scanner, program: PassProgram, gain: float
    ) -> None:
        with scanner:
            scanner.prepare(program)
            before = scanner.status()
            with pytest.raises(InputError):
                scanner.set_receiver_gain(gain)
            assert scanner.status() == before

    def test_a_frequency_that_was_chosen_outlives_prepare(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            scanner.set_frequency(program.working_frequency - 20.0)
            scanner.prepare(program)
            assert scanner.status().frequency == program.working_frequency - 20.0
            scanner.set_frequency(program.working_frequency)
            assert len(play(scanner)) == program.n_readouts
            assert scanner.status().frequency == program.working_frequency

    @pytest.mark.parametrize("frequency", [0.0, -1.0, float("nan"), float("inf")])
    def test_an_impossible_frequency_is_refused_and_changes_nothing(
        self, scanner: Scanner, program: PassProgram, frequency: float
    ) -> None:
        with scanner:
            scanner.prepare(program)
            with pytest.raises(InputError):
                scanner.set_frequency(frequency)
            status = scanner.status()
            assert (status.state, status.frequency) == (S.PREPARED, program.working_frequency)

    def test_frequency_and_gain_are_reported_as_set(self, scanner: Scanner, program: PassProgram) -> None:
        with scanner:
            scanner.prepare(program)
            assert scanner.status().frequency == program.working_frequency
            scanner.set_frequency(program.working_frequency + 50.0)
            scanner.set_receiver_gain(6.0)
            scanner.prepare(program)
            status = scanner.status()
            assert (status.frequency, status.receiver_gain) == (program.working_frequency + 50.0, 6.0)
