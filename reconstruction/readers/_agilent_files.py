"""The two files of an Agilent/Varian ``.fid`` folder: ``procpar`` (parameters) and ``fid`` (samples)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import BoolArray, ComplexArray, IntArray, RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers._nmrglue import ng
from knightshift.reconstruction.readers._raw_files import MAX_TEXT_BYTES, check_samples, file_size, parsed, positive

_FILE_HEADER = 32
_BLOCK_HEADER = 28
_MOST_BLOCKS = 1 << 22
_WINDOW_BYTES = 32 * 1024**2
"""The file is looked at through windows of about this size, so that no more of it counts as memory in use."""
_CTCOUNT = 8
"""Where the header of a block says how many scans it holds."""


@dataclass(frozen=True)
class Procpar:
    """Parameters by name."""

    path: Path
    """The file."""
    values: dict[str, list[str]]
    """Values of each parameter, as text."""

    def __contains__(self, name: str) -> bool:
        return bool(self.values.get(name))

    def text(self, name: str, default: str = "") -> str:
        """First value as text."""
        return self.values[name][0] if name in self else default

    def numbers(self, name: str) -> RealArray:
        """All values as finite numbers, shape ``(value,)``. Raises `DamagedDataError`."""
        if name not in self:
            raise DamagedDataError(self.path, name, "the parameter is missing")
        try:
            numbers = np.array([float(value) for value in self.values[name]])
        except ValueError:
            raise DamagedDataError(self.path, name, f"{self.values[name][:4]} are not numbers") from None
        if not np.isfinite(numbers).all():
            raise DamagedDataError(self.path, name, f"{self.values[name][:4]} are not finite")
        return numbers

    def count(self, name: str, default: int | None = None) -> int:
        """First value as a count, at least 1; `default` where it is missing. Raises `DamagedDataError`."""
        if name not in self and default is not None:
            return default
        number = float(self.numbers(name)[0])
        if number != math.floor(number) or not 1 <= number <= 1 << 24:
            raise DamagedDataError(self.path, name, f"{number:g} is not a count")
        return int(number)

    def number(self, name: str) -> float:
        """First value as a number; 0 where it is missing. Raises `DamagedDataError`."""
        return float(self.numbers(name)[0]) if name in self else 0.0

    def positive(self, name: str) -> float:
        """First value, which must be above zero. Raises `DamagedDataError`."""
        return positive(self.path, name, float(self.numbers(name)[0]))


@dataclass(frozen=True)
class Traces:
    """The traces of a ``fid`` file, which stay there until they are read."""

    path: Path
    """The file."""
    word: np.dtype[Any]
    """Of one real number."""
    shape: tuple[int, int, int]
    """Counts ``(block, trace, sample)``; of a stopped acquisition maybe fewer blocks than planned."""
    header_bytes: int
    """Of the headers of each block."""
    scans: IntArray
    """Completed scans of each block, 0 of those not there, shape ``(planned,)``."""

    def read(self, numbers: IntArray) -> ComplexArray:
        """Read some traces, each divided by the number of scans that were added up in its block.

        Parameters
        ----------
        numbers
            Number of each trace in the file, shape ``outer``.

        Returns
        -------
        ComplexArray
            complex64, shape ``(*outer, sample)``.

        Raises
        ------
        DamagedDataError
            If some samples are no numbers.
        """
        n_blocks, n_traces, n_samples = self.shape
        trace_bytes = 2 * n_samples * self.word.itemsize
        block_bytes = self.header_bytes + n_traces * trace_bytes
        order = np.argsort(numbers, axis=None)
        blocks, traces = np.divmod(numbers.ravel()[order], n_traces)
        places = blocks * block_bytes + traces * trace_bytes
        samples = np.empty((numbers.size, n_samples), np.complex64)
        start = 0
        while start < numbers.size:
            stop = max(start + 1, int(np.searchsorted(places, places[start] + _WINDOW_BYTES)))
            window = slice(start, stop)
            content = _mapped(self.path, (n_blocks, block_bytes))
            words = content[:, self.header_bytes :].view(self.word).reshape(n_blocks, n_traces, 2 * n_samples)
            samples.view(np.float32)[order[window]] = words[blocks[window], traces[window]]
            start = stop
        if np.any(self.scans > 1):
            samples[order] /= np.maximum(self.scans, 1)[blocks, np.newaxis].astype(np.float32)
        if self.word.kind == "f":
            check_samples(self.path, "samples", samples)
        return samples.reshape(*numbers.shape, n_samples)

    @cached_property
    def samples(self) -> ComplexArray:
        """All samples, complex64, shape ``(block, trace, sample)``. Raises `DamagedDataError`."""
        return self.read(np.arange(self.shape[0] * self.shape[1]).reshape(self.shape[:2]))

    @property
    def n_planned(self) -> int:
        """Blocks that the header promises."""
        return len(self.scans)

    @property
    def acquired(self) -> BoolArray:
        """Whether a block was acquired, shape ``(planned,)``; where no block has a count, all were."""
        done: BoolArray = self.scans > 0
        return done if done.any() else np.arange(self.n_planned) < self.shape[0]

    @property
    def unequal(self) -> tuple[str, ...]:
        """A sentence where blocks have different numbers of scans, as the last of a stopped acquisition has."""
        there = self.scans[self.scans > 0]
        if there.size == 0 or there.min() == there.max():
            return ()
        return (f"equal averages: blocks hold {there.min()} to {there.max()} scans, so their noise differs",)


def read_procpar(path: Path) -> Procpar:
    """Parse ``procpar`` with nmrglue. Raises `DamagedDataError` if it is missing, empty or malformed."""
    file_size(path, MAX_TEXT_BYTES)

    def parse() -> dict[str, list[str]]:
        return {name: [str(value) for value in one["values"]] for name, one in ng.varian.read_procpar(path).items()}

    return Procpar(path, parsed(path, "procpar", parse))


def read_traces(path: Path) -> Traces:
    """Find out how the traces lie in a file, and how many scans each block has.

    Raises
    ------
    DamagedDataError
        If the file is truncated, or its header contradicts itself or the size of the file.
    """
    size = file_size(path)
    if size < _FILE_HEADER:
        raise DamagedDataError(path, "file header", f"{size} bytes hold no header of {_FILE_HEADER}")

    def parse() -> dict[str, Any]:
        with path.open("rb") as file:
            found: dict[str, Any] = ng.varian.fileheader2dic(ng.varian.get_fileheader(file))
            return found

    header = parsed(path, "file header", parse)
    if header["S_SPEC"]:
        raise UnsupportedDataError(f"{path}: it holds spectra that the console made, and no samples")
    kind, word = _word(header)
    n_blocks, n_traces, n_reals = (_header_count(path, header, name) for name in ("nblocks", "ntraces", "np"))
    before = _header_count(path, header, "nbheaders", at_most=16) * _BLOCK_HEADER
    block = before + n_traces * n_reals * word.itemsize
    if header["ebytes"] != word.itemsize or header["bbytes"] != block or n_reals % 2:
        problem = f"blocks of {header['bbytes']} bytes are not {n_traces} traces of {n_reals} {kind} numbers"
        raise DamagedDataError(path, "file header", problem)
    present = _blocks_there(path, size, block, n_blocks)
    scans = np.zeros(n_blocks, np.int64)
    step = max(1, _WINDOW_BYTES // block)
    for start in range(0, present, step):
        content = _mapped(path, (present, block))[start : start + step]
        counts = np.ascontiguousarray(content[:, _CTCOUNT : _CTCOUNT + 4]).view(">i4")[:, 0]
        scans[start : start + len(counts)] = counts
    return Traces(path, word, (present, n_traces, n_reals // 2), before, scans)


def _mapped(path: Path, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Map the blocks of a file, shape ``(block, byte)``. Raises `DamagedDataError` if it is shorter than it was."""
    try:
        return np.memmap(path, np.uint8, "r", offset=_FILE_HEADER, shape=shape)
    except (OSError, ValueError) as error:
        raise DamagedDataError(path, "file", f"it changed while it was read ({error})") from None


def _blocks_there(path: Path, size: int, block: int, planned: int) -> int:
    """Count the blocks in a file of `size` bytes; an acquisition that was stopped may end before those planned."""
    present, left = divmod(size - _FILE_HEADER, block)
    if left or present > planned or present < 1 or planned > _MOST_BLOCKS:
        state = "truncated" if size < _FILE_HEADER + planned * block else "larger than its header says"
        needed = _FILE_HEADER + planned * block
        problem = f"the file is {state}: {size} bytes, but {planned} blocks of {block} bytes need {needed}"
        raise DamagedDataError(path, "file size", problem, "copy the data again from the console")
    return present


def _word(header: dict[str, Any]) -> tuple[str, np.dtype[Any]]:
    if header["S_FLOAT"]:
        return "float", np.dtype(">f4")
    return ("long", np.dtype(">i4")) if header["S_32"] else ("short", np.dtype(">i2"))


def _header_count(path: Path, header: dict[str, Any], name: str, at_most: int = 1 << 28) -> int:
    count = int(header[name])
    if not 1 <= count <= at_most:
        raise DamagedDataError(path, name, f"{count} is not a count between 1 and {at_most}")
    return count
