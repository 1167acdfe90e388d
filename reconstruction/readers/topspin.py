"""Bruker TopSpin: raw ``fid`` and ``ser`` with their lists, or processed spectra where no raw file is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from knightshift.core.arrays import ComplexArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.readers._nmrglue import ng
from knightshift.reconstruction.readers._raw_files import (
    check_samples,
    file_size,
    isotope,
    parsed,
    positive,
    read_start,
)
from knightshift.reconstruction.readers._topspin_headers import console_version, frequency, zero_shift
from knightshift.reconstruction.readers._topspin_lists import StepList, experiment_of, step_list
from knightshift.reconstruction.readers._topspin_processed import is_processed, processed_spectra, spectra_file
from knightshift.reconstruction.readers.jcamp import ParameterFile, read_parameters

_ROW_BYTES = 1024
"""Rows of ``ser`` are padded to a multiple of this."""
_WORDS = {0: "i4", 2: "f8"}
_COMPLEX_MODES = (1, 3)
_MAX_POINTS = 1 << 28
_NO_STEPS = StepList(None, None, None, (), is_other=True)


def is_topspin(path: Path) -> bool:
    """Tell whether `path` is (or lies in) a TopSpin experiment, by what its files hold."""
    folder = _folder(path)
    if (folder / "acqp").is_file() and (folder / "method").is_file():
        return False
    return read_start(folder / "acqus", 512).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"##TITLE")


def _folder(path: Path) -> Path:
    folder = path if path.is_dir() else path.parent
    return folder.parent.parent if folder.parent.name == "pdata" else folder


def read_topspin(path: Path) -> FidSeries:
    """Read a 1D or pseudo-2D experiment.

    Parameters
    ----------
    path
        The experiment folder, its raw file, or one of its ``pdata/N`` folders: that gives the processed spectra.

    Raises
    ------
    DamagedDataError
        If a file is missing, truncated or contradicts another.
    UnsupportedDataError
        If it is 3D, was acquired without quadrature, or is a true 2D spectrum.
    """
    folder = _folder(path)
    acqus = read_parameters(folder / "acqus")
    if is_processed(path):
        return _processed(folder, path if path.is_dir() else path.parent, acqus)
    flat = "PARMODE" in acqus and acqus.text("PARMODE") in ("0", "1")  # then acqu3s is a leftover
    if (folder / "acqu3s").is_file() and not flat:
        raise UnsupportedDataError(f"{folder}: it has three or more dimensions (acqu3s): 1D and pseudo-2D are read")
    for name in ("ser", "fid"):
        if (folder / name).is_file():
            return _raw(folder / name, acqus)
    numbers = sorted((p for p in folder.glob("pdata/*") if is_processed(p)), key=lambda p: (len(p.name), p.name))
    if numbers:
        return _processed(folder, numbers[0], acqus)
    raise DamagedDataError(
        folder, "raw file", "there is neither ser nor fid, nor a processed 2rr or 1r", "copy it again"
    )


def _raw(path: Path, acqus: ParameterFile) -> FidSeries:
    folder = path.parent
    fids, missing = _read_rows(path, acqus)
    fids, filter_words = _without_digital_filter(fids, acqus)
    reference, reference_words = zero_shift(folder, acqus)
    steps = step_list(folder, len(fids), acqus) if path.name == "ser" else _NO_STEPS
    shown = f" and stepped through {steps.path.name}" if steps.path is not None else ""
    program = acqus.text("PULPROG") if "PULPROG" in acqus else ""
    return FidSeries(
        source=path,
        format=console_version(acqus),
        values=fids,
        dwell_time=1 / positive(acqus.path, "SW_h", acqus.number("SW_h")),
        delays=steps.delays,
        counts=steps.counts,
        experiment=experiment_of(program, steps),
        nucleus=isotope(acqus.text("NUC1")) if "NUC1" in acqus else None,
        working_frequency=frequency(acqus, "SFO1"),
        reference_frequency=reference,
        methods=(
            f"FIDs were read from {path.name} of {console_version(acqus)} (pulse program {program}){shown}.",
            filter_words,
            *filter(None, (reference_words, steps.sentence)),
        ),
        missing=missing + steps.missing,
        parameters={"pulse program": program},
    )


def _read_rows(path: Path, acqus: ParameterFile) -> tuple[ComplexArray, tuple[str, ...]]:
    """FIDs, shape ``(step, sample)``, and which of the planned ones are not there."""
    if (mode := int(acqus.number("AQ_mod"))) not in _COMPLEX_MODES:
        raise UnsupportedDataError(f"{acqus.path}: AQ_mod {mode} is no simultaneous quadrature detection")
    kind = int(acqus.number("DTYPA")) if "DTYPA" in acqus else 0
    if kind not in _WORDS:
        raise UnsupportedDataError(f"{acqus.path}: DTYPA {kind} is not known")
    word = np.dtype((">" if int(acqus.number("BYTORDA")) == 1 else "<") + _WORDS[kind])
    reals = acqus.count("TD", _MAX_POINTS)
    if reals % 2:
        raise DamagedDataError(acqus.path, "TD", f"{reals} reals are no complex points")
    size, wanted = file_size(path), _planned_rows(path)
    row = _row_bytes(path, reals * word.itemsize, wanted, size)
    if size % row and path.name == "ser":
        problem = f"{size} bytes are no whole number of rows of {reals} points ({row} bytes)"
        raise DamagedDataError(path, "file size", problem, "copy the data again from the console")
    n_rows = min(wanted, size // row)
    content = np.memmap(path, np.uint8, "r")[: n_rows * row].reshape(n_rows, row)
    pairs = np.ascontiguousarray(content[:, : reals * word.itemsize]).view(word)
    fids = pairs[:, 0::2].astype(np.complex128)
    fids.imag = pairs[:, 1::2]
    check_samples(path, "samples", fids)
    return _drop_empty(path, fids, wanted)


def _planned_rows(path: Path) -> int:
    if path.name != "ser":
        return 1
    indirect = read_parameters(path.parent / "acqu2s")
    return indirect.count("TD", 1_000_000)


def _row_bytes(path: Path, used: int, rows: int, size: int) -> int:
    """Bytes from one row to the next, held against the size of the file.

    TopSpin makes room for more rows than it was to acquire; the room is zero throughout.
    """
    padded = -(-used // _ROW_BYTES) * _ROW_BYTES if path.name == "ser" else used
    row = used if size == rows * used else padded
    if size < row:
        problem = f"the file is truncated: {size} bytes, one FID needs {row}"
        raise DamagedDataError(path, "file size", problem, "copy the data again from the console")
    longest = rows * padded if path.name == "ser" else -(-used // _ROW_BYTES) * _ROW_BYTES
    if size > longest and (path.name != "ser" or size % row or np.memmap(path, np.uint8, "r")[rows * row :].any()):
        problem = f"the file is larger than its headers say: {size} bytes for {rows} rows of {row}"
        raise DamagedDataError(path, "file size", problem)
    return row


def _drop_empty(path: Path, fids: ComplexArray, wanted: int) -> tuple[ComplexArray, tuple[str, ...]]:
    """Leave out rows at the end that hold nothing: the acquisition was stopped before them."""
    filled = np.flatnonzero(np.any(fids != 0, axis=1))
    if filled.size == 0:
        raise DamagedDataError(path, "samples", "every sample is zero: nothing was acquired")
    n_rows = int(filled[-1]) + 1
    missing = () if n_rows == wanted else (f"rows {n_rows + 1} to {wanted}: the acquisition was stopped before them",)
    return fids[:n_rows], missing


def _without_digital_filter(fids: ComplexArray, acqus: ParameterFile) -> tuple[ComplexArray, str]:
    """Take the group delay of the digital filter off, and say so."""
    delay = acqus.number("GRPDLY") if "GRPDLY" in acqus else -1.0
    firmware = int(acqus.number("DSPFVS")) if "DSPFVS" in acqus else 0
    if ("DIGMOD" in acqus and int(acqus.number("DIGMOD")) == 0) or (delay <= 0 and firmware == 0):
        return fids, "The receiver had no digital filter."
    if delay >= fids.shape[1] / 4:
        raise DamagedDataError(acqus.path, "GRPDLY", f"a delay of {delay:g} points in a FID of {fids.shape[1]}")
    decimation = int(acqus.number("DECIM")) if "DECIM" in acqus else 0

    def remove() -> ComplexArray:
        return np.asarray(ng.bruker.rm_dig_filter(fids, decimation, firmware, delay, truncate_grpdly=False))

    return parsed(acqus.path, "DECIM, DSPFVS, GRPDLY", remove), "The group delay of the digital filter was removed."


def _processed(folder: Path, processed: Path, acqus: ParameterFile) -> FidSeries:
    spectra, source = processed_spectra(processed), spectra_file(processed)
    steps = step_list(folder, len(spectra.values), acqus) if source.name == "2rr" else _NO_STEPS
    program = acqus.text("PULPROG") if "PULPROG" in acqus else ""
    centre = frequency(acqus, "SFO1") or spectra.reference_frequency
    title = (processed / "title").read_text(errors="replace")[:400].strip() if (processed / "title").is_file() else ""
    return FidSeries(
        source=source,
        format=console_version(acqus),
        values=spectra.values,
        dwell_time=1 / spectra.width,
        frequencies=spectra.frequencies - (centre - spectra.reference_frequency),
        delays=steps.delays,
        counts=steps.counts,
        experiment=experiment_of(program, steps),
        nucleus=isotope(acqus.text("NUC1")) if "NUC1" in acqus else None,
        working_frequency=centre,
        reference_frequency=spectra.reference_frequency,
        methods=(
            f"Spectra that {console_version(acqus)} had processed were read from {source.name} (program {program}).",
            *filter(None, (steps.sentence,)),
        ),
        missing=(*steps.missing, "the raw file: the spectra are those of the console, with its window and phase"),
        parameters={"pulse program": program, "title": " / ".join(title.split("\n"))},
    )
