"""Complete a k-space of which one side was acquired only in part.

An image with a smooth phase has a k-space that is nearly Hermitian: what was not acquired follows from its mirror.
Both methods estimate the phase from the symmetric part about k = 0; they work on one axis, the others do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray, RealArray
from knightshift.core.errors import ShapeError
from knightshift.reconstruction.fft import centered_ifft


@dataclass(frozen=True)
class AcquiredRange:
    """Which points of one axis of the grid were acquired; k = 0 is at ``size // 2``."""

    size: int
    """Points of the grid."""
    start: int
    """First acquired point."""
    stop: int
    """One after the last acquired point."""

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.size // 2 + 1 <= self.stop <= self.size:
            raise ShapeError(
                f"points {self.start} to {self.stop} of {self.size} do not hold k = 0: they cannot be completed"
            )

    @property
    def half_width(self) -> int:
        """Points from k = 0 to the nearer edge: the half-width of the symmetric part."""
        return min(self.size // 2 - self.start, self.stop - self.size // 2)

    @property
    def is_partial(self) -> bool:
        """Whether one side is shorter than the other by more than the odd point."""
        return abs((self.size // 2 - self.start) - (self.stop - self.size // 2)) > 1


def pocs(
    kspace: ComplexArray, acquired: AcquiredRange, *, iterations: int = 2, trim: float = 0.08, taper: float = 0.25
) -> ComplexArray:
    """Complete the last axis by projection onto convex sets [1]_ and transform it to the image.

    In turn, the image is given the phase of the symmetric part, and its k-space the samples that were acquired.

    Parameters
    ----------
    kspace
        Shape ``(..., k)``, zero where nothing was acquired.
    acquired
        What of the last axis was acquired.
    iterations
        How often; two come closest to the images of ParaVision 360.
    trim
        Share of the acquired points, at the end next to the gap, that is replaced too: it hides the step there.
    taper
        Share of the symmetric half-width over which the window of the phase estimate falls linearly to zero.

    Returns
    -------
    ComplexArray
        Image along the last axis, same shape and precision.

    References
    ----------
    .. [1] Haacke, Lindskog and Lin, J. Magn. Reson. 92 (1991) 126.
    """
    phase = _phase_factor(kspace, acquired, taper)
    known = _known_points(acquired, trim)
    completed = kspace.copy()
    for _ in range(iterations):
        image = centered_ifft(completed, n_axes=1)
        estimate = _to_kspace(np.abs(image) * phase)
        completed = np.where(known, kspace, estimate)
    return centered_ifft(completed, n_axes=1)


def homodyne(kspace: ComplexArray, acquired: AcquiredRange, *, taper: float = 0.25) -> ComplexArray:
    """Complete the last axis by homodyne detection [1]_ and transform it to the image.

    What was acquired on one side only counts twice, with a linear ramp through the symmetric part; the part of the
    image in phase with the symmetric part is kept, with that phase.

    Parameters
    ----------
    kspace
        Shape ``(..., k)``, zero where nothing was acquired.
    acquired
        What of the last axis was acquired.
    taper
        Share of the symmetric half-width over which the window of the phase estimate falls linearly to zero.

    Returns
    -------
    ComplexArray
        Image along the last axis, same shape and precision; its sign may be negative relative to its phase.

    References
    ----------
    .. [1] Noll, Nishimura and Macovski, IEEE Trans. Med. Imaging 10 (1991) 154.
    """
    phase = _phase_factor(kspace, acquired, taper)
    k = np.arange(acquired.size) - acquired.size // 2
    half = max(1, acquired.half_width)
    towards = 1 if acquired.stop - acquired.size // 2 > acquired.size // 2 - acquired.start else -1
    weight = 1 + np.clip(towards * k / half, -1, 1)
    image = centered_ifft((kspace * weight).astype(kspace.dtype), n_axes=1)
    real = (image * np.conj(phase)).real
    return np.asarray((real * phase).astype(kspace.dtype))


def _phase_factor(kspace: ComplexArray, acquired: AcquiredRange, taper: float) -> ComplexArray:
    """``exp(i phase)`` of the image of the symmetric part."""
    image = centered_ifft((kspace * _symmetric_window(acquired, taper)).astype(kspace.dtype), n_axes=1)
    factor: ComplexArray = np.exp(1j * np.angle(image)).astype(kspace.dtype)
    return factor


def _symmetric_window(acquired: AcquiredRange, taper: float) -> RealArray:
    """One in the middle, falling linearly to zero at the edge of the symmetric part."""
    half = max(1, acquired.half_width)
    distance = np.abs(np.arange(acquired.size) - acquired.size // 2)
    width = max(1.0, taper * half)
    return np.asarray(np.clip((half - distance) / width, 0, 1))


def _known_points(acquired: AcquiredRange, trim: float) -> BoolArray:
    """Points whose samples are kept, shape ``(k,)``."""
    known = np.zeros(acquired.size, bool)
    known[acquired.start : acquired.stop] = True
    margin = min(round(trim * (acquired.stop - acquired.start)), acquired.half_width // 2)
    if acquired.stop - acquired.size // 2 >= acquired.size // 2 - acquired.start:
        known[acquired.start : acquired.start + margin] = False
    else:
        known[acquired.stop - margin : acquired.stop] = False
    return known


def _to_kspace(image: ComplexArray) -> ComplexArray:
    """Inverse of `centered_ifft` along the last axis: the forward transform is the conjugate of the inverse one."""
    kspace = np.conj(centered_ifft(np.conj(image), n_axes=1))
    return np.asarray(kspace * image.shape[-1])
