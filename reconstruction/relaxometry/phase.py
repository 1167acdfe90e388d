"""Phase of complex images, estimated smoothly in space and removed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.reconstruction.relaxometry._given_images import LARGEST, can_be_fitted
from knightshift.reconstruction.relaxometry._threads import for_each, parts_of

_BLOCK = 16384


def remove_phase(
    signal: ComplexArray, noise_std: RealArray, window: int, threads: int = 1, turns: ComplexArray | None = None
) -> RealArray:
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
        Voxels along each of the last two image axes, odd. With 1, or where there is only one image axis (a list of
        voxels, not an image), every voxel has its own phase.
    threads
        Parts of the image turned at the same time.
    turns
        Turn of each echo as a whole, where it is known from more images than these, shape ``(echo,)``.

    Returns
    -------
    RealArray
        Signed real part, shape ``(echo, *image)``; NaN where any echo is not finite or cannot be squared.
    """
    known, own = signal, turns_of_echoes(signal, noise_std, threads)
    if np.isnan(own).any():
        finite = can_be_fitted(signal)
        known = np.where(finite, signal, 0)
        largest = float(np.abs(known).max(initial=0.0)) or 1.0  # the square of 1e20 is beyond single precision
        own = turns_of_echoes(known / known.dtype.type(largest), noise_std / largest)
    turns = own if turns is None else turns
    columns = known.reshape(len(known), -1)
    total = _sum_of_echoes(columns, turns * (noise_std.min() / noise_std) ** 2, threads).reshape(signal.shape[1:])
    smooth = _smooth(total, window) if window > 1 and total.ndim > 1 else total
    size = np.abs(smooth)
    measurable = size > 1e6 * np.finfo(size.dtype).tiny
    unturn = np.divide(smooth.conj(), size, where=measurable, out=np.ones_like(smooth))
    real = _turned(columns, turns.astype(signal.dtype), unturn.ravel(), threads).reshape(signal.shape)
    if known is not signal:
        real[:, ~finite] = np.nan
    return real


def turns_of_echoes(signal: ComplexArray, noise_std: RealArray, threads: int = 1) -> ComplexArray:
    """Turn that gives every echo as a whole the phase of the strongest one: it is common to thousands of voxels.

    Not a number where an image is not finite.
    """
    energy = np.array(for_each(list(signal), threads, lambda image: np.vdot(image, image).real)) / noise_std**2
    if not np.isfinite(energy).all():
        return np.full(len(signal), np.nan, dtype=complex)
    reference = signal[int(np.argmax(energy))]
    products = for_each(list(signal), threads, lambda image: np.vdot(reference, image))
    return np.asarray(np.exp(-1j * np.angle(products)))


def turns_of_slabs(slabs: Iterable[ComplexArray], noise_std: RealArray) -> ComplexArray:
    """Find what `turns_of_echoes` does for images that come in slabs, each of shape ``(echo, *image)``."""
    products = np.zeros((len(noise_std), len(noise_std)), complex)
    for slab in slabs:
        columns = np.where(np.abs(slab) < np.float64(LARGEST), slab, 0).reshape(len(slab), -1)
        products += columns.conj() @ columns.T
    reference = int(np.argmax(products.diagonal().real / noise_std**2))
    return np.asarray(np.exp(-1j * np.angle(products[reference])))


def _sum_of_echoes(columns: ComplexArray, weights: ComplexArray, threads: int) -> ComplexArray:
    """Weighted sum in units of its largest part: of single precision, which is plenty for a phase."""
    weights = weights.astype(columns.dtype)
    total = np.empty(columns.shape[1], dtype=columns.dtype)

    def add(block: slice) -> float:
        parts = np.matmul(weights, columns[:, block], out=total[block]).view(total.real.dtype)
        return float(max(parts.max(), -parts.min()))

    largest = max(for_each(parts_of(total.size, _BLOCK), threads, add), default=0.0) or 1.0
    total /= largest
    return np.asarray(total, dtype=np.complex64)


def _turned(columns: ComplexArray, turns: ComplexArray, unturn: ComplexArray, threads: int) -> RealArray:
    """Real part after the turn of each echo and of each voxel, in blocks that stay in the cache."""
    real = np.empty(columns.shape, dtype=columns.real.dtype)

    def turn(block: slice) -> None:
        for_all = unturn[block].astype(columns.dtype)
        for echo, turn in enumerate(turns):
            turned = for_all * turn
            turned *= columns[echo, block]
            real[echo, block] = turned.real

    for_each(parts_of(unturn.size, _BLOCK), threads, turn)
    return real


def _smooth(total: ComplexArray, window: int) -> ComplexArray:
    """Sum over a window, as if there were no linear phase (k-space centre off by part of a sample) to blur it."""
    squared = total**2  # because lobes of ringing change sign
    smooth, ramps = total.copy(), []
    for axis in (total.ndim - 2, total.ndim - 1):
        ahead = np.moveaxis(squared, axis, 0)
        slope = np.angle(np.vecdot(ahead[:-1], ahead[1:]).sum()) / 2
        ramp = np.exp(1j * slope * np.arange(total.shape[axis])).astype(total.dtype)
        ramps.append(ramp.reshape((-1,) + (1,) * (total.ndim - 1 - axis)))
        smooth *= ramps[-1].conj()
    for axis in (total.ndim - 2, total.ndim - 1):
        smooth = _running_sum(smooth, window, axis)
    for ramp in ramps:
        smooth *= ramp
    return smooth


def _running_sum(image: ComplexArray, window: int, axis: int) -> ComplexArray:
    result = image.copy()
    terms, sums = np.moveaxis(image, axis, 0), np.moveaxis(result, axis, 0)
    for shift in range(1, window // 2 + 1):
        sums[shift:] += terms[:-shift]
        sums[:-shift] += terms[shift:]
    return result
