"""T2 maps as NIfTI: seconds, on the grid of the images, with a side-car that says what each number is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from knightshift.core.durable import write_durably
from knightshift.reconstruction.export.nifti import nifti_bytes
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import ModelVerdict, RicherFit, T2Fit, T2Status


@dataclass(frozen=True)
class MapKind:
    """One of the maps that a fit is written as."""

    name: str
    """Beginning of the names of its files."""
    quantity: str
    """Attribute of `T2Fit` (or `RicherFit`), and data set of a file of maps."""
    units: str
    """Of each number; ``"1"`` for none."""
    meaning: str
    """What each number is."""

    @property
    def description(self) -> str:
        """What a NIfTI header has room for."""
        return f"{self.name}, units: {self.units}"


_STATUS_WORDS = ", ".join(f"{int(status)}: {status.name.lower().replace('_', ' ')}" for status in T2Status)
T2_MAPS = (
    MapKind("t2_map", "t2", "s", "T2 of each voxel; NaN where t2_status is not 0"),
    MapKind("t2_std", "t2_std", "s", "standard deviation of T2; NaN where t2_status is not 0"),
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


def write_sidecar(path: Path, kind: MapKind, methods: str) -> None:
    """Write the JSON beside a map. Raises `StorageError` if the disk is full or read-only."""
    fields = {"Units": kind.units, "Description": kind.meaning, "Methods": methods}
    write_durably(
        path.with_name(path.name.removesuffix(".nii.gz") + ".json"), (json.dumps(fields, indent=2) + "\n").encode()
    )


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
    return _write_maps(fit, T2_MAPS, series, folder, fit.methods_sentence())


def write_richer_maps(richer: RicherFit, series: ImageSeries, folder: Path) -> tuple[Path, ...]:
    """Write ``richer_t2``, ``richer_verdict`` and so on, as `write_t2_maps` does; only what the model has.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    return _write_maps(richer, richer_kinds(richer), series, folder, richer.methods_sentence())


def richer_kinds(richer: RicherFit) -> tuple[MapKind, ...]:
    """List the maps that a richer model of the decay has."""
    return _RICHER_MAPS + (_STRETCHED if richer.model == "stretched" else _BIEXPONENTIAL)


def _write_maps(
    source: T2Fit | RicherFit, kinds: tuple[MapKind, ...], series: ImageSeries, folder: Path, methods: str
) -> tuple[Path, ...]:
    stacks = series.slice_stacks
    paths = []
    for one in kinds:
        values = getattr(source, one.quantity)
        for number, stack in enumerate(stacks, start=1):
            stem = one.name if len(stacks) == 1 else f"{one.name}_stack{number}"
            path = folder / f"{stem}.nii.gz"
            write_durably(path, nifti_bytes(values[list(stack.slices)], stack.geometry, one.description))
            write_sidecar(path, one, methods)
            paths.append(path)
    return tuple(paths)
