"""Distribution of T2 in a decay of many echoes: non-negative least squares with Tikhonov regularisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from scipy.special import chdtri

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import InputError, ShapeError
from knightshift.core.quantities import PositiveSeconds
from knightshift.reconstruction.relaxometry._given_images import can_be_fitted, given_images
from knightshift.reconstruction.relaxometry.options import NOISE_RESEMBLANCE
from knightshift.reconstruction.relaxometry.result import T2Status
from knightshift.reconstruction.relaxometry.train import EchoTrain

_STRENGTHS = np.logspace(-4, 2, 25)
"""Strengths of regularisation tried, in units of the largest singular value of the decays."""
_BISECTIONS = 10


class DistributionOptions(BaseModel):
    """How a T2 distribution is sought."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    t2_range: tuple[PositiveSeconds, PositiveSeconds] | None = None
    """Shortest and longest T2 [s]; by default 1/2 of the first and 3 times the last echo time."""
    n_t2: PositiveInt = Field(default=60, ge=8, le=400)
    """Values of T2, spaced evenly in its logarithm."""
    criterion: Literal["discrepancy", "l-curve", "none"] = "discrepancy"
    """How strong the smoothing is. ``discrepancy``: as strong as the noise allows, so that the residuals are `slack`
    times those expected of it (or of the best fit, if that is larger) [1]_; ``l-curve``: at the corner of residuals
    against roughness, which does not need the noise [2]_; ``none``: no smoothing, spikes.

    .. [1] Morozov, Soviet Math. Dokl. 7 (1966) 414.
    .. [2] Hansen, SIAM Rev. 34 (1992) 561.
    """
    slack: float = Field(default=1.02, gt=1)
    """See `criterion`."""
    train: EchoTrain | None = None
    """Model of the echoes, as in `T2Options`; None: exponentials."""

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.t2_range is not None and self.t2_range[0] >= self.t2_range[1]:
            raise ValueError(f"t2_range {self.t2_range} is empty: give the shorter T2 first")
        return self


@dataclass(frozen=True)
class T2Distribution:
    """How much signal has which T2."""

    t2: RealArray
    """T2 [s], shape ``(t2,)``, evenly spaced in its logarithm."""
    weight: RealArray
    """Signal at echo time zero of each T2, units of the images, shape ``(t2, *image)``; NaN where not OK."""
    chi2: RealArray
    """Squared residuals over noise variance, shape ``image``."""
    strength: RealArray
    """Strength of the regularisation, in units of the largest singular value of the decays, shape ``image``."""
    status: NDArray[np.int8]
    """`T2Status` of each voxel, shape ``image``: OK, MASKED, INVALID_INPUT or NO_SIGNAL. Whether decays explain the
    signal is for `chi2` to say."""

    def share(self, shortest: float, longest: float) -> RealArray:
        """Share of the signal with a T2 from `shortest` to `longest` [s], shape ``image``; NaN where there is none."""
        inside = (self.t2 >= shortest) & (self.t2 <= longest)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.weight[inside].sum(axis=0) / self.weight.sum(axis=0))

    def geometric_mean(self, shortest: float = 0.0, longest: float = np.inf) -> RealArray:
        """Geometric mean of the T2 from `shortest` to `longest`, weighted by signal [s], shape ``image``."""
        inside = (self.t2 >= shortest) & (self.t2 <= longest)
        weight = self.weight[inside]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.exp(np.tensordot(np.log(self.t2[inside]), weight, axes=1) / weight.sum(axis=0)))


def t2_distribution(
    signal: RealArray,
    echo_times: RealArray,
    noise_std: ArrayLike,
    options: DistributionOptions | None = None,
    *,
    mask: BoolArray | None = None,
) -> T2Distribution:
    """Find the distribution of T2 behind the decay of every voxel, or of a region.

    The problem is ill-posed: two T2 closer than a factor of about two are one at an SNR of 100, and what a distribution
    shows below the echo spacing is guesswork. Each voxel takes a dozen non-negative least-squares problems (some
    hundred voxels a second), so this is for masks and for decays summed over regions.

    Parameters
    ----------
    signal
        Real part after the phase is removed (`T2Fit.signal`) or magnitudes well above the noise, shape
        ``(echo, *image)``.
    echo_times
        Echo times [s], shape ``(echo,)``.
    noise_std
        Noise of the signal, one number or shape ``(echo,)``.
    options
        Range of T2, regularisation, echo train.
    mask
        Voxels to analyse, shape ``image``; by default all.

    Returns
    -------
    T2Distribution
        Weights ``(t2, *image)``.

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    InputError
        If the noise is not positive, the echo times do not increase, or the signal is complex.
    """
    options = options or DistributionOptions()
    times = np.asarray(echo_times, dtype=float)
    given, mask = given_images(signal, mask)
    noise = _checked_noise(given, times, noise_std, mask)
    status = np.full(given.shape[1:], T2Status.OK, dtype=np.int8)
    status[~can_be_fitted(given)] = T2Status.INVALID_INPUT
    if mask is not None:
        status[~np.asarray(mask, dtype=bool)] = T2Status.MASKED
    chosen = status == T2Status.OK
    observed = given[:, chosen] / noise[:, None]
    grid = _grid(times, options)
    decays = np.exp(-np.divide.outer(times, grid)) if options.train is None else options.train.decays(grid)
    solver = _Solver(decays / noise[:, None], options)
    weight = np.full((grid.size, *chosen.shape), np.nan)
    chi2, strength = np.full(chosen.shape, np.nan), np.full(chosen.shape, np.nan)
    found = [solver.solve(column) for column in observed.T]
    if found:
        columns, misfits, strengths = zip(*found, strict=True)
        weight[:, chosen], chi2[chosen], strength[chosen] = np.stack(columns, axis=1), misfits, strengths
        explained = np.einsum("ev,ev->v", observed, observed) - chi2[chosen]
        status[chosen] = np.where(explained > chdtri(2, NOISE_RESEMBLANCE), T2Status.OK, T2Status.NO_SIGNAL)
        weight[:, status == T2Status.NO_SIGNAL] = np.nan
    return T2Distribution(grid, weight, chi2, strength, status)


def _checked_noise(signal: NDArray[Any], times: RealArray, noise_std: ArrayLike, mask: BoolArray | None) -> RealArray:
    """Noise of each echo, after a look at all that is given."""
    if signal.shape[:1] != times.shape or (mask is not None and mask.shape != signal.shape[1:]):
        inside = "" if mask is None else f" and a mask of shape {mask.shape}"
        raise ShapeError(f"signal {signal.shape}, {times.size} echo times{inside} do not fit: (echo, *image)")
    if np.iscomplexobj(signal):
        raise InputError("a distribution of T2 needs real signals: give T2Fit.signal of a complex fit")
    if times.size < 2 or not np.isfinite(times).all() or times[0] < 0 or (np.diff(times) <= 0).any():
        raise InputError(f"two or more echo times must increase from zero or more, in seconds: got {times.tolist()}")
    noise = np.asarray(noise_std, dtype=float)
    if noise.shape not in {(), times.shape}:
        raise ShapeError(
            f"noise_std of shape {noise.shape} is neither one number nor one for each of {times.size} echoes"
        )
    if not (np.isfinite(noise).all() and (noise > 0).all()):
        raise InputError(f"noise_std must be positive and finite, got {noise.tolist()}")
    return np.broadcast_to(noise, times.shape)


def _grid(times: RealArray, options: DistributionOptions) -> RealArray:
    shortest, longest = options.t2_range or (times[times > 0][0] / 2, 3 * times[-1])
    return np.asarray(np.geomspace(shortest, longest, options.n_t2))


class _Solver:
    """Weights ``w >= 0`` that minimise ``|y - K w|^2 + (strength * |K|)^2 |w|^2``."""

    def __init__(self, decays: RealArray, options: DistributionOptions) -> None:
        self._decays, self._options = decays, options
        self._largest = float(np.linalg.norm(decays, 2))
        self._identity = np.eye(decays.shape[1])
        self._padding = np.zeros(decays.shape[1])

    def solve(self, observed: RealArray) -> tuple[RealArray, float, float]:
        """Weights, squared residuals and strength for one decay in units of the noise."""
        criterion: dict[str, Callable[[RealArray], float]] = {
            "discrepancy": self._discrepancy,
            "l-curve": self._corner,
            "none": lambda _: 0.0,
        }
        strength = criterion[self._options.criterion](observed)
        weights = self._weights(observed, strength)
        return weights, self._misfit(observed, weights), strength

    def _weights(self, observed: RealArray, strength: float) -> RealArray:
        from scipy.optimize import nnls

        if strength == 0:
            return np.asarray(nnls(self._decays, observed)[0])
        stacked = np.concatenate([self._decays, strength * self._largest * self._identity])
        return np.asarray(nnls(stacked, np.concatenate([observed, self._padding]))[0])

    def _misfit(self, observed: RealArray, weights: RealArray) -> float:
        residuals = observed - self._decays @ weights
        return float(residuals @ residuals)

    def _discrepancy(self, observed: RealArray) -> float:
        """Strength at which the residuals reach their target; they grow with it."""
        least = self._misfit(observed, self._weights(observed, 0.0))
        target = self._options.slack * max(least, float(observed.size))
        low, high = np.log(_STRENGTHS[0]), np.log(_STRENGTHS[-1])
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            if self._misfit(observed, self._weights(observed, float(np.exp(middle)))) > target:
                high = middle
            else:
                low = middle
        return float(np.exp(low))

    def _corner(self, observed: RealArray) -> float:
        """Strength at the largest curvature of ln|residuals| against ln|weights|."""
        points = []
        for strength in _STRENGTHS:
            weights = self._weights(observed, float(strength))
            points.append((np.sqrt(self._misfit(observed, weights)), np.linalg.norm(weights)))
        x, y = np.log(np.maximum(points, 1e-300)).T
        dx, dy = np.gradient(x), np.gradient(y)
        with np.errstate(divide="ignore", invalid="ignore"):
            curvature = (dx * np.gradient(dy) - dy * np.gradient(dx)) / (dx**2 + dy**2) ** 1.5
        inner = np.nan_to_num(curvature[2:-2], nan=-np.inf, posinf=-np.inf)
        return float(_STRENGTHS[2:-2][int(np.argmax(inner))])
