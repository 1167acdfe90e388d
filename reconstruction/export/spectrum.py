"""A spectrum on disk: a table that every program reads, and a figure."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from knightshift.core.durable import make_folder, write_durably
from knightshift.reconstruction.kspace import Spectrum


def save_spectrum(spectrum: Spectrum, folder: str | Path) -> tuple[Path, ...]:
    """Write ``spectrum.csv`` (shift, frequency, real, imaginary), ``spectrum.png`` and ``spectrum.pdf``.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    from knightshift.reconstruction.report.spectrum_figure import spectrum_figure
    from knightshift.reconstruction.report.style import save_figure

    folder = Path(folder)
    make_folder(folder)
    columns = (spectrum.shift * 1e6, spectrum.frequencies, spectrum.values.real, spectrum.values.imag)
    table = io.StringIO()
    np.savetxt(table, np.column_stack(columns), fmt="%.9g", delimiter=",", header=_HEADER, comments="")
    write_durably(folder / "spectrum.csv", table.getvalue().encode())
    save_figure(spectrum_figure(spectrum), folder, "spectrum")
    return tuple(folder / f"spectrum.{ending}" for ending in ("csv", "png", "pdf"))


_HEADER = "shift_ppm,offset_Hz,real,imaginary"
