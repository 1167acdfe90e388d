"""The two files of an Agilent/Varian ``.fid`` folder: ``procpar`` (parameters) and ``fid`` (samples)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray, IntArray, RealArray
from knightshift.core.errors import DamagedDataError
from knightshift.reconstruction.readers._nmrglue import ng
from knightshift.reconstruction.readers._raw_files import MAX_TEXT_BYTES, check_samples, file_size, parsed, positive

_FILE_HEADER = 32
_BLOCK_HEADER = 28
_MOST_BLOCKS = 1 << 22
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
    """All samples of a ``fid`` file, each block divided by the number of scans that were added up in it."""

    samples: ComplexArray
    """complex64, shape ``(block, trace, sample)``; of a stopped acquisition maybe fewer blocks than planned."""
    scans: IntArray
    """Completed scans of each block, 0 of those not there, shape ``(planned,)``."""

    @property
    def n_planned(self) -> int:
        """Blocks that the header promises."""
        return len(self.scans)

    @property
    def acquired(self) -> BoolArray:
        """Whether a block was acquired, shape ``(planned,)``; where no block has a count, all were."""
        done: BoolArray = self.scans > 0
        return done if done.any() else np.arange(self.n_planned) < len(self.samples)

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
    """Read all samples and how many scans each block has.

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
    kind, word = _word(header)
    n_blocks, n_traces, n_reals = (_header_count(path, header, name) for name in ("nblocks", "ntraces", "np"))
    before = _header_count(path, header, "nbheaders", at_most=16) * _BLOCK_HEADER
    block = before + n_traces * n_reals * word.itemsize
    if header["ebytes"] != word.itemsize or header["bbytes"] != block or n_reals % 2:
        problem = f"blocks of {header['bbytes']} bytes are not {n_traces} traces of {n_reals} {kind} numbers"
        raise DamagedDataError(path, "file header", problem)
    present = _blocks_there(path, size, block, n_blocks)
    content = np.memmap(path, np.uint8, "r", offset=_FILE_HEADER)[: present * block].reshape(present, block)
    scans = np.zeros(n_blocks, np.int64)
    scans[:present] = np.ascontiguousarray(content[:, _CTCOUNT : _CTCOUNT + 4]).view(">i4")[:, 0]
    pairs = np.ascontiguousarray(content[:, before:]).view(word).reshape(present, n_traces, n_reals)
    samples = pairs[..., 0::2].astype(np.complex64)
    samples.imag = pairs[..., 1::2]
    check_samples(path, "samples", samples)
    samples /= np.maximum(scans[:present], 1)[:, np.newaxis, np.newaxis].astype(np.float32)
    return Traces(samples, scans)


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
