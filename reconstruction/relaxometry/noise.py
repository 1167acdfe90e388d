"""Noise of images, measured where there is no object."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

from knightshift.core.arrays import BoolArray, ComplexArray, RealArray
from knightshift.core.errors import InputError

RAYLEIGH_MEAN = float(np.sqrt(np.pi / 2))
"""Mean of the magnitude of pure noise, in units of the noise of the real part."""

_CLIPS = (2.5, 1.7)
"""Magnitudes below so many sigma count as background. Two clips: they agree only where noise is really Rayleigh."""
_AGREEMENT = 0.15
_FEWEST_VOXELS = 64
_QUIET_SHARE = 0.25
_NEIGHBOURHOOD = 5


def estimate_noise(images: RealArray | ComplexArray) -> RealArray:
    """Measure the noise of each image from its background.

    Background is the quarter of the image where the *other* echoes have the least energy around: ringing and ghosts are
    the same in all echoes and are avoided, noise is not and is not selected. There the squared magnitude
    below a clip level has a known mean for noise alone (truncated exponential distribution), so that the level and the
    noise are found together by iteration.

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
    return np.array([_noise_of_one(image[_quiet(squared, echo)], echo) for echo, image in enumerate(squared)])


def _quiet(squared: RealArray, echo: int) -> BoolArray:
    """Where the other echoes have least energy; everywhere, if there is no other echo."""
    measured = np.asarray(np.isfinite(squared).all(axis=0) & (squared > 0).all(axis=0))
    others = [_relative(image, measured) for index, image in enumerate(squared) if index != echo]
    if not others or not measured.any():
        return measured
    around = np.sum([uniform_filter(image, _NEIGHBOURHOOD) for image in others], axis=0)
    return np.asarray(measured & (around <= np.quantile(around[measured], _QUIET_SHARE)))


def _relative(squared: RealArray, measured: BoolArray) -> RealArray:
    """Energy in units of a typical one, so that echoes of different noise count alike."""
    typical = float(np.median(squared[measured])) if measured.any() else 1.0
    return np.where(measured, squared, 0.0) / (typical or 1.0)


def _noise_of_one(squared: RealArray, echo: int) -> float:
    if squared.size >= _FEWEST_VOXELS:
        estimates = [_clipped_variance(squared, clip) for clip in _CLIPS]
        wide, narrow = estimates
        if narrow is not None and wide is not None and abs(np.sqrt(wide / narrow) - 1) < _AGREEMENT:
            return float(np.sqrt(wide))
    raise InputError(
        f"image {echo} has no background of pure noise among its {squared.size} quietest voxels: "
        "give noise_std (--noise), or images that are larger than the object"
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
