"""Magritek Prospa (Kea, Spinsolve): ``data.1d``, ``data.2d`` … with the parameters in ``acqu.par``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.fid_series import Experiment, FidSeries
from knightshift.reconstruction.readers._raw_files import (
    check_samples,
    check_size,
    file_size,
    positive,
    read_start,
    read_text,
)

_DATA = b"SORPATAD"  # "PROS" "DATA" as little-endian words
_PLOT = b"SORPD1LP"
_HEADERS = {b"0.1V": 3, b"1.1V": 4}  # sizes after the type
_MAX_FILES = 1000
_MAX_POINTS = 1 << 31


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


def is_prospa(path: Path) -> bool:
    """Tell by their first bytes whether a file, or files in a folder, are data or plots of Prospa."""
    return _find(path) is not None or read_start(path, 8) == _PLOT


def _find(path: Path) -> Path | None:
    """Find the data file: `path` itself, or the one in a folder that holds most."""
    if not path.is_dir():
        return path if read_start(path, 8) == _DATA else None
    found = [file for file in sorted(path.iterdir())[:_MAX_FILES] if read_start(file, 8) == _DATA]
    return max(found, key=lambda file: file.stat().st_size) if found else None


def read_prospa(path: Path) -> FidSeries:
    """Read the FIDs of one data file.

    Parameters
    ----------
    path
        The file, or its folder: then the largest data file in it.

    Raises
    ------
    DamagedDataError
        If it is truncated, its header lies, or ``acqu.par`` is missing.
    UnsupportedDataError
        If it is a plot (``.pt1``) or holds real numbers.
    """
    file = _find(path)
    if file is None:
        raise UnsupportedDataError(f"{path}: this is a plot of Prospa: give the data.1d or data.2d beside it")
    fids = _samples(file)
    parameters = _parameters(file.parent / "acqu.par")
    experiment, delays = _steps(file.parent / "acqu.par", parameters, len(fids))
    frequency = parameters.get("b1Freq", "").rstrip("d")
    missing = ["the nucleus", "the frequency of zero shift"]
    if delays is None and len(fids) > 1:
        missing.append(f"what the {len(fids)} rows are (experiment {parameters.get('experiment', '?')})")
    return FidSeries(
        source=file,
        format="Magritek Prospa",
        values=fids,
        dwell_time=_number(file.parent / "acqu.par", parameters, "dwellTime") * 1e-6,
        delays=delays,
        experiment=experiment,
        working_frequency=None if not frequency else _number(file.parent / "acqu.par", parameters, "b1Freq") * 1e6,
        methods=(
            f"FIDs were read from {file.name} of Magritek Prospa (experiment {parameters.get('experiment', '?')}).",
        ),
        missing=tuple(missing),
        parameters={"experiment": parameters.get("experiment", "")},
    )


def _samples(path: Path) -> ComplexArray:
    """FIDs, shape ``(step, sample)``; the first size in the header runs fastest."""
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
    axis = sizes[0] if kind.has_axis else 0
    offset = 16 + 4 * n_sizes
    needed = offset + (axis + 2 * count) * word.itemsize
    check_size(path, needed, f"{sizes} points")
    if (actual := file_size(path)) != needed:
        raise DamagedDataError(path, "file size", f"{actual} bytes, but {sizes} points need {needed}")
    pairs = np.fromfile(path, word, offset=offset)[axis:]
    fids: ComplexArray = np.ascontiguousarray(pairs, dtype=np.float32).view(np.complex64).reshape(-1, sizes[0])
    check_samples(path, "samples", fids)
    return fids


def _parameters(path: Path) -> dict[str, str]:
    """Lines ``name = value`` of ``acqu.par``."""
    pairs = (line.partition("=") for line in read_text(path).splitlines())
    return {name.strip(): value.strip().strip('"') for name, sign, value in pairs if sign}


def _number(path: Path, parameters: dict[str, str], name: str) -> float:
    try:
        value = float(parameters[name].rstrip("d"))
    except (KeyError, ValueError):
        raise DamagedDataError(path, name, f"{parameters.get(name, 'nothing')!r} is no number") from None
    return positive(path, name, value, 1e12)


def _steps(path: Path, parameters: dict[str, str], n_rows: int) -> tuple[Experiment, RealArray | None]:
    """Delays of an inversion recovery (``T1-IR…``), spread as its parameters say; minDelay and maxDelay are in ms."""
    if "T1-IR" not in parameters.get("experiment", "") or _number(path, parameters, "nrSteps") != n_rows:
        return "unknown", None
    first, last = (_number(path, parameters, name) * 1e-3 for name in ("minDelay", "maxDelay"))
    spread = np.linspace if parameters.get("delaySpacing") == "lin" else np.geomspace
    return "inversion recovery", spread(first, last, n_rows)
