"""Find out what kind of raw data a path holds."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path

from knightshift.core.errors import InputError, UnsupportedDataError
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.readers.paravision import is_paravision_scan, read_paravision

_MANIFEST_START = 64 * 1024


class RawKind(StrEnum):
    """Kinds of raw data that are read."""

    RUN = "run"
    """A run folder of knightshift."""
    PARAVISION = "paravision"
    """A scan folder of Bruker ParaVision."""


def detect(path: Path) -> RawKind:
    """Tell what raw data `path` holds.

    Raises
    ------
    InputError
        If there is no such path, or the folder is empty.
    UnsupportedDataError
        If it is nothing that is read; the message says what was found.
    """
    path = Path(path)
    try:
        exists, is_folder = path.exists(), path.is_dir()
        names = sorted(p.name for p in path.iterdir()) if is_folder else []
    except OSError as error:
        raise InputError(f"{path}: it cannot be read ({error.strerror}): check the path and its permissions") from None
    if not exists:
        raise InputError(f"{path}: there is no such file or folder: give a run folder or a ParaVision scan folder")
    if is_folder and not names:
        raise InputError(f"{path}: the folder is empty: give a run folder or a ParaVision scan folder")
    if is_folder and (path / "manifest.json").is_file() and _is_object(path / "manifest.json"):
        return RawKind.RUN
    if is_paravision_scan(path):
        return RawKind.PARAVISION
    raise UnsupportedDataError(_what_was_found(path, names))


def _is_object(path: Path) -> bool:
    """Whether a file starts as a JSON object does."""
    with path.open("rb") as file:
        start = file.read(_MANIFEST_START)
    try:
        return isinstance(json.loads(start), dict)
    except ValueError:
        return start.lstrip()[:1] == b"{"


def _what_was_found(path: Path, names: list[str]) -> str:
    if not names:
        return f"{path}: this file is no raw data that is read: give a run folder or a ParaVision scan folder"
    lone = {"acqp", "method"} & set(names)
    if len(lone) == 1:
        other = "method" if "acqp" in lone else "acqp"
        return f"{path}: a ParaVision scan folder needs acqp and method, {other} is missing: copy the scan again"
    scans = [name for name in names if is_paravision_scan(path / name / "acqp")]
    if scans:
        return f"{path}: this is a study of {len(scans)} scans ({', '.join(scans[:12])}): give the folder of one scan"
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"{path}: no known raw data here (found {shown}): give a run folder or a ParaVision scan folder"


def read_raw(path: Path) -> KSpaceScan:
    """Read imaging raw data of another console.

    Own runs are not read as a whole: they stream, see `knightshift.reconstruction.own_runs`.

    Raises
    ------
    InputError, UnsupportedDataError, DamagedDataError
        As `detect` and the reader found says.
    """
    kind = detect(path)
    if kind is RawKind.PARAVISION:
        return read_paravision(Path(path))
    raise InputError(f"{path}: this is a run folder: use knightshift.reconstruction.reconstruct")
