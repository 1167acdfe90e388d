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


_BLEND = 0.125
"""Share of the symmetric half-width over which acquired samples next to the gap give way to the completed ones."""


_CONSOLE_ROUNDS = 5
"""Rounds of POCS in ParaVision 360."""


def pocs(
    kspace: ComplexArray, acquired: AcquiredRange, *, iterations: int = 20, tolerance: float = 0.01
) -> ComplexArray:
    """Complete the last axis by projection onto convex sets [1]_ and transform it to the image.

    In turn, the image is given the phase of the symmetric part, and its k-space the samples that were acquired. Only
    the mirror image of what was acquired is filled: that alone follows from the data, and so the rounds converge, each
    changing about half as much as the one before.

    Parameters
    ----------
    kspace
        Shape ``(..., k)``, zero where nothing was acquired.
    acquired
        What of the last axis was acquired.
    iterations
        Most rounds.
    tolerance
        Stop when a round changes k-space by less than this share of what was acquired (root mean squares).

    Returns
    -------
    ComplexArray
        Image along the last axis, same shape and precision.

    References
    ----------
    .. [1] Haacke, Lindskog and Lin, J. Magn. Reson. 92 (1991) 126.
    """
    phase = _phase_factor(kspace, acquired)
    known = _weight_of_known(acquired).astype(kspace.real.dtype)
    filled = ((1 - known) * _within_reach(acquired)).astype(known.dtype)
    measured = np.linalg.norm(kspace)
    completed = kspace
    for _ in range(iterations):
        estimate = _to_kspace(np.abs(centered_ifft(completed, n_axes=1)) * phase)
        renewed = known * kspace + filled * estimate
        change = np.linalg.norm(renewed - completed)
        completed = renewed
        if change <= tolerance * measured:
            break
    return centered_ifft(completed, n_axes=1)


def console_pocs(kspace: ComplexArray, acquired: AcquiredRange) -> ComplexArray:
    """Complete the last axis as ParaVision 360 does where it says POCS, and transform it to the image.

    In five rounds the image is given the phase of the symmetric part. Each round fills the points on one side of what
    was acquired, out to the edge of the grid: the side with the shorter part, or the first. What lies beyond the other
    side, zeros where the image is interpolated, counts as acquired. The last round lets the samples next to the gap
    rise linearly, over a quarter of the symmetric half-width. Found by comparison with an image of the console; `pocs`
    comes nearer to the whole image.

    Parameters
    ----------
    kspace
        Shape ``(..., k)``, zero where nothing was acquired.
    acquired
        What of the last axis was acquired.

    Returns
    -------
    ComplexArray
        Image along the last axis, same shape and precision.
    """
    phase = _phase_factor(kspace, acquired)
    before, after = acquired.size // 2 - acquired.start, acquired.stop - acquired.size // 2
    rise = np.arange(acquired.half_width // 4) / max(1, acquired.half_width // 4)
    hard = np.ones(acquired.size)
    if before <= after:
        hard[: acquired.start] = 0
        soft = hard.copy()
        soft[acquired.start : acquired.start + rise.size] = rise
    else:
        hard[acquired.stop :] = 0
        soft = hard.copy()
        soft[acquired.stop - rise.size : acquired.stop] = rise[::-1]
    hard, soft = hard.astype(kspace.real.dtype), soft.astype(kspace.real.dtype)
    completed = kspace
    for known in (hard,) * (_CONSOLE_ROUNDS - 1) + (soft,):
        estimate = _to_kspace(np.abs(centered_ifft(completed, n_axes=1)) * phase)
        completed = known * kspace + (1 - known) * estimate
    return centered_ifft(completed, n_axes=1)


def homodyne(kspace: ComplexArray, acquired: AcquiredRange) -> ComplexArray:
    """Complete the last axis by homodyne detection [1]_ and transform it to the image.

    What was acquired on one side only counts twice, with a linear ramp through the symmetric part; the part of the
    image in phase with the symmetric part is kept, with that phase.

    Parameters
    ----------
    kspace
        Shape ``(..., k)``, zero where nothing was acquired.
    acquired
        What of the last axis was acquired.

    Returns
    -------
    ComplexArray
        Image along the last axis, same shape and precision; its sign may be negative relative to its phase.

    References
    ----------
    .. [1] Noll, Nishimura and Macovski, IEEE Trans. Med. Imaging 10 (1991) 154.
    """
    phase = _phase_factor(kspace, acquired)
    k = np.arange(acquired.size) - acquired.size // 2
    half = max(1, acquired.half_width)
    towards = 1 if acquired.stop - acquired.size // 2 > acquired.size // 2 - acquired.start else -1
    weight = 1 + np.clip(towards * k / half, -1, 1)
    image = centered_ifft((kspace * weight).astype(kspace.dtype), n_axes=1)
    real = (image * np.conj(phase)).real
    return np.asarray((real * phase).astype(kspace.dtype))


def _phase_factor(kspace: ComplexArray, acquired: AcquiredRange) -> ComplexArray:
    """``exp(i phase)`` of the image of the symmetric part."""
    window = _symmetric_window(acquired).astype(kspace.real.dtype)
    image = centered_ifft((kspace * window).astype(kspace.dtype), n_axes=1)
    factor: ComplexArray = np.exp(1j * np.angle(image)).astype(kspace.dtype)
    return factor


def _symmetric_window(acquired: AcquiredRange) -> RealArray:
    """Tukey window over the symmetric part: one in its inner half, falling as a cosine to zero at its edge."""
    half = max(1, acquired.half_width)
    distance = np.abs(np.arange(acquired.size) - acquired.size // 2)
    return np.where(distance < half, 0.5 + 0.5 * np.cos(np.pi * np.clip(2 * distance / half - 1, 0, 1)), 0.0)


def _weight_of_known(acquired: AcquiredRange) -> RealArray:
    """How much of each acquired sample is kept: all, but for the last few before the gap, shape ``(k,)``."""
    known = np.zeros(acquired.size)
    known[acquired.start : acquired.stop] = 1
    n = int(_BLEND * acquired.half_width)
    if n == 0 or not acquired.is_partial:
        return known
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)
    if acquired.stop - acquired.size // 2 > acquired.size // 2 - acquired.start:
        known[acquired.start : acquired.start + n] = rise
    else:
        known[acquired.stop - n : acquired.stop] = rise[::-1]
    return known


def _within_reach(acquired: AcquiredRange) -> BoolArray:
    """Points that were acquired, or whose mirror image was, shape ``(k,)``."""
    reach = max(acquired.size // 2 - acquired.start, acquired.stop - 1 - acquired.size // 2)
    return np.asarray(np.abs(np.arange(acquired.size) - acquired.size // 2) <= reach)


def _to_kspace(image: ComplexArray) -> ComplexArray:
    """Inverse of `centered_ifft` along the last axis: the forward transform is the conjugate of the inverse one."""
    kspace = np.conj(centered_ifft(np.conj(image), n_axes=1))
    return np.asarray(kspace * image.shape[-1])
