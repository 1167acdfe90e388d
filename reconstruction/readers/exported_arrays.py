"""Arrays that somebody has exported (``.npy``, ``.mat``), with a YAML file that says what their axes are.

::

    format: knightshift array 1
    file: Fid_rat_6week_mge.mat
    holds: kspace
    axes: [phase_encode, echo, readout, part]
    shape: [256, 15, 256, 2]
    echo_times: {first: 2.7 ms, spacing: 3.4 ms}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Discriminator, Field, PositiveInt, Tag, model_validator

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import ConfigError, ShapeError
from knightshift.core.geometry import ImageGeometry
from knightshift.core.nuclei import Isotope
from knightshift.core.quantities import NonNegativeSeconds, PositiveHertz, PositiveMetres, PositiveSeconds
from knightshift.core.yaml_files import read_yaml, validate
from knightshift.reconstruction.fid_series import Experiment, FidSeries
from knightshift.reconstruction.images import ECHO_FORMATION, SPIN_ECHO, ImageSeries
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.readers._array_files import read_array
from knightshift.reconstruction.readers._raw_files import check_samples, read_start
from knightshift.reconstruction.readers._stored_images import NO_ECHO_TIMES, StoredImages, series_of

_FORMAT = "knightshift array 1"
_START_BYTES = 65536
_FRAME = "of the array: slice, phase encoding and readout count as x, y and z, from the middle of the image"

Axis: TypeAlias = Literal["repetition", "echo", "slice", "channel", "phase_encode", "readout", "step", "sample", "part"]
_ORDER: dict[str, tuple[Axis, ...]] = {
    "kspace": ("repetition", "echo", "slice", "channel", "phase_encode", "readout"),
    "images": ("echo", "slice", "phase_encode", "readout"),
    "fids": ("step", "sample"),
}
_NEEDED: dict[str, set[Axis]] = {
    "kspace": {"phase_encode", "readout"},
    "images": {"phase_encode", "readout"},
    "fids": {"sample"},
}


class Progression(BaseModel):
    """Evenly spaced times."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: PositiveSeconds
    """[s]"""
    spacing: PositiveSeconds
    """[s]"""


Times: TypeAlias = Annotated[
    Annotated[tuple[NonNegativeSeconds, ...], Tag("list")] | Annotated[Progression, Tag("evenly spaced")],
    Discriminator(lambda value: "evenly spaced" if isinstance(value, dict | Progression) else "list"),
]
"""Every time, or the first and their spacing; told apart, so that a mistake in one is not reported for both."""


class FieldOfView(BaseModel):
    """Size of the image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase_encode: PositiveMetres
    """[m]"""
    readout: PositiveMetres
    """[m]"""


class ArrayDescription(BaseModel):
    """What an exported array holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["knightshift array 1"]
    """Version of this description."""
    file: str = Field(min_length=1, max_length=1000)
    """The ``.npy`` or ``.mat`` file, from the folder of the description."""
    variable: str | None = None
    """Variable of a ``.mat`` file that holds several."""
    holds: Literal["kspace", "images", "fids"]
    """K-space of 2D images, images, or free induction decays."""
    axes: Annotated[tuple[Axis, ...], Field(min_length=1, max_length=8)]
    """Axes of the array, the slowest first; ``part`` (of length 2) holds real and imaginary numbers."""
    shape: Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=8)] | None = None
    """Shape to bring a flat array into, the last axis fastest."""
    echo_times: Times | None = None
    """Echo times [s]."""
    echoes: Literal["spin echo", "gradient echo"] | None = None
    """How the echoes were made: spin echoes decay with T2, gradient echoes with T2*."""
    inversion_times: tuple[PositiveSeconds, ...] | None = None
    """Inversion times along the echo axis [s]."""
    delays: tuple[NonNegativeSeconds, ...] | None = None
    """Delay of each step of FIDs [s]."""
    experiment: Experiment = "unknown"
    """What the steps of FIDs measure."""
    field_of_view: FieldOfView | None = None
    """[m]"""
    slice_spacing: PositiveMetres | None = None
    """From slice to slice [m]."""
    line_steps: tuple[int, ...] | None = None
    """Phase-encode step of each line, 0 at k = 0; by default rising, with k = 0 in the middle."""
    dwell_time: PositiveSeconds | None = None
    """Time between samples [s]."""
    nucleus: Isotope | None = None
    """Isotope."""
    working_frequency: PositiveHertz | None = None
    """Frequency of the receiver [Hz]."""
    reference_frequency: PositiveHertz | None = None
    """Frequency of zero shift [Hz]."""

    @model_validator(mode="after")
    def _axes_fit(self) -> Self:
        allowed = {*_ORDER[self.holds], "part"}
        unknown, lost = set(self.axes) - allowed, _NEEDED[self.holds] - set(self.axes)
        if unknown or lost or len(set(self.axes)) != len(self.axes):
            raise ValueError(
                f"axes {list(self.axes)} of {self.holds}: allowed, once each, are {sorted(allowed)}, and "
                f"{sorted(_NEEDED[self.holds])} must be there"
            )
        if self.shape is not None and len(self.shape) != len(self.axes):
            raise ValueError(f"shape {list(self.shape)} does not have the {len(self.axes)} axes")
        if self.holds == "fids" and self.dwell_time is None:
            raise ValueError("fids need a dwell_time")
        return self


def is_array_description(path: Path) -> bool:
    """Tell whether a file is a YAML description of an exported array."""
    if _FORMAT.encode() not in read_start(path, _START_BYTES):
        return False
    try:
        content = read_yaml(path)
    except ConfigError:
        return False
    return isinstance(content, dict) and content.get("format") == _FORMAT


def read_exported(path: Path) -> KSpaceScan | ImageSeries | FidSeries:
    """Read the array that a YAML description names.

    Raises
    ------
    ConfigError
        If the description is wrong.
    DamagedDataError
        If the file of the array is damaged.
    ShapeError
        If the array does not have the axes that were described.
    """
    description: ArrayDescription = validate(ArrayDescription, read_yaml(path), str(path), units_required=True)
    file = path.parent / description.file
    values = _ordered(file, read_array(file, description.variable), description)
    if description.holds == "fids":
        return _fids(file, values, description)
    return _images(file, values, description) if description.holds == "images" else _kspace(file, values, description)


def _ordered(file: Path, array: NDArray[Any], description: ArrayDescription) -> ComplexArray:
    """Complex numbers with every axis of the kind of data, in our order."""
    axes, shape = list(description.axes), description.shape
    check_samples(file, "numbers", array)
    if shape is not None:
        if array.size != int(np.prod(shape, dtype=object)):
            raise ShapeError(f"{file}: {array.size} numbers cannot take the shape {list(shape)}")
        array = array.reshape(shape)
    if array.ndim != len(axes):
        raise ShapeError(f"{file}: an array of shape {array.shape} does not have the axes {axes}: give its shape")
    if "part" in axes:
        index = axes.index("part")
        if array.shape[index] != 2 or np.iscomplexobj(array):
            raise ShapeError(
                f"{file}: the axis 'part' has length {array.shape[index]}: it holds real and imaginary, so 2"
            )
        array = np.take(array, 0, axis=index) + 1j * np.take(array, 1, axis=index)
        axes.remove("part")
    order = _ORDER[description.holds]
    array = array.transpose([axes.index(name) for name in order if name in axes])
    array = array.reshape(
        [array.shape[[n for n in order if n in axes].index(name)] if name in axes else 1 for name in order]
    )
    return array.astype(np.complex64)


def _contrasts(file: Path, description: ArrayDescription, n_echoes: int) -> tuple[RealArray, RealArray | None]:
    """Echo and inversion times, shape ``(echo,)`` each."""
    given = description.echo_times
    if isinstance(given, Progression):
        echo_times = given.first + given.spacing * np.arange(n_echoes)
    else:
        echo_times = np.array(given if given is not None else (0.0,) * n_echoes, dtype=float)
    inversion = None if description.inversion_times is None else np.array(description.inversion_times)
    for name, times in (("echo_times", echo_times), ("inversion_times", inversion)):
        if times is not None and times.shape != (n_echoes,):
            raise ShapeError(f"{file}: {times.size} {name} for {n_echoes} echoes")
    return echo_times, inversion


def _voxel(description: ArrayDescription, matrix: tuple[int, int]) -> tuple[float, float, float]:
    spacing = description.slice_spacing or 1e-3
    fov = description.field_of_view
    if fov is None:
        return spacing, 1e-3, 1e-3
    return spacing, fov.phase_encode / matrix[0], fov.readout / matrix[1]


def _missing(description: ArrayDescription) -> tuple[str, ...]:
    words = ["orientation and position of the slices"]
    for value, name in (
        (description.field_of_view, "the field of view: voxels count as 1 mm"),
        (description.slice_spacing, "the spacing of the slices: it counts as 1 mm"),
        (description.echo_times, NO_ECHO_TIMES),
        (description.nucleus, "the nucleus"),
        (description.working_frequency, "the working frequency"),
    ):
        words += [name] if value is None else []
    return tuple(words)


def _geometries(description: ArrayDescription, n_slices: int, matrix: tuple[int, int]) -> tuple[ImageGeometry, ...]:
    voxel = _voxel(description, matrix)
    corner = -np.array([0.0, matrix[0] // 2 * voxel[1], matrix[1] // 2 * voxel[2]])
    middle = n_slices // 2
    positions = [corner + np.array([(index - middle) * voxel[0], 0, 0]) for index in range(n_slices)]
    return tuple(ImageGeometry(voxel, np.eye(3), position) for position in positions)


def _kspace(file: Path, values: ComplexArray, description: ArrayDescription) -> KSpaceScan:
    _, n_echoes, n_slices, _, n_lines, n_samples = values.shape
    echo_times, inversion = _contrasts(file, description, n_echoes)
    steps = np.arange(n_lines) - n_lines // 2 if description.line_steps is None else np.array(description.line_steps)
    if steps.shape != (n_lines,) or not np.array_equal(np.sort(steps), np.arange(n_lines) - n_lines // 2):
        raise ShapeError(f"{file}: line_steps are no order of {n_lines} lines around k = 0")
    return KSpaceScan(
        source=file,
        format="exported array",
        kspace=values,
        line_steps=steps,
        center_sample=n_samples // 2,
        grid=(n_lines, n_samples),
        matrix=(n_lines, n_samples),
        shifts=np.zeros((n_slices, 2)),
        transposed=np.zeros(n_slices, bool),
        echo_times=echo_times,
        inversion_times=inversion,
        refocused=None if description.echoes is None else description.echoes == SPIN_ECHO,
        frame=_FRAME,
        slice_geometries=_geometries(description, n_slices, (n_lines, n_samples)),
        dwell_time=description.dwell_time,
        nucleus=description.nucleus,
        working_frequency=description.working_frequency,
        methods=(f"K-space was read from {file.name}, with the axes that its description gives.",),
        missing=_missing(description),
    )


def _images(file: Path, values: ComplexArray, description: ArrayDescription) -> ImageSeries:
    n_echoes, n_slices, n_rows, n_columns = values.shape
    echo_times, inversion = _contrasts(file, description, n_echoes)
    stored = StoredImages(
        source=file,
        format="exported array",
        images=values,
        geometry=_geometries(description, n_slices, (n_rows, n_columns))[0],
        frame=_FRAME,
        echo_times=None if description.echo_times is None else echo_times,
        inversion_times=inversion,
        nucleus=description.nucleus,
        working_frequency=description.working_frequency,
        methods=(f"Images were read from {file.name}, with the axes that its description gives.",),
        missing=tuple(words for words in _missing(description) if words != NO_ECHO_TIMES),
        provenance={} if description.echoes is None else {ECHO_FORMATION: description.echoes},
    )
    return series_of(stored)


def _fids(file: Path, values: ComplexArray, description: ArrayDescription) -> FidSeries:
    delays = None if description.delays is None else np.array(description.delays)
    if delays is not None and delays.shape != (len(values),):
        raise ShapeError(f"{file}: {delays.size} delays for {len(values)} steps")
    assert description.dwell_time is not None
    return FidSeries(
        source=file,
        format="exported array",
        values=values,
        dwell_time=description.dwell_time,
        delays=delays,
        experiment=description.experiment,
        nucleus=description.nucleus,
        working_frequency=description.working_frequency,
        reference_frequency=description.reference_frequency,
        methods=(f"FIDs were read from {file.name}, with the axes that its description gives.",),
        missing=() if delays is not None or len(values) == 1 else ("a list of delays",),
    )
