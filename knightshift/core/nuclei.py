"""The nuclei a protocol may name, and their frequencies; and every isotope that data may be of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from knightshift.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Nucleus:
    """One NMR-active isotope."""

    name: str
    """Isotope in the order mass number, symbol: ``"23Na"``."""
    gyromagnetic_ratio: float
    """γ/2π [Hz/T]."""
    spin: float
    """Spin quantum number I."""

    def frequency(self, b0: float, shift: float = 0.0) -> float:
        """Resonance frequency [Hz] in the field `b0` [T] at `shift` (a ratio: 1126 ppm is 1126e-6)."""
        return self.gyromagnetic_ratio * b0 * (1.0 + shift)


# γ/2π from the unified scale of Xi ratios (Harris et al., Pure Appl. Chem. 73 (2001) 1795).
_TABLE = {
    nucleus.name: nucleus
    for nucleus in (
        Nucleus("1H", 42.577478e6, 0.5),
        Nucleus("2H", 6.53569e6, 1.0),
        Nucleus("7Li", 16.546e6, 1.5),
        Nucleus("11B", 13.660e6, 1.5),
        Nucleus("13C", 10.7084e6, 0.5),
        Nucleus("19F", 40.052e6, 0.5),
        Nucleus("23Na", 11.262e6, 1.5),
        Nucleus("27Al", 11.103e6, 2.5),
        Nucleus("31P", 17.235e6, 0.5),
    )
}


def nucleus_named(name: str) -> Nucleus:
    """Find a nucleus by name, ``"23Na"`` or ``"Na23"``.

    Raises
    ------
    ConfigError
        If it is not in the table; the message lists what is.
    """
    try:
        return _TABLE[_canonical(name)]
    except KeyError:
        raise ConfigError(f"unknown nucleus {name!r}: known are {', '.join(_TABLE)}") from None


# Isotopes with a spin, by mass; their ratios are not needed to read or fit their data.
_WITH_SPIN = """
1H 2H 3H 3He 6Li 7Li 9Be 10B 11B 13C 14N 15N 17O 19F 21Ne 23Na 25Mg 27Al 29Si 31P 33S 35Cl 37Cl 39K 40K 41K 43Ca
45Sc 47Ti 49Ti 50V 51V 53Cr 55Mn 57Fe 59Co 61Ni 63Cu 65Cu 67Zn 69Ga 71Ga 73Ge 75As 77Se 79Br 81Br 83Kr 85Rb 87Rb
87Sr 89Y 91Zr 93Nb 95Mo 97Mo 99Ru 101Ru 103Rh 105Pd 107Ag 109Ag 111Cd 113Cd 113In 115In 115Sn 117Sn 119Sn 121Sb
123Sb 123Te 125Te 127I 129Xe 131Xe 133Cs 135Ba 137Ba 138La 139La 141Pr 143Nd 145Nd 147Sm 149Sm 151Eu 153Eu 155Gd
157Gd 159Tb 161Dy 163Dy 165Ho 167Er 169Tm 171Yb 173Yb 175Lu 176Lu 177Hf 179Hf 181Ta 183W 185Re 187Re 187Os 189Os
191Ir 193Ir 195Pt 197Au 199Hg 201Hg 203Tl 205Tl 207Pb 209Bi 235U
"""


def isotope_named(name: str) -> str:
    """Bring the name of an isotope that has a spin into our order: ``"Na23"`` becomes ``"23Na"``.

    Raises
    ------
    ConfigError
        If there is no such isotope, or it has no spin.
    """
    canonical = _canonical(name)
    if canonical not in _WITH_SPIN.split():
        raise ConfigError(f"unknown nucleus {name!r}: write an isotope with a spin, such as 23Na, 1H or 15N")
    return canonical


Isotope: TypeAlias = Annotated[str, AfterValidator(isotope_named)]
"""Field of a description: an isotope that data may be of."""


def _canonical(name: str) -> str:
    """Mass number first, then the symbol."""
    digits = "".join(c for c in name if c.isdigit())
    letters = "".join(c for c in name if c.isalpha())
    return digits + letters.capitalize()
