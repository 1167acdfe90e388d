"""The regions of a T2 map in ``summary.json``: bulk, its parts, and what is isolated from it."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.arrays import BoolArray
from knightshift.core.json_numbers import number_or_none
from knightshift.reconstruction.region_words import RegionRole, RegionWords, region_words
from knightshift.reconstruction.relaxometry import T2Fit, pool_region
from knightshift.reconstruction.relaxometry.populations import Populations
from knightshift.reconstruction.relaxometry.regions import RegionStatistics

_MICROMETRE = 1e-6


class RegionSummary(BaseModel):
    """A group of voxels in numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    name: str
    """``electrodes`` (all of the bulk), ``electrode 1`` and so on, ``dendrite``, ``dendrite 2`` and so on; of what
    is no cell ``bulk``, ``part 1``, ``isolated region``."""
    role: RegionRole
    """What sort of region it is: ``electrode`` and ``dendrite`` of a cell, else ``part`` and ``isolated``."""
    n_voxels: int = Field(ge=1)
    """Voxels (pixels of a projection) with a T2."""
    median_t2_s: float
    """Median T2, or T2* where `FitSummary.quantity` says so [s]; likewise in all keys with ``t2``."""
    median_t2_std_s: float | None
    """Standard deviation of the median by bootstrap over voxels [s]."""
    pooled_t2_s: float | None = None
    """Of an isolated region: one T2 fitted to all its voxels together [s];
    weak voxels do not make it longer as the median."""
    pooled_interval_t2_s: tuple[float, float | None] | None = None
    """Its 95 % interval from the likelihood [s]; a second number of null is an interval that is open to long T2."""
    iqr_t2_s: tuple[float, float]
    """Lower and upper quartile of T2 [s]."""
    fwhm_t2_s: float | None
    """Full width at half maximum of the T2 histogram [s]; null below five voxels."""
    fwhm_t2_std_s: float | None
    """Its standard deviation [s]."""
    snr_per_echo: tuple[float | None, ...]
    """Median of signal over noise at each echo time."""
    centroid_um: dict[Literal["x", "y", "z"], float] | None
    """Centre, weighted by amplitude, in the frame of the images (own runs: the laboratory, B0 along z) [µm]."""
    extent_um: dict[str, float] | None
    """Size of the bounding box along each image axis, by the laboratory axis it follows (or its own name) [µm]."""
    extent_voxels: dict[str, int]
    """The same in voxels."""
    median_over_bulk: float | None = None
    """Of an isolated region: its median T2 over that of the bulk."""
    median_over_bulk_std: float | None = None
    """Standard deviation of that ratio, from those of both medians."""


def regions_of(
    populations: Populations, axes: tuple[str, str, str], words: RegionWords | None = None, fit: T2Fit | None = None
) -> tuple[RegionSummary, ...]:
    """List the regions of a T2 map: bulk, its electrodes, dendrites.

    Parameters
    ----------
    populations
        Of a map with axes ``(slice, phase_encode, readout)``.
    axes
        Laboratory axis that each of them follows.
    words
        What they are called; by default as in an object that is no cell.
    fit
        The map, to pool isolated regions; None: they are not.
    """
    words = words or region_words(None)
    regions = [_region(populations.bulk, words.bulk, "bulk", axes)]
    for number, part in enumerate(populations.electrodes, start=1):
        regions.append(_region(part, words.part_number(number), words.part_role, axes))
    for number, part in enumerate(populations.isolated, start=1):
        named = _region(part, words.isolated_number(number), words.isolated_role, axes)
        more = _pooled(fit, populations.mask(number - 1)) | _over_bulk(part, populations.bulk)
        regions.append(named.model_copy(update=more))
    return tuple(regions)


def _pooled(fit: T2Fit | None, mask: BoolArray) -> dict[str, Any]:
    """One T2 of all voxels of a region, with its interval; nothing where the noise is not known."""
    if fit is None or not np.isfinite(fit.noise_std).all() or not (mask & fit.ok).any():
        return {}
    pooled = pool_region(fit, mask)
    low, high = pooled.interval
    return {"pooled_t2_s": pooled.t2, "pooled_interval_t2_s": (low, number_or_none(high))}


def _over_bulk(part: RegionStatistics, bulk: RegionStatistics) -> dict[str, Any]:
    """Divide the median of a region by that of the bulk; errors of both medians are independent."""
    ratio = part.t2_median / bulk.t2_median
    error = ratio * math.hypot(part.t2_median_std / part.t2_median, bulk.t2_median_std / bulk.t2_median)
    return {"median_over_bulk": ratio, "median_over_bulk_std": number_or_none(error)}


def _region(part: RegionStatistics, name: str, role: RegionRole, axes: tuple[str, str, str]) -> RegionSummary:
    position = None if part.centroid_position is None else zip("xyz", part.centroid_position, strict=True)
    extent = None if part.extent is None else zip(axes, part.extent, strict=True)
    return RegionSummary(
        name=name,
        role=role,
        n_voxels=part.n_voxels,
        median_t2_s=part.t2_median,
        median_t2_std_s=number_or_none(part.t2_median_std),
        iqr_t2_s=part.t2_quartiles,
        fwhm_t2_s=number_or_none(part.fwhm),
        fwhm_t2_std_s=number_or_none(part.fwhm_std),
        snr_per_echo=tuple(map(number_or_none, part.snr)),
        centroid_um=None if position is None else {axis: metres / _MICROMETRE for axis, metres in position},
        extent_um=None if extent is None else {axis: metres / _MICROMETRE for axis, metres in extent},
        extent_voxels={axis: stop - start for axis, (start, stop) in zip(axes, part.bounding_box, strict=True)},
    )
