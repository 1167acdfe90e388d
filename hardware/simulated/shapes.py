"""Shapes of compartments in the (z, y) plane."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.quantities import Metres, PositiveMetres, Radians


class Roughness(BaseModel):
    """Smooth random waviness of a face."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rms: PositiveMetres
    """Root mean square height [m]."""
    correlation_length: PositiveMetres
    """Length over which the height changes [m]."""
    seed: NonNegativeInt
    """Which waviness: each face of a body has its own."""


class Box(BaseModel):
    """A rectangle; a metal one is a plate with two faces normal to z."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["box"]
    center_y: Metres
    """Middle along y [m]."""
    center_z: Metres
    """Middle along z, the direction of B0 [m]."""
    size_y: PositiveMetres
    """Full extent along y [m]."""
    size_z: PositiveMetres
    """Full extent along z [m]."""
    tilt: Radians = 0.0
    """Angle of the faces to the y axis [rad], small."""
    roughness: Roughness | None = None
    """Waviness of the faces of a metal plate."""

    @property
    def half_extent(self) -> tuple[float, float]:
        """Half the extent along ``(y, z)`` [m]."""
        return self.size_y / 2, self.size_z / 2

    def contains(self, y: RealArray, z: RealArray) -> BoolArray:
        """Whether points ``(y, z)`` [m] lie inside."""
        along, across = y - self.center_y, z - self.center_z - np.tan(self.tilt) * (y - self.center_y)
        inside: BoolArray = (np.abs(along) <= self.size_y / 2) & (np.abs(across) <= self.size_z / 2)
        return inside

    def depth(self, y: RealArray, z: RealArray) -> RealArray:
        """Distance of points inside to the nearest edge [m]."""
        across = np.abs(z - self.center_z - np.tan(self.tilt) * (y - self.center_y))
        depth: RealArray = np.minimum(self.size_y / 2 - np.abs(y - self.center_y), self.size_z / 2 - across)
        return depth


class Ellipse(BaseModel):
    """An ellipse with its axes along y and z."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["ellipse"]
    center_y: Metres
    """Middle along y [m]."""
    center_z: Metres
    """Middle along z, the direction of B0 [m]."""
    size_y: PositiveMetres
    """Full extent along y [m]."""
    size_z: PositiveMetres
    """Full extent along z [m]."""

    @property
    def half_extent(self) -> tuple[float, float]:
        """Half the extent along ``(y, z)`` [m]."""
        return self.size_y / 2, self.size_z / 2

    def contains(self, y: RealArray, z: RealArray) -> BoolArray:
        """Whether points ``(y, z)`` [m] lie inside."""
        a, b = self.half_extent
        inside: BoolArray = ((y - self.center_y) / a) ** 2 + ((z - self.center_z) / b) ** 2 <= 1
        return inside

    def depth(self, y: RealArray, z: RealArray) -> RealArray:
        """Distance of points inside to the edge [m], against a polygon of 720 corners."""
        a, b = self.half_extent
        angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
        corners = np.stack([self.center_y + a * np.cos(angle), self.center_z + b * np.sin(angle)], axis=1)
        return _distance_to_edges(y, z, corners)


class Polygon(BaseModel):
    """A simple polygon."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["polygon"]
    corners: tuple[tuple[Metres, Metres], ...] = Field(min_length=3)
    """Corners ``(y, z)`` in order [m]."""

    @model_validator(mode="after")
    def _has_an_area(self) -> Polygon:
        if min(np.ptp(np.array(self.corners), axis=0)) <= 0:
            raise ValueError("the corners lie on one line: a polygon needs an area")
        return self

    @property
    def center_y(self) -> float:
        """Middle of the extent along y [m]."""
        return 0.5 * (max(y for y, _ in self.corners) + min(y for y, _ in self.corners))

    @property
    def center_z(self) -> float:
        """Middle of the extent along z [m]."""
        return 0.5 * (max(z for _, z in self.corners) + min(z for _, z in self.corners))

    @property
    def half_extent(self) -> tuple[float, float]:
        """Half the extent along ``(y, z)`` [m]."""
        extent = np.ptp(np.array(self.corners), axis=0) / 2
        return float(extent[0]), float(extent[1])

    def contains(self, y: RealArray, z: RealArray) -> BoolArray:
        """Whether points ``(y, z)`` [m] lie inside (even-odd rule)."""
        inside = np.zeros(np.broadcast(y, z).shape, dtype=bool)
        for (y1, z1), (y2, z2) in zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True):
            if z1 != z2:
                crossing = y1 + (z - z1) * (y2 - y1) / (z2 - z1)
                inside ^= ((z1 > z) != (z2 > z)) & (y < crossing)
        return inside

    def depth(self, y: RealArray, z: RealArray) -> RealArray:
        """Distance of points inside to the nearest edge [m]."""
        return _distance_to_edges(y, z, np.array(self.corners))


Shape: TypeAlias = Annotated[Box | Ellipse | Polygon, Field(discriminator="kind")]


def _distance_to_edges(y: RealArray, z: RealArray, corners: RealArray) -> RealArray:
    nearest = np.full(np.shape(y), np.inf)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge = end - start
        along = ((y - start[0]) * edge[0] + (z - start[1]) * edge[1]) / (edge @ edge)
        along = np.clip(along, 0, 1)
        nearest = np.minimum(nearest, np.hypot(y - start[0] - along * edge[0], z - start[1] - along * edge[1]))
    return nearest


def smooth_field(position: RealArray, correlation_length: float, seed: tuple[int, ...]) -> RealArray:
    """Smooth Gaussian random field of mean 0 and standard deviation 1 over the given positions.

    A sum of waves whose wave numbers are normally distributed, so that its correlation is
    ``exp(-d²/2 correlation_length²)``.

    Parameters
    ----------
    position
        Where, shape ``(site,)`` [m].
    correlation_length
        Length over which it changes [m].
    seed
        Which field.
    """
    if position.size < 2:
        return np.zeros(position.shape)
    generator = np.random.default_rng(seed)
    wave_numbers = generator.standard_normal(64) / correlation_length
    phases = generator.uniform(0, 2 * np.pi, 64)
    values = np.cos(np.multiply.outer(position, wave_numbers) + phases).sum(axis=-1)
    spread = values.std()
    centred: RealArray = (values - values.mean()) / (spread if spread > 0 else 1.0)
    return centred
