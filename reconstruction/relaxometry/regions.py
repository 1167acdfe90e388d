"""What is to be said of a group of voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import InputError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.relaxometry.histogram import t2_histogram
from knightshift.reconstruction.relaxometry.result import T2Fit


@dataclass(frozen=True)
class RegionStatistics:
    """A group of voxels in numbers. Image axes are ``(slice, phase_encode, readout)``, or those of the map."""

    name: str
    """What the region is called in tables."""
    n_voxels: int
    """Voxels with a T2."""
    t2_median: float
    """Median T2 [s]."""
    t2_median_std: float
    """Standard deviation of the median by bootstrap over voxels; neighbours are taken as independent [s]."""
    t2_quartiles: tuple[float, float]
    """Lower and upper quartile of T2 [s]; their difference is the IQR."""
    t2_pooled: float
    """T2 from the mean rate, each voxel weighted by its own certainty [s]."""
    t2_pooled_std: float
    """Its standard deviation from the noise alone [s]."""
    fwhm: float
    """Full width at half maximum of the T2 histogram [s]; NaN below 5 voxels."""
    fwhm_std: float
    """Its standard deviation [s]."""
    snr: RealArray
    """Median of measured signal over noise at each echo, shape ``(echo,)``."""
    centroid_index: tuple[float, ...]
    """Centre of the region, weighted by amplitude, as array index."""
    centroid_position: tuple[float, float, float] | None
    """The same in the laboratory, ``(x, y, z)`` [m]; None without a geometry."""
    bounding_box: tuple[tuple[int, int], ...]
    """First index and one past the last, for each image axis."""
    extent: tuple[float, ...] | None
    """Size of the bounding box along each image axis [m]; None without a geometry."""


def region_statistics(
    name: str, fit: T2Fit, mask: BoolArray, geometry: ImageGeometry | None = None
) -> RegionStatistics:
    """Describe the voxels of a mask that have a T2.

    Parameters
    ----------
    name
        What to call the region.
    fit
        The T2 map.
    mask
        Voxels of the region, shape ``image``.
    geometry
        Where the voxels are; needs a map with three axes.

    Raises
    ------
    InputError
        If no voxel of the region has a T2.
    """
    mask = mask & fit.ok
    if not mask.any():
        raise InputError(f"region {name!r} holds no voxel with a T2")
    t2 = fit.t2[mask]
    histogram = t2_histogram(t2, fit.t2_std[mask])
    pooled, pooled_std = _pooled(t2, fit.t2_std[mask])
    where = np.argwhere(mask)
    weight = fit.amplitude[mask]
    centroid = weight @ where / weight.sum()
    box = tuple((int(axis.min()), int(axis.max()) + 1) for axis in where.T)
    position = extent = None
    if geometry is not None:
        x, y, z = (geometry.affine @ np.append(centroid, 1.0))[:3]
        position = (float(x), float(y), float(z))
        extent = tuple((stop - start) * size for (start, stop), size in zip(box, geometry.voxel_size, strict=True))
    return RegionStatistics(
        name=name,
        n_voxels=t2.size,
        t2_median=histogram.median,
        t2_median_std=_median_std(t2),
        t2_quartiles=histogram.quartiles,
        t2_pooled=pooled,
        t2_pooled_std=pooled_std,
        fwhm=histogram.fwhm,
        fwhm_std=histogram.fwhm_std,
        snr=np.median(fit.signal[:, mask], axis=1) / fit.noise_std,
        centroid_index=tuple(float(index) for index in centroid),
        centroid_position=position,
        bounding_box=box,
        extent=extent,
    )


def _pooled(t2: RealArray, t2_std: RealArray) -> tuple[float, float]:
    """Mean rate with weights 1/variance, as T2: rates are closer to normal than T2 itself."""
    rate, rate_std = 1 / t2, t2_std / t2**2
    if not (np.isfinite(rate_std).all() and (rate_std > 0).all()):
        return float(1 / rate.mean()), float("nan")
    weight = 1 / rate_std**2
    mean = float(weight @ rate / weight.sum())
    return 1 / mean, float(1 / np.sqrt(weight.sum()) / mean**2)


def _median_std(values: RealArray, rounds: int = 200) -> float:
    random = np.random.default_rng(values.size)
    picks = random.integers(values.size, size=(rounds, values.size))
    return float(np.median(values[picks], axis=1).std())
