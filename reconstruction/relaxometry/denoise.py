"""Low-rank denoising along the echoes, before a fit: off unless it is asked for.

In a neighbourhood of voxels few decays occur, so the echoes of all of them lie near a space of few dimensions; what is
outside it is noise [1]_. Done on complex images the noise stays of mean zero. The price is that a voxel takes on part
of the decay of its neighbours: small regions of another T2 are pulled towards their surroundings.

References
----------
.. [1] Veraart et al., NeuroImage 142 (2016) 394. Here the noise is known, and with it the edge of the Marchenko-Pastur
   law that is the threshold.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import uniform_filter

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.images import ImageSeries


def denoise_series(series: ImageSeries, window: int = 5) -> ImageSeries:
    """Denoise the images of a series slice by slice; its methods say so.

    ``noise_std`` stays that of the measurement: standard deviations of T2 are then upper limits, and ``chi2`` is too
    small.

    Parameters
    ----------
    series
        Complex images with their noise.
    window
        Voxels along each in-plane axis of the neighbourhood, odd.

    Raises
    ------
    InputError
        If `window` is even or below 3, or the noise is unknown.
    """
    slices = [denoise(series.images[:, index], series.noise_std, window)[0] for index in range(series.images.shape[1])]
    sentence = (
        f"Before the fit the complex images were denoised by a low-rank projection along the echoes in windows of "
        f"{window} x {window} voxels (threshold from the known noise)"
    )
    return replace(series, images=np.stack(slices, axis=1), methods=(*series.methods, sentence))


def denoise(images: ComplexArray, noise_std: RealArray, window: int = 5) -> tuple[ComplexArray, RealArray]:
    """Project the echoes of every voxel onto the strong components of its neighbourhood.

    Parameters
    ----------
    images
        Complex images, shape ``(echo, phase_encode, readout)``.
    noise_std
        Noise of the real part, shape ``(echo,)``.
    window
        Voxels along each axis of the neighbourhood, odd.

    Returns
    -------
    tuple[ComplexArray, RealArray]
        Denoised images, and the number of components kept around each voxel, shape ``(phase_encode, readout)``.

    Raises
    ------
    InputError
        If `window` is even or below 3, or the noise is not positive.
    """
    noise = np.asarray(noise_std, dtype=float)
    if window < 3 or window % 2 == 0:
        raise InputError(f"window {window} must be odd and at least 3")
    if not (noise > 0).all():
        raise InputError("denoising needs the noise of the images: noise_std must be positive")
    scaled = np.asarray(images, dtype=complex) / (np.sqrt(2) * noise[:, None, None])
    products = np.einsum("eyx,fyx->efyx", scaled, scaled.conj())
    covariance = _mean_around(products, window) * window**2
    values, vectors = np.linalg.eigh(np.moveaxis(covariance, (0, 1), (-2, -1)))
    threshold = (window + np.sqrt(len(noise))) ** 2  # largest eigenvalue of noise alone
    kept = values > threshold
    kept[..., -1] = True
    chosen = vectors * kept[..., None, :]
    projector = np.moveaxis(chosen @ vectors.conj().swapaxes(-1, -2), (-2, -1), (0, 1))
    smooth = _mean_around(projector, window)  # every window that holds a voxel has its say
    projected = np.einsum("efyx,fyx->eyx", smooth, scaled)
    return projected * (np.sqrt(2) * noise[:, None, None]), kept.sum(axis=-1).astype(float)


def _mean_around(stack: ComplexArray, window: int) -> ComplexArray:
    size = (1, 1, window, window)
    return np.asarray(
        uniform_filter(stack.real, size, mode="reflect") + 1j * uniform_filter(stack.imag, size, mode="reflect")
    )
