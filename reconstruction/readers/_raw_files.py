"""Read the files of other consoles without trusting them: size first, then bytes; parsers that stumble are reported."""

from __future__ import annotations

import math
import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from knightshift.core.errors import ConfigError, DamagedDataError, KnightshiftError
from knightshift.core.nuclei import isotope_named

T = TypeVar("T")

MAX_RAW_BYTES = 1 << 36
"""Largest raw file that is read."""
_LARGEST = 1e30
MAX_TEXT_BYTES = 16 * 1024**2
"""Largest parameter file that is read: real ones stay below 1 MB."""


def file_size(path: Path, at_most: int = MAX_RAW_BYTES) -> int:
    """Size of a plain file [bytes].

    Raises
    ------
    DamagedDataError
        If it is missing, empty, larger than `at_most`, a link to itself, or no plain file (a pipe, a folder).
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DamagedDataError(path, "file", f"it cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(status.st_mode):
        raise DamagedDataError(path, "file", "it is no plain file")
    if not 0 < status.st_size <= at_most:
        raise DamagedDataError(path, "file size", f"{status.st_size} bytes; 1 to {at_most} are read")
    return status.st_size


def read_bytes(path: Path, at_most: int = MAX_RAW_BYTES) -> bytes:
    """Content of a plain file of at most so many bytes. Raises `DamagedDataError`."""
    file_size(path, at_most)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedDataError(path, "file", f"it cannot be read ({error.strerror})") from None


def read_start(path: Path, n_bytes: int) -> bytes:
    """First bytes of a file; empty where it cannot be read. A pipe is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(n_bytes) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return b""


def read_text(path: Path) -> str:
    """Text of a parameter file or a list. Raises `DamagedDataError`."""
    return read_bytes(path, MAX_TEXT_BYTES).decode("utf-8", errors="replace")


def check_size(path: Path, needed: int, because: str) -> None:
    """Compare the size of a raw file with what its headers need, before memory is taken.

    Raises
    ------
    DamagedDataError
        If the file is shorter.
    """
    actual = file_size(path)
    if needed < 1 or actual < needed:
        problem = f"the file is truncated: {actual} bytes, but {because} need {needed}"
        raise DamagedDataError(path, "file size", problem, "copy the data again from the console")


def parsed(path: Path, what: str, parse: Callable[[], T]) -> T:
    """Call a parser of another library; whatever it stumbles over is damage in `path`.

    Raises
    ------
    DamagedDataError
        If it raises anything.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return parse()
    except KnightshiftError:
        raise
    except Exception as error:
        raise DamagedDataError(path, what, f"it cannot be parsed ({error!r})") from error


def check_samples(path: Path, field: str, samples: NDArray[Any]) -> None:
    """Check that numbers are finite and not absurdly large, so that squares and sums of them stay finite.

    Raises
    ------
    DamagedDataError
        If they are not.
    """
    for part in (samples.real, samples.imag):
        if not np.isfinite(part).all() or (part.size and max(part.max(), -float(part.min())) > _LARGEST):
            raise DamagedDataError(path, field, f"some numbers are not finite, or beyond {_LARGEST:g}")


def isotope(name: str) -> str | None:
    """Isotope as we write it (``"23Na"``), the console's own word where we do not know it; None without a word."""
    name = name.strip(" <>\"'\0")
    if not name:
        return None
    try:
        return isotope_named(name)
    except ConfigError:
        return name


def positive(path: Path, name: str, value: float, at_most: float = 1e18) -> float:
    """Check that a number is finite and positive. Raises `DamagedDataError`."""
    if not (math.isfinite(value) and 0 < value <= at_most):
        raise DamagedDataError(path, name, f"{value:g} is not a number above 0 and up to {at_most:g}")
    return value
