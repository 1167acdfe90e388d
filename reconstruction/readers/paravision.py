"""ParaVision 5.1, 6, 7 and 360: Cartesian scans in 2D and 3D, echo trains, partial echo, several receivers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from knightshift.core.arrays import IntArray
from knightshift.core.errors import DamagedDataError
from knightshift.reconstruction.kspace import KSpaceScan, Partitions
from knightshift.reconstruction.readers import _paravision_contrast as contrast
from knightshift.reconstruction.readers._paravision_console import (
    channel_scales,
    check_console_steps,
    console_sorting,
    transforms_forward,
)
from knightshift.reconstruction.readers._paravision_files import (
    ScanFiles,
    check_supported,
    dimensions,
    find_scan_files,
)
from knightshift.reconstruction.readers._paravision_images import ImageOrder, image_order
from knightshift.reconstruction.readers._paravision_layout import (
    RawLayout,
    encoding_order,
    line_steps,
    onto_grid,
    planned_repetitions,
    raw_layout,
)
from knightshift.reconstruction.readers._paravision_partitions import read_slab
from knightshift.reconstruction.readers._paravision_placement import MAX_ZERO_FILL, Grid, pair, placement
from knightshift.reconstruction.readers._paravision_samples import RawSamples


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
    images = image_order(files, layout)
    n_slabs = layout.n_objects // images.n_images
    grid = _grid(files, layout.n_samples, layout.n_lines)
    partitions, slab = read_slab(files, layout.n_partitions, n_slabs, images.n_images) or (None, None)
    where = placement(files, grid, (n_slabs, images.n_images), slab)
    samples = _raw_samples(files, layout, images, partitions)
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
        echo_times=contrast.echo_times(files, images.n_echoes),
        slice_geometries=where.geometries,
        dwell_time=contrast.dwell_time(files),
        nucleus=contrast.nucleus(files),
        working_frequency=contrast.working_frequency(files),
        partial_fourier=contrast.partial_fourier(files),
        completed_axes=contrast.completed_axes(files),
        partitions=partitions,
        repetitions_differ=contrast.repetitions_differ(files, planned_repetitions(files), images.n_movie_frames),
        refocused=contrast.is_refocused(files),
        methods=_sentences(files, layout, samples),
        missing=where.missing + told + _left_open(files, layout, grid, samples),
        parameters=contrast.protocol(files),
    )


def _raw_samples(files: ScanFiles, layout: RawLayout, images: ImageOrder, partitions: Partitions | None) -> RawSamples:
    return RawSamples(
        path=files.raw,
        layout=layout,
        frames=images.frames,
        scales=channel_scales(files.reco, files.method, layout.n_receivers),
        order=None if partitions is None else encoding_order(files, layout),
        reverses_even_echoes=images.reverses_even_echoes,
        conjugated=transforms_forward(files.reco, before_6=files.is_before_6),
    )


def _left_open(files: ScanFiles, layout: RawLayout, grid: Grid, samples: RawSamples) -> tuple[str, ...]:
    """List what was not understood for certain."""
    told = [*_console_left_open(files, layout)]
    if (planned := planned_repetitions(files)) > layout.n_repetitions:
        told.append(f"repetitions {layout.n_repetitions + 1} to {planned}: the scan was stopped before them")
    if not grid.echo_is_centred:
        told.append("the phase along the readout: the echo is not in its middle (PVM_EchoPosition)")
    if samples.reverses_even_echoes:
        told.append("the delay between the two directions of the readout: align_even_echoes removes its phase")
    if contrast.partial_fourier(files) == "unknown":
        told.append("how the console completed what was acquired in part (RecoHalfFTAlgorithm): zeros are filled in")
    told += _scaled_gradients(files)
    if layout.n_partitions > 1 and "PVM_EncPft" in files.method and np.any(files.method.floats("PVM_EncPft")[2:] > 1):
        told.append("how the console completed the partitions (PVM_EncPft): here they are filled with zeros")
    return tuple(told)


def _console_left_open(files: ScanFiles, layout: RawLayout) -> list[str]:
    """List what the console's own reconstruction leaves open."""
    told, reco = [], files.reco
    if reco is None:
        told.append("the reconstruction parameters (reco): grid and shifts were computed, no image was transposed")
    elif files.is_before_6 and "RECO_qopts" not in reco:
        told.append("whether the console moved the image by half the field (RECO_qopts)")
    elif "RECO_qopts" in reco and any("CONJ" in option for option in reco.values("RECO_qopts")[1:]):
        told.append("what RECO_qopts of the phase encoding, a conjugation, did: it is not applied")
    unsorted = layout.n_objects > 1 and console_sorting(reco, layout.n_lines, layout.n_objects) is None
    if unsorted and "360" in files.version:
        told.append("whether a segment of several lines was acquired in a row: the console's sorting is not there")
    if layout.n_receivers > 1 and reco is not None and "RecoCombineMode" in reco:
        mode = reco.text("RecoCombineMode")
        if mode != "SumOfSquares":
            told.append(f"the image of the console: it combined its receivers by {mode}")
    return told


def _scaled_gradients(files: ScanFiles) -> list[str]:
    """Name the axes whose gradients were scaled by hand: a factor of -1 turns the image round."""
    names = ("ACQ_scaling_read", "ACQ_scaling_phase", "ACQ_scaling_slice")
    scaled = [name for name in names if name in files.acqp and files.acqp.number(name) != 1]
    return [f"what {name} {files.acqp.number(name):g} did to the size and direction of the image" for name in scaled]


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
        if not acquired <= size[axis] <= MAX_ZERO_FILL * acquired or not 1 <= keep[axis] <= size[axis]:
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
        if pair(files, "PVM_EncPft")[0] <= 1:
            return n_samples // 2
        if "PVM_EncPftOverscans" in method:  # the samples before k = 0, in words of the console
            return int(method.integers("PVM_EncPftOverscans")[:1].sum())
        n_grid = round(n_full)
        n_zeros = math.floor((n_grid - n_grid / pair(files, "PVM_EncZf", 1.0)[0]) / 2)  # on each side
        whole = n_grid - 2 * n_zeros  # points of a readout without partial echo
        return n_samples - whole + whole // 2
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
    steps = onto_grid(line_steps(files), n_grid)
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
    conjugated = ("The samples were conjugated, as the console transformed them forward (RECO_qopts).",)
    return (text, *turned, *conjugated * samples.conjugated)
