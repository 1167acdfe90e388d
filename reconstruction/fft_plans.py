"""FFTW plans for one thread each, made once for every shape and lent out, and the threads that use them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from knightshift.core.arrays import ComplexArray
from knightshift.core.slim_imports import as_if_absent

_THREADS_FROM = 1_000_000
"""Points from which a second thread pays: below, a busy neighbour makes two threads a hundred times slower than one."""
_BUSY = 1.5
"""Programs that want to run, per core, above which one thread is faster than two that wait for each other."""
_PLANNING_LIMIT = 2.0
"""Longest time that measuring plans may take [s]."""
_MAX_KEPT_SHAPES = 16
_CACHE_LINE = 64
"""[bytes]"""
_PADDED_FROM = 64 * 1024
"""Size from which images have padded rows: smaller ones lie in the nearest cache either way [bytes]."""

_PlanKey = tuple[tuple[int, ...], tuple[int, ...], np.dtype[Any], bool]


_kept: dict[_PlanKey, list[Any]] = {}
_lock = threading.Lock()


@contextmanager
def borrowed_plan(shape: tuple[int, ...], axes: tuple[int, ...], dtype: np.dtype[Any], measure: bool) -> Iterator[Any]:
    """Lend a plan with buffers of its own to one thread; it is kept for the next transform of that shape.

    Yields
    ------
    pyfftw.FFTW
        An inverse transform from its ``input_array`` to its ``output_array``.
    """
    key = shape, axes, dtype, measure
    with _lock:
        idle = _kept.get(key)
        plan = idle.pop() if idle else _make_plan(*key)
    try:
        yield plan
    finally:
        with _lock:
            if key not in _kept and len(_kept) >= _MAX_KEPT_SHAPES:
                _kept.pop(next(iter(_kept)))
            _kept.setdefault(key, []).append(plan)


def _make_plan(shape: tuple[int, ...], axes: tuple[int, ...], dtype: np.dtype[Any], measure: bool) -> Any:
    pyfftw = _fftw()
    before, after = (_buffer(shape, axes, dtype) for _ in range(2))
    return pyfftw.FFTW(
        before,
        after,
        axes=axes,
        direction="FFTW_BACKWARD",
        flags=("FFTW_MEASURE" if measure else "FFTW_ESTIMATE",),
        threads=1,
        planning_timelimit=_PLANNING_LIMIT if measure else None,
    )


def _buffer(shape: tuple[int, ...], axes: tuple[int, ...], dtype: np.dtype[Any]) -> ComplexArray:
    """Array for a plan; rows of large images lie an odd number of cache lines apart.

    Rows a power of two apart put a whole column into one set of the cache, and FFTW, when it estimates, walks down
    columns: at 256 x 256 it takes ten times as long as with these rows.
    """
    lines = -(-shape[-1] * dtype.itemsize // _CACHE_LINE) | 1
    if len(axes) < 2 or shape[-2] * lines * _CACHE_LINE < _PADDED_FROM:
        return _fftw().empty_aligned(shape, dtype=dtype)  # type: ignore[no-any-return]
    rows: ComplexArray = _fftw().empty_aligned((*shape[:-1], lines * _CACHE_LINE // dtype.itemsize), dtype=dtype)
    return rows[..., : shape[-1]]


@cache
def _fftw() -> Any:
    """Import FFTW with the first plan, and without its transforms of dask arrays: they cost a second."""
    with as_if_absent("dask.array.fft"):
        import pyfftw
    return pyfftw


def thread_count(points: int) -> int:
    """Threads worth using for a transform of `points` points: one where it is small or the machine is busy."""
    if points < _THREADS_FROM:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = hasattr(os, "getloadavg") and os.getloadavg()[0] > _BUSY * cores
    return 1 if busy else max(1, min(8, cores))


_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def in_threads(work: Callable[[int], None], items: range, n_threads: int) -> None:
    """Do independent pieces of work, in several threads where that pays."""
    if n_threads < 2 or len(items) < 2:
        for item in items:
            work(item)
        return
    left = iter(items)  # taken one by one, so that a thread held up by a neighbour leaves its share to the other

    def some() -> None:
        for item in left:
            work(item)

    others = [_pool(n_threads).submit(some) for _ in range(min(n_threads, len(items)) - 1)]
    some()
    for other in others:
        other.result()


def _pool(n_threads: int) -> ThreadPoolExecutor:
    """Threads that wait for work; a process that was forked makes its own."""
    key = os.getpid(), n_threads
    with _lock:
        if key not in _pools:
            _pools.clear()
            _pools[key] = ThreadPoolExecutor(n_threads - 1, thread_name_prefix="fft")
        return _pools[key]
