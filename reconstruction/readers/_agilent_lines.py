"""In which order an Agilent or Varian scan acquired its lines: in order, as ``pelist`` says, or by a table file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from knightshift.core.arrays import IntArray, RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers._agilent_files import Procpar
from knightshift.reconstruction.readers._agilent_loops import Loops, is_fast_spin_echo
from knightshift.reconstruction.readers._raw_files import file_size, read_text

_TABLE = re.compile(r"t1\s*=\s*(-?\d+(?:\s+-?\d+)*)")
_MAX_TABLE_BYTES = 1 << 20


def line_steps(procpar: Procpar, loops: Loops) -> IntArray:
    """Phase-encode step of each line, 0 at k = 0, in order of acquisition, shape ``(line,)``.

    Raises
    ------
    UnsupportedDataError
        If a table set the order, and neither ``pelist`` nor the file of the table is there.
    DamagedDataError
        If the steps are not one for each line.
    """
    n_lines, n_full = loops.n_lines, procpar.count("nv")
    table = procpar.text("petable", "n")
    if n_lines > 1 and "pelist" in procpar and procpar.numbers("pelist").size == n_lines:
        return _ranked(procpar.path, "pelist", procpar.numbers("pelist"), (n_lines, n_full))
    if table not in ("", "n"):
        return _from_table(procpar.path, table, (n_lines, n_full))
    if is_fast_spin_echo(procpar):
        raise UnsupportedDataError(
            f"{procpar.path}: a fast spin echo whose order of lines is not in procpar (pelist): "
            "reconstruct it on the console"
        )
    return np.arange(n_lines) - n_full // 2


def _from_table(procpar: Path, name: str, counts: tuple[int, int]) -> IntArray:
    """Read the steps of a table of the console (``t1 = …``) that was copied beside ``procpar``."""
    path = procpar.parent / Path(name).name
    if not path.is_file():
        raise UnsupportedDataError(
            f"{procpar}: the order of its lines is in the table {name!r} of the console: copy the file tablib/{name} "
            f"from there to {procpar.parent}"
        )
    file_size(path, _MAX_TABLE_BYTES)
    match = _TABLE.search(read_text(path))
    if match is None:
        raise DamagedDataError(path, "t1", "there is no table of steps (t1 = …)")
    words = match.group(1).split()
    if max(map(len, words)) > 9:
        raise DamagedDataError(path, "t1", "one step is not believable")
    return _ranked(path, "t1", np.array([float(word) for word in words]), counts)


def _ranked(path: Path, field: str, listed: RealArray, counts: tuple[int, int]) -> IntArray:
    """Count steps from k = 0; `counts` are the lines that were acquired, and those of all of k-space."""
    n_lines, n_full = counts
    rows = np.rint(listed - listed.min())
    if not np.array_equal(np.sort(rows), np.arange(n_lines)):
        problem = f"steps {listed.min():g} to {listed.max():g} are not one for each of {n_lines} lines"
        raise DamagedDataError(path, field, problem)
    if n_lines < n_full and abs(listed.min() + n_full // 2) > 1:
        raise UnsupportedDataError(
            f"{path}: {field} begins at step {listed.min():g}, not at the edge of the {n_full} lines (nv) of which "
            f"{n_lines} were acquired (fract_ky): reconstruct it on the console"
        )
    return np.asarray(rows.astype(np.int64) - n_full // 2)
