"""T2 maps as NIfTI: seconds, on the grid of the images, with a side-car that says what each number is.

File names say ``t2`` for gradient echoes too; what the numbers are (T2 or T2*) the header and the side-car say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightshift.core.durable import write_durably
from knightshift.reconstruction.export.nifti import nifti_bytes
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import ModelVerdict, RicherFit, RicherModel, T2Fit, T2Status, VoxelTrains
from knightshift.reconstruction.relaxometry.result import has_t2
from knightshift.reconstruction.t2_symbol import T2Name, in_symbol, t2_name


@dataclass(frozen=True)
class MapKind:
    """One of the maps that a fit is written as."""

    name: str
    """Beginning of the names of its files."""
    quantity: str
    """Attribute of `T2Fit` (or `RicherFit`, `VoxelTrains`)."""
    units: str
    """Of each number; ``"1"`` for none."""
    meaning: str
    """What each number is."""

    @property
    def dataset(self) -> str:
        """Name in a file of maps: maps of T2 go by their quantity there, others by their own name."""
        return self.quantity if self.name.startswith("t2_") else self.name

    def description(self, of: T2Name) -> str:
        """Say in a NIfTI header, which has little room, what the numbers are."""
        return f"{self.name}{'' if of == 'T2' else f' ({of})'}, units: {self.units}"


_STATUS_WORDS = ", ".join(f"{int(status)}: {status.name.lower().replace('_', ' ')}" for status in T2Status)
_CODES_WITH_T2 = " nor ".join(str(int(status)) for status in T2Status if has_t2(np.array(status)))
NO_T2 = f"NaN where the status is neither {_CODES_WITH_T2}"
"""Which voxels of a map have no T2."""
T2_MAPS = (
    MapKind("t2_map", "t2", "s", f"T2 of each voxel; {NO_T2}"),
    MapKind("t2_std", "t2_std", "s", f"standard deviation of T2; {NO_T2}"),
    MapKind("t2_amplitude", "amplitude", "arbitrary", "signal at echo time zero, in units of the images"),
    MapKind("t2_status", "status", "1", _STATUS_WORDS),
)
"""Maps of a T2 fit."""
_VERDICT_WORDS = ", ".join(f"{int(verdict)}: {verdict.words}" for verdict in ModelVerdict)
_NOT_FITTED = "NaN where the model was not fitted"
_RICHER_MAPS = (
    MapKind("richer_verdict", "verdict", "1", _VERDICT_WORDS),
    MapKind("richer_amplitude", "amplitude", "arbitrary", f"signal at echo time zero; {_NOT_FITTED}"),
    MapKind("richer_t2", "t2", "s", f"T2 of the slow part, or of the stretched decay; {_NOT_FITTED}"),
    MapKind("richer_t2_std", "t2_std", "s", f"standard deviation of richer_t2; {_NOT_FITTED}"),
    MapKind("richer_aicc", "aicc", "1", "AICc minus that of one exponential: the richer model is better below 0"),
    MapKind("richer_f_probability", "f_probability", "1", "probability of such a gain if one exponential is true"),
)
_BIEXPONENTIAL = (
    MapKind("richer_t2_fast", "t2_fast", "s", f"T2 of the fast part; {_NOT_FITTED}"),
    MapKind("richer_t2_fast_std", "t2_fast_std", "s", f"standard deviation of richer_t2_fast; {_NOT_FITTED}"),
    MapKind("richer_fast_share", "fast_share", "1", f"share of the fast part at echo time zero; {_NOT_FITTED}"),
    MapKind("richer_fast_share_std", "fast_share_std", "1", "standard deviation of it; 0 where it is fixed"),
)
_STRETCHED = (
    MapKind("richer_stretch", "stretch", "1", f"exponent of the stretched decay; {_NOT_FITTED}"),
    MapKind("richer_stretch_std", "stretch_std", "1", f"standard deviation of richer_stretch; {_NOT_FITTED}"),
)
_TRAIN_MAPS = (
    MapKind("train_b1", "b1", "1", "B1 of the echo train over the nominal one, given or fitted; NaN: not known"),
    MapKind("train_t1", "t1", "s", "T1 that the fit of the echo train was given; NaN: not known"),
)


def write_sidecar(path: Path, kind: MapKind, methods: str, of: T2Name) -> None:
    """Write the JSON beside a map. Raises `StorageError` if the disk is full or read-only."""
    fields = {"Quantity": of, "Units": kind.units, "Description": in_symbol(kind.meaning, of)}
    fields["Methods"] = in_symbol(methods, of)
    if kind.name.startswith("train_"):
        del fields["Quantity"]
    write_durably(
        path.with_name(path.name.removesuffix(".nii.gz") + ".json"), (json.dumps(fields, indent=2) + "\n").encode()
    )


def write_t2_maps(fit: T2Fit, series: ImageSeries, folder: Path) -> tuple[Path, ...]:
    """Write ``t2_map``, ``t2_std``, ``t2_amplitude`` and ``t2_status`` as ``.nii.gz``, each with a JSON side-car.

    Of a train whose voxels have a B1 or T1 of their own, ``train_b1`` and ``train_t1`` too.

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
    return _write_maps(fit_maps(fit), series, folder, fit.methods_sentence())


def write_richer_maps(richer: RicherFit, series: ImageSeries, folder: Path) -> tuple[Path, ...]:
    """Write ``richer_t2``, ``richer_verdict`` and so on, as `write_t2_maps` does; only what the model has.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    return _write_maps(richer_maps(richer), series, folder, richer.methods_sentence())


def fit_maps(fit: T2Fit) -> dict[MapKind, NDArray[Any]]:
    """Collect the maps of a fit, shape ``image``."""
    maps = _values(fit, T2_MAPS)
    return maps if fit.trains is None else maps | _values(fit.trains, _TRAIN_MAPS)


def richer_maps(richer: RicherFit) -> dict[MapKind, NDArray[Any]]:
    """Collect the maps of a richer model of the decay, shape ``image``."""
    return _values(richer, richer_kinds(richer.model))


def richer_kinds(model: RicherModel) -> tuple[MapKind, ...]:
    """List the maps that a richer model of the decay has."""
    return _RICHER_MAPS + (_STRETCHED if model == "stretched" else _BIEXPONENTIAL)


def kind_of(dataset: str) -> MapKind:
    """Tell what a data set of a file of maps is. Raises `KeyError` for what is none."""
    kinds = (*T2_MAPS, *_RICHER_MAPS, *_BIEXPONENTIAL, *_STRETCHED, *_TRAIN_MAPS)
    return {one.dataset: one for one in kinds}[dataset]


def _values(source: T2Fit | RicherFit | VoxelTrains, kinds: tuple[MapKind, ...]) -> dict[MapKind, NDArray[Any]]:
    values = {one: getattr(source, one.quantity) for one in kinds}
    return {one: np.asarray(array) for one, array in values.items() if array is not None}


def _write_maps(
    maps: Mapping[MapKind, NDArray[Any]], series: ImageSeries, folder: Path, methods: str
) -> tuple[Path, ...]:
    stacks, of = series.slice_stacks, t2_name(series)
    paths = []
    for one, values in maps.items():
        for number, stack in enumerate(stacks, start=1):
            stem = one.name if len(stacks) == 1 else f"{one.name}_stack{number}"
            path = folder / f"{stem}.nii.gz"
            write_durably(path, nifti_bytes(values[list(stack.slices)], stack.geometry, one.description(of)))
            write_sidecar(path, one, methods, of)
            paths.append(path)
    return tuple(paths)
