"""What the regions of a T2 map are called: those of a cell have names, those of other objects do not.

The one rule for reports, exports, tables and stop rules: an image is one of a cell where its nucleus is that of an
electrode's metal. Of protons, or of a nucleus that is not known, it may be of anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_METALS = frozenset({"6Li", "7Li", "23Na", "39K", "25Mg", "67Zn", "87Rb", "133Cs"})
"""Nuclei of the metals that electrodes are made of."""

RegionRole = Literal["bulk", "electrode", "dendrite", "part", "isolated"]
"""Kinds of region in ``summary.json``: a cell has electrodes and dendrites, other objects parts and isolated ones."""


@dataclass(frozen=True)
class RegionWords:
    """Names for people, and for files."""

    bulk: str
    """All of the bulk."""
    part: str
    """A large connected part of the bulk; a number follows."""
    isolated: str
    """An isolated region of long T2."""
    part_role: RegionRole
    """Kind of a part."""
    isolated_role: RegionRole
    """Kind of an isolated region."""
    parts_mask: str
    """Name of the mask of all parts."""
    isolated_mask: str
    """Name of the mask of all isolated regions."""

    @property
    def of_cell(self) -> bool:
        """Whether these are the names of a cell's regions."""
        return self.isolated_role == "dendrite"

    def part_number(self, number: int) -> str:
        """Name of the part of this number, from 1."""
        return f"{self.part} {number}"

    def isolated_number(self, number: int) -> str:
        """Name of the isolated region of this number, from 1; the first has none."""
        return f"{self.isolated} {number}" if number > 1 else self.isolated


_CELL = RegionWords("electrodes", "electrode", "dendrite", "electrode", "dendrite", "electrodes", "dendrites")
_OTHER = RegionWords("bulk", "part", "isolated region", "part", "isolated", "parts", "isolated")


def region_words(nucleus: str | None) -> RegionWords:
    """Names for images of this nucleus: a cell's where it is a metal's, neutral ones else or where it is not known."""
    return _CELL if nucleus in _METALS else _OTHER
