"""Quantities: text with a unit outside, SI inside."""

from __future__ import annotations

import contextlib
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from knightshift.core.errors import ConfigError
from knightshift.core.quantities import _COMMON, PositiveSeconds, Ratio, _by_pint, to_si
from knightshift.core.yaml_files import validate


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("12 ms", "s", 12e-3),
        ("10 us", "s", 1e-5),
        ("11.5 h", "s", 41400.0),
        ("23 µm", "m", 23e-6),
        ("23 um", "m", 23e-6),
        ("4.8 mm", "m", 4.8e-3),
        ("1126 ppm", "ppm", 1126e-6),
        ("-5.6 ppm", "ppm", -5.6e-6),
        ("180 deg", "rad", math.pi),
        ("90°", "rad", math.pi / 2),
        ("119.2 kHz", "Hz", 119.2e3),
        ("1500 mT/m", "T/m", 1.5),
    ],
)
def test_text_with_a_unit_becomes_si_to_the_last_bit(text: str, unit: str, expected: float) -> None:
    assert to_si(text, unit) == expected


@pytest.mark.parametrize(
    ("unit", "text", "factor"), [(unit, *known) for unit, units in _COMMON.items() for known in units.items()]
)
def test_units_converted_without_pint_are_as_large_as_pint_says(unit: str, text: str, factor: Decimal) -> None:
    assert _by_pint(Decimal(1), text, unit) == factor
    assert float(_by_pint(Decimal("1.1"), text, unit)) == to_si(f"1.1 {text}", unit)


@pytest.mark.parametrize(
    "text",
    ["12", "12 m", "ms", "12 parsnips", "nan ms", "inf s", "1e9999 s", "12 ms; import os", "", " ", "1 2 ms", "12 (ms"],
)
def test_text_that_is_not_a_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"write e\.g\. '12 ms'"):
        to_si(text, "s")


@pytest.mark.parametrize("value", [True, None, [1], {"s": 1}])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        to_si(value, "s")


@given(
    st.floats(min_value=1e-9, max_value=1e9), st.sampled_from([("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("h", 3600.0)])
)
def test_conversion_scales_by_the_unit(number: float, unit: tuple[str, float]) -> None:
    assert to_si(f"{number!r} {unit[0]}", "s") == pytest.approx(number * unit[1], rel=1e-15)


@given(st.text(max_size=30))
def test_any_text_gives_a_number_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert math.isfinite(to_si(text, "s"))  # type: ignore[arg-type]


class _Example(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    echo_time: PositiveSeconds
    shift: Ratio = 0.0


def test_bare_number_in_yaml_is_refused_but_si_float_in_python_is_taken() -> None:
    assert _Example(echo_time=0.012).echo_time == 0.012
    with pytest.raises(ConfigError, match=r"scan.yaml: echo_time: 12 needs a unit: write e.g. '12 ms'"):
        validate(_Example, {"echo_time": 12}, "scan.yaml", units_required=True)


def test_every_mistake_is_named_with_file_and_key() -> None:
    with pytest.raises(ConfigError) as caught:
        validate(_Example, {"echotime": "12 ms", "shift": "3 s"}, "scan.yaml", units_required=True)
    lines = str(caught.value).splitlines()
    assert any(line.startswith("scan.yaml: echo_time: is missing") for line in lines)
    assert any(line.startswith("scan.yaml: echotime: unknown key") for line in lines)
    assert any(line.startswith("scan.yaml: shift: '3 s'") for line in lines)


def test_model_survives_its_own_json() -> None:
    example = validate(_Example, {"echo_time": "12.3 ms", "shift": "1126 ppm"}, "x", units_required=True)
    assert validate(_Example, example.model_dump(mode="json"), "manifest") == example
