"""The files of Magritek Prospa: data (``data.1d`` … ``data.4d``), plots (``.pt1``) and parameters (``acqu.par``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers._raw_files import (
    check_samples,
    check_size,
    file_size,
    positive,
    read_bytes,
    read_start,
    read_text,
)

DATA = b"SORPATAD"  # "PROS" "DATA" as little-endian words
PLOT = b"SORPD1LP"  # "PROS" "PL1D"
SURFACES = (b"SORPD2LP", b"SORPD3LP", b"SORPD4LP")
_HEADERS = {b"0.1V": 3, b"1.1V": 4}  # sizes after the type
_MAX_POINTS = 1 << 31
_MAX_PLOT_BYTES = 1 << 26
_TRACE = re.compile(rb"2\.3V..\x01\x00\x00\x00", re.DOTALL)  # a trace of version 3.2, as far as known
_TRACE_HEADER = 579
_COUNT_AT, _RANGE_AT = 10, 14
_NEXT = re.compile(rb"[0-9]\.[0-9]V")
_LABELS = {b"Time (ms)": "ms", b"Frequency (kHz)": "kHz", b"Frequency (Hz)": "Hz", b"(ppm)": "ppm"}


@dataclass(frozen=True)
class _Kind:
    """How one type of Prospa data is stored."""

    word: str
    is_complex: bool
    has_axis: bool


_KINDS = {
    500: _Kind("<f4", False, False),
    501: _Kind("<f4", True, False),
    502: _Kind("<f8", False, False),
    503: _Kind("<f4", False, True),
    504: _Kind("<f4", True, True),
}


@dataclass(frozen=True)
class ProspaTraces:
    """Complex rows of one file."""

    values: ComplexArray
    """complex64 as stored, shape ``(row, sample)``."""
    sizes: tuple[int, ...]
    """Counts along the axes of the file, the samples first."""
    axis: RealArray | None
    """The axis that is stored with them, shape ``(sample,)``; None where there is none."""
    unit: str = ""
    """Unit of `axis` (``"ms"``, ``"kHz"``, ``"Hz"``, ``"ppm"``) where the file tells it, as plots do."""


@dataclass(frozen=True)
class Parameters:
    """Lines ``name = value`` of ``acqu.par``."""

    path: Path
    """The file."""
    values: dict[str, str]
    """Values by name, without quotes."""

    def text(self, name: str) -> str:
        """Value as text; empty where it is missing."""
        return self.values.get(name, "")

    def number(self, name: str) -> float:
        """Value above zero. Raises `DamagedDataError`."""
        return positive(self.path, name, self.signed(name), 1e12)

    def signed(self, name: str) -> float:
        """Value as a number. Raises `DamagedDataError`."""
        try:
            return float(self.values[name].rstrip("d"))
        except (KeyError, ValueError):
            raise DamagedDataError(self.path, name, f"{self.values.get(name, 'nothing')!r} is no number") from None

    def count(self, name: str) -> int:
        """Value as a count; 0 where it is missing or is none."""
        text = self.text(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def read_acqu_par(path: Path) -> Parameters:
    """Read ``acqu.par``. Raises `DamagedDataError` if it is missing."""
    pairs = (line.partition("=") for line in read_text(path).splitlines())
    return Parameters(path, {name.strip(): value.strip().strip('"') for name, sign, value in pairs if sign})


def is_over_shifts(path: Path) -> bool:
    """Tell whether a data file has an axis that begins below zero, as shifts do and times do not."""
    start = read_start(path, 64)
    n_sizes = _HEADERS.get(start[8:12], 0)
    numbers = np.frombuffer(start[12 : 12 + 4 * (len(start[12:]) // 4)], "<i4")
    kind = _KINDS.get(int(numbers[0])) if n_sizes and numbers.size > n_sizes + 1 else None
    return kind is not None and kind.has_axis and float(numbers[n_sizes + 1 :].view("<f4")[0]) < 0


def read_data(path: Path) -> ProspaTraces:
    """Read a data file; the first size in its header runs fastest.

    Raises
    ------
    DamagedDataError
        If it is truncated or its header lies.
    UnsupportedDataError
        If it holds real numbers, or is of an unknown version.
    """
    start = read_start(path, 32)
    n_sizes = _HEADERS.get(start[8:12])
    if n_sizes is None or len(start) < 16 + 4 * n_sizes:
        raise UnsupportedDataError(f"{path}: version {start[11:7:-1]!r} of Prospa data is not known")
    kind_number, *sizes = (int(n) for n in np.frombuffer(start[12 : 16 + 4 * n_sizes], "<i4"))
    kind = _KINDS.get(kind_number)
    if kind is None or not kind.is_complex:
        raise UnsupportedDataError(f"{path}: data of type {kind_number} are no complex FIDs")
    if min(sizes) < 1 or (count := int(np.prod(sizes, dtype=object))) > _MAX_POINTS:
        raise DamagedDataError(path, "sizes", f"{sizes} points are not believable")
    word = np.dtype(kind.word)
    n_axis = sizes[0] if kind.has_axis else 0
    offset = 16 + 4 * n_sizes
    needed = offset + (n_axis + 2 * count) * word.itemsize
    check_size(path, needed, f"{sizes} points")
    if (actual := file_size(path)) != needed:
        raise DamagedDataError(path, "file size", f"{actual} bytes, but {sizes} points need {needed}")
    numbers = np.fromfile(path, word, offset=offset)
    rows = numbers[n_axis:].view(np.complex64).reshape(-1, sizes[0])  # no sums: numbers may be infinite
    check_samples(path, "samples", rows)
    axis = numbers[:n_axis].astype(float) if n_axis else None
    if axis is not None:
        check_samples(path, "axis", axis)
    return ProspaTraces(rows, tuple(sizes), axis)


def read_plot(path: Path) -> ProspaTraces:
    """Read the complex traces of a plot (``.pt1``): those over time where there are some, else the spectra.

    The layout is not published. A trace (of version 3.2) has been recognised in real plots: its count and the ends of
    its axis lie in its header, so that what is taken for the axis is held against them.

    Raises
    ------
    DamagedDataError
        If it is truncated.
    UnsupportedDataError
        If no trace of it is recognised.
    """
    content = read_bytes(path, _MAX_PLOT_BYTES)
    traces, place = [], 0
    while (match := _TRACE.search(content, place)) is not None:
        place = match.end()
        found = _trace(path, content, match.start())
        if found is not None:
            traces.append(found)
            place = match.start() + _TRACE_HEADER + 12 * found[1].size
    if not traces:
        raise UnsupportedDataError(
            f"{path}: no complex trace of this Prospa plot is recognised (only version 3.2 of traces is read): "
            "give the data file (data.1d, data.2d) beside it"
        )
    unit = "ms" if any(trace[0] == "ms" for trace in traces) else traces[0][0]
    first = next(trace for trace in traces if trace[0] == unit)
    rows = [row for kind, axis, row in traces if kind == unit and np.array_equal(axis, first[1])]
    values = np.stack(rows)
    check_samples(path, "trace", values)
    return ProspaTraces(values, (values.shape[1], len(rows)), first[1].astype(float), unit)


def _trace(path: Path, content: bytes, start: int) -> tuple[str, RealArray, ComplexArray] | None:
    """Read unit, axis and values of the trace whose header is at `start`; None if it is none, or real."""
    header = content[start : start + _TRACE_HEADER]
    if len(header) < _TRACE_HEADER:
        return None
    count = int(np.frombuffer(header[_COUNT_AT : _COUNT_AT + 4], "<i4")[0])
    first, last = np.frombuffer(header[_RANGE_AT : _RANGE_AT + 8], "<f4")
    begin = start + _TRACE_HEADER
    if count < 2 or not first < last:
        return None
    if begin + 12 * count > len(content):
        problem = f"the file is truncated: a trace of {count} points needs {begin + 12 * count} bytes"
        raise DamagedDataError(path, "trace", problem, "copy the data again from the console")
    end = begin + 12 * count
    if end != len(content) and not _NEXT.match(content, end):
        return None
    axis = np.frombuffer(content, "<f4", count, begin)
    if axis[0] != first or axis[-1] != last or not (np.diff(axis.astype(float)) > 0).all():
        return None
    values = np.frombuffer(content, "<c8", count, begin + 4 * count)
    return _unit(content[max(0, start - 1200) : start]), axis, values


def _unit(before: bytes) -> str:
    """Tell the unit of the axis by its label in the plot before the trace; empty where there is none."""
    places = {unit: before.rfind(label) for label, unit in _LABELS.items()}
    best = max(places, key=lambda unit: places[unit])
    return best if places[best] >= 0 else ""
