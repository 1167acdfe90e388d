"""What the relaxation time of a series of echoes is called: T₂ of spin echoes, T₂* of gradient echoes.

The rule, everywhere a user reads it: names of files, data sets and JSON keys say ``t2`` for both, so that scripts need
not know; headings, labels, descriptions and sentences say which it is.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from knightshift.reconstruction.images import ImageSeries

T2 = "T₂"
"""Of spin echoes, and of echoes that nobody knows to be others."""
T2_STAR = "T₂*"
"""Of gradient echoes."""

T2Name: TypeAlias = Literal["T2", "T2*"]
"""The same in plain letters, for tables and side-cars."""


def t2_symbol(series: ImageSeries) -> str:
    """Name what a fit of these echoes gives, in every figure and word of a report."""
    return T2_STAR if series.refocused is False else T2


def t2_name(series: ImageSeries) -> T2Name:
    """Name what a fit of these echoes gives in plain letters."""
    return "T2*" if series.refocused is False else "T2"


def t2_symbol_of_both(first: ImageSeries, second: ImageSeries) -> str:
    """Name what two series give on one axis."""
    names = sorted({t2_symbol(first), t2_symbol(second)})
    return " or ".join(names)


def in_symbol(words: str, symbol: str) -> str:
    """Write ``T2`` in plain words about a fit as `symbol`; for T₂ they stay as they are."""
    return words.replace("T2", "T2*") if symbol in (T2_STAR, "T2*") else words
