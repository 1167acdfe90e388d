"""ParaVision 5.1, 6, 7 and 360: Cartesian scans in 2D and 3D, echo trains, partial echo, several receivers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from knightshift.core.arrays import IntArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.kspace import KSpaceScan, Partitions
from knightshift.reconstruction.readers import _paravision_contrast as contrast
from knightshift.reconstruction.readers._paravision_console import (
    channel_scales,
    check_console_steps,
    console_sorting,
    reversed_segment,
)
from knightshift.reconstruction.readers._paravision_files import (
    ScanFiles,
    check_supported,
    dimensions,
    find_scan_files,
)
from knightshift.reconstruction.readers._paravision_geometry import MAX_LENGTH
from knightshift.reconstruction.readers._paravision_layout import RawLayout, encoding_order, line_steps, raw_layout
from knightshift.reconstruction.readers._paravision_placement import Grid, pair, placement, rotations, third
from knightshift.reconstruction.readers._paravision_samples import RawSamples

_MAX_ZERO_FILL = 32
"""Largest believable ratio of transformed to acquired points along one axis."""


def is_paravision_scan(path: Path) -> bool:
    """Tell whether `path` is (or lies in) a ParaVision scan folder, by what the files hold."""
    folder = path if path.is_dir() else path.parent
    folder = folder.parent.parent if folder.parent.name == "pdata" else folder
    return (folder / "acqp").is_file() and (folder / "method").is_file()


def read_paravision(path: Path) -> KSpaceScan:
    """Read the raw samples of one ParaVision scan.

    Parameters
    ----------
    path
        The scan folder, its raw file, or one of its ``pdata/N`` folders (whose ``reco`` is then used).

    Raises
    ------
    DamagedDataError
        If a file is missing, empty, truncated or contradicts another.
    UnsupportedDataError
        If an inverse FFT does not make an image of it (EPI, spiral, radial, spectroscopy, parallel imaging).
    """
    files = find_scan_files(path)
    check_supported(files)
    told = check_console_steps(files.reco) if files.reco else ()
    layout = raw_layout(files)
    n_echoes = _echo_count(files, layout.n_objects)
    n_slabs = layout.n_objects // n_echoes
    grid = _grid(files, layout.n_samples, layout.n_lines)
    partitions = _partitions(files, layout.n_partitions, n_slabs, n_echoes)
    where = placement(files, grid, (n_slabs, n_echoes), partitions)
    samples = _raw_samples(files, layout, n_echoes, partitions)
    return KSpaceScan(
        source=files.raw,
        format=f"ParaVision {files.version.removeprefix('PV').lstrip(' -')}",
        kspace=samples,
        line_steps=_line_steps(files, grid.size[0]),
        center_sample=grid.center_sample,
        grid=grid.size,
        matrix=grid.matrix,
        shifts=where.shifts,
        transposed=where.transposed,
        echo_times=contrast.echo_times(files, n_echoes),
        slice_geometries=where.geometries,
        dwell_time=contrast.dwell_time(files),
        nucleus=contrast.nucleus(files),
        working_frequency=contrast.working_frequency(files),
        partial_fourier=contrast.partial_fourier(files),
        completed_axes=contrast.completed_axes(files),
        partitions=partitions,
        repetitions_differ=contrast.repetitions_differ(files, layout.n_repetitions),
        refocused=contrast.is_refocused(files),
        methods=_sentences(files, layout, samples),
        missing=where.missing + told + _left_open(files, layout, grid, samples),
        parameters={"method": contrast.method_name(files), "version": files.version},
    )


def _raw_samples(files: ScanFiles, layout: RawLayout, n_echoes: int, partitions: Partitions | None) -> RawSamples:
    """Sort the objects of the raw file; object = slice x n_echoes + echo."""
    frames = np.empty(layout.n_objects, np.int64)
    frames[_object_order(files, layout)] = np.arange(layout.n_objects)
    return RawSamples(
        path=files.raw,
        layout=layout,
        frames=frames.reshape(-1, n_echoes).T,
        scales=channel_scales(files.reco, files.method, layout.n_receivers),
        order=None if partitions is None else encoding_order(files, layout, partitions.steps),
        reverses_even_echoes=_reverses_even_echoes(files, n_echoes),
    )


def _reverses_even_echoes(files: ScanFiles, n_echoes: int) -> bool:
    """Tell whether a train of gradient echoes was read out in both directions."""
    both_ways = "EchoAcqMode" in files.method and files.method.text("EchoAcqMode") == "allEchoes"
    segment = reversed_segment(files.reco)
    if segment and not (both_ways and n_echoes > 1):
        raise UnsupportedDataError(
            f"{files.folder}: RecoReverseSegment {segment}: the console turned readouts round, and we do not know which"
        )
    return both_ways and n_echoes > 1


def _left_open(files: ScanFiles, layout: RawLayout, grid: Grid, samples: RawSamples) -> tuple[str, ...]:
    """List what was not understood for certain."""
    told = []
    if files.reco is None:
        told.append("the reconstruction parameters (reco): grid and shifts were computed")
    elif files.version.startswith("PV 5") and "CONJ" not in "".join(files.reco.values("RECO_qopts")[:1]):
        told.append("whether the readout runs the other way: RECO_qopts is not the one of scans known to us")
    if console_sorting(files.reco, layout.n_lines, layout.n_objects) is None and "360" in files.version:
        told.append("whether a segment of several lines was acquired in a row: the console's sorting is not there")
    if not grid.echo_is_centred:
        told.append("the phase along the readout: the echo is not in its middle (PVM_EchoPosition)")
    if samples.reverses_even_echoes:
        told.append("the delay between the two directions of the readout: align_even_echoes removes its phase")
    if layout.n_receivers > 1 and files.reco is not None and "RecoCombineMode" in files.reco:
        mode = files.reco.text("RecoCombineMode")
        if mode != "SumOfSquares":
            told.append(f"the image of the console: it combined its receivers by {mode}")
    if layout.n_partitions > 1 and "PVM_EncPft" in files.method and np.any(files.method.floats("PVM_EncPft")[2:] > 1):
        told.append("how the console completed the partitions (PVM_EncPft): here they are filled with zeros")
    return tuple(told)


def _partitions(files: ScanFiles, n_partitions: int, n_slabs: int, n_echoes: int) -> Partitions | None:
    """Read the second phase encoding; None in 2D."""
    if dimensions(files) == 2:
        return None
    if n_slabs != 1:
        raise UnsupportedDataError(f"{files.folder}: a 3D scan of {n_slabs} slabs: only one slab is read")
    method = files.method
    matrix = round(third(files, "PVM_Matrix"))
    size = round(third(files, "PVM_Matrix") * third(files, "PVM_AntiAlias", 1.0))
    if files.reco is not None:
        size, matrix = (int(files.reco.integers(name)[2:3].sum()) for name in ("RECO_ft_size", "RECO_size"))
    steps: IntArray = np.arange(n_partitions) - n_partitions // 2
    if "PVM_EncSteps2" in method:
        steps = method.integers("PVM_EncSteps2")
    if not n_partitions <= size <= _MAX_ZERO_FILL * n_partitions or not 1 <= matrix <= size:
        problem = f"{n_partitions} partitions do not fit a grid of {size} with {matrix} slices"
        raise DamagedDataError(method.path if files.reco is None else files.reco.path, "RECO_ft_size", problem)
    rows = steps + size // 2
    if steps.size != n_partitions or np.unique(steps).size != steps.size or rows.min() < 0 or rows.max() >= size:
        problem = f"steps {steps.min()} to {steps.max()} do not fit once each into {size} partitions"
        raise DamagedDataError(method.path, "PVM_EncSteps2", problem)
    return Partitions(steps, size, matrix, _partition_shift(files, size, n_echoes))


def _partition_shift(files: ScanFiles, size: int, n_echoes: int) -> float:
    """Cyclic shift along the slices of a 3D scan [slices of the grid]."""
    method = files.method
    if files.reco is not None and "RECO_rotate" in files.reco:
        return float(rotations(files, 1, n_echoes)[2, 0] - 0.5) * size
    offset = method.bounded("PVM_EffPhase2Offset", MAX_LENGTH)[:1].sum() if "PVM_EffPhase2Offset" in method else 0.0
    if "PVM_EffPhase2Offset" not in method and "PVM_SPackArrSliceOffset" in method:
        offset = -float(method.bounded("PVM_SPackArrSliceOffset", MAX_LENGTH)[:1].sum())
    return float(offset) / (third(files, "PVM_Fov") * third(files, "PVM_AntiAlias", 1.0)) * size


def _echo_count(files: ScanFiles, n_objects: int) -> int:
    n_echoes = files.acqp.count("ACQ_n_echo_images") if "ACQ_n_echo_images" in files.acqp else 1
    n_slices = files.acqp.count("NSLICES")
    if n_slices * n_echoes != n_objects:
        raise UnsupportedDataError(
            f"{files.acqp.path}: NI = {n_objects} objects are not {n_slices} slices x {n_echoes} echo images: "
            "movies and other cycles are not read"
        )
    return n_echoes


def _object_order(files: ScanFiles, layout: RawLayout) -> IntArray:
    """Object of each raw frame, a permutation; the console's own sorting comes first."""
    n_objects = layout.n_objects
    order: IntArray = np.arange(n_objects)
    sorting = console_sorting(files.reco, layout.n_lines, n_objects)
    if sorting is not None and sorting.objects is not None:
        order = sorting.objects
    elif "ACQ_obj_order" in files.acqp:
        order = files.acqp.integers("ACQ_obj_order")
    if order.size != n_objects or not np.array_equal(np.sort(order), np.arange(n_objects)):
        raise DamagedDataError(files.acqp.path, "ACQ_obj_order", f"it is no order of {n_objects} objects")
    return order


def _grid(files: ScanFiles, n_samples: int, n_lines: int) -> Grid:
    method = files.method
    matrix = pair(files, "PVM_Matrix")
    anti_alias = pair(files, "PVM_AntiAlias", 1.0)
    fov = pair(files, "PVM_Fov")
    size = tuple(max(1, round(m * a)) for m, a in zip(matrix, anti_alias, strict=True))
    keep = tuple(round(m) for m in matrix)
    if files.reco is not None:
        size, keep = _reco_pair(files, "RECO_ft_size"), _reco_pair(files, "RECO_size")
    for axis, acquired in ((0, n_samples), (1, n_lines)):
        if not acquired <= size[axis] <= _MAX_ZERO_FILL * acquired or not 1 <= keep[axis] <= size[axis]:
            problem = f"a grid of {size} with {keep} voxels does not fit {n_samples} x {n_lines} acquired points"
            raise DamagedDataError(method.path if files.reco is None else files.reco.path, "RECO_ft_size", problem)
    center = _center_sample(files, n_samples, matrix[0] * anti_alias[0])
    fits = n_samples - center <= size[0] - size[0] // 2 and center <= size[0] // 2
    if not 0 <= center < n_samples or (not fits and "PVM_EncPft" in method):
        raise DamagedDataError(method.path, "PVM_EncPft", f"it puts k = 0 at sample {center} of {n_samples}")
    voxel = tuple(f * 1e-3 * a / s for f, a, s in zip(fov, anti_alias, size, strict=True))
    return Grid(center if fits else n_samples // 2, (size[1], size[0]), (keep[1], keep[0]), (voxel[1], voxel[0]), fits)


def _center_sample(files: ScanFiles, n_samples: int, n_full: float) -> int:
    """Sample at k = 0; of a partial echo, the acquired points are the last part of the readout."""
    method = files.method
    if "PVM_EncPft" in method:
        full = n_full / pair(files, "PVM_EncZf", 1.0)[0]  # points of a readout without partial echo
        return n_samples // 2 if pair(files, "PVM_EncPft")[0] <= 1 else round(n_samples - full / 2)
    if "PVM_EchoPosition" in method and 0 < (percent := method.number("PVM_EchoPosition")) < 50:
        return round(n_samples * percent / 100)
    return n_samples // 2


def _reco_pair(files: ScanFiles, name: str) -> tuple[int, int]:
    assert files.reco is not None
    values = files.reco.integers(name)
    n_dims = dimensions(files)
    if values.size != n_dims or np.any(values < 1) or np.any(values > 65536):
        raise DamagedDataError(files.reco.path, name, f"{values[:4].tolist()} are not {n_dims} image sizes")
    return int(values[0]), int(values[1])


def _line_steps(files: ScanFiles, n_grid: int) -> IntArray:
    steps = line_steps(files)
    rows = steps + n_grid // 2
    if np.unique(steps).size != steps.size or rows.min() < 0 or rows.max() >= n_grid:
        problem = f"steps {steps.min()} to {steps.max()} do not fit once each into {n_grid} lines"
        raise DamagedDataError(files.method.path, "PVM_EncSteps1", problem)
    return steps


def _sentences(files: ScanFiles, layout: RawLayout, samples: RawSamples) -> tuple[str, ...]:
    train, n_receivers = layout.train_length, layout.n_receivers
    kind = f"{train} lines in a row, " if train > 1 else ""
    text = (
        f"Raw samples were read from {files.raw.name} of {files.version} (method {contrast.method_name(files)}, {kind}"
        f"{n_receivers} receiver{'s' if n_receivers > 1 else ''}) and sorted by PVM_EncSteps1 and ACQ_obj_order."
    )
    turned = ("Even echoes, read out backwards, were turned round (EchoAcqMode).",) * samples.reverses_even_echoes
    return (text, *turned)
