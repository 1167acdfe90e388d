"""Lay sites in the (z, y) plane of a compartment, and say what B1 and which material each one has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray, RealArray
from knightshift.hardware.simulated.phantom import BiexponentialT2, Compartment, RandomT2
from knightshift.hardware.simulated.settings import IsochromatSettings
from knightshift.hardware.simulated.shapes import Box, smooth_field

_MM3 = 1e9


@dataclass(frozen=True)
class Sites:
    """Points in the (z, y) plane; every array has the shape ``(site,)``."""

    y: RealArray
    """Position [m]."""
    z: RealArray
    """Position [m]."""
    volume: RealArray
    """Volume of each site [mm³]."""
    field: ComplexArray
    """B1 over that outside the body, on transmission and again on reception."""
    face: RealArray
    """Number of the face that a site belongs to."""
    along: RealArray
    """Number of each site along the surface, or along y."""
    across: RealArray
    """Number of each site below the surface, or along z."""


def lay_sites(body: Compartment, hidden_by: Sequence[Compartment], settings: IsochromatSettings) -> Sites:
    """Lay sites in `body`, leaving out what the metals of `hidden_by` displace."""
    if body.metal is None:
        return _plain_sites(body, hidden_by, settings)
    return _plate_sites(body, body.shape, settings) if isinstance(body.shape, Box) else _blob_sites(body, settings)


def relaxation_times(body: Compartment, sites: Sites) -> list[tuple[float, RealArray]]:
    """T2 of each site [s], shape ``(site,)``, with the part of the spins that it is for; the parts add up to 1."""
    if isinstance(body.t2, BiexponentialT2):
        fast = body.t2.fast_fraction
        return [(part, np.full(sites.y.size, t2)) for part, t2 in ((fast, body.t2.fast), (1 - fast, body.t2.slow))]
    if isinstance(body.t2, RandomT2):
        return [(1.0, _random_t2(body.t2, sites))]
    return [(1.0, np.full(sites.y.size, body.t2))]


def _random_t2(random: RandomT2, sites: Sites) -> RealArray:
    sigma = random.fwhm / np.sqrt(8 * np.log(2))
    t2 = np.empty(sites.y.size)
    for face in np.unique(sites.face):
        here = sites.face == face
        seed = (random.seed, int(face))
        t2[here] = random.mean + sigma * smooth_field(sites.y[here], random.correlation_length, seed)
    return np.clip(t2, random.lowest, random.highest)


def _plate_sites(body: Compartment, plate: Box, settings: IsochromatSettings) -> Sites:
    """Lay sites below both faces of a plate; the narrow edges are left out.

    The field inside a plate of half thickness ``a`` is ``cosh((1+i)u/δ) / cosh((1+i)a/δ)``, u from its middle.
    """
    delta, half = _skin_depth(body), plate.size_z / 2
    deepest = min(half, settings.depth * delta)
    nodes, weights = np.polynomial.legendre.leggauss(settings.depth_nodes)
    depth, share = 0.5 * deepest * (nodes + 1), 0.5 * deepest * weights
    n_y = max(1, round(plate.size_y / (body.spacing or settings.spacing)))
    along = plate.size_y * ((np.arange(n_y) + 0.5) / n_y - 0.5)
    middle, edge = (1 + 1j) * (half - depth) / delta, (1 + 1j) * half / delta
    field = (np.exp(middle - edge) + np.exp(-middle - edge)) / (1 + np.exp(-2 * edge))
    faces = []
    for face, side in enumerate((-1.0, 1.0)):
        surface = plate.center_z + side * half + np.tan(plate.tilt) * along + _waviness(plate, along, face)
        faces.append((np.repeat(along, depth.size), np.add.outer(surface, -side * depth).ravel()))
    y, z = np.concatenate(faces, axis=1)
    return Sites(
        y=y + plate.center_y,
        z=z,
        volume=np.tile(share * plate.size_y / n_y * body.thickness * _MM3, 2 * n_y),
        field=np.tile(field, 2 * n_y),
        face=np.repeat([0.0, 1.0], y.size // 2),
        along=np.tile(np.repeat(np.arange(float(n_y)), depth.size), 2),
        across=np.tile(np.arange(float(depth.size)), 2 * n_y),
    )


def _skin_depth(body: Compartment) -> float:
    if body.metal is None:
        raise ValueError(f"{body.name} is no metal: it has no skin depth")
    return body.metal.skin_depth


def _waviness(plate: Box, along: RealArray, face: int) -> RealArray:
    rough = plate.roughness
    if rough is None:
        return np.zeros_like(along)
    return rough.rms * smooth_field(along, rough.correlation_length, (rough.seed, face))


@dataclass(frozen=True)
class _Grid:
    y: RealArray
    z: RealArray
    along: RealArray
    across: RealArray
    area: float
    """Of one point [m²]."""

    def kept(self, chosen: BoolArray, body: Compartment, field: ComplexArray) -> Sites:
        """Sites at the `chosen` points of the grid."""
        y = self.y[chosen]
        volume = np.full(y.size, self.area * body.thickness * _MM3)
        along, across = self.along[chosen], self.across[chosen]
        return Sites(y, self.z[chosen], volume, field[chosen], np.zeros(y.size), along, across)


def _grid(body: Compartment, spacing: float) -> _Grid:
    """Points of a regular grid inside a body."""
    half_y, half_z = body.shape.half_extent
    n_y, n_z = max(1, round(2 * half_y / spacing)), max(1, round(2 * half_z / spacing))
    along, across = (grid.ravel() for grid in np.meshgrid(np.arange(float(n_y)), np.arange(float(n_z)), indexing="ij"))
    y = body.shape.center_y + 2 * half_y * ((along + 0.5) / n_y - 0.5)
    z = body.shape.center_z + 2 * half_z * ((across + 0.5) / n_z - 0.5)
    inside = body.shape.contains(y, z)
    return _Grid(y[inside], z[inside], along[inside], across[inside], 4 * half_y * half_z / (n_y * n_z))


def _blob_sites(body: Compartment, settings: IsochromatSettings) -> Sites:
    """Lay sites in a metal body of any shape; B1 falls off from the nearest edge (good if thick and gently curved)."""
    delta = _skin_depth(body)
    grid = _grid(body, min(body.spacing or settings.spacing, delta / 4))
    depth = body.shape.depth(grid.y, grid.z)
    return grid.kept(depth <= settings.depth * delta, body, np.exp(-(1 + 1j) * depth / delta))


def _plain_sites(body: Compartment, hidden_by: Sequence[Compartment], settings: IsochromatSettings) -> Sites:
    grid = _grid(body, body.spacing or settings.spacing)
    free = np.ones(grid.y.size, dtype=bool)
    for metal in hidden_by:
        free &= ~metal.shape.contains(grid.y, grid.z)
    return grid.kept(free, body, np.ones(grid.y.size, dtype=complex))
