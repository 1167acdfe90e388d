"""T2 from an echo train where B1 (and T1) differ from voxel to voxel: from maps, or B1 fitted along with T2."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from knightshift.core.arrays import BoolArray, ComplexArray, RealArray
from knightshift.reconstruction.relaxometry.fit import fit_t2_maps
from knightshift.reconstruction.relaxometry.options import Estimator, T2Options
from knightshift.reconstruction.relaxometry.result import T2Fit
from knightshift.reconstruction.relaxometry.train import EchoTrain
from knightshift.reconstruction.relaxometry.voxel_trains import VoxelTrains


def fit_train_with_maps(
    signal: RealArray | ComplexArray,
    train: EchoTrain,
    *,
    b1: RealArray | None = None,
    t1: RealArray | None = None,
    noise_std: ArrayLike,
    mask: BoolArray | None = None,
) -> T2Fit:
    """Fit T2 to an echo train with B1 (and T1) known voxel by voxel.

    Parameters
    ----------
    signal
        Complex images, or signed real ones or magnitudes well above the noise; shape ``(echo, *image)``.
    train
        The train; its angles are the nominal ones.
    b1
        B1 over the nominal one, shape ``image``; None: one everywhere.
    t1
        T1 [s], shape ``image``; None: that of `train` everywhere.
    noise_std
        Noise of the real part, one number or shape ``(echo,)``.
    mask
        Voxels to fit, shape ``image``; by default all. Voxels whose B1 or T1 is NaN are not fitted.

    Returns
    -------
    T2Fit
        Its `trains` hold the maps.

    Raises
    ------
    ShapeError
        If the maps do not have the shape of an image.
    InputError
        If B1 is not between 0 and 2, or T1 not between 0 and 1000 s.
    """
    maps = (None if values is None else np.asarray(values, dtype=float) for values in (b1, t1))
    options = T2Options(estimator=_estimator_of(signal), train=train, detection_level=0)
    trains = VoxelTrains(train, *maps)
    return fit_t2_maps(signal, train.echo_times, options, noise_std=noise_std, mask=mask, trains=trains)


def fit_train_and_b1(
    signal: RealArray | ComplexArray,
    train: EchoTrain,
    *,
    noise_std: ArrayLike,
    mask: BoolArray | None = None,
) -> T2Fit:
    """Fit T2 and B1 of every voxel to an echo train, for B1 from 0.4 of the nominal one.

    Refocusing beyond 180 degrees cannot be told from as much below, so that B1 is looked for up to where the nominal
    angle becomes 180 degrees. Where it ends at the lowest, the voxel has no T2 (NOT_CONVERGED).

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

    Returns
    -------
    T2Fit
        Its `trains` hold B1; `t2_std` includes what not knowing it costs.

    Raises
    ------
    InputError
        If there are fewer than four echoes.
    """
    options = T2Options(estimator=_estimator_of(signal), train=train, fit_b1=True, detection_level=0)
    return fit_t2_maps(signal, train.echo_times, options, noise_std=noise_std, mask=mask)


def _estimator_of(signal: RealArray | ComplexArray) -> Estimator:
    return "complex" if np.iscomplexobj(signal) else "gaussian"
