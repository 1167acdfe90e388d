"""Centred inverse Fourier transform by FFTW: planned once, slab by slab, and without a single ``fftshift`` copy.

With k = 0 and the isocentre both at index ``c = N // 2`` the transform is

    image[n] = 1/N sum_m kspace[m] exp(+i 2 pi (m - c)(n - c) / N),

an ordinary inverse FFT between two modulations ``exp(-i 2 pi m c / N)`` and ``exp(-i 2 pi (n - c) c / N)``. For even N
both are a checkerboard of signs. Input modulation, scale, window and fractional shift are folded into one
multiplication.

Images that fit the cache of a processor core are transformed in the small buffer of a plan: modulated into it,
transformed, and modulated out of it while they are still in the cache. Larger ones (volumes) are transformed plane by
plane and then, along the first axis, strip by strip. Either way the memory taken is that of the result and little more,
or next to nothing where `out` is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import ShapeError
from knightshift.reconstruction.fft_plans import borrowed_plan, in_threads, thread_count

__all__ = ["centered_ifft", "centered_ifft2", "centered_ifft_magnitude", "thread_count"]

_SLAB_BYTES = 256 * 1024
"""Images are transformed together up to this size, so that they stay in the cache of a core."""
_BUFFER_BYTES = 2 * 1024**2
"""Images larger than this are transformed axis by axis: planes first, then strips along the first axis."""
_STRIP_BYTES = 144 * 1024
"""Strips are copied together up to this size. Estimated plans are slow for columns that lie a power of two apart, where
cache lines collide; with this size the width of a strip is no power of two."""

_Factor = RealArray | ComplexArray


def centered_ifft2(
    kspace: ComplexArray,
    *,
    windows: Sequence[RealArray | None] | None = None,
    shifts: Sequence[float] | None = None,
    measure: bool = False,
    out: ComplexArray | None = None,
) -> ComplexArray:
    """Transform the last two axes from k-space to the image; see `centered_ifft`.

    Equals ``fftshift(ifft2(ifftshift(kspace)))`` on the last two axes.
    """
    return centered_ifft(kspace, n_axes=2, windows=windows, shifts=shifts, measure=measure, out=out)


def centered_ifft(
    kspace: ComplexArray,
    *,
    n_axes: int,
    windows: Sequence[RealArray | None] | None = None,
    shifts: Sequence[float] | None = None,
    measure: bool = False,
    out: ComplexArray | None = None,
) -> ComplexArray:
    """Transform the last `n_axes` axes from k-space to the image.

    Parameters
    ----------
    kspace
        Shape ``(..., k_1, .., k_n)`` with k = 0 at index ``N // 2`` of each transformed axis; it is not changed unless
        it is `out`.
    n_axes
        How many of the last axes to transform.
    windows
        Apodisation along each transformed axis, shape ``(k,)``, or None.
    shifts
        Cyclic shift of the image along each transformed axis [pixels], fractions allowed.
    measure
        Let FFTW time its plans (up to two seconds, once per shape) rather than estimate. Estimated plans are the same
        on every run and so are their results, to the last bit; measured ones are faster on large arrays.
    out
        Array that takes the image, C-contiguous and of the precision of `kspace`; no further memory is taken. It may be
        `kspace` itself. None: a new array.

    Returns
    -------
    ComplexArray
        Same shape, scaled by ``1/N``; complex64 or complex128 as the input.

    Raises
    ------
    ShapeError
        If there are fewer than `n_axes` axes, an axis is empty, a window has the wrong length, or `out` does not fit.
    """
    lengths = _checked_lengths(kspace, n_axes)
    dtype = _dtype_of(kspace)
    modulation = _modulation_of(lengths, windows, shifts)
    image = _target(kspace, dtype, out)
    source = kspace
    if source is not image and (source.dtype != dtype or not source.flags.c_contiguous):
        image[...] = source
        source = image
    how = measure, thread_count(image.size)
    _transform(source.reshape(-1, *lengths), image.reshape(-1, *lengths), modulation, how)
    return image


def centered_ifft_magnitude(
    kspace: ComplexArray,
    *,
    n_axes: int,
    windows: Sequence[RealArray | None] | None = None,
    shifts: Sequence[float] | None = None,
    measure: bool = False,
) -> RealArray:
    """Transform the last `n_axes` axes from k-space to the magnitude of the image.

    The complex image is never there as a whole: besides the result, half as large as `kspace`, this takes the memory of
    a few small images, or of one volume.

    Parameters
    ----------
    kspace, n_axes, windows, shifts, measure
        As in `centered_ifft`; `kspace` is not changed.

    Returns
    -------
    RealArray
        Same shape, float32 or float64 as the input.

    Raises
    ------
    ShapeError
        As in `centered_ifft`.
    """
    lengths = _checked_lengths(kspace, n_axes)
    dtype = _dtype_of(kspace)
    modulation = _modulation_of(lengths, windows, shifts)
    source = np.ascontiguousarray(kspace, dtype).reshape(-1, *lengths)
    magnitude = np.empty(source.shape, np.zeros(1, dtype).real.dtype)
    how = measure, thread_count(source.size)
    if _fits_buffer(source):
        _transform_slabs(source, magnitude, modulation, how)
    else:
        image = np.empty((1, *lengths), dtype)
        for number, target in enumerate(magnitude):
            _transform(source[number : number + 1], image, modulation, how)
            np.abs(image[0], out=target)
    return magnitude.reshape(kspace.shape)


def _target(kspace: ComplexArray, dtype: np.dtype[Any], out: ComplexArray | None) -> ComplexArray:
    """Array that takes the image."""
    if out is None:
        return np.empty(kspace.shape, dtype)
    if out.shape != kspace.shape or out.dtype != dtype or not out.flags.c_contiguous or not out.flags.writeable:
        raise ShapeError(
            f"the image of k-space of shape {kspace.shape} cannot be put into {out.dtype} of shape {out.shape}: "
            f"out must be writeable, C-contiguous {dtype} of the same shape"
        )
    return out


def _dtype_of(kspace: ComplexArray) -> np.dtype[Any]:
    """Precision of the transform: single for single."""
    return np.dtype(np.complex64 if kspace.dtype in (np.complex64, np.float32, np.float16) else np.complex128)


def _checked_lengths(kspace: ComplexArray, n_axes: int) -> tuple[int, ...]:
    if kspace.ndim < n_axes or 0 in kspace.shape:
        raise ShapeError(f"k-space of shape {kspace.shape} cannot be transformed along its last {n_axes} axes")
    return kspace.shape[kspace.ndim - n_axes :]


def _transform(source: ComplexArray, image: ComplexArray, modulation: _Modulation, how: tuple[bool, int]) -> None:
    """Transform images of shape ``(image, *lengths)`` whole or, where they are large, by planes and the first axis."""
    lengths = image.shape[1:]
    if _fits_buffer(source):
        _transform_slabs(source, image, modulation, how)
        return
    n_planes, n_first = len(image) * lengths[0], lengths[0]
    planes = (n_planes, *lengths[1:])
    _transform(source.reshape(planes), image.reshape(planes), modulation.without_first_axis(), how)
    _transform_first_axis(image.reshape(len(image), n_first, -1), modulation, how)


def _fits_buffer(images: ComplexArray) -> bool:
    """Whether images are transformed whole."""
    return images[0].nbytes <= _BUFFER_BYTES or images.ndim == 2


def _transform_slabs(source: ComplexArray, image: NDArray[Any], modulation: _Modulation, how: tuple[bool, int]) -> None:
    """Transform images as many at a time as fit the cache, in the buffer of a plan; a real `image` takes magnitudes."""
    measure, n_threads = how
    before, after = modulation.of_image(source.dtype)
    step = max(1, _SLAB_BYTES // source[0].nbytes)
    axes = tuple(range(1, source.ndim))

    def one_slab(number: int) -> None:
        start = number * step
        target = image[start : start + step]
        with borrowed_plan(target.shape, axes, source.dtype, measure) as plan:
            _modulate(source[start : start + step], before, plan.input_array)
            plan.execute()
            if np.iscomplexobj(target):
                _modulate(plan.output_array, after, target)
            else:  # the modulation is a phase
                np.abs(plan.output_array, out=target)

    in_threads(one_slab, range(-(-len(image) // step)), n_threads)


def _transform_first_axis(volumes: ComplexArray, modulation: _Modulation, how: tuple[bool, int]) -> None:
    """Transform the first axis of large volumes, shape ``(volume, k_1, rest)``, in place and strip by strip."""
    measure, n_threads = how
    before, after = modulation.of_first_axis(volumes.dtype)
    number = volumes.dtype if np.iscomplexobj(before) or np.iscomplexobj(after) else volumes.real.dtype
    n_first, n_rest = volumes.shape[1:]
    step = max(1, _STRIP_BYTES // (n_first * volumes.itemsize))
    n_strips = -(-n_rest // step)

    def one_strip(index: int) -> None:
        volume, strip = divmod(index, n_strips)
        target = volumes[volume, :, strip * step : (strip + 1) * step]
        with borrowed_plan(target.shape, (0,), volumes.dtype, measure) as plan:
            parts = target.view(number)
            np.multiply(parts, before, out=plan.input_array.view(number))
            plan.execute()
            np.multiply(plan.output_array.view(number), after, out=parts)

    in_threads(one_strip, range(len(volumes) * n_strips), n_threads)


@dataclass
class _Modulation:
    """What multiplies k-space before, and the image after, a plain inverse FFT; one factor an axis."""

    before: list[_Factor]
    after: list[_Factor]
    _products: dict[np.dtype[Any], tuple[_Factor, _Factor]] = field(default_factory=dict)
    _rest: _Modulation | None = None

    def of_image(self, dtype: np.dtype[Any]) -> tuple[_Factor, _Factor]:
        """Products over all axes, kept from call to call."""
        if dtype not in self._products:
            self._products[dtype] = _outer(self.before, dtype), _outer(self.after, dtype)
        return self._products[dtype]

    def of_first_axis(self, dtype: np.dtype[Any]) -> tuple[_Factor, _Factor]:
        """Factors of the first axis, shape ``(k_1, 1)``."""
        before, after = (_in_precision(f, dtype)[:, np.newaxis] for f in (self.before[0], self.after[0]))
        return before, after

    def without_first_axis(self) -> _Modulation:
        """Those of the other axes, kept from call to call."""
        if self._rest is None:
            self._rest = _Modulation(self.before[1:], self.after[1:])
        return self._rest


def _modulation_of(
    lengths: tuple[int, ...], windows: Sequence[RealArray | None] | None, shifts: Sequence[float] | None
) -> _Modulation:
    if windows is None and shifts is None:
        return _plain_modulation(lengths)
    windows = (None,) * len(lengths) if windows is None else windows
    shifts = (0.0,) * len(lengths) if shifts is None else shifts
    before = [_input_factor(n, w, s) for n, w, s in zip(lengths, windows, shifts, strict=True)]
    return _Modulation(before, [_output_factor(n) for n in lengths])


@lru_cache(maxsize=16)
def _plain_modulation(lengths: tuple[int, ...]) -> _Modulation:
    """Modulation without window and shift, kept from call to call."""
    return _Modulation([_input_factor(n, None, 0.0) for n in lengths], [_output_factor(n) for n in lengths])


def _input_factor(length: int, window: RealArray | None, shift: float) -> _Factor:
    """Checkerboard, scale, window and shift of one axis as one vector, real where possible."""
    if window is not None and np.shape(window) != (length,):
        raise ShapeError(f"a window of shape {np.shape(window)} does not fit an axis of {length} points")
    scale = np.full(length, 1.0 / length) if window is None else np.asarray(window, float) / length
    factor: _Factor = scale * _centre_factor(length)
    if shift == 0.0:
        return factor
    k = np.arange(length) - length // 2
    ramped: ComplexArray = factor * np.exp(-2j * np.pi * k * shift / length)
    return ramped


@lru_cache(maxsize=64)
def _centre_factor(length: int) -> _Factor:
    """Modulation ``exp(-i 2 pi m c / N)`` of one axis."""
    m = np.arange(length)
    if length % 2 == 0:
        return np.asarray(1.0 - 2.0 * (m % 2))
    return np.asarray(np.exp(-2j * np.pi * ((m * (length // 2)) % length) / length))


@lru_cache(maxsize=64)
def _output_factor(length: int) -> _Factor:
    """Modulation ``exp(-i 2 pi (n - c) c / N)`` of one axis."""
    c = length // 2
    if length % 2 == 0:
        return np.asarray(_centre_factor(length) * (1.0 if c % 2 == 0 else -1.0))
    return np.asarray(_centre_factor(length) * np.exp(2j * np.pi * ((c * c) % length) / length))


def _in_precision(factor: _Factor, dtype: np.dtype[Any]) -> _Factor:
    """Convert to the precision of complex `dtype`, real where it is real."""
    return np.asarray(factor.astype(dtype if np.iscomplexobj(factor) else np.zeros(1, dtype).real.dtype))


def _outer(factors: Sequence[_Factor], dtype: np.dtype[Any]) -> _Factor:
    """Outer product of the factors of some axes.

    Each real value stands twice, once for each part of a complex number: real times real is twice as fast as real
    times complex.
    """
    whole = factors[0]
    for factor in factors[1:]:
        whole = whole[..., np.newaxis] * factor
    whole = _in_precision(whole, dtype)
    return whole if np.iscomplexobj(whole) else np.asarray(np.repeat(whole, 2, axis=-1))


def _modulate(source: ComplexArray, modulation: _Factor, target: ComplexArray) -> None:
    """Write ``source * modulation`` into `target`, in one pass over the memory."""
    if np.iscomplexobj(modulation):
        np.multiply(source, modulation, out=target)
        return
    real = target.real.dtype
    np.multiply(source.view(real), modulation, out=target.view(real))
