"""Levenberg-Marquardt for many small least-squares problems at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import BoolArray, RealArray

Model = Callable[[RealArray], tuple[RealArray, RealArray]]
"""From parameters ``(parameter, voxel)`` to values ``(echo, voxel)`` and derivatives ``(parameter, echo, voxel)``."""

_TOLERANCE = 1e-7  # of a step
_GAIN_TOLERANCE = 1e-7  # of chi2, in a step that is hardly damped: along a flat valley nothing more is to be had
_HARDLY_DAMPED = 1e-2


@dataclass
class Optimum:
    """Where each voxel ended."""

    parameters: RealArray
    """Shape ``(parameter, voxel)``."""
    chi2: RealArray
    """Sum of squared residuals, shape ``(voxel,)``."""
    converged: BoolArray
    """Whether the last step was negligible, shape ``(voxel,)``."""


def minimise(
    model: Model, observed: RealArray, start: RealArray, bounds: tuple[RealArray, RealArray], max_iterations: int = 100
) -> Optimum:
    """Minimise the squared residuals of every column of `observed`.

    A step that does not lower them is refused and the damping raised, so they never grow; parameters are held within
    their bounds.

    Parameters
    ----------
    model
        The curve.
    observed
        In units of the noise, shape ``(echo, voxel)``.
    start
        Parameters to start from, shape ``(parameter, voxel)``.
    bounds
        Lowest and highest of each parameter, each of shape ``(parameter,)``.
    max_iterations
        Steps before a voxel is given up.
    """
    low, high = (np.asarray(bound)[:, None] for bound in bounds)
    now = np.clip(start, low, high)
    values, jacobian = model(now)
    chi2 = np.einsum("ev,ev->v", observed - values, observed - values)
    damping, converged = np.full(chi2.size, 1e-3), np.zeros(chi2.size, dtype=bool)
    for _ in range(max_iterations):
        step = _step(observed - values, jacobian, damping, (now <= low, now >= high))
        trial = np.clip(now + step, low, high)
        trial_values, trial_jacobian = model(trial)
        trial_chi2 = np.einsum("ev,ev->v", observed - trial_values, observed - trial_values)
        better = (trial_chi2 <= chi2) & ~converged
        small = np.abs(trial - now).max(axis=0) < _TOLERANCE
        small |= better & (chi2 - trial_chi2 < _GAIN_TOLERANCE) & (damping < _HARDLY_DAMPED)
        now, values, chi2 = (
            np.where(better, new, old) for new, old in ((trial, now), (trial_values, values), (trial_chi2, chi2))
        )
        jacobian = np.where(better, trial_jacobian, jacobian)
        converged |= small
        damping = np.clip(np.where(better, damping / 5, damping * 4), 1e-12, 1e12)
        if converged.all():
            break
    return Optimum(now, chi2, converged)


def _step(residuals: RealArray, jacobian: RealArray, damping: RealArray, at: tuple[BoolArray, BoolArray]) -> RealArray:
    """Damped Gauss-Newton step; parameters that press against a bound stay out of it."""
    slope = np.einsum("pev,ev->vp", jacobian, residuals)
    normal = np.einsum("pev,qev->vpq", jacobian, jacobian)
    held = (at[0].T & (slope < 0)) | (at[1].T & (slope > 0))
    slope[held] = 0.0
    normal[held] = 0.0
    normal.transpose(0, 2, 1)[held] = 0.0
    diagonal = np.einsum("vpp->vp", normal)
    diagonal += damping[:, None] * diagonal + 1e-12 * (1 + diagonal.max(axis=1, keepdims=True))
    return np.asarray(np.linalg.solve(normal, slope[..., None])[..., 0].T)
