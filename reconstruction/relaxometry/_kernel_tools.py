"""What the compiled kernels share: how they are compiled, exponentials of vectors, reading and writing of voxels.

Loops run over the voxels of a block, in plain arithmetic and on rows that are cut out beforehand (an index computed in
the loop might be negative, for all the compiler knows), so that they become vector instructions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from math import factorial, log
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numba.extending import overload

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.relaxometry._voxelwise import AGAIN
from knightshift.reconstruction.relaxometry.result import T2Status

BLOCK = 256
"""Voxels that go through the steps together."""

_OK, _MASKED, _INVALID_INPUT = int(T2Status.OK), int(T2Status.MASKED), int(T2Status.INVALID_INPUT)
_NO_SIGNAL = int(T2Status.NO_SIGNAL)
_LOG2_E, _LN_2 = 1 / log(2), log(2)
_E2, _E3, _E4, _E5, _E6, _E7, _E8, _E9, _E10, _E11 = (1 / factorial(power) for power in range(2, 12))
_BIAS, _SHIFT, _BIAS_32, _SHIFT_32 = 1023, 52, 127, 23
_LOWEST_32, _LOG2_E_32, _LN_2_32, _ONE = np.float32(-80), np.float32(_LOG2_E), np.float32(_LN_2), np.float32(1)
_THIRD, _FIFTH, _SEVENTH = (np.float32(1 / odd) for odd in (3, 5, 7))
_ROOT_HALF = int(np.sqrt(np.float32(0.5)).view(np.int32))
_F2, _F3, _F4, _F5, _F6 = (np.float32(1 / factorial(power)) for power in range(2, 7))

_LOGGER = logging.getLogger(__name__)
_Function = TypeVar("_Function", bound=Callable[..., Any])
# Not-a-number stays what it is.
_RULES: Any = {"error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz", "arcp"}}
_compiler: Any = partial(numba.njit, nogil=True, **_RULES)


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
    """``ln R``, evenly spaced, shape ``(rate,)``."""
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
    """Compile where it is called from compiled code; releases the lock of the interpreter."""
    return cast(_Function, _compiler()(function))


def inlined(function: _Function) -> _Function:
    """Compile into the loop that calls it, which then becomes vector instructions."""
    return cast(_Function, _compiler(forceinline=True)(function))


def kept(function: _Function) -> _Function:
    """Compile at the first call and keep the result, with all it calls, on disk."""
    try:
        kernel = _compiler(cache=True)(function)
    except RuntimeError as error:  # neither the folder of the sources nor that of the user can be written
        _LOGGER.warning("the compiled T2 fit is compiled again in every process: %s; set NUMBA_CACHE_DIR", error)
        return compiled(function)
    files = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if files is not None:  # numba would look for changes in the file of this one function only
        files._source_stamp = _source_stamp()
    return cast(_Function, kernel)


def _source_stamp() -> list[tuple[str, int, int]]:
    """Name, time and size of all that is compiled."""
    folder = Path(__file__).parent
    sources = sorted((*folder.glob("_compiled*.py"), *folder.glob("_kernel_tools.py"), *folder.glob("rician.py")))
    return [(source.name, source.stat().st_mtime_ns, source.stat().st_size) for source in sources]


def exp(x: Any) -> Any:
    """``exp(x)`` by operations that exist for vectors: to 1e-14 for ``x < 700``, in single precision for ``x < 80``.

    Below -700 (-80) as there.
    """
    raise NotImplementedError  # what follows takes its place in compiled code


@overload(exp, jit_options=_RULES)
def _exp_of_precision(x: Any) -> Callable[[Any], Any]:
    return _exp_single if x == numba.float32 else _exp_double


def _exp_double(x: Any) -> Any:
    x = x if x > -700.0 else -700.0
    power = np.rint(x * _LOG2_E)
    r = x - power * _LN_2
    s = _E8 + r * (_E9 + r * (_E10 + r * _E11))
    s = 1.0 + r * (1.0 + r * (_E2 + r * (_E3 + r * (_E4 + r * (_E5 + r * (_E6 + r * (_E7 + r * s)))))))
    return s * np.int64((np.int64(np.int32(power)) + _BIAS) << _SHIFT).view(np.float64)


def _exp_single(x: Any) -> Any:
    x = x if x > _LOWEST_32 else _LOWEST_32
    power = np.rint(x * _LOG2_E_32)
    r = x - power * _LN_2_32
    s = _ONE + r * (_ONE + r * (_F2 + r * (_F3 + r * (_F4 + r * (_F5 + r * _F6)))))
    return s * np.int32((np.int32(power) + _BIAS_32) << _SHIFT_32).view(np.float32)


@inlined
def rough_log(x: Any) -> Any:
    """``ln(x)`` in single precision for normal ``x > 0``: ``x = 2**power * (1 + s) / (1 - s)``, a series in s."""
    bits = np.float32(x).view(np.int32)
    power = np.int32(bits - _ROOT_HALF) >> _SHIFT_32
    rest = np.int32(bits - (power << _SHIFT_32)).view(np.float32)
    s = (rest - _ONE) / (rest + _ONE)
    square = s * s
    series = _ONE + square * (_THIRD + square * (_FIFTH + square * _SEVENTH))
    return np.float32(power) * _LN_2_32 + (s + s) * series


@compiled
def load(signal: RealArray, decays: Decays, y: RealArray) -> None:
    """Voxels of shape ``(echo, voxel)`` in units of the noise, above the floor; into shape ``(echo, BLOCK)``."""
    for e in range(decays.times.size):
        image, row, weight, level = signal[e], y[e], decays.weights[e], decays.floor[e]
        for v in range(image.size):
            row[v] = (image[v] - level) * weight


@compiled
def any_to_fit(status: Any) -> bool:
    """Whether there is a voxel to be fitted."""
    for state in status:  # noqa: SIM110 - generators cannot be compiled
        if state == _OK:
            return True
    return False


@compiled
def write(results: RealArray, energy: RealArray, limits: Limits, status: Any, maps: RealArray) -> None:
    """Judge the voxels of a block and write what was found; not-a-number where there is no T2.

    Parameters
    ----------
    results
        Rows of six maps as in `_voxelwise.MAPS`, and room for one more, shape ``(row, BLOCK)``.
    energy
        Of the data in units of the noise variance, shape ``(BLOCK,)``.
    limits
        What to judge by.
    status, maps
        Of the voxels of the block, shapes ``(voxel,)`` and ``(map, voxel)``; changed in place. With six rows, voxels
        without a T2 keep their values, to be judged later.
    """
    amplitude, explained, void = results[2], results[5], results[6]
    keeps_all = maps.shape[0] == 6
    for v in range(status.size):
        state = status[v]
        fitted = (state != _MASKED) & (state != _INVALID_INPUT) & (state != AGAIN)
        seen = (amplitude[v] > 0) & (explained[v] > limits.explained) & (energy[v] > limits.energy)
        state = state if seen | (not fitted) else _NO_SIGNAL
        status[v] = state
        void[v] = 0.0 if (state == _OK) | (keeps_all & fitted) else np.nan
    for found, target in zip(results, maps):  # noqa: B905 - as many as there are maps; strict cannot be compiled
        for v in range(status.size):
            target[v] = found[v] + void[v]
