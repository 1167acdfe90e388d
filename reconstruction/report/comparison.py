"""Two runs held beside each other in numbers: populations, their differences, and the errors of these."""

from __future__ import annotations

import math
from dataclasses import dataclass

from knightshift.reconstruction.region_words import RegionWords
from knightshift.reconstruction.relaxometry import Populations, RegionStatistics, T2Fit
from knightshift.reconstruction.relaxometry.regions import region_statistics
from knightshift.reconstruction.report.chosen_voxels import isolated_mask


@dataclass(frozen=True)
class Measured:
    """A value with its standard deviation."""

    value: float
    """NaN where there is none."""
    std: float
    """NaN where it is not known."""


@dataclass(frozen=True)
class Difference:
    """One quantity of one population in two runs."""

    region: str
    """All of the bulk, or all isolated voxels, by the name of `RegionWords`."""
    quantity: str
    """``voxels``, ``median_t2`` or ``fwhm_t2``."""
    first: Measured
    """In the run that is reported [s, or a number of voxels]."""
    second: Measured
    """In the other."""

    @property
    def difference(self) -> Measured:
        """First minus second; their errors are independent."""
        return Measured(self.first.value - self.second.value, math.hypot(self.first.std, self.second.std))

    @property
    def sigma(self) -> float:
        """The difference in units of its error; NaN where that is not known."""
        found = self.difference
        return found.value / found.std if found.std > 0 else math.nan


def compare(
    first: tuple[T2Fit, Populations], second: tuple[T2Fit, Populations], words: RegionWords
) -> tuple[Difference, ...]:
    """Compare the bulk, and the isolated populations where one of the runs has some.

    Parameters
    ----------
    first, second
        T2 map and populations of each run.
    words
        What the populations are called.
    """
    bulk = _rows(words.bulk, first[1].bulk, second[1].bulk)
    isolated = [_isolated(*one) for one in (first, second)]
    return (*bulk, *(_rows(words.isolated, *isolated) if any(isolated) else ()))


def _isolated(fit: T2Fit, populations: Populations) -> RegionStatistics | None:
    """Describe all isolated voxels of a map together."""
    mask = isolated_mask(populations)
    return region_statistics("isolated", fit, mask) if (mask & fit.ok).any() else None


def _rows(region: str, first: RegionStatistics | None, second: RegionStatistics | None) -> tuple[Difference, ...]:
    both = [_quantities(one) for one in (first, second)]
    return tuple(Difference(region, name, both[0][name], both[1][name]) for name in both[0])


def _quantities(region: RegionStatistics | None) -> dict[str, Measured]:
    nothing = Measured(math.nan, math.nan)
    if region is None:
        return {"voxels": Measured(0, math.nan), "median_t2": nothing, "fwhm_t2": nothing}
    return {
        "voxels": Measured(region.n_voxels, math.nan),
        "median_t2": Measured(region.t2_median, region.t2_median_std),
        "fwhm_t2": Measured(region.fwhm, region.fwhm_std),
    }
