"""Phantoms from array files: maps of density, T1, T2 and shift, voxel by voxel."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from knightshift.core.arrays import RealArray
from knightshift.core.errors import ConfigError, DamagedDataError
from knightshift.core.nuclei import Isotope
from knightshift.core.quantities import Metres, PositiveMetres, PositiveSeconds, Ratio, to_si

_LARGEST_FILE = 512_000_000
_MOST_VALUES = 16_000_000
_UNITS = {"density": "1", "t1": "s", "t2": "s", "shift": "ppm"}

Axis = Literal["x", "y", "z"]


class MapFile(BaseModel):
    """One array in a file: NumPy ``.npy`` or ``.npz``, or NIfTI ``.nii`` or ``.nii.gz``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path
    """Where it is; relative to the phantom file."""
    array: str | None = None
    """Name of the array in an ``.npz``."""
    unit: str | None = None
    """Unit of the values, for T1, T2 (``ms``) and shift (``ppm``)."""
    sha256: str | None = None
    """Checksum of the file; filled in when the phantom is read, so that a resumed run sees the same sample."""


class VoxelMap(BaseModel):
    """Voxels whose material comes from array files; what is the same everywhere may be a plain quantity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """What people call it."""
    nucleus: Isotope = "23Na"
    """Isotope that it holds."""
    density: float | MapFile = 1.0
    """Spin density over that of the metal; 0 for nothing there."""
    t1: PositiveSeconds | MapFile
    """Longitudinal relaxation time [s]."""
    t2: PositiveSeconds | MapFile
    """Transverse relaxation time [s]."""
    shift: Ratio | MapFile = 0.0
    """Knight or chemical shift (a ratio)."""
    t2_prime: PositiveSeconds | None = None
    """Decay time of the Lorentzian distribution of frequencies [s]; None for none."""
    nutation_factor: float = Field(default=1.0, ge=1, le=2)
    """Nutation of the observed transition over that of a free spin."""
    axes: tuple[Axis, ...] = ("z", "y")
    """What the axes of the arrays are: two, or three with x among them."""
    voxel_size: dict[Axis, PositiveMetres]
    """Size of a voxel along x, y and z [m]; for a plane, x is its thickness."""
    center: dict[Axis, Metres] = {}
    """Where index ``n // 2`` of each axis lies [m]; 0 if not given."""
    sites_per_voxel: PositiveInt = 1
    """So many sites along y and again along z in each voxel."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if len(set(self.axes)) != len(self.axes) or not {"y", "z"} <= set(self.axes):
            raise ValueError(f"axes {list(self.axes)} must hold y and z, and may hold x, each once")
        if missing := {"x", "y", "z"} - set(self.voxel_size):
            raise ValueError(f"voxel_size lacks {sorted(missing)}: give x, y and z")
        if not self.files:
            raise ValueError("none of density, t1, t2, shift is a file: write a compartment with a shape instead")
        for name, entry in self.files.items():
            if entry.unit is None and _UNITS[name] != "1":
                raise ValueError(
                    f"{name} needs a unit for the values of {entry.file}: write e.g. unit: {_EXAMPLE[name]}"
                )
        return self

    @property
    def files(self) -> dict[str, MapFile]:
        """The quantities that come from files, by name."""
        return {name: value for name in _UNITS if isinstance(value := getattr(self, name), MapFile)}


_EXAMPLE = {"t1": "ms", "t2": "ms", "shift": "ppm"}


@dataclass(frozen=True)
class VoxelPlane:
    """Sites of one plane normal to x; arrays have the shape ``(site,)``."""

    y: RealArray
    """Position [m]."""
    z: RealArray
    """Position [m]."""
    volume: float
    """Of each site [m³]."""
    density: RealArray
    """Spin density over that of the metal."""
    t1: RealArray
    """[s]."""
    t2: RealArray
    """[s]."""
    shift: RealArray
    """A ratio."""
    center_x: float
    """Middle of the plane [m]."""
    thickness: float
    """Of the plane [m]."""


def located(body: VoxelMap, folder: Path) -> VoxelMap:
    """Give `body` with its files as absolute paths from `folder`, and their checksums.

    Raises
    ------
    ConfigError
        If a file is not there or too large.
    """
    found = {}
    for name, entry in body.files.items():
        path = (folder / entry.file).resolve()
        found[name] = entry.model_copy(update={"file": path, "sha256": _sha256(path, f"{body.name}.{name}")})
    return body.model_copy(update=found)


def read_voxels(body: VoxelMap) -> list[VoxelPlane]:
    """Read the arrays of `body` and lay sites in every voxel that holds something.

    Raises
    ------
    ConfigError
        If a file cannot be read as numbers, or the arrays disagree on their shape or hold impossible values.
    DamagedDataError
        If a file has changed since the phantom was read.
    """
    arrays = {name: _read(entry, name, body) for name, entry in body.files.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise ConfigError(f"{body.name}: the arrays have different shapes, {shapes}: bring them onto one grid")
    shape = next(iter(shapes.values()))
    full = {name: arrays[name] if name in arrays else np.full(shape, float(getattr(body, name))) for name in _UNITS}
    _check_values(full, body.name)
    order = [body.axes.index(axis) for axis in ("x", "y", "z") if axis in body.axes]
    planes = {name: array.transpose(order).reshape(-1, *(shape[i] for i in order[-2:])) for name, array in full.items()}
    return list(_planes(body, planes))


def _planes(body: VoxelMap, maps: dict[str, RealArray]) -> Iterator[VoxelPlane]:
    n_x, n_y, n_z = maps["density"].shape
    middle = n_x // 2 if "x" in body.axes else 0
    fine = body.sites_per_voxel
    yy, zz = np.meshgrid(_positions(body, "y", n_y), _positions(body, "z", n_z), indexing="ij")
    volume = body.voxel_size["x"] * body.voxel_size["y"] * body.voxel_size["z"] / fine**2
    for plane in range(n_x):
        filled = {name: np.repeat(np.repeat(values[plane], fine, 0), fine, 1) for name, values in maps.items()}
        there = filled["density"] > 0
        if there.any():
            yield VoxelPlane(
                y=yy[there],
                z=zz[there],
                volume=volume,
                center_x=body.center.get("x", 0.0) + (plane - middle) * body.voxel_size["x"],
                thickness=body.voxel_size["x"],
                **{name: values[there] for name, values in filled.items()},
            )


def _positions(body: VoxelMap, axis: Axis, count: int) -> RealArray:
    """Positions of the sites along one axis [m]: voxel ``n`` is centred at ``(n - count // 2) * voxel_size``."""
    fine = body.sites_per_voxel
    index = (np.arange(count * fine) + 0.5) / fine - 0.5 - count // 2
    return body.center.get(axis, 0.0) + index * body.voxel_size[axis]


def _check_values(maps: dict[str, RealArray], name: str) -> None:
    density = maps["density"]
    there = density > 0
    if not np.isfinite(density).all() or (density < 0).any() or not there.any():
        raise ConfigError(f"{name}: density must be 0 or more everywhere and more than 0 somewhere")
    for key in ("t1", "t2", "shift"):
        values = maps[key][there]
        if not np.isfinite(values).all() or (key != "shift" and (values <= 0).any()):
            raise ConfigError(f"{name}: {key} has values that are not possible where density is above 0")
    if (maps["t2"][there] > 2 * maps["t1"][there]).any():
        raise ConfigError(f"{name}: T2 exceeds 2 T1 somewhere: no spin does that")


def _read(entry: MapFile, name: str, body: VoxelMap) -> RealArray:
    place = f"{body.name}.{name}: {entry.file}"
    if entry.sha256 is not None and _sha256(entry.file, place) != entry.sha256:
        raise DamagedDataError(entry.file, name, "has changed since the phantom was read", "restore the file")
    try:
        values = _load(entry, place)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{place}: cannot be read as an array of numbers: {error}") from error
    if values.ndim != len(body.axes):
        raise ConfigError(f"{place}: has {values.ndim} axes, {len(body.axes)} are named ({', '.join(body.axes)})")
    if _UNITS[name] == "1":
        return values
    factor = to_si(f"1 {entry.unit}", _UNITS[name])
    if not isinstance(factor, float):
        raise ConfigError(f"{place}: unit {entry.unit!r} is not understood")
    return values * factor


def _load(entry: MapFile, place: str) -> RealArray:
    """Read an array after a look at its header; never by pickle."""
    path = entry.file
    if path.name.endswith((".nii", ".nii.gz")):
        import nibabel
        from nibabel.filebasedimages import ImageFileError

        try:
            image = nibabel.load(path)
        except ImageFileError as error:
            raise ConfigError(f"{place}: is not NIfTI: {error}") from error
        _check_size(int(np.prod(image.shape)), place)
        return np.asarray(image.get_fdata(dtype=np.float64)).squeeze()
    if path.suffix == ".npz":
        return _numbers(_from_archive(entry, place), place)
    if path.suffix == ".npy":
        return _numbers(np.load(path, mmap_mode="r", allow_pickle=False), place)
    raise ConfigError(f"{place}: is neither .npy, .npz, .nii nor .nii.gz")


def _from_archive(entry: MapFile, place: str) -> RealArray:
    with zipfile.ZipFile(entry.file) as archive:
        sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
    if entry.array not in sizes:
        raise ConfigError(
            f"{place}: name its array, one of {sorted(sizes)}: write e.g. array: {min(sizes, default='t2')}"
        )
    _check_size(sizes[entry.array] // 8, place)
    with np.load(entry.file, allow_pickle=False) as archive:
        array: RealArray = archive[entry.array]
    return array


def _numbers(array: RealArray, place: str) -> RealArray:
    _check_size(array.size, place)
    if array.dtype.kind not in "fiu":
        raise ConfigError(f"{place}: holds {array.dtype}, real numbers are needed")
    return np.array(array, dtype=float)


def _check_size(n_values: int, place: str) -> None:
    if not 0 < n_values <= _MOST_VALUES:
        raise ConfigError(f"{place}: has {n_values} values, between 1 and {_MOST_VALUES} are possible")


def _sha256(path: Path, place: str) -> str:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{place}: {path} has {path.stat().st_size} bytes, {_LARGEST_FILE} are allowed")
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{place}: {path} cannot be read: {error.strerror or error}") from error
