"""Find out what kind of raw data a path holds, by what is in the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from knightshift.core.errors import InputError, UnsupportedDataError
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.readers._raw_files import read_start
from knightshift.reconstruction.readers.agilent import is_agilent, read_agilent
from knightshift.reconstruction.readers.exported_arrays import is_array_description, read_exported
from knightshift.reconstruction.readers.fdf_images import is_fdf, read_fdf
from knightshift.reconstruction.readers.mrd import is_mrd, read_mrd
from knightshift.reconstruction.readers.nifti_images import is_nifti, read_nifti
from knightshift.reconstruction.readers.paravision import is_paravision_scan, read_paravision
from knightshift.reconstruction.readers.prospa import is_prospa, read_prospa
from knightshift.reconstruction.readers.tecmag import is_tecmag, read_tecmag
from knightshift.reconstruction.readers.topspin import is_topspin, read_topspin

RawData: TypeAlias = KSpaceScan | FidSeries | ImageSeries
"""What a reader gives: k-space of images, FIDs or spectra, or images that were exported as such."""

_MANIFEST_START = 64 * 1024
_MOST_NAMES = 12
_MOST_FILES = 100
_GIVE = "give a run folder, raw data of ParaVision, TopSpin, Agilent, Tecmag, Prospa or MRD, or images as NIfTI or FDF"


class RawKind(StrEnum):
    """Kinds of raw data that are read."""

    RUN = "run"
    """A run folder of knightshift."""
    PARAVISION = "paravision"
    """A scan folder of Bruker ParaVision."""
    TOPSPIN = "topspin"
    """An experiment folder of Bruker TopSpin."""
    AGILENT = "agilent"
    """A ``.fid`` folder of Agilent or Varian."""
    FDF = "fdf"
    """Images of an Agilent or Varian console, an ``.img`` folder."""
    TECMAG = "tecmag"
    """A ``.tnt`` file of Tecmag."""
    PROSPA = "prospa"
    """A data file of Magritek Prospa, or its folder."""
    MRD = "mrd"
    """An MRD (ISMRMRD) file."""
    NIFTI = "nifti"
    """Images as NIfTI."""
    ARRAY = "array"
    """A YAML description of an exported array."""


_READERS: tuple[tuple[RawKind, Callable[[Path], bool], Callable[[Path], RawData]], ...] = (
    (RawKind.NIFTI, is_nifti, read_nifti),
    (RawKind.FDF, is_fdf, read_fdf),
    (RawKind.PARAVISION, is_paravision_scan, read_paravision),
    (RawKind.TOPSPIN, is_topspin, read_topspin),
    (RawKind.AGILENT, is_agilent, read_agilent),
    (RawKind.TECMAG, is_tecmag, read_tecmag),
    (RawKind.MRD, is_mrd, read_mrd),
    (RawKind.PROSPA, is_prospa, read_prospa),
    (RawKind.ARRAY, is_array_description, read_exported),
)


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
        raise InputError(f"{path}: there is no such file or folder: {_GIVE}")
    if is_folder and not names:
        raise InputError(f"{path}: the folder is empty: {_GIVE}")
    if is_folder and (path / "manifest.json").is_file() and _is_object(path / "manifest.json"):
        return RawKind.RUN
    for kind, is_kind, _ in _READERS:
        if is_kind(path):
            return kind
    raise UnsupportedDataError(_what_was_found(path, names))


def _is_object(path: Path) -> bool:
    """Whether a file starts as a JSON object does."""
    start = read_start(path, _MANIFEST_START)
    try:
        return isinstance(json.loads(start), dict)
    except ValueError:
        return start.lstrip()[:1] == b"{"


def _what_was_found(path: Path, names: list[str]) -> str:
    if not names:
        return f"{path}: this file is no raw data that is read{_hint(path)}: {_GIVE}"
    lone = {"acqp", "method"} & set(names)
    if len(lone) == 1:
        other = "method" if "acqp" in lone else "acqp"
        return f"{path}: a ParaVision scan folder needs acqp and method, {other} is missing: copy the scan again"
    inside = [path / name for name in names[:1000] if (path / name).is_dir()]
    for what, is_kind in (("scans", is_paravision_scan), ("experiments", is_topspin), (".fid folders", is_agilent)):
        found = [folder.name for folder in inside if is_kind(folder)]
        if len(found) == 1:
            return f"{path}: the data are in the folder below: give {path / found[0]}"
        if found:
            shown = ", ".join(found[:_MOST_NAMES])
            return f"{path}: this is a study of {len(found)} {what} ({shown}): give the folder of one scan"
    if (words := _runs_or_files_found(path, names)) is not None:
        return words
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"{path}: no known raw data here (found {shown}): {_GIVE}"


def _runs_or_files_found(path: Path, names: list[str]) -> str | None:
    """Say which runs a folder holds or is part of, and which of its files are raw data or could be."""
    runs = [name for name in names[:1000] if (path / name / "manifest.json").is_file()]
    if runs:
        return f"{path}: this folder holds {len(runs)} runs ({', '.join(runs[:_MOST_NAMES])}): give one of them"
    if (path.parent / "manifest.json").is_file():
        return f"{path}: this is a part of a run: give its folder, {path.parent}"
    files = [path / name for name in names[:_MOST_FILES] if (path / name).is_file()]
    readable = [file.name for file in files if any(is_kind(file) for _, is_kind, _ in _READERS)]
    if readable:
        shown = ", ".join(readable[:_MOST_NAMES])
        return f"{path}: this folder holds raw data of several measurements ({shown}): give one of these files"
    hints = [(file.name, words) for file in files if (words := _hint(file))]
    return f"{path}: {hints[0][0]} is not read{hints[0][1]}" if hints else None


def _hint(path: Path) -> str:
    start = read_start(path, 16)
    if start.startswith((b"\x93NUMPY", b"MATLAB")):
        return " by itself: an exported array needs a YAML description of its axes (docs/reference/raw-formats.md)"
    if start.startswith(b"PK\x03\x04"):
        return " as it is: it is a zip archive (ParaVision exports .PvDatasets): unpack it first"
    return ""


def read_raw(path: Path) -> RawData:
    """Read raw data of another console.

    Own runs are not read as a whole: they stream, see `knightshift.reconstruction.pass_sum`.

    Returns
    -------
    KSpaceScan, FidSeries or ImageSeries
        K-space of images; FIDs or spectra; or images that were reconstructed elsewhere.

    Raises
    ------
    InputError, UnsupportedDataError, DamagedDataError
        As `detect` and the reader found says.
    """
    path = Path(path)
    kind = detect(path)
    for found, _, read in _READERS:
        if found is kind:
            return read(path)
    raise InputError(f"{path}: this is a run folder: use knightshift.reconstruction.reconstruct")
