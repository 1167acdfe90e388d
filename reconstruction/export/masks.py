"""Masks as NIfTI on the grid of the images: what was analysed, parts of the bulk, isolated regions.

Laid over an X-ray CT of the same cell in napari or 3D Slicer they are in place at once, since the affine is that of the
magnet in millimetres.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from knightshift.core.arrays import BoolArray
from knightshift.core.durable import write_durably
from knightshift.reconstruction.export.nifti import nifti_bytes
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.region_words import region_words
from knightshift.reconstruction.relaxometry import Populations, T2Fit
from knightshift.reconstruction.t2_symbol import in_symbol, t2_name

_MEANINGS = {
    "analysed": "voxels that have a T2",
    "electrodes": "large connected parts of the bulk of T2",
    "parts": "large connected parts of the bulk of T2",
    "isolated": "isolated regions of T2 significantly longer than the bulk",
    "dendrites": "isolated regions of T2 significantly longer than the bulk: candidates for dendrites",
}


def region_masks(fit: T2Fit, populations: Populations | None, nucleus: str | None) -> dict[str, BoolArray]:
    """Masks of shape ``(slice, phase_encode, readout)`` by name.

    They are ``analysed``, and of a cell ``electrodes`` and ``dendrites``, of other objects (told by the `nucleus`)
    ``parts`` and ``isolated``; these two are empty without `populations`, where no voxel has a T2.
    """
    words = region_words(nucleus)
    parts, isolated = np.zeros_like(fit.ok), np.zeros_like(fit.ok)
    if populations is not None:
        for mask in populations.electrode_masks():
            parts |= mask
        for number in range(len(populations.isolated)):
            isolated |= populations.mask(number)
    return {"analysed": fit.ok, words.parts_mask: parts, words.isolated_mask: isolated}


def write_masks(fit: T2Fit, populations: Populations | None, series: ImageSeries, folder: Path) -> tuple[Path, ...]:
    """Write the masks of `region_masks` as ``mask_analysed.nii.gz`` and so on: 1 inside, 0 outside.

    Slices in several directions give several files, ``mask_analysed_stack1.nii.gz`` and so on.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    paths = []
    stacks = series.slice_stacks
    for name, mask in region_masks(fit, populations, series.nucleus).items():
        for number, stack in enumerate(stacks, start=1):
            stem = f"mask_{name}" if len(stacks) == 1 else f"mask_{name}_stack{number}"
            path = folder / f"{stem}.nii.gz"
            write_durably(path, nifti_bytes(mask[list(stack.slices)].astype(np.uint8), stack.geometry, stem))
            sidecar = {"Description": in_symbol(mask_meaning(name), t2_name(series)), "Units": "1"}
            write_durably(folder / f"{stem}.json", (json.dumps(sidecar, indent=2) + "\n").encode())
            paths.append(path)
    return tuple(paths)


def mask_meaning(name: str) -> str:
    """Say what the voxels of a mask are."""
    return _MEANINGS[name]
