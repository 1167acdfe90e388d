"""The sum of a run as k-space of one scan, for programs that read MRD."""

from __future__ import annotations

import numpy as np

from knightshift.core.errors import UnsupportedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.core.run_folder import Run
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.pass_sum import sum_passes
from knightshift.reconstruction.reconstruct import geometry_of


def scan_of_run(run: Run, *, correct_drift: bool = True) -> KSpaceScan:
    """Sum the good passes of a run and describe the sum as one scan.

    Raises
    ------
    InputError
        If an echo has no good pass yet.
    UnsupportedDataError
        If the run holds spectra.
    DamagedDataError
        If a pass is damaged.
    """
    encoding = run.manifest.encoding
    if encoding.kind != "image":
        raise UnsupportedDataError(f"{run.path}: this run holds spectra: only k-space of images is exported")
    summed = sum_passes(run, correct_drift=correct_drift)
    n_slices, n_lines, n_read = encoding.matrix
    center = round(encoding.center_sample)
    whole = geometry_of(encoding)
    normal = whole.directions[0] * whole.voxel_size[0]
    return KSpaceScan(
        source=run.path,
        format=run.manifest.format,
        kspace=summed.kspace[np.newaxis].astype(np.complex64),
        line_steps=np.arange(n_lines) - n_lines // 2,
        center_sample=center,
        grid=(n_lines, 2 * max(center, encoding.samples - center)),
        matrix=(n_lines, n_read),
        shifts=np.zeros((n_slices, 2)),
        transposed=np.zeros(n_slices, bool),
        echo_times=np.asarray(encoding.echo_times),
        slice_geometries=tuple(
            ImageGeometry(whole.voxel_size, whole.directions, whole.origin + index * normal)
            for index in range(n_slices)
        ),
        dwell_time=encoding.dwell_time,
        nucleus=run.manifest.programs[0].nucleus,
        working_frequency=summed.frequency,
        b0=run.manifest.programs[0].b0,
        methods=(
            f"{int(summed.n_passes.sum())} passes were summed. {summed.drift.sentence}",
            *filter(None, [summed.weighting]),
        ),
    )
