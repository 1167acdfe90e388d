"""Standard deviation of the noise in the real part of an image."""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import ShapeError

_CUT = 3.0
"""Magnitudes above this many standard deviations are taken for signal."""
_START_QUANTILE = 0.2
"""A fifth of the voxels is believed to be background to begin with."""


def background_noise(images: ComplexArray) -> RealArray:
    """Estimate the noise of each image from the voxels without signal.

    In the background the magnitude is Rayleigh distributed. Voxels above `_CUT` standard deviations are left out and the
    mean square of the rest is corrected for the cut, until nothing changes any more.

    Parameters
    ----------
    images
        Complex images or magnitudes, shape ``(echo, *image)``.

    Returns
    -------
    RealArray
        Standard deviation of the real (or imaginary) part, shape ``(echo,)``; 0 for an image without noise.

    Raises
    ------
    ShapeError
        If an image has fewer than 16 voxels.
    """
    if images.ndim < 2 or images[0].size < 16:
        raise ShapeError(f"images of shape {images.shape} are too small for a noise estimate: 16 voxels are needed")
    return np.array([_rayleigh_scale(np.abs(image).ravel().astype(float)) for image in images])


def _rayleigh_scale(magnitudes: RealArray) -> float:
    sigma = float(np.quantile(magnitudes, _START_QUANTILE)) / np.sqrt(-2 * np.log1p(-_START_QUANTILE))
    left_out = np.exp(-(_CUT**2) / 2)
    kept_power = 1 - _CUT**2 / 2 * left_out / (1 - left_out)
    for _ in range(200):
        kept = magnitudes[magnitudes < _CUT * sigma]
        if kept.size < 8:
            return sigma
        update = float(np.sqrt(np.mean(kept**2) / 2 / kept_power))
        if abs(update - sigma) <= 1e-9 * sigma:
            return update
        sigma = update
    return sigma


def rms(window: RealArray) -> float:
    """Root mean square of a window: what an apodisation leaves of white noise."""
    return float(np.sqrt(np.mean(np.square(window))))
