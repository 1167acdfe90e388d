"""What to fit to images, and the fit: of all of them at once, or of a few slices of what is larger than memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.arrays import BoolArray, ComplexArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.mask_file import MaskFile, open_map, open_mask, read_map
from knightshift.reconstruction.relaxometry import (
    EchoTrain,
    RicherFit,
    RicherModel,
    T2Fit,
    T2Options,
    VoxelTrains,
    fit_richer_model,
    fit_series,
    train_of,
    with_train,
)
from knightshift.reconstruction.relaxometry.voxel_trains import LARGEST_B1, LONGEST_T1, scaled_train
from knightshift.reconstruction.voxel_file import Grid, VoxelFile

_ENDINGS = (".nii.gz", ".nii", ".npy", ".h5", ".hdf5")
_FALSE_VOXELS = 0.01
_FROM_THE_MAP = 1.0
"""T1 of a train whose voxels have one of their own each: nothing reads it [s]."""


class T2Request(BaseModel):
    """What a user may choose about a fit of images; travels and rests as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fit: T2Options = T2Options()
    """How T2 of images is fitted."""
    noise: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Noise of the real part of images, in their units; None: as it is measured in each."""
    model: RicherModel | None = None
    """A decay to compare with one exponential."""
    mask: Path | None = None
    """Voxels to fit: a file, or for many scans a folder of such."""
    b1: Literal["fit"] | Annotated[float, Field(gt=0, le=LARGEST_B1)] | Path | None = None
    """Of an echo train, B1 over the nominal one: of every voxel (a number), of each (a file, or a folder), or to be
    fitted; None: one."""
    t1: Annotated[float, Field(gt=0, le=LONGEST_T1)] | Path | None = None
    """Of an echo train, T1: of every voxel [s] or of each (a file, or a folder); None: that of the metal."""

    @property
    def files(self) -> dict[str, Path]:
        """Files of numbers of voxels, by the name of the choice."""
        chosen = {"mask": self.mask, "b1": self.b1, "t1": self.t1}
        return {name: path for name, path in chosen.items() if isinstance(path, Path)}

    def check_unused(self) -> None:
        """Refuse what is for T2 only, where there is none to fit. Raises `InputError`."""
        chosen = {"model": self.model, "mask": self.mask, "b1": self.b1, "t1": self.t1}
        if given := [f"--{name}" for name, value in chosen.items() if value is not None]:
            raise InputError(
                f"{' and '.join(given)}: for T2, which needs images at several echo times: these do not step it"
            )

    def of_item(self, name: str) -> Self:
        """Take from each folder the file of one scan: ``<name>.nii.gz``, ``.nii``, ``.npy`` or ``.h5``.

        Where a folder holds none the first of these is named, which the fit then does not find.
        """
        found: dict[str, Path] = {}
        for choice, path in self.files.items():
            if path.is_dir():
                of_item = [path / f"{name}{ending}" for ending in _ENDINGS]
                found[choice] = next((file for file in of_item if file.is_file()), of_item[0])
        return self.model_copy(update=found)


Request = TypeVar("Request", bound=T2Request)


@dataclass(frozen=True)
class FittedImages:
    """Images, and what was fitted to them."""

    series: ImageSeries
    """The images, with the noise that was taken."""
    told: ImageSeries
    """The same, with a word on masks and maps in its methods."""
    fit: T2Fit
    """T2 of every voxel."""
    richer: RicherFit | None
    """A decay of more parameters, where one was asked for."""


@dataclass(frozen=True)
class Slab:
    """Slices of a volume, and what they need to know of the whole."""

    start: int
    """First slice."""
    stop: int
    """One past the last."""
    n_slices: int
    """Of the volume."""
    turns: ComplexArray | None
    """Turn of each echo as a whole over the volume, of `turns_of_volume`."""


class VoxelInputs:
    """Mask and maps of a request, found and checked against the grid of the images.

    Parameters
    ----------
    request
        What was chosen.
    grid
        Of all slices.

    Raises
    ------
    InputError, ShapeError, DamagedDataError, UnsupportedDataError
        If a file is not there, of other voxels, damaged or of another kind, or nothing is inside the mask.
    """

    def __init__(self, request: T2Request, grid: Grid) -> None:
        self.request = request
        self._mask: MaskFile | None = None if request.mask is None else open_mask(request.mask, grid)
        self._b1, self._t1 = (
            open_map(chosen, grid, name) if isinstance(chosen, Path) else None
            for chosen, name in ((request.b1, "B1"), (request.t1, "T1"))
        )
        inside = None if self._mask is None else self._mask.count()
        self.sentences = _sentences(request, inside, int(np.prod(grid.shape)))
        """What was chosen, for the methods paragraph."""

    def mask(self, start: int, stop: int) -> BoolArray | None:
        """Voxels of interest of some slices."""
        return None if self._mask is None else self._mask.read(start, stop)

    def trains(self, train: EchoTrain | None, start: int, stop: int) -> VoxelTrains | None:
        """Trains of some slices, where B1 or T1 are from maps."""
        if train is None or (self._b1 is None and self._t1 is None):
            return None
        b1, t1 = (_slices(file, start, stop) for file in (self._b1, self._t1))
        return VoxelTrains(train, b1, t1)


def _slices(file: VoxelFile | None, start: int, stop: int) -> np.ndarray | None:
    return None if file is None else read_map(file, start, stop)


def _sentences(request: T2Request, n_inside: int | None, n_voxels: int) -> tuple[str, ...]:
    sentences = []
    if request.mask is not None:
        sentences.append(f"Only voxels inside a mask were fitted: {n_inside} of {n_voxels} ({request.mask.name}).")
    if isinstance(request.b1, Path):
        sentences.append(f"B1 of the pulses was taken from a map ({request.b1.name}).")
    elif isinstance(request.b1, float):
        sentences.append(f"B1 of the pulses was taken as {request.b1:g} of the nominal one.")
    if isinstance(request.t1, Path):
        sentences.append(f"T1 was taken from a map ({request.t1.name}).")
    return tuple(sentences)


def fit_images(
    series: ImageSeries, request: T2Request, inputs: VoxelInputs | None = None, slab: Slab | None = None
) -> FittedImages:
    """Fit T2, and a richer decay where one is asked for.

    Parameters
    ----------
    series
        Images at two echo times or more; of a larger volume the slices of `slab`.
    request
        What was chosen.
    inputs
        Its files, where they are open already.
    slab
        Which slices these are; None: all.

    Raises
    ------
    InputError, ShapeError, DamagedDataError, UnsupportedDataError
        If what was chosen does not go with the images, or a file is not what it should be.
    """
    if request.noise is not None:
        series = series.with_noise(request.noise)
    inputs = inputs or VoxelInputs(request, Grid.of(series))
    slab = slab or Slab(0, series.images.shape[1], series.images.shape[1], None)
    options, assumed = train_options(series, request)
    fit = fit_series(
        series,
        options,
        false_voxels=_FALSE_VOXELS * (slab.stop - slab.start) / slab.n_slices,
        turns=slab.turns,
        mask=inputs.mask(slab.start, slab.stop),
        trains=inputs.trains(options.train, slab.start, slab.stop),
    )
    richer = None if request.model is None else fit_richer_model(fit, request.model)
    provenance = {**series.provenance, **{name: str(path) for name, path in request.files.items()}}
    told = replace(series, methods=(*series.methods, *assumed, *inputs.sentences), provenance=provenance)
    return FittedImages(series, told, fit, richer)


def train_options(series: ImageSeries, request: T2Request) -> tuple[T2Options, tuple[str, ...]]:
    """Options of a fit with the echo train that was asked for, and sentences on what had to be assumed.

    Raises
    ------
    InputError
        If B1 or T1 are given for images that are no echoes of a train, T1 is not known, or an offset is chosen too.
    """
    if request.b1 is None and request.t1 is None:
        return with_train(request.fit, series), ()
    if request.fit.offset != "none":
        raise InputError(f"--offset {request.fit.offset} with --b1 or --t1: an echo train is fitted without an offset")
    metal = train_of(series)
    if metal is None and request.t1 is None:
        raise InputError("--b1: an echo train needs a T1 too, and nothing tells it: give --t1 '120 ms', or a map of it")
    spacing = _echo_spacing(series)
    t1 = request.t1 if isinstance(request.t1, float) else _FROM_THE_MAP if metal is None else metal.t1
    if metal is not None:
        train = metal.model_copy(update={"t1": t1})
    else:
        train = EchoTrain(echo_spacing=spacing, n_echoes=len(series.echo_times), t1=t1, **_angles(series))
    if isinstance(request.b1, float):
        train = scaled_train(train, request.b1)
    assumed = (
        ("The flip angles of the echo train are not in the data: 90 and 180 degrees were taken as the nominal ones.",)
        if series.train is None
        else ()
    )
    return request.fit.model_copy(update={"train": train, "fit_b1": request.b1 == "fit"}), assumed


def applicable(series: ImageSeries, request: Request) -> Request:
    """Leave out of a request what is for trains where these are separate echoes, and the other way round.

    For archives, whose scans are of many kinds.
    """
    try:
        _echo_spacing(series)
    except InputError:
        request = request.model_copy(update={"b1": None, "t1": None})
    modelled = request.b1 is not None or request.t1 is not None or train_of(series) is not None
    return request.model_copy(update={"model": None}) if modelled else request


def _angles(series: ImageSeries) -> dict[str, float]:
    """Nominal flip angles [rad]; none where the data do not tell them."""
    if series.train is None:
        return {}
    return {"excitation": series.train.excitation, "refocusing": series.train.refocusing}


def _echo_spacing(series: ImageSeries) -> float:
    """Time between two echoes of a train [s]. Raises `InputError` if these are no echoes of one."""
    if series.refocused is False or (series.train is None and "run_id" in series.provenance):
        what = "gradient echoes" if series.refocused is False else "spin echoes with an excitation of their own each"
        raise InputError(
            f"--b1 and --t1 are for trains of spin echoes, in which stimulated echoes mix: these are {what}"
        )
    times, first = series.echo_times, float(series.echo_times[0])
    if not np.allclose(times, first * np.arange(1, len(times) + 1), rtol=1e-6, atol=0):
        told = ", ".join(f"{1e3 * time:g}" for time in times)
        raise InputError(
            f"--b1 and --t1 are for trains of spin echoes, whose echo times are multiples of the first: "
            f"these are at {told} ms"
        )
    return first
