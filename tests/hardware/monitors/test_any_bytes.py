"""Whatever bytes come in: a value that could be one, or a typed fault; never anything else."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knightshift.core.errors import LinkFault
from knightshift.hardware.monitors.emulated import EmulatedEurotherm, EmulatedIlm, EmulatedJulabo, EmulatedModbus
from knightshift.hardware.monitors.eurotherm_bisynch import parse_answer, parse_number
from knightshift.hardware.monitors.framers import bisynch, modbus_read, until
from knightshift.hardware.monitors.julabo_chiller import parse_status as parse_chiller_status
from knightshift.hardware.monitors.julabo_chiller import parse_temperature
from knightshift.hardware.monitors.oxford_ilm import parse_level, parse_status

_SEEDS = [b"R623\r", b"X210S040000R00\r", b"\x02PV279.8\x03/", b"15.50\r\n", b"03 REMOTE START\r\n", b"---.--\r\n"]


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    answer = bytearray(draw(st.sampled_from(_SEEDS)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(answer)))
        answer[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(answer)


ANSWERS = st.one_of(st.binary(max_size=40), _mutated())


@settings(deadline=None)
@given(ANSWERS)
def test_any_answer_is_a_level_or_a_fault(answer: bytes) -> None:
    with contextlib.suppress(LinkFault):
        assert -0.1 <= parse_level(answer) <= 1.2


@settings(deadline=None)
@given(ANSWERS, st.integers(1, 3))
def test_any_answer_is_a_meter_status_or_a_fault(answer: bytes, channel: int) -> None:
    with contextlib.suppress(LinkFault):
        assert parse_status(answer, channel).use in (0, 1, 2, 3, 9)


@settings(deadline=None)
@given(ANSWERS)
def test_any_answer_is_a_bisynch_number_or_a_fault(answer: bytes) -> None:
    with contextlib.suppress(LinkFault):
        assert math.isfinite(parse_number(parse_answer(answer, "PV")))


@settings(deadline=None)
@given(ANSWERS)
def test_any_answer_is_a_chiller_temperature_or_a_fault(answer: bytes) -> None:
    with contextlib.suppress(LinkFault):
        value = parse_temperature(answer)
        assert math.isnan(value) or abs(value) < 1000


@settings(deadline=None)
@given(ANSWERS)
def test_any_answer_is_a_chiller_status_or_a_fault(answer: bytes) -> None:
    with contextlib.suppress(LinkFault):
        number, words = parse_chiller_status(answer)
        assert -100 < number < 100
        assert words


@settings(deadline=None)
@given(ANSWERS, st.sampled_from([until(b"\r"), bisynch, modbus_read]))
def test_a_framer_never_asks_for_more_than_has_come(answer: bytes, framer: Callable[[bytes], int | None]) -> None:
    length = framer(answer)
    assert length is None or 0 < length <= len(answer)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=12), max_size=8))
@pytest.mark.parametrize("kind", [EmulatedIlm, EmulatedEurotherm, EmulatedJulabo, EmulatedModbus])
def test_an_emulated_device_takes_any_bytes(kind: type, portions: list[bytes]) -> None:
    device = kind()
    for portion in portions:
        assert all(isinstance(answer, bytes) and answer for answer in device.feed(portion))
