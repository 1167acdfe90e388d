"""ParaVision 5.1, 6, 7 and 360: Cartesian scans in 2D and 3D, echo trains, partial echo, several receivers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray, IntArray, RealArray
from knightshift.core.errors import ConfigError, DamagedDataError, UnsupportedDataError
from knightshift.core.nuclei import nucleus_named
from knightshift.reconstruction.kspace import KSpaceScan, PartialFourier, Partitions
from knightshift.reconstruction.readers._paravision_geometry import MAX_LENGTH, partition_geometries, slice_geometries
from knightshift.reconstruction.readers._paravision_layout import (
    RawLayout,
    ScanFiles,
    check_supported,
    dimensions,
    find_scan_files,
    line_steps,
    raw_layout,
    read_samples,
)

_MAX_ROTATION = 1e3
"""Largest believable shift of an image [fields of view]."""
_MAX_ECHO_TIME = 1e7
"""Largest believable echo time [ms]."""
_MAX_ZERO_FILL = 32
"""Largest believable ratio of transformed to acquired points along one axis."""


@dataclass(frozen=True)
class _Grid:
    """Where the acquired lines sit on the grid of the Fourier transform."""

    center_sample: int
    size: tuple[int, int]
    matrix: tuple[int, int]
    voxel: tuple[float, float]


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
    layout = raw_layout(files)
    n_echoes = _echo_count(files, layout.n_objects)
    n_slabs = layout.n_objects // n_echoes
    grid = _grid(files, layout.n_samples, layout.n_lines)
    steps = _line_steps(files, grid.size[0])
    shifts = _shifts(files, grid.size, n_slabs, n_echoes)
    partitions = _partitions(files, layout.n_partitions, n_slabs, n_echoes)
    geometries, unknown = slice_geometries(files, n_slabs, grid.voxel, grid.matrix)
    transposed = _transposed(files, n_slabs, n_echoes, grid.matrix)
    if partitions is not None:
        geometries = partition_geometries(geometries[0], _third(files, "PVM_Fov") * 1e-3, partitions)
        shifts, transposed = np.repeat(shifts, partitions.matrix, axis=0), np.repeat(transposed, partitions.matrix)
    missing = unknown + (() if files.reco else ("the reconstruction parameters (reco): grid and shifts were computed",))
    return KSpaceScan(
        source=files.raw,
        format=f"ParaVision {files.version.removeprefix('PV').lstrip(' -')}",
        kspace=_sorted_kspace(files, layout, n_echoes),
        line_steps=steps,
        center_sample=grid.center_sample,
        grid=grid.size,
        matrix=grid.matrix,
        shifts=shifts,
        transposed=transposed,
        echo_times=_echo_times(files, n_echoes),
        slice_geometries=geometries,
        dwell_time=_dwell_time(files),
        nucleus=_nucleus(files),
        working_frequency=_frequency(files),
        partial_fourier=_partial_fourier(files),
        completed_axes=_completed_axes(files),
        partitions=partitions,
        methods=_sentences(files, layout.n_receivers, layout.train_length),
        missing=missing,
        parameters={"method": _method_name(files), "version": files.version},
    )


def _sorted_kspace(files: ScanFiles, layout: RawLayout, n_echoes: int) -> ComplexArray:
    """Read samples of shape ``(repetition, echo, slice, channel, line, sample)``; partitions are slices."""
    samples = read_samples(files, layout, _object_order(files, layout.n_objects))
    n_rep, n_objects, n_partitions, *tail = samples.shape
    by_slice = samples.reshape(n_rep, n_objects // n_echoes, n_echoes, n_partitions, *tail)
    return by_slice.swapaxes(1, 2).reshape(n_rep, n_echoes, -1, *tail)


def _partitions(files: ScanFiles, n_partitions: int, n_slabs: int, n_echoes: int) -> Partitions | None:
    """Read the second phase encoding; None in 2D."""
    if dimensions(files) == 2:
        return None
    if n_slabs != 1:
        raise UnsupportedDataError(f"{files.folder}: a 3D scan of {n_slabs} slabs: only one slab is read")
    method = files.method
    matrix = round(_third(files, "PVM_Matrix"))
    size = round(_third(files, "PVM_Matrix") * _third(files, "PVM_AntiAlias", 1.0))
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
    if files.reco is not None and "RECO_rotate" in files.reco:
        return Partitions(steps, size, matrix, (_rotations(files, n_slabs, n_echoes)[2, 0] - 0.5) * size)
    offset = method.bounded("PVM_EffPhase2Offset", MAX_LENGTH)[:1].sum() if "PVM_EffPhase2Offset" in method else 0.0
    if "PVM_EffPhase2Offset" not in method and "PVM_SPackArrSliceOffset" in method:
        offset = -float(method.bounded("PVM_SPackArrSliceOffset", MAX_LENGTH)[:1].sum())
    fov = _third(files, "PVM_Fov") * _third(files, "PVM_AntiAlias", 1.0)
    return Partitions(steps, size, matrix, float(offset) / fov * size)


def _third(files: ScanFiles, name: str, default: float | None = None) -> float:
    """Third value of a method parameter; positive."""
    if default is not None and name not in files.method:
        return default
    values = files.method.floats(name)
    if values.size != 3 or not 0 < values[2] < 1e6:
        raise DamagedDataError(files.method.path, name, f"{values[:4].tolist()} are not three positive values")
    return float(values[2])


def _echo_count(files: ScanFiles, n_objects: int) -> int:
    n_echoes = files.acqp.count("ACQ_n_echo_images") if "ACQ_n_echo_images" in files.acqp else 1
    n_slices = files.acqp.count("NSLICES")
    if n_slices * n_echoes != n_objects:
        raise UnsupportedDataError(
            f"{files.acqp.path}: NI = {n_objects} objects are not {n_slices} slices x {n_echoes} echo images: "
            "movies and other cycles are not read"
        )
    return n_echoes


def _object_order(files: ScanFiles, n_objects: int) -> IntArray:
    """Object of each raw frame, a permutation; object = slice x n_echoes + echo."""
    order: IntArray = np.arange(n_objects)
    if "ACQ_obj_order" in files.acqp:
        order = files.acqp.integers("ACQ_obj_order")
    if order.size != n_objects or not np.array_equal(np.sort(order), np.arange(n_objects)):
        raise DamagedDataError(files.acqp.path, "ACQ_obj_order", f"it is no order of {n_objects} objects")
    return order


def _grid(files: ScanFiles, n_samples: int, n_lines: int) -> _Grid:
    method = files.method
    matrix = _pair(files, "PVM_Matrix")
    anti_alias = _pair(files, "PVM_AntiAlias", 1.0)
    fov = _pair(files, "PVM_Fov")
    size = tuple(max(1, round(m * a)) for m, a in zip(matrix, anti_alias, strict=True))
    keep = tuple(round(m) for m in matrix)
    if files.reco is not None:
        size, keep = _reco_pair(files, "RECO_ft_size"), _reco_pair(files, "RECO_size")
    for axis, acquired in ((0, n_samples), (1, n_lines)):
        if not acquired <= size[axis] <= _MAX_ZERO_FILL * acquired or not 1 <= keep[axis] <= size[axis]:
            problem = f"a grid of {size} with {keep} voxels does not fit {n_samples} x {n_lines} acquired points"
            raise DamagedDataError(method.path if files.reco is None else files.reco.path, "RECO_ft_size", problem)
    center = _center_sample(files, n_samples, matrix[0] * anti_alias[0])
    if not 0 <= center < n_samples or n_samples - center > size[0] - size[0] // 2 or center > size[0] // 2:
        raise DamagedDataError(method.path, "PVM_EncPft", f"it puts k = 0 at sample {center} of {n_samples}")
    voxel = tuple(f * 1e-3 * a / s for f, a, s in zip(fov, anti_alias, size, strict=True))
    return _Grid(center, (size[1], size[0]), (keep[1], keep[0]), (voxel[1], voxel[0]))


def _center_sample(files: ScanFiles, n_samples: int, n_full: float) -> int:
    """Sample at k = 0; of a partial echo, the acquired points are the last part of the readout."""
    method = files.method
    if "PVM_EncPft" in method:
        full = n_full / _pair(files, "PVM_EncZf", 1.0)[0]  # points of a readout without partial echo
        return n_samples // 2 if _pair(files, "PVM_EncPft")[0] <= 1 else round(n_samples - full / 2)
    if "PVM_EchoPosition" in method and 0 < (percent := method.number("PVM_EchoPosition")) < 50:
        return round(n_samples * percent / 100)
    return n_samples // 2


def _pair(files: ScanFiles, name: str, default: float | None = None) -> tuple[float, float]:
    """First two values of a method parameter, in order (read, phase); positive."""
    if default is not None and name not in files.method:
        return default, default
    values = files.method.floats(name)
    if values.size < 2 or np.any(values[:2] < 1e-6) or np.any(values[:2] > 1e6):
        raise DamagedDataError(files.method.path, name, f"{values[:4].tolist()} are not two positive values")
    return float(values[0]), float(values[1])


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


def _shifts(files: ScanFiles, size: tuple[int, int], n_slices: int, n_echoes: int) -> RealArray:
    """Cyclic shift along (phase_encode, readout) [voxels], shape ``(slice, 2)``; 0 for ``RECO_rotate`` = 0.5."""
    if files.reco is None or "RECO_rotate" not in files.reco:
        return _computed_shifts(files, size[0], n_slices)
    rotate = _rotations(files, n_slices, n_echoes)[:2]
    shift = (rotate[::-1] - 0.5).T * np.asarray(size)
    return np.asarray(shift)


def _rotations(files: ScanFiles, n_slices: int, n_echoes: int) -> RealArray:
    """``RECO_rotate`` with 0.5 for no shift, shape ``(dimension, slice)``."""
    assert files.reco is not None
    n_dims = dimensions(files)
    rotate = files.reco.bounded("RECO_rotate", _MAX_ROTATION)
    if rotate.size != n_dims * n_slices * n_echoes:
        problem = f"{rotate.size} values for {n_dims} x {n_slices * n_echoes} objects"
        raise DamagedDataError(files.reco.path, "RECO_rotate", problem)
    rotate = rotate.reshape(n_dims, n_slices, n_echoes)[:, :, 0].copy()
    options = files.reco.values("RECO_qopts") if "RECO_qopts" in files.reco else []
    for axis, option in enumerate(options[:n_dims]):
        if "QNEG" in option:  # a change of sign of every other point is the half-field shift
            rotate[axis] += 0.5
    return rotate


def _computed_shifts(files: ScanFiles, n_phase: int, n_slices: int) -> RealArray:
    """Shift by the phase offset; the read offset is already in the frequency of the receiver."""
    shifts = np.zeros((n_slices, 2))
    if "PVM_SPackArrPhase1Offset" in files.method and "PVM_SPackArrNSlices" in files.method:
        per_pack = files.method.integers("PVM_SPackArrNSlices")
        offsets = files.method.bounded("PVM_SPackArrPhase1Offset", MAX_LENGTH)
        if per_pack.size != offsets.size or np.any(per_pack < 1) or per_pack.sum() != n_slices:
            problem = f"{offsets.size} offsets for {per_pack.size} slice packages of {n_slices} slices"
            raise DamagedDataError(files.method.path, "PVM_SPackArrPhase1Offset", problem)
        fov = _pair(files, "PVM_Fov")[1] * _pair(files, "PVM_AntiAlias", 1.0)[1]
        shifts[:, 0] = np.repeat(offsets, per_pack) / fov * n_phase
    return shifts


def _transposed(files: ScanFiles, n_slices: int, n_echoes: int, matrix: tuple[int, int]) -> BoolArray:
    if files.reco is None or "RECO_transposition" not in files.reco:
        return np.zeros(n_slices, bool)
    codes = files.reco.integers("RECO_transposition")
    if codes.size != n_slices * n_echoes:
        raise DamagedDataError(files.reco.path, "RECO_transposition", f"{codes.size} values for {n_slices} slices")
    if np.any((codes != 0) & (codes != 1)):
        raise UnsupportedDataError(f"{files.reco.path}: RECO_transposition {codes.max()} is not a swap of the two axes")
    swapped = codes.reshape(n_slices, n_echoes)[:, 0].astype(bool)
    if matrix[0] != matrix[1] and swapped.any() and not swapped.all():
        problem = f"slices of {matrix} voxels, some of them transposed, cannot be one image"
        raise DamagedDataError(files.reco.path, "RECO_transposition", problem)
    return swapped


def _echo_times(files: ScanFiles, n_echoes: int) -> RealArray:
    for source, name in ((files.method, "EffectiveTE"), (files.acqp, "ACQ_echo_time"), (files.method, "PVM_EchoTime")):
        if name in source:
            values = source.bounded(name, _MAX_ECHO_TIME) * 1e-3
            if values.size == n_echoes:
                return values
    raise DamagedDataError(files.acqp.path, "ACQ_echo_time", f"there are no echo times for {n_echoes} echo images")


def _dwell_time(files: ScanFiles) -> float | None:
    if "PVM_EffSWh" in files.method and (bandwidth := files.method.number("PVM_EffSWh")) > 0:
        return 1.0 / bandwidth
    return None


def _nucleus(files: ScanFiles) -> str | None:
    for source, name in ((files.acqp, "NUCLEUS"), (files.method, "PVM_Nucleus1"), (files.acqp, "NUC1")):
        if name in source:
            try:
                return nucleus_named(source.text(name)).name
            except ConfigError:
                return source.text(name)
    return None


def _frequency(files: ScanFiles) -> float | None:
    for source, name in ((files.acqp, "SFO1"), (files.method, "PVM_FrqWork"), (files.acqp, "BF1")):
        if name in source and (megahertz := source.number(name)) > 0:
            return megahertz * 1e6
    return None


def _partial_fourier(files: ScanFiles) -> PartialFourier:
    if "PVM_EncPft" in files.method:
        if files.method.floats("PVM_EncPft").max() <= 1:
            return "none"
    elif "PVM_EncPftAccel1" not in files.method or files.method.number("PVM_EncPftAccel1") <= 1:
        return "none"
    if "PVM_EncPftAlgorithm" not in files.method:
        return "zero_filling"
    known: dict[str, PartialFourier] = {"Pocs": "pocs", "Homodyne": "homodyne", "Zerofilling": "zero_filling"}
    return known.get(files.method.text("PVM_EncPftAlgorithm"), "unknown")


def _completed_axes(files: ScanFiles) -> tuple[bool, bool] | None:
    """Along which of (phase_encode, readout) the console completed k-space, where its parameters say so."""
    if files.reco is None or "RecoHalfFT" not in files.reco:
        return None
    answers = [word == "Yes" for word in files.reco.values("RecoHalfFT")]
    return (answers[1], answers[0]) if len(answers) >= 2 else None


def _method_name(files: ScanFiles) -> str:
    for source, name in ((files.method, "Method"), (files.acqp, "ACQ_method")):
        if name in source:
            return source.text(name)
    return "unknown"


def _sentences(files: ScanFiles, n_receivers: int, train: int) -> tuple[str, ...]:
    kind = f"trains of {train} echoes, " if train > 1 else ""
    text = (
        f"Raw samples were read from {files.raw.name} of {files.version} (method {_method_name(files)}, {kind}"
        f"{n_receivers} receiver{'s' if n_receivers > 1 else ''}) and sorted by PVM_EncSteps1 and ACQ_obj_order."
    )
    return (text,)
