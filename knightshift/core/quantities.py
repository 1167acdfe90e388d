"""Quantities with units: text at the border, SI floats inside.

In a YAML file every dimensional quantity says its unit (``"12 ms"``); a bare number is refused. In Python, and in the
JSON that we write ourselves, a float is SI. The two are told apart by the validation context that
`knightshift.core.yaml_files` sets.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, ValidationInfo

if TYPE_CHECKING:
    import pint

UNITS_REQUIRED = "knightshift_units_required"
"""Key of the validation context under which bare numbers are refused."""

_EXAMPLES = {
    "s": "12 ms",
    "Hz": "100 kHz",
    "m": "23 um",
    "T": "9.4 T",
    "T/m": "1.5 T/m",
    "T/m/s": "10000 T/m/s",
    "rad": "90 deg",
    "ppm": "1126 ppm",
    "1/m^2": "1 1/m^2",
    "V": "50 mV",
    "Hz/s": "1 Hz/h",
    "1/s": "0.1 %/h",
    "K": "293 K",
    "1": "20 %",
}


_WORD = r"[A-Za-z]{1,16}(\^-?[0-9])?"
_UNIT = re.compile(rf"(1/)?{_WORD}([ */]{{1,3}}{_WORD}){{0,3}}")
"""What may be handed to pint: it would also take sums, brackets and towers of powers."""


_COMMON = {
    "s": {
        "s": Decimal(1),
        "ms": Decimal("1e-3"),
        "us": Decimal("1e-6"),
        "ns": Decimal("1e-9"),
        "min": Decimal(60),
        "h": Decimal(3600),
    },
    "Hz": {"Hz": Decimal(1), "kHz": Decimal("1e3"), "MHz": Decimal("1e6")},
    "m": {"m": Decimal(1), "mm": Decimal("1e-3"), "um": Decimal("1e-6")},
    "T": {"T": Decimal(1)},
    "T/m": {"T/m": Decimal(1), "mT/m": Decimal("1e-3")},
    "T/m/s": {"T/m/s": Decimal(1)},
    "rad": {"rad": Decimal(1), "deg": Decimal("0.01745329251994329576923690768")},
    "ppm": {"ppm": Decimal("1e-6")},
    "Hz/s": {"Hz/h": Decimal("0.0002777777777777777777777777778")},
    "1/s": {"percent/h": Decimal("0.000002777777777777777777777777778")},
    "1": {"percent": Decimal("1e-2")},
}
"""How large the units of most files are, as pint has them, which takes half a second to say so."""

_SYMBOLS = {"µ": "u", "μ": "u", "−": "-", "°": " deg", "%": "percent"}


@cache
def _registry() -> pint.UnitRegistry[Any]:
    """Build pint's registry on first use: with its import it takes half a second."""
    import pint

    return pint.UnitRegistry(non_int_type=Decimal)  # decimals, so that "10 us" is 1e-5 to the last bit


def to_si(value: object, unit: str, *, units_required: bool = False) -> object:
    """Convert text such as ``"12 ms"`` to a float in `unit`; pass numbers through unless units are required.

    Parameters
    ----------
    value
        Text with a unit, or a number already in `unit`.
    unit
        The SI unit wanted. ``"ppm"`` gives a ratio: ``"1126 ppm"`` is 1126e-6.
    units_required
        Refuse bare numbers.

    Raises
    ------
    ValueError
        If the unit is missing, unknown or of another dimension, with an example that would do.
    """
    example = _EXAMPLES.get(unit, f"1 {unit}")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not a quantity: write e.g. {example!r}")  # noqa: TRY004 - pydantic wants ValueError
    if not isinstance(value, str):
        if units_required:
            raise ValueError(f"{value!r} needs a unit: write e.g. {example!r}")
        return value
    return _parse(value, unit, example)


def _parse(text: str, unit: str, example: str) -> float:
    words = text.strip()
    for symbol, word in _SYMBOLS.items():
        words = words.replace(symbol, word)
    number, _, unit_text = words.partition(" ")
    try:
        magnitude = Decimal(number)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number, a space and a unit: write e.g. {example!r}") from None
    if not unit_text.strip():
        raise ValueError(f"{text!r} needs a unit: write e.g. {example!r}")
    if not magnitude.is_finite():
        raise ValueError(f"{text!r} is not finite: write e.g. {example!r}")
    if not _UNIT.fullmatch(unit_text.strip()):
        raise ValueError(f"{text!r}: unit {unit_text!r} is not understood: write e.g. {example!r}")
    factor = _COMMON.get(unit, {}).get(unit_text.strip())
    try:
        si = float(_by_pint(magnitude, unit_text.strip(), unit) if factor is None else magnitude * factor)
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"{text!r}: {error}: write e.g. {example!r}") from None
    if not math.isfinite(si):
        raise ValueError(f"{text!r} is too large: write e.g. {example!r}")
    return si


def _by_pint(magnitude: Decimal, unit_text: str, unit: str) -> Decimal:
    import pint

    target = "dimensionless" if unit in ("ppm", "1") else unit
    try:
        converted: Decimal = _registry().Quantity(magnitude, unit_text).to(target).magnitude
    except pint.PintError as error:
        raise ValueError(str(error)) from None
    return converted


def _validator(unit: str) -> BeforeValidator:
    def convert(value: object, info: ValidationInfo) -> object:
        required = bool(info.context and info.context.get(UNITS_REQUIRED))
        return to_si(value, unit, units_required=required)

    return BeforeValidator(convert)


def _field(unit: str, **bounds: Any) -> Any:
    extra: dict[str, Any] = {"unit": "1" if unit == "ppm" else unit, "example": _EXAMPLES.get(unit, f"1 {unit}")}
    return Field(allow_inf_nan=False, json_schema_extra=extra, **bounds)


Seconds: TypeAlias = Annotated[float, _validator("s"), _field("s")]
PositiveSeconds: TypeAlias = Annotated[float, _validator("s"), _field("s", gt=0)]
NonNegativeSeconds: TypeAlias = Annotated[float, _validator("s"), _field("s", ge=0)]
Hertz: TypeAlias = Annotated[float, _validator("Hz"), _field("Hz")]
PositiveHertz: TypeAlias = Annotated[float, _validator("Hz"), _field("Hz", gt=0)]
Metres: TypeAlias = Annotated[float, _validator("m"), _field("m")]
PositiveMetres: TypeAlias = Annotated[float, _validator("m"), _field("m", gt=0)]
Tesla: TypeAlias = Annotated[float, _validator("T"), _field("T", gt=0)]
TeslaPerMetre: TypeAlias = Annotated[float, _validator("T/m"), _field("T/m", gt=0)]
TeslaPerMetrePerSecond: TypeAlias = Annotated[float, _validator("T/m/s"), _field("T/m/s", gt=0)]
Radians: TypeAlias = Annotated[float, _validator("rad"), _field("rad")]
Ratio: TypeAlias = Annotated[float, _validator("ppm"), _field("ppm")]
"""A chemical or Knight shift: written with ``ppm``, held as a ratio."""
Fraction: TypeAlias = Annotated[float, _validator("1"), _field("1")]
"""A level: written with ``%``, held as a fraction."""
FractionPerSecond: TypeAlias = Annotated[float, _validator("1/s"), _field("1/s", ge=0)]
"""How fast a level falls: written ``0.1 %/h``, held as a fraction per second."""
Kelvin: TypeAlias = Annotated[float, _validator("K"), _field("K", ge=0)]
"""A temperature: written in ``K`` or ``degC``, held in K."""


def _difference_only(value: object) -> object:
    if isinstance(value, str) and not value.rstrip().endswith("K"):
        raise ValueError(f"{value!r} is not a difference of temperatures: write e.g. '0.5 K'")
    return value


KelvinDifference: TypeAlias = Annotated[float, _validator("K"), BeforeValidator(_difference_only), _field("K", ge=0)]
"""A difference of two temperatures: written in ``K``, so that nobody adds 273.15 to it."""
