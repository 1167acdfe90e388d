"""Regions of a T2 map as CSV, one line a region, the unit of each column in its heading."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from knightshift.core.arrays import BoolArray
from knightshift.core.durable import make_folder, write_durably
from knightshift.core.errors import InputError
from knightshift.reconstruction.export.analysis import Analysis
from knightshift.reconstruction.region_words import region_words
from knightshift.reconstruction.relaxometry import RegionStatistics, T2Fit, T2Status, pool_region, t2_interval
from knightshift.reconstruction.relaxometry.populations import BULK_LABEL
from knightshift.reconstruction.t2_symbol import in_symbol, t2_name

_LEVEL = 0.95
_HEADINGS = (
    "region", "voxels", "T2 median (ms)", "T2 median std (ms)", "T2 lower quartile (ms)", "T2 upper quartile (ms)",
    "T2 pooled (ms)", "T2 pooled 95% low (ms)", "T2 pooled 95% high (ms)", "FWHM (ms)", "FWHM std (ms)",
    "SNR first echo", "SNR last echo", "x (mm)", "y (mm)", "z (mm)", "significance (sigma)",
)  # fmt: skip
_VOXEL_HEADINGS = (
    "x (mm)", "y (mm)", "z (mm)", "T2 (ms)", "T2 std (ms)", "T2 95% low (ms)", "T2 95% high (ms)",
    "amplitude (arbitrary)", "status",
)  # fmt: skip


def write_region_tables(analysis: Analysis, folder: Path) -> tuple[Path, ...]:
    """Write ``regions.csv`` (bulk, its parts, isolated regions) and ``voxels.csv`` (every voxel with signal).

    Intervals are of the likelihood, at 95 %; an empty cell is a number that is not known, ``inf`` an open end.

    Raises
    ------
    InputError
        If there is no T2 map, or no voxel of it has a T2.
    StorageError
        If the disk is full or read-only.
    """
    fit, found = analysis.fit, analysis.populations
    if fit is None or found is None:
        why = "there is one echo time only" if fit is None else "no voxel has a T2"
        raise InputError(f"{analysis.source}: there are no regions to write: {why}: acquire more echo times or passes")
    make_folder(folder)
    bulk = np.asarray(found.labels == BULK_LABEL)
    words = region_words(analysis.series.nucleus)
    groups: list[tuple[RegionStatistics, BoolArray, float]] = [(replace(found.bulk, name=words.bulk), bulk, math.nan)]
    for number, (part, mask) in enumerate(zip(found.electrodes, found.electrode_masks(), strict=True), start=1):
        groups.append((replace(part, name=words.part_number(number)), mask, math.nan))
    for number, (part, significance) in enumerate(zip(found.isolated, found.significance, strict=True), start=1):
        groups.append((replace(part, name=words.isolated_number(number)), found.mask(number - 1), significance))
    rows = [_region_row(part, mask, significance, fit) for part, mask, significance in groups]
    paths = folder / "regions.csv", folder / "voxels.csv"
    of = t2_name(analysis.series)
    write_durably(paths[0], _table([in_symbol(heading, of) for heading in _HEADINGS], rows))
    voxel_headings = [in_symbol(heading, of) for heading in _VOXEL_HEADINGS]
    write_durably(paths[1], _table(voxel_headings, _voxel_rows(analysis, fit)))
    return paths


def _region_row(part: RegionStatistics, mask: BoolArray, significance: float, fit: T2Fit) -> Sequence[object]:
    pooled = pool_region(fit, mask, level=_LEVEL)
    place = part.centroid_position or (math.nan,) * 3
    times = (
        part.t2_median, part.t2_median_std, *part.t2_quartiles, pooled.t2, *pooled.interval, part.fwhm, part.fwhm_std,
    )  # fmt: skip
    return (
        part.name, part.n_voxels, *(1e3 * time for time in times), float(part.snr[0]), float(part.snr[-1]),
        *(1e3 * coordinate for coordinate in place), significance,
    )  # fmt: skip


def _voxel_rows(analysis: Analysis, fit: T2Fit) -> Iterable[Sequence[object]]:
    low, high = t2_interval(fit, _LEVEL)
    for stack in analysis.series.slice_stacks:
        affine = stack.geometry.affine
        for place, index in enumerate(stack.slices):
            for row, column in np.argwhere(fit.status[index] != T2Status.MASKED):
                at = index, row, column
                position = (affine @ (place, row, column, 1.0))[:3]
                times = (fit.t2[at], fit.t2_std[at], low[at], high[at])
                yield (
                    *(1e3 * float(metres) for metres in position), *(1e3 * float(time) for time in times),
                    float(fit.amplitude[at]), T2Status(int(fit.status[at])).name.lower(),
                )  # fmt: skip


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    """Write numbers with seven digits, and unknown ones not at all."""
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.7g}"
