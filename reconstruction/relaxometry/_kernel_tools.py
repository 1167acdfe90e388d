"""What the compiled kernels share: how they are compiled, exponentials of vectors, reading and writing of voxels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.relaxometry.result import T2Status

BLOCK = 256
"""Voxels that go through the steps together."""

_OK = int(T2Status.OK)
_ZERO, _ONE, _HALF = (np.float32(value) for value in (0, 1, 0.5))
_LOWEST, _SHRINK = np.float32(-80), np.float32(1 / 128)
_THIRD, _FOURTH, _FIFTH = np.float32(1 / 3), np.float32(1 / 4), np.float32(1 / 5)

_LOGGER = logging.getLogger(__name__)
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Decays(NamedTuple):
    """Exponentials as the kernels need them."""

    times: RealArray
    """[s], shape ``(echo,)``."""
    weights: RealArray
    """One over the noise, shape ``(echo,)``."""
    floor: RealArray
    """Constant to be subtracted, units of the images, shape ``(echo,)``."""


class Rough(NamedTuple):
    """The same in single precision, for the way to the top."""

    times: RealArray
    weights: RealArray
    grid: RealArray
    """``ln R``, shape ``(rate,)``."""
    basis: RealArray
    """Decays of norm one, shape ``(rate, echo)``."""


class Limits(NamedTuple):
    """What a voxel is judged by."""

    lowest: float
    """``ln R``."""
    highest: float
    """``ln R``."""
    max_iterations: int
    """Of a voxel on its own."""
    explained: float
    """A decay that explains less is no signal."""
    energy: float
    """A voxel of less energy is no signal."""
    offset: float
    """Constant under the decays, for the map of it."""


def compiled(function: _Function) -> _Function:
    """Compile at the first call and keep the result on disk; releases the lock of the interpreter."""
    rules = {"contract", "reassoc", "nsz", "arcp"}  # not-a-number must stay what it is
    compiler: Any = partial(numba.njit, nogil=True, error_model="numpy", fastmath=rules)
    try:
        return cast(_Function, compiler(cache=True)(function))
    except RuntimeError as error:  # neither the folder of the sources nor that of the user can be written
        _LOGGER.warning("the compiled T2 fit is compiled again in every process: %s; set NUMBA_CACHE_DIR", error)
        return cast(_Function, compiler()(function))


@compiled
def exp_of_negative(x: float) -> float:
    """``exp(x)`` for ``x <= 0`` by operations that exist for vectors: series of ``x / 512``, squared nine times."""
    y = max(x, -400.0) * (1.0 / 512.0)
    s = 1.0 + y * (1.0 + y * (1.0 / 11.0)) * (1.0 / 10.0)
    s = 1.0 + y * s * (1.0 / 9.0)
    s = 1.0 + y * s * (1.0 / 8.0)
    s = 1.0 + y * s * (1.0 / 7.0)
    s = 1.0 + y * s * (1.0 / 6.0)
    s = 1.0 + y * s * (1.0 / 5.0)
    s = 1.0 + y * s * (1.0 / 4.0)
    s = 1.0 + y * s * (1.0 / 3.0)
    s = 1.0 + y * s * (1.0 / 2.0)
    s = 1.0 + y * s
    s *= s
    s *= s
    s *= s
    s *= s
    s *= s
    s *= s
    s *= s
    s *= s
    return s * s


@compiled
def rough_exp(x: Any) -> Any:
    """``exp(x)`` for ``x <= 0`` in single precision: series of ``x / 128``, squared seven times."""
    y = max(x, _LOWEST) * _SHRINK
    s = _ONE + y * _FIFTH
    s = _ONE + y * s * _FOURTH
    s = _ONE + y * s * _THIRD
    s = _ONE + y * s * _HALF
    s = _ONE + y * s
    s *= s
    s *= s
    s *= s
    s *= s
    s *= s
    s *= s
    return s * s


@compiled
def small_exp(x: Any) -> Any:
    """``exp(x)`` in single precision where ``|x| < 0.5``."""
    s = _ONE + x * _FIFTH
    s = _ONE + x * s * _FOURTH
    s = _ONE + x * s * _THIRD
    s = _ONE + x * s * _HALF
    return _ONE + x * s


@compiled
def load(signal: RealArray, here: tuple[int, int], weights: RealArray, floor: RealArray, y: RealArray) -> None:
    """Voxels ``here = (first, count)`` in units of the noise, above the floor; shape ``(echo, BLOCK)``."""
    first, count = here
    for e in range(weights.size):
        row, weight, level = y[e], weights[e], floor[e]
        for v in range(count):
            row[v] = (signal[e, first + v] - level) * weight


@compiled
def write_voxel(maps: RealArray, i: int, status: int, found: tuple[float, ...]) -> None:
    """Write a voxel; not-a-number where it has no T2, unless the maps are to be judged later (with a sixth row)."""
    keep = status == _OK or maps.shape[0] == 6
    for row in range(maps.shape[0]):
        maps[row, i] = found[row] if keep else np.nan


@compiled
def any_to_fit(status: Any, here: tuple[int, int]) -> bool:
    """Whether there is a voxel to be fitted among ``here = (first, count)``."""
    for v in range(here[1]):  # noqa: SIM110 - generators cannot be compiled
        if status[here[0] + v] == _OK:
            return True
    return False
