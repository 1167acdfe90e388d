"""Which slice and which voxels stand for the whole in the figures."""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import BoolArray
from knightshift.core.human_units import plain
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.region_words import region_words
from knightshift.reconstruction.relaxometry import T2Fit
from knightshift.reconstruction.relaxometry.populations import BULK_LABEL, Populations
from knightshift.reconstruction.relaxometry.regions import RegionStatistics
from knightshift.reconstruction.report.decay_figure import ChosenVoxel
from knightshift.reconstruction.report.image_axes import ImagePlane, plane_of_slice, round_up
from knightshift.reconstruction.report.t2_figures import t2_range_of
from knightshift.reconstruction.t2_symbol import t2_symbol

_WELL_DESCRIBED = 5 / 6
"""Share of the voxels of a region, by chi-squared, of which one may stand for it."""


def isolated_mask(populations: Populations) -> BoolArray:
    """Voxels of all isolated regions, shape ``(slice, phase_encode, readout)``."""
    return np.asarray(populations.labels > BULK_LABEL)


def slice_to_show(fit: T2Fit, populations: Populations | None) -> int:
    """Choose the slice with most isolated voxels; without any, the one with most voxels that have a T2."""
    marked = fit.ok if populations is None or not populations.isolated else isolated_mask(populations)
    return int(np.argmax(np.count_nonzero(marked, axis=(1, 2))))


def t2_range_with_isolated(fit: T2Fit, populations: Populations | None) -> tuple[float, float]:
    """Choose the range of T2 [s]: that of well-known voxels, and up to the median of every isolated region.

    In a short scan the voxels of a dendrite are not well known, and yet are what the map is about.
    """
    low, high = t2_range_of(fit.t2, fit.t2_std)
    medians = [] if populations is None else [region.t2_median for region in populations.isolated]
    return low, max([high, *map(round_up, medians)])


def typical_voxels(series: ImageSeries, fit: T2Fit, populations: Populations) -> list[ChosenVoxel]:
    """Choose one typical voxel of the two brightest electrodes and of each of the first two isolated regions.

    Of a single region without electrodes three voxels: at its lower quartile, its median and its upper quartile.

    Typical is the voxel whose T2 is nearest to the region's median, among the half with the smaller relative error and
    without the sixth that the fit describes worst.
    """
    chosen, words = [], region_words(series.nucleus)
    brightest = sorted(populations.electrodes, key=lambda part: -float(part.snr[0]))[:2]
    if len(brightest) < 2 and not populations.isolated:
        return _spread_voxels(series, fit, populations.labels == BULK_LABEL)
    for part in brightest or (populations.bulk,):
        inside = (populations.labels == BULK_LABEL) & _box(part, fit.t2.shape)
        name = words.part if populations.electrodes else "bulk"
        chosen.append(_typical(series, fit, inside, part.t2_median, (name, False)))
    for number, part in enumerate(populations.isolated[:2]):
        name = words.isolated_number(number + 1)
        chosen.append(_typical(series, fit, populations.mask(number), part.t2_median, (name, True)))
    return chosen


def _spread_voxels(series: ImageSeries, fit: T2Fit, inside: BoolArray) -> list[ChosenVoxel]:
    """Choose voxels at the quartiles of a region: one voxel may stand between two peaks, where hardly any other is."""
    names = ("lower quartile", "median", "upper quartile")
    times = np.quantile(fit.t2[inside & fit.ok], [0.25, 0.5, 0.75])
    return [_typical(series, fit, inside, float(t2), (name, False)) for name, t2 in zip(names, times, strict=True)]


def _box(part: RegionStatistics, shape: tuple[int, ...]) -> BoolArray:
    inside = np.zeros(shape, dtype=bool)
    inside[tuple(slice(start, stop) for start, stop in part.bounding_box)] = True
    return inside


def _typical(
    series: ImageSeries, fit: T2Fit, inside: BoolArray, median: float, called: tuple[str, bool]
) -> ChosenVoxel:
    name, isolated = called
    inside = inside & fit.ok
    error = np.where(inside, fit.t2_std / np.where(inside, fit.t2, 1.0), np.inf)
    well_described = fit.chi2 <= np.quantile(fit.chi2[inside], _WELL_DESCRIBED)
    certain = inside & (error <= np.median(error[inside]))
    certain = certain & well_described if (certain & well_described).any() else certain
    distance = np.where(certain, np.abs(fit.t2 - median), np.inf)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmin(distance)), distance.shape))
    slice_index, row, column = index
    where = _position(plane_of_slice(series, slice_index), fit.t2.shape, row, column)
    return ChosenVoxel(f"{name} ({where})", (slice_index, row, column), isolated, t2_symbol(series))


def _position(plane: ImagePlane, shape: tuple[int, ...], row: int, column: int) -> str:
    length, unit = plane.unit
    words = []
    for axis, index, count in ((plane.horizontal, column, shape[2]), (plane.vertical, row, shape[1])):
        centre = axis.start + (index + 0.5) * (axis.stop - axis.start) / count
        words.append(f"{axis.name} {plain(round(centre / length), 4)}")
    return f"{', '.join(words)} {unit}"
