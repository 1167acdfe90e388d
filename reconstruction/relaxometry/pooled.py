"""One T2 for all voxels of a region, fitted together, and the bootstrap as a check of its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import chdtrc

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry.fit import fit_t2_maps
from knightshift.reconstruction.relaxometry.intervals import interval_ends, misfit_of
from knightshift.reconstruction.relaxometry.populations import Populations
from knightshift.reconstruction.relaxometry.result import T2Fit

_GRID = 25


@dataclass(frozen=True)
class PooledT2:
    """T2 of a region under the assumption that all its voxels share it, each with its own amplitude."""

    t2: float
    """[s]."""
    interval: tuple[float, float]
    """Confidence interval from the joint likelihood [s]; the upper end may be infinite."""
    level: float
    """Probability that `interval` holds the true T2."""
    n_voxels: int
    """Voxels fitted together."""
    excess: float
    """By how much the misfit is larger than if every voxel had its own T2, over what is expected: about 1 where the
    voxels really share one T2; NaN for one voxel."""
    homogeneity: float
    """Probability of an `excess` as large for voxels that share one T2 (chi-squared)."""


def pool_region(fit: T2Fit, mask: BoolArray, *, level: float = 0.95) -> PooledT2:
    """Fit one T2 to all voxels of a region together.

    The joint likelihood is the product over voxels, each with its best amplitude. Unlike the median of voxel-wise T2 it
    does not inherit the skewness that T2 has in single voxels at low SNR.

    Parameters
    ----------
    fit
        A T2 fit with a known noise.
    mask
        Voxels of the region, shape ``image``; those without a T2 are left out.
    level
        Of the interval.

    Raises
    ------
    InputError
        If no voxel of the region has a T2, `level` is not between 0 and 1, or the noise of the fit is unknown.
    """
    chosen = mask & fit.ok
    from scipy.optimize import minimize_scalar

    count = int(np.count_nonzero(chosen))
    if count == 0:
        raise InputError("the region holds no voxel with a T2")
    misfit = misfit_of(fit, chosen)

    def total(log_rate: RealArray) -> RealArray:
        return np.array([float(misfit(np.full(count, rate)).sum()) for rate in np.atleast_1d(log_rate)])

    own = -np.log(fit.t2[chosen])
    grid = np.linspace(own.min() - 0.5, own.max() + 0.5, _GRID)
    lowest = grid[int(np.argmin(total(grid)))]
    width = float(grid[1] - grid[0])
    found = minimize_scalar(
        lambda rate: float(total(np.array([rate]))[0]), bounds=(lowest - width, lowest + width), method="bounded",
        options={"xatol": 1e-7},
    )  # fmt: skip
    best = np.array([float(found.x)])
    high, low = interval_ends(total, best, fit, level)
    gain = float(total(best)[0] - misfit(own).sum())
    return PooledT2(
        t2=float(np.exp(-best[0])),
        interval=(float(np.exp(-high[0])), float(np.exp(-low[0]))),
        level=level,
        n_voxels=count,
        excess=gain / (count - 1) if count > 1 else float("nan"),
        homogeneity=float(chdtrc(count - 1, gain)) if count > 1 else float("nan"),
    )


def bootstrap_t2_std(
    fit: T2Fit, *, kind: Literal["parametric", "residual"] = "parametric", rounds: int = 100, seed: int = 0
) -> RealArray:
    """Repeat the fit on decays made up from it, and return the standard deviation of T2.

    Parameters
    ----------
    fit
        Of separate echoes or a train, not Rician.
    kind
        ``parametric``: the fitted decay plus noise as strong as that of the images; ``residual``: plus the residuals
        of the voxel drawn again with replacement, scaled up for the two parameters fitted, so that the noise need not
        be known. Five echoes are few for it.
    rounds
        How often.
    seed
        Of the random numbers.

    Returns
    -------
    RealArray
        Half the distance of the 16 % and 84 % quantiles of T2 [s], shape ``image``; NaN where there is no T2 or fewer
        than half of the rounds gave one.

    Raises
    ------
    InputError
        If the fit is Rician or has an offset, or a residual bootstrap has only two echoes.
    """
    options = fit.options
    if options.estimator == "rician" or options.offset != "none":
        raise InputError("the bootstrap is for fits without an offset whose noise is that of the real part")
    n_echoes = len(fit.echo_times)
    if kind == "residual" and n_echoes < 3:
        raise InputError("two echoes leave no residuals: use kind='parametric'")
    random = np.random.default_rng(seed)
    noise = fit.noise_std[:, None]
    expected = fit.snr[:, fit.ok] * noise
    scaled = (fit.signal[:, fit.ok] - expected) / noise * np.sqrt(n_echoes / max(1, n_echoes - 2))
    plain = options.model_copy(update={"estimator": "gaussian", "detection_level": 0.0})
    trains = None if fit.trains is None else fit.trains.part(fit.ok).given
    found = np.full((rounds, expected.shape[1]), np.nan)
    for row in found:
        if kind == "parametric":
            drawn = random.normal(size=expected.shape)
        else:
            drawn = np.take_along_axis(scaled, random.integers(n_echoes, size=expected.shape), axis=0)
        row[:] = fit_t2_maps(expected + noise * drawn, fit.echo_times, plain, noise_std=fit.noise_std, trains=trains).t2
    enough = np.isfinite(found).sum(axis=0) > rounds / 2
    std = np.full(fit.t2.shape, np.nan)
    spread = np.full(expected.shape[1], np.nan)
    low, high = np.nanquantile(found[:, enough], [0.16, 0.84], axis=0)
    spread[enough] = (high - low) / 2
    std[fit.ok] = spread
    return std


def pool_populations(fit: T2Fit, populations: Populations, *, level: float = 0.95) -> dict[str, PooledT2]:
    """Pool every electrode and isolated region of a map, for tables with intervals.

    Parameters
    ----------
    fit
        The map, with a known noise.
    populations
        What was found in it.
    level
        Of the intervals.

    Returns
    -------
    dict[str, PooledT2]
        By the name of the region. Where `PooledT2.homogeneity` is tiny, the voxels of a region do not share one T2,
        and its interval is that of their mean, not of their spread.
    """
    masks = (*populations.electrode_masks(), *(populations.mask(number) for number in range(len(populations.isolated))))
    regions = (*populations.electrodes, *populations.isolated)
    return {region.name: pool_region(fit, mask, level=level) for region, mask in zip(regions, masks, strict=True)}
