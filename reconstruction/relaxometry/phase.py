"""Phase of complex images, estimated smoothly in space and removed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import uniform_filter1d

from knightshift.core.arrays import ComplexArray, RealArray

_BLOCK = 16384


def remove_phase(signal: ComplexArray, noise_std: RealArray, window: int) -> RealArray:
    """Turn every voxel so that its signal is real, and return the real part.

    All echoes of a voxel share one phase, so an error in it only scales the decay and does not change T2. It is the
    phase of the noise-weighted sum over echoes, summed over a window of voxels (weighted by their own magnitude), after
    the phase of each echo as a whole and the linear phase across the image are taken out. The phase of the first echo
    alone would fit the noise of that echo and read T2 too short.

    Parameters
    ----------
    signal
        Complex images, shape ``(echo, *image)``.
    noise_std
        Noise of each image, shape ``(echo,)``.
    window
        Voxels along each of the last two image axes. With 1, or where there is only one image axis (a list of voxels,
        not an image), every voxel has its own phase.

    Returns
    -------
    RealArray
        Signed real part, shape ``(echo, *image)``; NaN where any echo is not finite.
    """
    finite = np.isfinite(signal).all(axis=0)
    known = signal if finite.all() else np.where(finite, signal, 0)
    turns = turns_of_echoes(known, noise_std)
    total = np.tensordot((turns * (noise_std.min() / noise_std) ** 2).astype(signal.dtype), known, axes=1)
    smooth = _smooth(total, window) if window > 1 and total.ndim > 1 else total
    unturn = smooth.conj()
    size = np.abs(smooth)
    measurable = size > 1e6 * np.finfo(size.dtype).tiny
    np.divide(unturn, size, out=unturn, where=measurable)
    unturn[~measurable] = 1
    real = _turned(known.reshape(len(known), -1), turns.astype(signal.dtype), unturn.ravel()).reshape(signal.shape)
    real[:, ~finite] = np.nan
    return real


def turns_of_echoes(signal: ComplexArray, noise_std: RealArray) -> ComplexArray:
    """Turn that gives every echo as a whole the phase of the strongest one: it is common to thousands of voxels."""
    energy = [float(np.vdot(image, image).real) / sigma**2 for image, sigma in zip(signal, noise_std, strict=True)]
    reference = signal[int(np.argmax(energy))]
    return np.array([np.exp(-1j * np.angle(np.vdot(reference, image))) for image in signal])


def _turned(columns: ComplexArray, turns: ComplexArray, unturn: ComplexArray) -> RealArray:
    """Real part after the turn of each echo and of each voxel, in blocks that stay in the cache."""
    real = np.empty(columns.shape, dtype=columns.real.dtype)
    for start in range(0, unturn.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        for echo, turn in enumerate(turns):
            turned = unturn[block] * turn
            turned *= columns[echo, block]
            real[echo, block] = turned.real
    return real


def _smooth(total: ComplexArray, window: int) -> ComplexArray:
    axes = (total.ndim - 2, total.ndim - 1)
    ramp = np.ones((1,) * total.ndim, dtype=complex)
    for axis in axes:  # a linear phase (k-space centre off by part of a sample) would blur the average
        slope = np.angle(_sum_of_squared_products(np.moveaxis(total, axis, 0))) / 2
        turns = np.exp(1j * slope * np.arange(total.shape[axis]))
        ramp = ramp * turns.reshape((-1,) + (1,) * (total.ndim - 1 - axis))
    smooth = total * ramp.conj().astype(total.dtype)
    for axis in axes:
        smooth = _running_sum(smooth, window, axis)
    smooth *= ramp.astype(total.dtype)
    return smooth


def _sum_of_squared_products(ahead: ComplexArray) -> complex:
    """Sum of ``(next * conj(this))**2`` along the first axis; squared, because lobes of ringing change sign."""
    result = 0j
    for here, following in pairwise(ahead):
        products = np.multiply(following, here.conj(), dtype=complex)
        products *= products
        result += complex(products.sum())
    return result


def _running_sum(image: ComplexArray, window: int, axis: int) -> ComplexArray:
    smooth = np.empty_like(image)
    uniform_filter1d(image.real, window, axis=axis, mode="constant", output=smooth.real)
    uniform_filter1d(image.imag, window, axis=axis, mode="constant", output=smooth.imag)
    return smooth
