"""T2 from an echo train where B1 (and T1) differ from voxel to voxel: from maps, or B1 fitted along with T2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from knightshift.core.arrays import BoolArray, ComplexArray, IntArray, RealArray
from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.relaxometry.fit import fit_t2_maps
from knightshift.reconstruction.relaxometry.options import T2Options
from knightshift.reconstruction.relaxometry.result import T2Fit, T2Status
from knightshift.reconstruction.relaxometry.train import EchoTrain

_B1_STEP = 0.005
_T1_STEP = 0.01  # in ln T1
_COARSE = np.arange(0.4, 1.0001, 0.05)
_LARGEST_B1 = 2.0
_MAPS = ("t2", "t2_std", "amplitude", "offset", "chi2", "status")


@dataclass(frozen=True)
class TrainFit:
    """T2 of a train, and the B1 that went with it."""

    fit: T2Fit
    """The map. Its options hold the nominal train; use `train_at` for the curve of a voxel. Where B1 was fitted,
    `t2_std` includes what not knowing it costs."""
    b1: RealArray
    """B1 over the nominal one, given (to steps of 0.005) or fitted, shape ``image``; NaN where there is no T2."""

    def train_at(self, voxel: tuple[int, ...]) -> EchoTrain:
        """Train with the angles of one voxel. Raises `InputError` if the voxel has no T2 or the fit no train."""
        train = self.fit.options.train
        if train is None or not np.isfinite(self.b1[voxel]):
            raise InputError(f"voxel {voxel} has no T2: {T2Status(int(self.fit.status[voxel])).words}")
        return _scaled(train, float(self.b1[voxel]), train.t1)


def fit_train_with_maps(
    signal: RealArray | ComplexArray,
    train: EchoTrain,
    *,
    b1: RealArray,
    t1: RealArray | None = None,
    noise_std: ArrayLike,
    mask: BoolArray | None = None,
) -> TrainFit:
    """Fit T2 to an echo train with B1 (and T1) known voxel by voxel.

    Parameters
    ----------
    signal
        Complex images, or signed real ones or magnitudes well above the noise; shape ``(echo, *image)``.
    train
        The train; its angles are the nominal ones.
    b1
        B1 over the nominal one, shape ``image``.
    t1
        T1 [s], shape ``image``; None: that of `train` everywhere.
    noise_std
        Noise of the real part, one number or shape ``(echo,)``.
    mask
        Voxels to fit, shape ``image``; by default all. Voxels without a B1 or T1 are not fitted.

    Raises
    ------
    ShapeError
        If the maps do not have the shape of an image.
    InputError
        If B1 is not between 0 and 2, or T1 not positive.
    """
    shape = signal.shape[1:]
    times = np.full(shape, train.t1) if t1 is None else np.asarray(t1, dtype=float)
    b1 = np.asarray(b1, dtype=float)
    if b1.shape != shape or times.shape != shape:
        raise ShapeError(f"maps of B1 {b1.shape} and T1 {times.shape} do not match images of shape {shape}")
    known = np.isfinite(b1) & np.isfinite(times)
    chosen = known if mask is None else known & mask
    if not ((b1[chosen] > 0) & (b1[chosen] <= _LARGEST_B1) & (times[chosen] > 0)).all():
        raise InputError("b1 must lie between 0 and 2 (a ratio to the nominal one), t1 must be positive, in seconds")
    scale = np.zeros(shape, dtype=int)
    scale[chosen] = np.maximum(1, np.round(b1[chosen] / _B1_STEP))
    slowness = np.zeros(shape, dtype=int)
    slowness[chosen] = np.round(np.log(times[chosen]) / _T1_STEP)
    result = _empty_fit(signal, train, noise_std)
    for step, log_t1 in np.unique(np.stack([scale[chosen], slowness[chosen]]), axis=1).T:
        here = chosen & (scale == step) & (slowness == log_t1)
        t1_here = train.t1 if t1 is None else float(np.exp(log_t1 * _T1_STEP))
        _take(result, _fit_at(signal, _scaled(train, step * _B1_STEP, t1_here), noise_std, here), here)
    return TrainFit(result, np.where(result.ok, scale * _B1_STEP, np.nan))


def fit_train_and_b1(
    signal: RealArray | ComplexArray,
    train: EchoTrain,
    *,
    noise_std: ArrayLike,
    mask: BoolArray | None = None,
) -> TrainFit:
    """Fit T2 and B1 of every voxel to an echo train, for B1 from 0.4 to 1 of the nominal one.

    For a nominal refocusing angle of 180 degrees, B1 above the nominal one cannot be told from one as much below.

    Parameters
    ----------
    signal
        Complex images, or signed real ones or magnitudes well above the noise; shape ``(echo, *image)``.
    train
        The train; its angles are the nominal ones. It needs four echoes or more.
    noise_std
        Noise of the real part, one number or shape ``(echo,)``.
    mask
        Voxels to fit, shape ``image``; by default all.

    Raises
    ------
    InputError
        If there are fewer than four echoes.
    """
    if train.n_echoes < 4:
        raise InputError(f"{train.n_echoes} echoes cannot determine amplitude, T2 and B1: acquire four or more")
    chosen = np.ones(signal.shape[1:], dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    best = _empty_fit(signal, train, noise_std)
    scale = np.zeros(chosen.shape, dtype=int)
    _compete(best, scale, signal, train, {round(b1 / _B1_STEP): chosen for b1 in _COARSE}, noise_std)
    reach = round((_COARSE[1] - _COARSE[0]) / _B1_STEP) - 1
    middle, finest = scale.copy(), round(_COARSE[-1] / _B1_STEP)
    for offset in range(-reach, reach + 1):
        steps = middle + offset
        inside = chosen & (steps <= finest) & (steps > 0)
        _compete(
            best, scale, signal, train, {int(s): inside & (steps == s) for s in np.unique(steps[inside])}, noise_std
        )
    std = best.t2_std
    for step in np.unique(scale[best.ok]):
        here = best.ok & (scale == step)
        std[here] *= _price_of_b1(train, float(step) * _B1_STEP, best.t2[here])
    return TrainFit(best, np.where(best.ok, scale * _B1_STEP, np.nan))


def _compete(
    best: T2Fit,
    scale: IntArray,
    signal: RealArray | ComplexArray,
    train: EchoTrain,
    candidates: dict[int, BoolArray],
    noise_std: ArrayLike,
) -> None:
    """Take over every voxel that a candidate B1 fits better than what there is; in place."""
    for step, where in candidates.items():
        fit = _fit_at(signal, _scaled(train, step * _B1_STEP, train.t1), noise_std, where)
        better = fit.ok & ~(best.ok & (best.chi2 <= fit.chi2))
        unknown = where & ~best.ok & ~fit.ok
        _take(best, fit, better | unknown)
        scale[better | unknown] = step


def _scaled(train: EchoTrain, b1: float, t1: float) -> EchoTrain:
    changes = {"refocusing": train.refocusing * b1, "excitation": train.excitation * b1, "t1": t1}
    return train.model_copy(update=changes)


def _fit_at(signal: RealArray | ComplexArray, train: EchoTrain, noise_std: ArrayLike, mask: BoolArray) -> T2Fit:
    estimator = "complex" if np.iscomplexobj(signal) else "gaussian"
    options = T2Options(estimator=estimator, train=train, detection_level=0)
    return fit_t2_maps(signal, train.echo_times, options, noise_std=noise_std, mask=mask)


def _empty_fit(signal: RealArray | ComplexArray, train: EchoTrain, noise_std: ArrayLike) -> T2Fit:
    return _fit_at(signal, train, noise_std, np.zeros(signal.shape[1:], dtype=bool))


def _take(into: T2Fit, fit: T2Fit, where: BoolArray) -> None:
    for name in _MAPS:
        getattr(into, name)[where] = getattr(fit, name)[where]


def _price_of_b1(train: EchoTrain, b1: float, t2: RealArray) -> RealArray:
    """By which factor the standard deviation of T2 grows because B1 has to be found as well; shape ``(voxel,)``."""
    step = 1e-3
    here, other = _scaled(train, b1, train.t1), _scaled(train, b1 * (1 - step), train.t1)
    decay = here.decays(t2)
    along = decay / np.linalg.norm(decay, axis=0)
    changes = []
    for change in (here.decays(t2 * (1 + step)) - decay, other.decays(t2) - decay):
        rest = change - along * np.einsum("ev,ev->v", along, change)
        changes.append(rest / np.maximum(np.linalg.norm(rest, axis=0), np.finfo(float).tiny))
    correlation = np.einsum("ev,ev->v", *changes)
    return np.asarray(1 / np.sqrt(np.maximum(1 - correlation**2, 1e-6)))
