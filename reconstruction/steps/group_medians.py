"""Medians of groups of numbers that are seen piece by piece, and never all of them at once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import IntArray, RealArray

_DIGIT_BITS = 11
"""Bits that are settled by one look at all numbers; each group needs a table of ``2**11`` counts."""
_DIGITS = 1 << _DIGIT_BITS


def group_medians(pieces: Iterable[RealArray], groups: IntArray, n_groups: int) -> RealArray:
    """Find the median of each group of numbers, exactly; it does not depend on how they are split into pieces.

    The bits of numbers that are not negative sort as the numbers do. So both middle numbers of a group are found digit
    by digit, in three looks at all numbers in single precision and six in double.

    Parameters
    ----------
    pieces
        Numbers that are not negative, float32 or float64, shape ``(..., *groups.shape)``; gone through several times.
    groups
        Group of each number, 0 to ``n_groups - 1``.
    n_groups
        How many groups there are.

    Returns
    -------
    RealArray
        Shape ``(group,)``, in the precision of the numbers, as `numpy.median` gives it; NaN for an empty group.
    """
    dtype = np.dtype(next(iter(pieces)).dtype)
    n_bits = 8 * dtype.itemsize
    word = np.dtype(f"u{dtype.itemsize}")
    found = np.zeros((2, n_groups), word)
    ranks = np.zeros((2, n_groups), np.int64)
    totals = np.zeros(n_groups, np.int64)
    above = n_bits
    while above > 0:
        shift = max(0, above - _DIGIT_BITS)
        lower = _counts(pieces, groups, found[0], (shift, above))
        tables = lower, lower if (found[0] == found[1]).all() else _counts(pieces, groups, found[1], (shift, above))
        if above == n_bits:
            totals = lower.sum(axis=1)
            ranks = np.stack([(totals - 1) // 2, totals // 2])
        for side, table in enumerate(tables):
            upto = np.cumsum(table, axis=1)
            digit = np.argmax(upto > ranks[side][:, np.newaxis], axis=1)
            ranks[side] -= (upto - table)[np.arange(n_groups), digit]
            found[side] |= digit.astype(word) << word.type(shift)
        above = shift
    middle = found.view(dtype)
    return np.where(totals > 0, middle.mean(axis=0), dtype.type(np.nan))


def _counts(
    pieces: Iterable[RealArray], groups: IntArray, prefix: NDArray[np.unsignedinteger], bits: tuple[int, int]
) -> IntArray:
    """Count the digits of the numbers that begin as `prefix` of their group does, shape ``(group, digit)``."""
    shift, above = (prefix.dtype.type(number) for number in bits)
    n_bits = 8 * prefix.dtype.itemsize
    counts = np.zeros(len(prefix) * _DIGITS, np.int64)
    for piece in pieces:
        words = np.ascontiguousarray(piece).view(prefix.dtype)
        of_group = np.broadcast_to(groups, words.shape)
        if above < n_bits:
            chosen = words >> above == (prefix >> above)[of_group]
            words, of_group = words[chosen], of_group[chosen]
        digits = (words >> shift) & prefix.dtype.type(_DIGITS - 1)
        counts += np.bincount((of_group * _DIGITS + digits.astype(np.int64)).ravel(), minlength=counts.size)
    return counts.reshape(len(prefix), _DIGITS)
