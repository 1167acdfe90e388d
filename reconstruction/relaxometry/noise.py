"""Noise of images, measured where there is no object."""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import InputError

RAYLEIGH_MEAN = float(np.sqrt(np.pi / 2))
"""Mean of the magnitude of pure noise, in units of the noise of the real part."""

_CLIPS = (2.0, 1.2)
"""Magnitudes below so many sigma count as background. Two clips: they agree only where noise is really Rayleigh."""
_AGREEMENT = 0.15
_FEWEST_VOXELS = 64


def estimate_noise(images: RealArray | ComplexArray) -> RealArray:
    """Measure the noise of each image from its background.

    The squared magnitude below a clip level has a known mean for noise alone (truncated exponential distribution), so
    the level and the noise are found together by iteration and the object, which lies above the clip, does not enter.

    Parameters
    ----------
    images
        Complex or magnitude images, shape ``(echo, *image)``. Exact zeros (masked voxels) are left out.

    Returns
    -------
    RealArray
        Standard deviation of the noise in the real (or imaginary) part, shape ``(echo,)``, units of the images.

    Raises
    ------
    InputError
        If an image has no background: fewer than 64 voxels, or magnitudes that are not distributed as noise.
    """
    squared = np.abs(np.asarray(images)).astype(float) ** 2
    return np.array([_noise_of_one(image.ravel(), echo) for echo, image in enumerate(squared)])


def _noise_of_one(squared: RealArray, echo: int) -> float:
    squared = squared[np.isfinite(squared) & (squared > 0)]
    if squared.size >= _FEWEST_VOXELS:
        estimates = [_clipped_variance(squared, clip) for clip in _CLIPS]
        wide, narrow = estimates
        if narrow is not None and wide is not None and abs(np.sqrt(wide / narrow) - 1) < _AGREEMENT:
            return float(np.sqrt(wide))
    raise InputError(
        f"image {echo} has no background of pure noise among its {squared.size} non-zero voxels: "
        "give noise_std, or images that are larger than the object"
    )


def _clipped_variance(squared: RealArray, clip: float) -> float | None:
    """Variance of the real part of Rayleigh noise from the voxels below ``clip`` sigma; None if too few are left."""
    half = clip**2 / 2
    mean_below = 1 - half * np.exp(-half) / (1 - np.exp(-half))  # of squared / (2 sigma^2), given that it is below half
    variance = float(np.quantile(squared, 0.25) / (2 * np.log(4 / 3)))
    for _ in range(200):
        below = squared[squared < clip**2 * variance]
        if below.size < _FEWEST_VOXELS // 2:
            return None
        update = float(below.mean() / (2 * mean_below))
        if abs(update - variance) <= 1e-6 * variance:
            return update
        variance = update
    return variance
