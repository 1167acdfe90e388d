"""The relaxation times that an item gave, in numbers for the table of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from knightshift.core.arrays import RealArray
from knightshift.core.json_numbers import number_or_none
from knightshift.reconstruction.pseudo_2d import Pseudo2DFit

UNIT, _PER_UNIT = "ms", 1e3
COLUMNS = ("quantity", "of", "value", "std", "unit", "lower quartile", "upper quartile", "voxels")
"""Headings of `FoundTime.cells`."""
_SIGMA_OF_QUARTILES = 1.349
"""Distance between the quartiles of a normal distribution, in standard deviations."""


class FoundTime(BaseModel):
    """A relaxation time of an item: the median of its voxels, or of one peak."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    quantity: str
    """``T2``, ``T2*`` (of gradient echoes), ``T1`` or ``T1rho``."""
    of: str
    """``median of voxels``, or the peak."""
    value: float | None
    """[s]; None where none could be determined, or the map is too large for a median within the memory."""
    std: float | None = None
    """Standard deviation [s]: of a median that of its position, neighbours taken as independent; of a peak that of the
    fit."""
    quartiles: tuple[float, float] | None = None
    """Lower and upper quartile of the voxels [s]."""
    n_voxels: int | None = None
    """Voxels that have a value; None of a peak."""

    def cells(self) -> list[object]:
        """Write it as one line of a table, in the order of `COLUMNS`."""
        low, high = self.quartiles or (None, None)
        times = [None if time is None else f"{_PER_UNIT * time:.4g}" for time in (self.value, self.std, low, high)]
        return [self.quantity, self.of, *times[:2], UNIT, *times[2:], self.n_voxels]


def time_of_voxels(quantity: str, known: RealArray | None, n_voxels: int | None = None) -> tuple[FoundTime]:
    """Tell the median of a map and how far the middle half of its voxels reaches.

    Parameters
    ----------
    quantity
        What the map is of.
    known
        Values of the voxels that have one [s], shape ``(voxel,)``; None: they are too many to be held at once.
    n_voxels
        How many they are; by default those of `known`.
    """
    of, count = "median of voxels", n_voxels if known is None else known.size
    if known is None or known.size == 0:
        return (FoundTime(quantity=quantity, of=of, value=None, n_voxels=count),)
    low, middle, high = (float(value) for value in np.quantile(known, (0.25, 0.5, 0.75)))
    sigma = (high - low) / _SIGMA_OF_QUARTILES
    std = sigma * math.sqrt(math.pi / 2 / known.size)  # of the median of many normal numbers
    return (FoundTime(quantity=quantity, of=of, value=middle, std=std, quartiles=(low, high), n_voxels=count),)


def times_of_peaks(result: Pseudo2DFit) -> tuple[FoundTime, ...]:
    """Tell the relaxation time of every peak."""
    return tuple(
        FoundTime(
            quantity=result.quantity,
            of=peak.name,
            value=number_or_none(peak.fit.time) if peak.fit.ok else None,
            std=number_or_none(peak.fit.time_std) if peak.fit.ok else None,
        )
        for peak in result.peaks
    )


def table_lines(times: Sequence[FoundTime]) -> list[list[object]]:
    """Write the times of one item as lines of a table; one empty line where there are none."""
    return [time.cells() for time in times] or [[None] * len(COLUMNS)]
