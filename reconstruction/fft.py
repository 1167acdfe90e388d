"""Centred inverse Fourier transform by FFTW: planned once, in place, and without a single ``fftshift`` copy.

With k = 0 and the isocentre both at index ``c = N // 2`` the transform is

    image[n] = 1/N sum_m kspace[m] exp(+i 2 pi (m - c)(n - c) / N),

an ordinary inverse FFT between two modulations ``exp(-i 2 pi m c / N)`` and ``exp(-i 2 pi (n - c) c / N)``. For even N
both are a checkerboard of signs. Input modulation, scale, window and fractional shift are folded into one
multiplication, which is also the copy into the buffer of the plan; the output modulation is left out where only
magnitudes are asked for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyfftw

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import ShapeError

_THREADS_FROM = 1_000_000
"""Points from which a second thread pays: below, a busy neighbour makes two threads a hundred times slower than one."""
_PLANNING_LIMIT = 2.0
"""Longest time that measuring plans may take [s]."""
_CACHE_BYTES = 64 * 1024**2
"""Plans whose buffer is larger are not kept: their memory would never come back."""


@dataclass
class _Plan:
    """One FFTW plan with its own aligned buffer; one thread at a time."""

    transform: Any
    buffer: ComplexArray
    lock: threading.Lock
    kept: bool
    """Whether the plan is cached, so that its buffer must not be handed out."""


def centered_ifft2(
    kspace: ComplexArray,
    *,
    windows: Sequence[RealArray | None] | None = None,
    shifts: Sequence[float] | None = None,
    measure: bool = False,
) -> ComplexArray:
    """Transform the last two axes from k-space to the image; see `centered_ifft`.

    Equals ``fftshift(ifft2(ifftshift(kspace)))`` on the last two axes.
    """
    return centered_ifft(kspace, n_axes=2, windows=windows, shifts=shifts, measure=measure)


def centered_ifft(
    kspace: ComplexArray,
    *,
    n_axes: int,
    windows: Sequence[RealArray | None] | None = None,
    shifts: Sequence[float] | None = None,
    measure: bool = False,
) -> ComplexArray:
    """Transform the last `n_axes` axes from k-space to the image.

    Parameters
    ----------
    kspace
        Shape ``(..., k_1, .., k_n)`` with k = 0 at index ``N // 2`` of each transformed axis; it is not changed.
    n_axes
        How many of the last axes to transform.
    windows
        Apodisation along each transformed axis, shape ``(k,)``, or None.
    shifts
        Cyclic shift of the image along each transformed axis [pixels], fractions allowed.
    measure
        Let FFTW time its plans (up to two seconds, once per shape) rather than estimate. Estimated plans are the same
        on every run and so are their results, to the last bit; measured ones are faster on large arrays.

    Returns
    -------
    ComplexArray
        Same shape, scaled by ``1/N``; complex64 or complex128 as the input.

    Raises
    ------
    ShapeError
        If there are fewer than `n_axes` axes, an axis is empty, or a window has the wrong length.
    """
    lengths = _checked_lengths(kspace, n_axes)
    plan = _plan_for(kspace.shape, n_axes, _dtype_of(kspace), measure)
    modulation = _input_modulation(lengths, windows, shifts, plan.buffer.dtype)
    with plan.lock:
        _modulate(kspace, modulation, plan.buffer)
        plan.transform.execute()
        image = np.empty(kspace.shape, plan.buffer.dtype) if plan.kept else plan.buffer
        _modulate(plan.buffer, _plain_modulation(lengths, plan.buffer.dtype, output=True), image)
    return image


def centered_ifft2_magnitude(
    kspace: ComplexArray, *, windows: Sequence[RealArray | None] | None = None, measure: bool = False
) -> RealArray:
    """Magnitude of `centered_ifft2`, one pass over the memory cheaper: its signs do not matter."""
    lengths = _checked_lengths(kspace, 2)
    plan = _plan_for(kspace.shape, 2, _dtype_of(kspace), measure)
    modulation = _input_modulation(lengths, windows, None, plan.buffer.dtype)
    with plan.lock:
        _modulate(kspace, modulation, plan.buffer)
        plan.transform.execute()
        magnitude: RealArray = np.abs(plan.buffer)
    return magnitude


def _dtype_of(kspace: ComplexArray) -> np.dtype[Any]:
    """Precision of the transform: single for single."""
    return np.dtype(np.complex64 if kspace.dtype in (np.complex64, np.float32, np.float16) else np.complex128)


def _checked_lengths(kspace: ComplexArray, n_axes: int) -> tuple[int, ...]:
    if kspace.ndim < n_axes or 0 in kspace.shape:
        raise ShapeError(f"k-space of shape {kspace.shape} cannot be transformed along its last {n_axes} axes")
    return kspace.shape[kspace.ndim - n_axes :]


def _input_factor(length: int, window: RealArray | None, shift: float) -> RealArray | ComplexArray:
    """Checkerboard, scale, window and shift of one axis as one vector, real where possible."""
    if window is not None and np.shape(window) != (length,):
        raise ShapeError(f"a window of shape {np.shape(window)} does not fit an axis of {length} points")
    scale = np.full(length, 1.0 / length) if window is None else np.asarray(window, float) / length
    factor: RealArray | ComplexArray = scale * _centre_factor(length)
    if shift == 0.0:
        return factor
    k = np.arange(length) - length // 2
    ramped: ComplexArray = factor * np.exp(-2j * np.pi * k * shift / length)
    return ramped


def _centre_factor(length: int) -> RealArray | ComplexArray:
    """Modulation ``exp(-i 2 pi m c / N)`` of one axis."""
    m = np.arange(length)
    if length % 2 == 0:
        return np.asarray(1.0 - 2.0 * (m % 2))
    return np.asarray(np.exp(-2j * np.pi * ((m * (length // 2)) % length) / length))


def _output_factor(length: int) -> RealArray | ComplexArray:
    """Modulation ``exp(-i 2 pi (n - c) c / N)`` of one axis."""
    c = length // 2
    if length % 2 == 0:
        return np.asarray(_centre_factor(length) * (1.0 if c % 2 == 0 else -1.0))
    return np.asarray(_centre_factor(length) * np.exp(2j * np.pi * ((c * c) % length) / length))


def _outer(factors: Sequence[RealArray | ComplexArray], dtype: np.dtype[Any]) -> RealArray | ComplexArray:
    """Outer product of the factors of all axes, each value twice where real: once for each part of a complex number."""
    whole = factors[0]
    for factor in factors[1:]:
        whole = whole[..., np.newaxis] * factor
    if np.iscomplexobj(whole):
        return np.asarray(whole.astype(dtype))
    return np.asarray(np.repeat(whole.astype(np.zeros(1, dtype).real.dtype), 2, axis=-1))


def _input_modulation(
    lengths: tuple[int, ...],
    windows: Sequence[RealArray | None] | None,
    shifts: Sequence[float] | None,
    dtype: np.dtype[Any],
) -> RealArray | ComplexArray:
    if windows is None and shifts is None:
        return _plain_modulation(lengths, dtype, output=False)
    windows = (None,) * len(lengths) if windows is None else windows
    shifts = (0.0,) * len(lengths) if shifts is None else shifts
    return _outer([_input_factor(n, w, s) for n, w, s in zip(lengths, windows, shifts, strict=True)], dtype)


@lru_cache(maxsize=16)
def _plain_modulation(lengths: tuple[int, ...], dtype: np.dtype[Any], *, output: bool) -> RealArray | ComplexArray:
    """Modulation without window and shift, kept from call to call."""
    factors = [_output_factor(n) if output else _input_factor(n, None, 0.0) for n in lengths]
    modulation = _outer(factors, dtype)
    modulation.flags.writeable = False
    return modulation


def _modulate(source: ComplexArray, modulation: RealArray | ComplexArray, target: ComplexArray) -> None:
    """Write ``source * modulation`` into `target`, in one pass over the memory."""
    if np.iscomplexobj(modulation):
        np.multiply(source, modulation, out=target, casting="same_kind")
        return
    plain = source if source.dtype == target.dtype and source.flags.c_contiguous else None
    if plain is None:
        target[...] = source
        plain = target
    real = target.real.dtype  # real times real is twice as fast as real times complex
    np.multiply(plain.view(real), modulation, out=target.view(real))


def _plan_for(shape: tuple[int, ...], n_axes: int, dtype: np.dtype[Any], measure: bool) -> _Plan:
    if int(np.prod(shape)) * dtype.itemsize > _CACHE_BYTES:
        return _make_plan(shape, n_axes, dtype, measure, kept=False)
    return _cached_plan(shape, n_axes, dtype, measure, kept=True)


def _make_plan(shape: tuple[int, ...], n_axes: int, dtype: np.dtype[Any], measure: bool, *, kept: bool) -> _Plan:
    buffer = pyfftw.empty_aligned(shape, dtype=dtype)
    transform = pyfftw.FFTW(
        buffer,
        buffer,
        axes=tuple(range(len(shape) - n_axes, len(shape))),
        direction="FFTW_BACKWARD",
        flags=("FFTW_MEASURE" if measure else "FFTW_ESTIMATE",),
        threads=thread_count(int(np.prod(shape))),
        planning_timelimit=_PLANNING_LIMIT if measure else None,
    )
    return _Plan(transform, buffer, threading.Lock(), kept)


_cached_plan = lru_cache(maxsize=16)(_make_plan)


def thread_count(points: int) -> int:
    """Threads worth using for a transform of `points` points."""
    if points < _THREADS_FROM:
        return 1
    return max(1, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
