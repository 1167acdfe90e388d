"""T2 maps as NIfTI: seconds, on the grid of the images, with a side-car that says what each number is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.durable import write_durably
from knightshift.reconstruction.export.nifti import nifti_bytes
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import T2Fit, T2Status


def write_t2_maps(fit: T2Fit, series: ImageSeries, folder: Path) -> tuple[Path, ...]:
    """Write ``t2_map``, ``t2_std``, ``t2_amplitude`` and ``t2_status`` as ``.nii.gz``, each with a JSON side-car.

    Parameters
    ----------
    fit
        Maps of shape ``(slice, phase_encode, readout)``.
    series
        The images they were fitted to: tells where the voxels are.
    folder
        Must exist. Slices in several directions give several files, ``t2_map_stack1.nii.gz`` and so on.

    Returns
    -------
    tuple of Path
        The NIfTI files.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    maps: dict[str, tuple[RealArray, str, str]] = {
        "t2_map": (fit.t2, "s", "T2 of each voxel; NaN where t2_status is not 0"),
        "t2_std": (fit.t2_std, "s", "standard deviation of T2; NaN where t2_status is not 0"),
        "t2_amplitude": (fit.amplitude, "arbitrary", "signal at echo time zero, in units of the images"),
        "t2_status": (fit.status.astype(np.float32), "1", _status_words()),
    }
    stacks = series.slice_stacks
    paths = []
    for name, (values, units, meaning) in maps.items():
        for number, stack in enumerate(stacks, start=1):
            stem = name if len(stacks) == 1 else f"{name}_stack{number}"
            path = folder / f"{stem}.nii.gz"
            content = nifti_bytes(values[list(stack.slices)], stack.geometry, f"{name}, units: {units}")
            write_durably(path, content)
            sidecar = {"Units": units, "Description": meaning, "Methods": fit.methods_sentence()}
            write_durably(folder / f"{stem}.json", (json.dumps(sidecar, indent=2) + "\n").encode())
            paths.append(path)
    return tuple(paths)


def _status_words() -> str:
    return ", ".join(f"{int(status)}: {status.name.lower().replace('_', ' ')}" for status in T2Status)
