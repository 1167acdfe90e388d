"""What the regions of a T2 map are called: those of a battery have names, those of other objects do not."""

from __future__ import annotations

from dataclasses import dataclass

_METALS = frozenset({"6Li", "7Li", "23Na", "39K", "25Mg", "67Zn", "87Rb", "133Cs"})
"""Nuclei of the metals that electrodes are made of."""


@dataclass(frozen=True)
class RegionWords:
    """Names for people; `summary.json` tells the kinds of region by ``role``."""

    bulk: str
    """All of the bulk."""
    part: str
    """A large connected part of the bulk; a number follows."""
    isolated: str
    """An isolated region of long T2."""

    def part_number(self, number: int) -> str:
        """Name of the part of this number, from 1."""
        return f"{self.part} {number}"

    def isolated_number(self, number: int) -> str:
        """Name of the isolated region of this number, from 1; the first has none."""
        return f"{self.isolated} {number}" if number > 1 else self.isolated


def region_words(nucleus: str | None) -> RegionWords:
    """Names for images of this nucleus: a cell's where it is a metal's or not known, else neutral ones."""
    if nucleus is None or nucleus in _METALS:
        return RegionWords("electrodes", "electrode", "dendrite")
    return RegionWords("bulk", "part", "isolated region")
