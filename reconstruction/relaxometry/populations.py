"""The isolated population of long T2 (a dendrite), told from the bulk by a test that knows the error of each voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from scipy import ndimage
from scipy.special import ndtri

from knightshift.core.arrays import BoolArray, IntArray, RealArray
from knightshift.core.errors import InputError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.relaxometry.histogram import T2Histogram, t2_histogram
from knightshift.reconstruction.relaxometry.regions import RegionStatistics, region_statistics
from knightshift.reconstruction.relaxometry.result import T2Fit

BULK_LABEL = 1
"""Label of bulk voxels in `Populations.labels`; isolated regions are numbered from the next one on."""

_CERTAIN = 0.25
_BULK_SHARE = 0.97
_MOST_SUSPECTS = 4
"""Regions that are left out of the bulk on trial, at most."""


class PopulationOptions(BaseModel):
    """How strict the search for an isolated population is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    false_positive_rate: float = Field(default=0.01, gt=0, lt=1)
    """Maps of bulk alone in which a region is nevertheless reported, at most."""
    candidate_sigma: float = Field(default=1.0, ge=0)
    """A voxel is a candidate if its rate lies so many of its own standard deviations below the edge of the bulk."""
    minimum_voxels: PositiveInt = 3
    """Smallest region reported."""
    minimum_contrast: float = Field(default=1.2, ge=1)
    """Smallest pooled T2 of a region, in units of the upper edge of the bulk."""
    ringing: float = Field(default=1.5, ge=0)
    """A voxel is no candidate if it is fainter than so many times the ringing of a line of its row or column, which
    falls as ``amplitude / (pi n)`` with the distance of ``n`` voxels: where ringing of bright voxels meets, T2 is
    arbitrary. 0 for images without ringing."""
    minimum_electrode_share: float = Field(default=0.1, gt=0, lt=1)
    """A connected part of the bulk is an electrode if it has at least this share of the bulk voxels."""


@dataclass(frozen=True)
class Populations:
    """Bulk and isolated regions of a T2 map."""

    labels: IntArray
    """0: no T2; 1: bulk; 2 and above: isolated regions in the order of `isolated`; shape ``image``."""
    bulk: RegionStatistics
    """All voxels that are not isolated."""
    electrodes: tuple[RegionStatistics, ...]
    """Large connected parts of the bulk, largest first."""
    isolated: tuple[RegionStatistics, ...]
    """Regions of long T2, most significant first; empty where there is none."""
    significance: tuple[float, ...]
    """Of each isolated region: by how many standard deviations its T2 lies above `bulk_edge`."""
    bulk_edge: float
    """Upper edge of the T2 distribution of the bulk, freed from noise [s]."""
    histogram: T2Histogram
    """Of all voxels that have a T2."""
    options: PopulationOptions
    """How they were found."""

    def mask(self, number: int = 0) -> BoolArray:
        """Voxels of an isolated region, counted from 0."""
        return np.asarray(self.labels == BULK_LABEL + 1 + number)

    def electrode_masks(self) -> tuple[BoolArray, ...]:
        """Voxels of each of `electrodes`, shape ``image``."""
        return _electrode_masks(self.labels == BULK_LABEL, self.options)


def find_populations(
    fit: T2Fit, geometry: ImageGeometry | None = None, options: PopulationOptions | None = None
) -> Populations:
    """Divide a T2 map into bulk and isolated regions of long T2.

    Parameters
    ----------
    fit
        The T2 map with its errors.
    geometry
        Where the voxels are, for positions and sizes in metres.
    options
        How strict the search is.

    Raises
    ------
    InputError
        If no voxel has a T2.
    """
    options = options or PopulationOptions()
    if not fit.ok.any():
        raise InputError("no voxel has a T2: look at the status map; is the mask or the noise level right?")
    edge, regions = _edge_and_regions(fit, options)
    labels = np.where(fit.ok, BULK_LABEL, 0).astype(np.int16)
    for number, (_, region) in enumerate(regions):
        labels[region] = BULK_LABEL + 1 + number
    bulk = labels == BULK_LABEL
    return Populations(
        labels=labels,
        bulk=region_statistics("bulk", fit, bulk, geometry),
        electrodes=tuple(
            region_statistics(f"part {rank}", fit, mask, geometry)
            for rank, mask in enumerate(_electrode_masks(bulk, options), start=1)
        ),
        isolated=tuple(
            region_statistics(f"isolated {number + 1}", fit, region, geometry)
            for number, (_, region) in enumerate(regions)
        ),
        significance=tuple(significance for significance, _ in regions),
        bulk_edge=edge,
        histogram=t2_histogram(fit.t2, fit.t2_std),
        options=options,
    )


def _edge_and_regions(fit: T2Fit, options: PopulationOptions) -> tuple[float, list[tuple[float, BoolArray]]]:
    """Find the upper edge of the bulk and the isolated regions, most significant first.

    A bright dendrite holds enough of the squared amplitude to lift the edge of a bulk that it is counted with, and so
    to hide itself. Therefore what stands out from the mirrored edge, which no voxel of long T2 moves, is left out of
    the bulk on trial if it is as bright as that. It must stand out from the edge of what remains; else it was the tail
    of the bulk.
    """
    rings = _may_ring(fit, options)
    suspects = _isolated_regions(fit, rings, _mirrored_edge(fit, fit.ok), options)[:_MOST_SUSPECTS]
    for count in range(len(suspects), 0, -1):
        trial = [region for _, region in suspects[:count]]
        if _share(fit, np.logical_or.reduce(trial)) < 1 - _BULK_SHARE:
            break  # too faint to lift the edge above themselves
        edge = _bulk_edge(fit, fit.ok & ~np.logical_or.reduce(trial))
        regions = _isolated_regions(fit, rings, edge, options)
        found = np.logical_or.reduce([region for _, region in regions]) if regions else np.zeros_like(fit.ok)
        if all(bool((region & found).any()) for region in trial):
            return edge, regions
    edge = _bulk_edge(fit, fit.ok)
    return edge, _isolated_regions(fit, rings, edge, options)


def _share(fit: T2Fit, region: BoolArray) -> float:
    """Part of the squared amplitude of certain voxels that a region has."""
    certain = _certain(fit, fit.ok)
    whole = float(np.sum(fit.amplitude[certain] ** 2))
    return float(np.sum(fit.amplitude[certain & region] ** 2)) / whole if whole > 0 else 0.0


def _certain(fit: T2Fit, bulk: BoolArray) -> BoolArray:
    """Voxels known to a quarter."""
    return np.asarray(bulk & (fit.t2_std < _CERTAIN * fit.t2))


def _mirrored_edge(fit: T2Fit, bulk: BoolArray) -> float:
    """As far above the median as the lower edge (2 % quantile) lies below [s]: uses no voxel of long T2 at all.

    Two standard deviations of the noise are taken out of the distance in quadrature. Without voxels known to a quarter
    it is the median.
    """
    certain = _certain(fit, bulk)
    if not certain.any():
        return float(np.median(fit.t2[fit.ok]))
    t2, error = fit.t2[certain], fit.t2_std[certain]
    low, middle = np.quantile(t2, [0.02, 0.5])
    noise = float(np.median(error[t2 <= middle]))
    return float(middle + np.sqrt(max((middle - low) ** 2 - (2 * noise) ** 2, 0.0)))


def _bulk_edge(fit: T2Fit, bulk: BoolArray) -> float:
    """Upper edge of the T2 distribution of the bulk [s], such that a faint population of long T2 does not move it.

    The larger of the mirrored edge, which serves a bulk with few voxels, and the quantile below which 97 % of the
    squared amplitude lies, which serves one that is skewed. Voxels known worse than to a quarter do not take part.
    """
    mirrored, certain = _mirrored_edge(fit, bulk), _certain(fit, bulk)
    if not certain.any():
        return mirrored
    t2, weight = fit.t2[certain], fit.amplitude[certain] ** 2
    order = np.argsort(t2)
    share = np.cumsum(weight[order]) / weight.sum()
    return float(max(mirrored, t2[order][np.searchsorted(share, _BULK_SHARE)]))


def _isolated_regions(
    fit: T2Fit, rings: BoolArray, edge: float, options: PopulationOptions
) -> list[tuple[float, BoolArray]]:
    """Significant connected groups of voxels above the edge, with their significance, highest first."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rate_std = fit.t2_std / fit.t2**2
        excess = np.where(fit.ok, (1 / edge - 1 / fit.t2) / rate_std, -np.inf)
    parts, count = ndimage.label((excess > options.candidate_sigma) & ~rings, _neighbours(fit.t2.ndim))
    threshold = -float(ndtri(options.false_positive_rate / int(np.count_nonzero(fit.ok))))
    found: list[tuple[float, BoolArray]] = []
    for box, number in zip(ndimage.find_objects(parts), range(1, count + 1), strict=True):
        if np.count_nonzero(parts[box] == number) < options.minimum_voxels:
            continue
        region = parts == number
        t2, significance = _pooled_excess(fit.t2[region], rate_std[region], edge)
        if significance > threshold and t2 > options.minimum_contrast * edge:
            found.append((significance, region))
    return sorted(found, key=lambda item: -item[0])


def _may_ring(fit: T2Fit, options: PopulationOptions) -> BoolArray:
    """Voxels no brighter than the ringing that an image cut off in k-space has around its bright lines [1]_.

    References
    ----------
    .. [1] Veraart et al., Magn. Reson. Med. 76 (2016) 301 (the sinc point spread and its side lobes).
    """
    amplitude = np.where(fit.ok, fit.amplitude, 0.0)
    envelope = np.zeros_like(amplitude)
    for axis in range(amplitude.ndim):
        length = amplitude.shape[axis]
        for distance in range(1, length):
            lobe = amplitude * options.ringing / (np.pi * distance)
            for source, target in (
                (slice(distance, None), slice(None, -distance)),
                (slice(None, -distance), slice(distance, None)),
            ):
                ahead, behind = _along(axis, source), _along(axis, target)
                envelope[behind] = np.maximum(envelope[behind], lobe[ahead])
    return np.asarray(amplitude <= envelope)


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (slice(None),) * axis + (part,)


def _pooled_excess(t2: RealArray, rate_std: RealArray, edge: float) -> tuple[float, float]:
    """T2 of the mean rate of a region, and by how many standard deviations the rate lies below that of the edge."""
    weight = 1 / rate_std**2
    rate = float(weight @ (1 / t2) / weight.sum())
    return 1 / rate, (1 / edge - rate) * float(np.sqrt(weight.sum()))


def _electrode_masks(bulk: BoolArray, options: PopulationOptions) -> tuple[BoolArray, ...]:
    """Large connected parts of the bulk, largest first."""
    parts, count = ndimage.label(bulk, _neighbours(bulk.ndim))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    large = [int(part) for part in np.argsort(-sizes) if sizes[part] >= options.minimum_electrode_share * bulk.sum()]
    return tuple(np.asarray(parts == part + 1) for part in large)


def _neighbours(n_axes: int) -> BoolArray:
    """Voxels that touch, at corners too."""
    return np.ones((3,) * n_axes, dtype=bool)
