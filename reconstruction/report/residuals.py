"""What a T2 fit leaves, in units of the spread that each point has, and how much of it noise alone would leave."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry import T2Fit
from knightshift.reconstruction.relaxometry.rician import rician_mean

_AT_MOST = 2000
"""Voxels from which the expected widths are taken."""
_STEP = 1e-3
"""Relative step of T2, and step of the signal in units of the noise, for derivatives."""
_B1_STEP = 0.01
"""Step of a fitted B1 for the derivative; downwards, since beyond 180 degrees refocusing grows less again."""


def standard_residuals(fit: T2Fit) -> RealArray:
    """Tell what the fit leaves of each voxel with a T2, over the standard deviation of the point.

    That is the noise; for a Rician fit the spread of a magnitude with the fitted signal, whose mean is taken off.

    Returns
    -------
    RealArray
        Shape ``(echo, voxel)``.

    Raises
    ------
    InputError
        If no voxel has a T2.
    """
    if not fit.ok.any():
        raise InputError("no voxel has a T2: there are no residuals")
    measured = fit.signal[:, fit.ok] / fit.noise_std[:, None]
    mean, spread, _ = _observed(fit, _signal(fit, fit.decays(fit.t2[fit.ok], fit.ok), slice(None)))
    return np.asarray((measured - mean) / spread)


def expected_widths(fit: T2Fit) -> RealArray:
    """Tell how wide noise alone makes each residual of at most 2000 voxels, shape ``(residual,)``.

    A point that the fit follows closely leaves a small residual: ``sqrt(1 - leverage)``.
    """
    chosen = np.zeros(fit.t2.shape, bool)
    places = np.flatnonzero(fit.ok)
    chosen.flat[places[:: -(-places.size // _AT_MOST)]] = True
    among = chosen[fit.ok]
    t2 = fit.t2[chosen]
    decays = fit.decays(t2, chosen)
    _, spread, slope = _observed(fit, _signal(fit, decays, among))
    columns = [decays, fit.decays(t2 * (1 + _STEP), chosen) - decays]
    columns += [np.ones_like(decays)] if fit.options.offset == "free" else []
    if fit.trains is not None and fit.trains.b1 is not None and fit.trains.b1_is_fitted:
        columns.append(replace(fit.trains, b1=fit.trains.b1 - _B1_STEP).decays(t2, chosen) - decays)
    weighted = np.stack(columns) * _inner_slope(fit, decays, among) * slope / spread / fit.noise_std[:, None]
    orthogonal, _ = np.linalg.qr(np.moveaxis(weighted, (0, 1), (2, 1)))
    return np.asarray(np.sqrt(np.maximum(1 - np.sum(orthogonal**2, axis=2), 1e-6))).ravel()


def _signal(fit: T2Fit, decays: RealArray, among: BoolArray | slice) -> RealArray:
    """Fitted signal over noise with its offset, shape ``(echo, voxel)``."""
    amplitude, offset = (values[fit.ok][among] for values in (fit.amplitude, fit.offset))
    signal = amplitude * decays
    signal = np.hypot(signal, offset) if fit.options.offset == "noise-quadrature" else signal + offset
    return np.asarray(signal / fit.noise_std[:, None])


def _inner_slope(fit: T2Fit, decays: RealArray, among: BoolArray | slice) -> RealArray | float:
    """How much the fitted signal follows the decay: all of it, unless the offset is added in quadrature."""
    if fit.options.offset != "noise-quadrature":
        return 1.0
    decay, offset = fit.amplitude[fit.ok][among] * decays, fit.offset[fit.ok][among]
    return np.asarray(decay / np.hypot(decay, offset))


def _observed(fit: T2Fit, signal: RealArray) -> tuple[RealArray, RealArray | float, RealArray | float]:
    """Mean and spread of what is observed of a signal, and the slope of the mean; all in units of the noise."""
    if fit.options.estimator != "rician":
        return signal, 1.0, 1.0
    mean = rician_mean(signal)
    spread = np.sqrt(np.maximum(2 + signal**2 - mean**2, 1e-3))
    return mean, spread, np.asarray((rician_mean(signal + _STEP) - mean) / _STEP)
