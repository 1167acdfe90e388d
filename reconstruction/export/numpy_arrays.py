"""Images, maps and masks as plain ``.npy`` files, and ``arrays.json`` that names axes, units and positions."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightshift.core.durable import make_folder, write_durably
from knightshift.core.json_numbers import number_or_none
from knightshift.reconstruction.export.analysis import Analysis
from knightshift.reconstruction.export.maps import NO_T2, fit_maps, richer_maps
from knightshift.reconstruction.export.masks import mask_meaning, region_masks
from knightshift.reconstruction.relaxometry import T2Status
from knightshift.reconstruction.t2_symbol import in_symbol, t2_name

_VOXELS = ("slice", "phase_encode", "readout")
_SERIES = ("echo", *_VOXELS)


def write_numpy(analysis: Analysis, folder: Path) -> tuple[Path, ...]:
    """Write ``images.npy`` and, of a T2 map, ``t2``, ``t2_std``, ``amplitude``, ``status`` and masks.

    Of a richer decay and of a train with a B1 or T1 of its own in each voxel, their maps too, named as their NIfTI.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    make_folder(folder)
    series, fit = analysis.series, analysis.fit
    arrays: dict[str, tuple[NDArray[Any], tuple[str, ...], str, str]] = {
        "images": (series.images, _SERIES, "arbitrary", "complex images"),
    }
    if fit is not None:
        statuses = ", ".join(f"{int(status)}: {status.words}" for status in T2Status)
        arrays |= {
            "t2": (fit.t2, _VOXELS, "s", f"T2; {NO_T2}"),
            "t2_std": (fit.t2_std, _VOXELS, "s", "standard deviation of T2"),
            "amplitude": (fit.amplitude, _VOXELS, "arbitrary", "signal at echo time zero, in units of the images"),
            "status": (fit.status, _VOXELS, "1", statuses),
        }
        more = fit_maps(fit) | ({} if analysis.richer is None else richer_maps(analysis.richer))
        for one, values in more.items():
            if one.dataset == one.name:
                arrays[one.name] = (values, _VOXELS, one.units, one.meaning)
        for name, mask in region_masks(fit, analysis.populations, series.nucleus).items():
            arrays[f"mask_{name}"] = (mask, _VOXELS, "1", mask_meaning(name))
    for name, (values, *_) in arrays.items():
        write_durably(folder / f"{name}.npy", _npy(values))
    described = {
        name: {"axes": list(axes), "shape": list(values.shape), "dtype": str(values.dtype), "units": units,
               "meaning": in_symbol(meaning, t2_name(series))}
        for name, (values, axes, units, meaning) in arrays.items()
    }  # fmt: skip
    page = {"format": "knightshift arrays 1", "arrays": described, **_coordinates(analysis)}
    write_durably(folder / "arrays.json", (json.dumps(page, indent=2, allow_nan=False) + "\n").encode())
    return (*(folder / f"{name}.npy" for name in arrays), folder / "arrays.json")


def _coordinates(analysis: Analysis) -> dict[str, Any]:
    """Positions along the axes, and how they were made."""
    series = analysis.series
    return {
        "echo_times_s": series.echo_times.tolist(),
        "inversion_times_s": None if series.inversion_times is None else series.inversion_times.tolist(),
        "noise_std": [number_or_none(value) for value in series.noise_std],
        "laboratory_axes": list(series.axes),
        "stacks": [
            {"slices": list(stack.slices), "affine_m": stack.geometry.affine.tolist()} for stack in series.slice_stacks
        ],
        "affine_means": "(slice, phase_encode, readout, 1) of a stack to (x, y, z, 1) in metres",
        "nucleus": series.nucleus,
        "working_frequency_Hz": series.working_frequency,
        "methods": list(series.methods),
        "provenance": series.provenance,
    }


def _npy(values: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    return content.getvalue()
