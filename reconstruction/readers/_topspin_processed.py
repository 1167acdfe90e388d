"""Spectra that TopSpin made: ``pdata/N/2rr`` and ``2ii`` of a pseudo-2D experiment, ``1r`` and ``1i`` of one FID."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers._nmrglue import ng
from knightshift.reconstruction.readers._raw_files import check_samples, file_size, parsed, positive
from knightshift.reconstruction.readers.jcamp import ParameterFile, read_parameters

_WORDS = {0: "i4", 2: "f8"}


@dataclass(frozen=True)
class ProcessedSpectra:
    """Spectra in order of rising frequency."""

    values: ComplexArray
    """complex128, shape ``(step, point)``."""
    frequencies: RealArray
    """Offset from `reference_frequency` [Hz], rising, shape ``(point,)``."""
    width: float
    """Width of the spectra [Hz]."""
    reference_frequency: float
    """Frequency of zero shift (SF) [Hz]."""


def is_processed(path: Path) -> bool:
    """Tell whether `path` is (or lies in) a folder of processed spectra."""
    folder = path if path.is_dir() else path.parent
    return folder.parent.name == "pdata" and spectra_file(folder).is_file()


def spectra_file(folder: Path) -> Path:
    """File of the real part: ``2rr``, or ``1r`` where there is none."""
    return folder / "2rr" if (folder / "2rr").is_file() else folder / "1r"


def processed_spectra(folder: Path) -> ProcessedSpectra:
    """Read the spectra of one ``pdata/N`` folder.

    Raises
    ------
    DamagedDataError
        If a file is missing or truncated, or the headers lie.
    UnsupportedDataError
        If the second axis was Fourier transformed too: that is no pseudo-2D spectrum.
    """
    direct = read_parameters(folder / "procs")
    if spectra_file(folder).name == "1r":
        values, acquired = _single(folder, direct), 1
    else:
        values, acquired = _several(folder, direct)
    sf = positive(direct.path, "SF", direct.number("SF"), 1e6) * 1e6
    width = positive(direct.path, "SW_p", direct.number("SW_p"), 1e12)
    n_points = values.shape[1]
    falling = direct.number("OFFSET") * 1e-6 * sf - np.arange(n_points) * (width / n_points)
    return ProcessedSpectra(values[:acquired, ::-1], falling[::-1], width, sf)


def _single(folder: Path, direct: ParameterFile) -> ComplexArray:
    """Spectrum of one FID, shape ``(1, point)``, falling in frequency; the console stores minus its imaginary part."""
    shape = 1, direct.count("SI", 1 << 28)
    values = _plane(folder / "1r", direct, shape, shape).astype(np.complex128)
    if (folder / "1i").is_file():
        values.imag = -_plane(folder / "1i", direct, shape, shape)
    return values


def _several(folder: Path, direct: ParameterFile) -> tuple[ComplexArray, int]:
    """Spectra of all rows, shape ``(step, point)``, falling in frequency, and how many rows were acquired."""
    indirect = read_parameters(folder / "proc2s")
    if "FT_mod" in indirect and indirect.text("FT_mod") not in ("0", "no"):
        raise UnsupportedDataError(
            f"{folder}: its second axis was Fourier transformed: only pseudo-2D spectra are read"
        )
    shape = indirect.count("SI"), direct.count("SI", 1 << 28)
    blocks = indirect.count("XDIM"), direct.count("XDIM", 1 << 28)
    if any(size % block for size, block in zip(shape, blocks, strict=True)):
        raise DamagedDataError(direct.path, "XDIM", f"blocks of {blocks} points do not tile spectra of {shape}")
    values = _plane(folder / "2rr", direct, shape, blocks).astype(np.complex128)
    if (folder / "2ii").is_file():
        values.imag = _plane(folder / "2ii", direct, shape, blocks)
    acquired = indirect.count("TDeff") if "TDeff" in indirect and indirect.number("TDeff") >= 1 else shape[0]
    return values, acquired


def _plane(path: Path, direct: ParameterFile, shape: tuple[int, int], blocks: tuple[int, int]) -> RealArray:
    kind = int(direct.number("DTYPP")) if "DTYPP" in direct else 0
    if kind not in _WORDS:
        raise UnsupportedDataError(f"{direct.path}: DTYPP {kind} is not known")
    word = np.dtype((">" if int(direct.number("BYTORDP")) == 1 else "<") + _WORDS[kind])
    needed = shape[0] * shape[1] * word.itemsize
    if (actual := file_size(path)) != needed:
        problem = f"{actual} bytes, but {shape[0]} spectra of {shape[1]} points need {needed}"
        raise DamagedDataError(path, "file size", problem, "copy the data again from the console")
    flat = np.fromfile(path, word).astype(float)
    plane: RealArray = parsed(path, "XDIM", lambda: ng.bruker.reorder_submatrix(flat, shape, blocks))
    check_samples(path, "points", plane)
    return plane
