"""How well T2 can be known at best: the Cramér-Rao bound."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from knightshift.core.arrays import RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry.rician import rician_information
from knightshift.reconstruction.relaxometry.train import EchoTrain

_STEP = 1e-4


def cramer_rao_t2(
    echo_times: ArrayLike,
    t2: ArrayLike,
    *,
    noise_std: ArrayLike,
    amplitude: ArrayLike = 1.0,
    free_offset: bool = False,
    estimator: Literal["complex", "rician", "gaussian"] = "complex",
    train: EchoTrain | None = None,
) -> RealArray:
    """Smallest standard deviation of T2 that an unbiased estimator of a mono-exponential, or of a train, can have.

    The inverse of the Fisher information of amplitude, T2 (and offset) [1]_.

    Parameters
    ----------
    echo_times
        Echo times [s], shape ``(echo,)``.
    t2, amplitude
        T2 [s] and signal at echo time zero, broadcast against each other to shape ``image``.
    noise_std
        Noise of the real part, in units of `amplitude`: one number, or shape ``(echo,)``.
    free_offset
        Whether a constant has to be estimated as well.
    estimator
        ``complex`` and ``gaussian``: the phase is known and the noise is that of the real part; ``rician``: only
        magnitudes are known.
    train
        Model of an echo train at these echo times, amplitudes in units of a full excitation; None: separate echoes.

    Returns
    -------
    RealArray
        [s], shape ``image``; infinite where T2 cannot be determined.

    Raises
    ------
    InputError
        If `noise_std` or `t2` is not positive.

    References
    ----------
    .. [1] Kay, Fundamentals of Statistical Signal Processing: Estimation Theory (1993), ch. 3.
    """
    times = np.asarray(echo_times, dtype=float)
    t2, amplitude = np.broadcast_arrays(np.asarray(t2, dtype=float), np.asarray(amplitude, dtype=float))
    noise = np.broadcast_to(np.asarray(noise_std, dtype=float), times.shape)
    if not ((noise > 0).all() and (t2 > 0).all()):
        raise InputError("noise_std and t2 must be positive")
    decay, slope = _decay_and_slope(times, t2, train)
    signal = amplitude[..., None] * decay / noise
    weight = 1 / noise**2 * (rician_information(np.abs(signal)) if estimator == "rician" else 1.0)
    columns = [decay, amplitude[..., None] * slope]
    if free_offset:
        columns.append(np.ones_like(decay))
    jacobian = np.stack(columns, axis=-1)
    return _standard_deviation(jacobian, np.broadcast_to(weight, decay.shape))


def _decay_and_slope(times: RealArray, t2: RealArray, train: EchoTrain | None) -> tuple[RealArray, RealArray]:
    """Decay of amplitude one and its derivative by T2, shape ``(*image, echo)``."""
    if train is None:
        scaled_times = times / t2[..., None]
        decay = np.exp(-scaled_times)
        return decay, decay * scaled_times / t2[..., None]
    decay, above, below = (np.moveaxis(train.decays(t2 * factor), 0, -1) for factor in (1.0, 1 + _STEP, 1 - _STEP))
    return decay, (above - below) / (2 * _STEP * t2[..., None])


def _standard_deviation(jacobian: RealArray, weight: RealArray) -> RealArray:
    """Of the second parameter; what the other columns explain of its column is lost to it."""
    root = np.sqrt(weight)[..., None]
    weighted = jacobian * root
    others = np.delete(weighted, 1, axis=-1)
    orthogonal, _ = np.linalg.qr(others)
    column = weighted[..., 1]
    along = np.einsum("...ek,...e->...k", orthogonal, column)
    rest = column - np.einsum("...ek,...k->...e", orthogonal, along)
    with np.errstate(divide="ignore"):
        return np.asarray(1 / np.linalg.norm(rest, axis=-1))
