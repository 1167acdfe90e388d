"""Tecmag ``.tnt``: FIDs of TNMR with the table that steps them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.fid_series import Experiment, FidSeries
from knightshift.reconstruction.readers._nmrglue import ng
from knightshift.reconstruction.readers._raw_files import (
    check_samples,
    file_size,
    isotope,
    parsed,
    positive,
    read_start,
)

_MAGIC = b"TNT1."
_MAX_TABLES_BYTES = 16 * 1024**2
# a table: length and name, then length and text, both lengths 32-bit little endian
_TABLE = re.compile(
    rb"([\x01-\x40])\x00{3}([A-Za-z_][ -~]{0,63}?)([\x01-\xff][\x00-\xff][\x00-\x0f]\x00)(?=[ \t\r\n]*[0-9.])"
)
_DELAY = re.compile(r"de\d|(te|ti|tau|vd|delay)(\W|_|\d|$)", re.IGNORECASE)
_MEASURED: tuple[tuple[str, Experiment], ...] = (("te", "T2"), ("ti", "inversion recovery"))
_NUMBER = re.compile(r"([0-9.]+(?:[eE][-+]?[0-9]+)?)([munps]?)")
_PREFIXES = {"": 1.0, "s": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12}


def is_tecmag(path: Path) -> bool:
    """Tell by its first bytes whether a file is a ``.tnt``."""
    return read_start(path, 8).startswith(_MAGIC)


def read_tecmag(path: Path) -> FidSeries:
    """Read the FIDs of one ``.tnt`` file.

    Raises
    ------
    DamagedDataError
        If it is truncated, or its header contradicts its size.
    UnsupportedDataError
        If it holds spectra that TNMR has transformed.
    """
    size = file_size(path)

    def read() -> tuple[dict[str, Any], Any]:
        header, samples = ng.tecmag.read(str(path))
        return dict(header), samples

    header, samples = parsed(path, "TMAG and DATA sections", read)
    points = [int(n) for n in header["actual_npts"]]
    if min(points) < 1 or 8 * int(np.prod(points, dtype=object)) > size:
        raise DamagedDataError(path, "actual_npts", f"{points} points do not fit {size} bytes")
    if int(header["fft_flag"][0]):
        raise UnsupportedDataError(f"{path}: TNMR has transformed these data: save the FID")
    fids = np.asarray(samples).reshape(points[0], -1, order="F").T.astype(np.complex64)
    check_samples(path, "DATA", fids)
    name, delays = _delays(path, len(fids), size)
    frequency = float(header["ob_freq"][0])
    return FidSeries(
        source=path,
        format="Tecmag TNMR",
        values=fids,
        dwell_time=positive(path, "dwell", float(header["dwell"][0]), 1e6),
        delays=delays,
        experiment=_experiment(name),
        nucleus=isotope(_text(header["nuclei"][0])),
        working_frequency=frequency * 1e6 if np.isfinite(frequency) and frequency > 0 else None,
        methods=(f"FIDs were read from {path.name} of Tecmag TNMR.",),
        missing=(*_stopped(header), *_missing(name, delays, len(fids))),
        parameters={
            "scans": str(int(header["actual_scans"])),
            "date": _text(header["date"]),
            "FIDs": " x ".join(str(n) for n in points[1:] if n > 1),
            "table of delays": name,
        },
    )


def _stopped(header: dict[str, Any]) -> tuple[str, ...]:
    """Say what a stopped acquisition lacks."""
    planned, there = (np.prod([int(n) for n in header[name]][1:], dtype=object) for name in ("npts", "actual_npts"))
    if planned <= there:
        return ()
    return (f"FIDs {there + 1} to {planned}: the acquisition was stopped before them",)


def _text(raw: bytes) -> str:
    return bytes(raw).split(b"\0")[0].decode("latin1").strip()


def _experiment(table: str) -> Experiment:
    """Tell what a table steps by its name: echo times (``te``) or inversion times (``ti``)."""
    matches = (experiment for start, experiment in _MEASURED if re.match(rf"{start}(\W|_|\d|$)", table, re.IGNORECASE))
    return next(matches, "unknown")


def _missing(name: str, delays: RealArray | None, n_steps: int) -> tuple[str, ...]:
    always = ("the frequency of zero shift", *(("what the steps measure",) if _experiment(name) == "unknown" else ()))
    if delays is not None or n_steps == 1:
        return always
    return (
        *always,
        f"one table of delays with {n_steps} entries: give --delays, or --echo-train for a train of echoes",
    )


def _delays(path: Path, n_steps: int, size: int) -> tuple[str, RealArray | None]:
    """Name and entries of the one delay table (``de…``, ``te``, ``ti`` …) that is as long as there are FIDs."""
    if n_steps < 2:
        return "", None
    with path.open("rb") as file:
        start = file.read(8 + 12 + 1024 + 12)
        data_bytes = 8 * int.from_bytes(start[-4:], "little") // 8
        file.seek(min(size, len(start) + data_bytes))
        tail = file.read(_MAX_TABLES_BYTES)
    tables = [(name, values) for name, values in _tables(tail).items() if _DELAY.match(name) and len(values) == n_steps]
    return tables[0] if len(tables) == 1 else ("", None)


def _tables(tail: bytes) -> dict[str, RealArray]:
    """Tables of numbers in the sections behind the samples, by name; the first of a name counts."""
    tables: dict[str, RealArray] = {}
    for match in _TABLE.finditer(tail):
        name, length = match.group(2), int.from_bytes(match.group(3), "little")
        if len(name) != match.group(1)[0]:
            continue
        words = tail[match.end() : match.end() + length].decode("latin1").rstrip("\0").split()
        numbers = [_NUMBER.fullmatch(word) for word in words]
        if len(words) > 1 and all(numbers):
            values = [_value(number.group(1)) * _PREFIXES[number.group(2)] for number in numbers if number]
            tables.setdefault(name.decode("latin1"), np.array(values))
    return tables


def _value(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
