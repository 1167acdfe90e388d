"""What a path holds, as far as it was understood, in rows that people can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.errors import UnsupportedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.core.run_folder import open_run
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.images import ImageSeries, SliceStack
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.readers.detection import RawData, RawKind, detect, read_raw
from knightshift.reconstruction.stacks import find_stacks

_KSPACE_AXES = (
    ("repetition", "repetitions"),
    ("echo", "echoes"),
    ("slice", "slices"),
    ("receiver", "receivers"),
    ("line", "lines"),
    ("sample", "samples"),
)
_MOST_TIMES = 32
_MOST_SLICES = 12

Rows = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Inspection:
    """What was understood of some raw data, and what was not."""

    kind: RawKind
    """Kind of raw data."""
    source: Path
    """What was looked at."""
    rows: Rows
    """Name and value of everything that was understood."""
    missing: tuple[str, ...]
    """What the raw data do not say."""
    refused: str = ""
    """Why the data are not read; empty where they are."""


def inspect_raw(path: str | Path) -> Inspection:
    """Tell what a path holds: format, sizes, times, frequencies, orientation.

    Raises
    ------
    InputError
        If there is nothing there.
    UnsupportedDataError
        If it is no raw data that is known.
    DamagedDataError
        If a file is not what it says it is.
    """
    path = Path(path)
    kind = detect(path)
    if kind is RawKind.RUN:
        return Inspection(kind, path, _run_rows(path), ())
    try:
        raw = read_raw(path)
    except UnsupportedDataError as error:
        return Inspection(kind, path, (("format", kind.value),), (), str(error))
    return Inspection(kind, path, _rows(raw), raw.missing)


def _rows(raw: RawData) -> Rows:
    if isinstance(raw, KSpaceScan):
        return _kspace_rows(raw)
    return _fid_rows(raw) if isinstance(raw, FidSeries) else _image_rows(raw)


def _run_rows(path: Path) -> Rows:
    run = open_run(path)
    manifest, commits = run.manifest, run.commits()
    encoding, flagged = manifest.encoding, sum(1 for commit in commits.values() if commit.flags)
    return (
        ("format", manifest.format),
        ("run", manifest.run_id),
        ("holds", "images" if encoding.kind == "image" else "spectra"),
        ("passes", f"{len(commits)} of {manifest.n_passes}, {flagged} flagged"),
        ("voxels", f"{' x '.join(map(str, encoding.matrix))} along {', '.join(encoding.axes)}"),
        ("field of view", " x ".join(_length(size) for size in encoding.field_of_view)),
        ("echo times", _times(encoding.echo_times)),
        ("dwell time", _time(encoding.dwell_time)),
        ("nucleus", manifest.programs[0].nucleus),
        ("working frequency", _megahertz(manifest.programs[0].working_frequency)),
    )


def _kspace_rows(scan: KSpaceScan) -> Rows:
    stacks = find_stacks(scan.slice_geometries)
    repetition, echo, *others = _KSPACE_AXES
    axes = (
        ("repetition", "repetitions that differ") if scan.repetitions_differ else repetition,
        ("image", "images") if scan.inversion_times is not None else echo,
        *others,
    )
    sizes = zip(axes, scan.kspace.shape, strict=True)
    return (
        ("format", scan.format),
        ("samples in", str(scan.source)),
        ("k-space", ", ".join(f"{count} {one if count == 1 else many}" for (one, many), count in sizes)),
        ("k = 0 at", f"sample {scan.center_sample}, line {int(np.argmin(np.abs(scan.line_steps)))} of those acquired"),
        ("image", f"{scan.matrix[0]} x {scan.matrix[1]} voxels from a grid of {scan.grid[0]} x {scan.grid[1]}"),
        ("partial Fourier", scan.partial_fourier.replace("_", " ")),
        *_time_rows(scan),
        *((("repetitions", f"not of the same image: {scan.repetitions_differ}"),) if scan.repetitions_differ else ()),
        *_frequency_rows(scan),
        *_geometry_rows(stacks[0].geometry, len(stacks[0].slices), scan.matrix),
        *_slice_rows(stacks),
        *scan.parameters.items(),
    )


def _image_rows(series: ImageSeries) -> Rows:
    shape = series.images.shape
    what = "echoes" if series.inversion_times is None else "images"
    return (
        ("format", series.provenance.get("format", "images")),
        ("images", f"{shape[0]} {what}, {shape[1]} slices of {shape[2]} x {shape[3]} voxels"),
        *_time_rows(series),
        ("nucleus", series.nucleus or "not stated"),
        *_geometry_rows(series.geometry, shape[1], (shape[2], shape[3])),
    )


def _fid_rows(series: FidSeries) -> Rows:
    n_steps, n_samples = series.values.shape
    what = "spectra" if series.frequencies is not None else "FIDs"
    steps: list[tuple[str, str]] = []
    if series.delays is not None:
        steps.append(("delays", _times(series.delays)))
    if series.counts is not None:
        steps.append(("loop counts", ", ".join(str(count) for count in series.counts[:_MOST_TIMES])))
    reference = series.reference_frequency
    return (
        ("format", series.format),
        ("samples in", str(series.source)),
        (what, f"{n_steps} of {n_samples} complex points" if n_samples > 1 else f"{n_steps}, the top of an echo each"),
        ("measures", series.experiment),
        *steps,
        ("spectral width", f"{1 / series.dwell_time:.6g} Hz"),
        *_frequency_rows(series),
        ("zero shift at", "not stated" if reference is None else _megahertz(reference)),
        *((name, value) for name, value in series.parameters.items() if value),
    )


def _frequency_rows(raw: KSpaceScan | FidSeries) -> Rows:
    frequency = "not stated" if raw.working_frequency is None else _megahertz(raw.working_frequency)
    return (
        ("dwell time", "not stated" if raw.dwell_time is None else _time(raw.dwell_time)),
        ("nucleus", raw.nucleus or "not stated"),
        ("working frequency", frequency),
    )


def _geometry_rows(first: ImageGeometry, n_slices: int, matrix: tuple[int, int]) -> Rows:
    size, apart = first.voxel_size, "apart" if n_slices > 1 else "thick"
    field = size[1] * matrix[0], size[2] * matrix[1]
    rows = [
        ("voxel", f"{_length(size[1])} x {_length(size[2])}, slices {_length(size[0])} {apart}"),
        ("field of view", f"{_length(field[0])} x {_length(field[1])} (phase encode x readout)"),
    ]
    names = ("slice", "phase-encode", "readout")
    for name, direction in zip(names, first.directions, strict=True):
        rows.append((f"{name} direction", _direction(direction)))
    return tuple(rows)


def _slice_rows(stacks: Sequence[SliceStack]) -> Rows:
    """Say how far from the isocentre the slices of each stack lie, along their normal."""
    rows = []
    for stack in stacks[:_MOST_SLICES]:
        first, last = stack.slices[0] + 1, stack.slices[-1] + 1
        normal, n_slices = stack.geometry.directions[0], len(stack.slices)
        places = stack.geometry.origin @ normal + stack.geometry.voxel_size[0] * np.arange(n_slices)
        if n_slices <= _MOST_SLICES:
            where = ", ".join(f"{round(1e3 * place, 4) + 0.0:g}" for place in places) + " mm"
        else:
            where = f"{_length(places[0])} to {_length(places[-1])}"
        name, numbers = ("slice", f" {first}") if n_slices == 1 else ("slices", f" {first} to {last}")
        rows.append((f"{name}{numbers if len(stacks) > 1 else ''} at", f"{where} along {_direction(normal)}"))
    if len(stacks) > _MOST_SLICES:
        rows.append(("…", f"{len(stacks)} stacks of slices in all"))
    return tuple(rows)


def _direction(direction: RealArray) -> str:
    return "(" + ", ".join(f"{round(float(part), 3) + 0.0:+.3f}" for part in direction) + ")"


def _time_rows(raw: KSpaceScan | ImageSeries) -> Rows:
    """Tell the times that step from image to image; an echo time that all images share is told once."""
    times, shared = raw.echo_times, raw.inversion_times is not None and np.unique(raw.echo_times).size == 1
    told = _times(times[:1] if shared else times) if times.any() else "not stated"
    echo = ("echo time", f"{told}, of every image") if shared and times.any() else ("echo times", told)
    return (echo,) if raw.inversion_times is None else (echo, ("inversion times", _times(raw.inversion_times)))


def _times(times: RealArray | Sequence[float]) -> str:
    shown = ", ".join(_time(float(time)) for time in times[:_MOST_TIMES])
    return shown + (f", … ({len(times)} in all)" if len(times) > _MOST_TIMES else "")


def _time(seconds: float) -> str:
    scale, unit = (
        (1.0, "s") if abs(seconds) >= 1 or seconds == 0 else (1e3, "ms") if abs(seconds) >= 1e-3 else (1e6, "us")
    )
    return f"{seconds * scale:.6g} {unit}"


def _length(metres: float) -> str:
    scale, unit = (1e3, "mm") if abs(metres) > 0.9995e-3 or metres == 0 else (1e6, "um")
    return f"{metres * scale:.4g} {unit}"


def _megahertz(hertz: float) -> str:
    return f"{hertz / 1e6:.6f} MHz"
