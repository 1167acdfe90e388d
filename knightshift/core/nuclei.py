"""The nuclei a protocol may name, and their frequencies."""

from __future__ import annotations

from dataclasses import dataclass

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
    digits = "".join(c for c in name if c.isdigit())
    letters = "".join(c for c in name if c.isalpha())
    try:
        return _TABLE[digits + letters.capitalize()]
    except KeyError:
        raise ConfigError(f"unknown nucleus {name!r}: known are {', '.join(_TABLE)}") from None
