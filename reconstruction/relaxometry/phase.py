"""Phase of complex images, estimated smoothly in space and removed."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from knightshift.core.arrays import ComplexArray, RealArray


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
    turned = _align_echoes(signal if finite.all() else np.where(finite, signal, 0), noise_std)
    total = np.tensordot(1 / noise_std**2, turned, axes=1)
    smooth = _smooth(total, window) if window > 1 and total.ndim > 1 else total
    size = np.abs(smooth)
    unturn = np.divide(smooth.conj(), size, out=np.ones_like(smooth), where=size > 0)
    real = np.empty(signal.shape)
    for echo, image in enumerate(turned):
        real[echo] = (image * unturn).real
    real[:, ~finite] = np.nan
    return real


def _align_echoes(signal: ComplexArray, noise_std: RealArray) -> ComplexArray:
    """Give every echo as a whole the phase of the strongest one: it is common to thousands of voxels."""
    energy = [float(np.vdot(image, image).real) / sigma**2 for image, sigma in zip(signal, noise_std, strict=True)]
    reference = signal[int(np.argmax(energy))]
    aligned = np.empty_like(signal)
    for echo, image in enumerate(signal):
        np.multiply(image, np.exp(-1j * np.angle(np.vdot(reference, image))), out=aligned[echo])
    return aligned


def _smooth(total: ComplexArray, window: int) -> ComplexArray:
    axes = (total.ndim - 2, total.ndim - 1)
    ramp = np.ones((1,) * total.ndim, dtype=complex)
    for axis in axes:  # a linear phase (k-space centre off by part of a sample) would blur the average
        ahead = np.moveaxis(total, axis, 0)
        products = ahead[1:] * ahead[:-1].conj()
        slope = np.angle(np.sum(products * products)) / 2  # squared: lobes of ringing change sign
        turns = np.exp(1j * slope * np.arange(total.shape[axis]))
        ramp = ramp * turns.reshape((-1,) + (1,) * (total.ndim - 1 - axis))
    smooth = total * ramp.conj()
    for axis in axes:
        smooth = _running_sum(smooth, window, axis)
    return np.asarray(smooth * ramp)


def _running_sum(image: ComplexArray, window: int, axis: int) -> ComplexArray:
    real = uniform_filter1d(image.real, window, axis=axis, mode="constant")
    imaginary = uniform_filter1d(image.imag, window, axis=axis, mode="constant")
    return np.asarray(real + 1j * imaginary)
