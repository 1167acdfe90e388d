"""Agilent and Varian scans of which one side of k-space was acquired in part.

``fract_ky`` and ``fract_kx`` are the points beyond k = 0 that were acquired, out of ``nv / 2`` lines and out of half of
the readout. Lines and samples begin at the full edge: ``nv / 2 + fract_ky`` of ``nv`` lines, and ``np / 2`` samples of
which all but ``fract_kx`` lie before k = 0. So the console's own reconstruction counts them, which fills the rest at
the end with zeros. The parameters may be left over from another sequence, therefore the samples have to agree.
"""

from __future__ import annotations

import math

import numpy as np

from knightshift.core.arrays import IntArray, RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.kspace import StoredKSpace
from knightshift.reconstruction.readers._agilent_files import Procpar, Traces
from knightshift.reconstruction.readers._agilent_loops import Loops, loops_of


def loops_in_file(procpar: Procpar, traces: Traces) -> Loops:
    """Count the loops, with as many lines as the file holds: all ``nv``, or those of a partial k-space.

    Raises
    ------
    UnsupportedDataError, DamagedDataError
        As `loops_of` says.
    """
    n_lines = procpar.count("nv")
    acquired = n_lines // 2 + _points_past_center(procpar, "fract_ky", n_lines // 2)
    if acquired < n_lines // 2 * 2:
        partial = loops_of(procpar, acquired)
        if math.prod(partial.counts.values()) == traces.n_planned * traces.shape[1]:
            return partial
    return loops_of(procpar, n_lines)


def whole_matrix(procpar: Procpar, kspace: StoredKSpace, steps: IntArray) -> tuple[int, int]:
    """Count the lines and samples that all of k-space has, k = 0 in its middle.

    Parameters
    ----------
    procpar
        Parameters of the scan.
    kspace
        What was acquired.
    steps
        Step of each line, 0 at k = 0, shape ``(line,)``.

    Raises
    ------
    UnsupportedDataError
        If the signal is stronger in the middle of what was acquired than where a partial k-space has its k = 0.
    DamagedDataError
        If ``fract_kx`` is no count.
    """
    n_lines, n_samples = kspace.shape[-2:]
    half = n_samples // 2
    past = _points_past_center(procpar, "fract_kx", half)
    matrix = procpar.count("nv"), n_samples if past == half else 2 * (n_samples - past)
    if matrix != (n_lines, n_samples):
        plane = kspace[0, 0, kspace.shape[2] // 2]
        energy = np.abs(plane[:, np.argsort(steps)]) ** 2
        _check_center(procpar, "fract_ky", energy.sum(axis=(0, 2)), int(-steps.min()))
        _check_center(procpar, "fract_kx", energy.sum(axis=(0, 1)), matrix[1] // 2)
    return matrix


def _check_center(procpar: Procpar, name: str, energy: RealArray, center: int) -> None:
    """Check that the signal along one axis is strongest about k = 0 rather than about the middle."""
    strongest, middle = int(np.argmax(energy)), len(energy) // 2
    if center != middle and abs(strongest - center) > abs(strongest - middle):
        raise UnsupportedDataError(
            f"{procpar.path}: {name} {procpar.text(name)} puts k = 0 at point {center} of {len(energy)}, but the "
            f"signal is strongest at {strongest}: if the scan is complete, set {name} to 0 in procpar"
        )


def _points_past_center(procpar: Procpar, name: str, all_of_them: int) -> int:
    """Count the points that were acquired past k = 0; all of them where the parameter is zero or missing."""
    past = procpar.number(name)
    if past != math.floor(past) or not 0 <= past <= 1 << 24:
        raise DamagedDataError(procpar.path, name, f"{past:g} is no number of points")
    return int(past) if 0 < past < all_of_them else all_of_them
