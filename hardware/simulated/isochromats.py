"""Cut a phantom into isochromats: sites in the (z, y) plane, sub-spins along x and in frequency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.hardware.simulated.bloch import Ensemble
from knightshift.hardware.simulated.phantom import Compartment, Phantom, RandomT2
from knightshift.hardware.simulated.settings import IsochromatSettings
from knightshift.hardware.simulated.shapes import Box, smooth_field
from knightshift.hardware.simulated.timeline import Timeline

_SPINS_PER_CHUNK = 16_000
_PHASORS_PER_CHUNK = 400_000
_MM3 = 1e9
_GOLDEN = 0.6180339887498949
_PRIMES = (23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127)


@dataclass(frozen=True)
class Surroundings:
    """What the spins see apart from the sequence."""

    larmor_frequency: float
    """γB0/2π [Hz]."""
    working_frequency: float
    """Of transmitter and receiver [Hz]."""
    nucleus: str
    """Only compartments of this isotope give signal."""
    transmit_scale: float = 1.0
    """B1 over the nominal one."""


@dataclass(frozen=True)
class _Sites:
    y: RealArray
    z: RealArray
    volume: RealArray
    """Volume of each site [mm³]."""
    field: ComplexArray
    """B1 over that outside the body, on transmission and again on reception."""
    face: RealArray
    """Number of the face that a site belongs to."""


def cut(
    phantom: Phantom, timeline: Timeline, surroundings: Surroundings, settings: IsochromatSettings
) -> list[Ensemble]:
    """Cut what gives signal into ensembles of bounded size.

    Spins along x are laid only where the sequence uses an x gradient, T2' sub-spins only where there is a T2'.
    """
    metals = [body for body in phantom.compartments if body.metal]
    ensembles: list[Ensemble] = []
    for body in phantom.compartments:
        if body.nucleus == surroundings.nucleus:
            hidden_by = [metal for metal in metals if metal is not body] if body.metal is None else []
            ensembles += _ensembles(body, hidden_by, (timeline, surroundings, settings))
    return ensembles


def _ensembles(
    body: Compartment, hidden_by: Sequence[Compartment], scene: tuple[Timeline, Surroundings, IsochromatSettings]
) -> Iterator[Ensemble]:
    timeline, surroundings, settings = scene
    sites = _metal_sites(body, settings) if body.metal else _plain_sites(body, hidden_by, settings)
    x = _positions_along_x(body, timeline, settings)
    detuning = _detuning(body, sites.y.size, settings)
    offset = surroundings.larmor_frequency * (1 + body.shift) - surroundings.working_frequency
    t2 = _t2(body, sites)
    n_samples = max(window.times.size for window in timeline.windows)
    limit = min(_SPINS_PER_CHUNK // (x.size * len(detuning)), _PHASORS_PER_CHUNK // (n_samples * len(detuning)))
    for start in range(0, sites.y.size, max(1, limit)):
        part = slice(start, start + max(1, limit))
        n_sites = sites.y[part].size
        yield Ensemble(
            y=sites.y[part],
            z=sites.z[part],
            offset=np.full(n_sites, offset),
            r1=np.full(n_sites, 1 / body.t1),
            r2=1 / t2[part],
            transmit=surroundings.transmit_scale * body.nutation_factor * sites.field[part],
            receive=body.density * sites.volume[part] * sites.field[part],
            x=x,
            detuning=detuning[:, part],
        )


def _metal_sites(body: Compartment, settings: IsochromatSettings) -> _Sites:
    return _plate_sites(body, body.shape, settings) if isinstance(body.shape, Box) else _blob_sites(body, settings)


def _plate_sites(body: Compartment, plate: Box, settings: IsochromatSettings) -> _Sites:
    """Lay sites below both faces of a plate; the narrow edges are left out.

    The field inside a plate of half thickness ``a`` is ``cosh((1+i)u/δ) / cosh((1+i)a/δ)``, u from its middle.
    """
    if body.metal is None:
        raise ValueError("a plate without a skin depth is no metal plate")
    delta, half = body.metal.skin_depth, plate.size_z / 2
    deepest = min(half, settings.depth * delta)
    nodes, weights = np.polynomial.legendre.leggauss(settings.depth_nodes)
    depth, share = 0.5 * deepest * (nodes + 1), 0.5 * deepest * weights
    spacing = body.spacing or settings.spacing
    n_y = max(1, round(plate.size_y / spacing))
    along = plate.size_y * ((np.arange(n_y) + 0.5) / n_y - 0.5)
    middle, edge = (1 + 1j) * (half - depth) / delta, (1 + 1j) * half / delta
    field = (np.exp(middle - edge) + np.exp(-middle - edge)) / (1 + np.exp(-2 * edge))
    faces = []
    for face, side in enumerate((-1.0, 1.0)):
        surface = plate.center_z + side * half + np.tan(plate.tilt) * along + _waviness(plate, along, face)
        faces.append((np.repeat(along, depth.size), np.add.outer(surface, -side * depth).ravel()))
    y, z = np.concatenate(faces, axis=1)
    volume = share * plate.size_y / n_y * body.thickness * _MM3
    return _Sites(
        y + plate.center_y, z, np.tile(volume, 2 * n_y), np.tile(field, 2 * n_y), np.repeat([0.0, 1.0], y.size // 2)
    )


def _waviness(plate: Box, along: RealArray, face: int) -> RealArray:
    rough = plate.roughness
    if rough is None:
        return np.zeros_like(along)
    return rough.rms * smooth_field(along, rough.correlation_length, (rough.seed, face))


def _grid(body: Compartment, spacing: float) -> tuple[RealArray, RealArray, float]:
    """Points of a regular grid inside a body, and the area of each [m²]."""
    half_y, half_z = body.shape.half_extent
    n_y, n_z = max(1, round(2 * half_y / spacing)), max(1, round(2 * half_z / spacing))
    y = body.shape.center_y + 2 * half_y * ((np.arange(n_y) + 0.5) / n_y - 0.5)
    z = body.shape.center_z + 2 * half_z * ((np.arange(n_z) + 0.5) / n_z - 0.5)
    yy, zz = (grid.ravel() for grid in np.meshgrid(y, z, indexing="ij"))
    inside = body.shape.contains(yy, zz)
    return yy[inside], zz[inside], 4 * half_y * half_z / (n_y * n_z)


def _blob_sites(body: Compartment, settings: IsochromatSettings) -> _Sites:
    """Lay sites in a metal body of any shape; B1 falls off from the nearest edge (good if thick and gently curved)."""
    if body.metal is None:
        raise ValueError("a body without a skin depth is no metal")
    delta = body.metal.skin_depth
    y, z, area = _grid(body, min(body.spacing or settings.spacing, delta / 4))
    depth = body.shape.depth(y, z)
    seen = depth <= settings.depth * delta
    y, z, field = y[seen], z[seen], np.exp(-(1 + 1j) * depth[seen] / delta)
    return _Sites(y, z, np.full(y.size, area * body.thickness * _MM3), field, np.zeros(y.size))


def _plain_sites(body: Compartment, hidden_by: Sequence[Compartment], settings: IsochromatSettings) -> _Sites:
    y, z, area = _grid(body, body.spacing or settings.spacing)
    free = np.ones(y.size, dtype=bool)
    for metal in hidden_by:
        free &= ~metal.shape.contains(y, z)
    y, z = y[free], z[free]
    return _Sites(y, z, np.full(y.size, area * body.thickness * _MM3), np.ones(y.size, dtype=complex), np.zeros(y.size))


def _t2(body: Compartment, sites: _Sites) -> RealArray:
    if not isinstance(body.t2, RandomT2):
        return np.full(sites.y.size, body.t2)
    random = body.t2
    sigma = random.fwhm / np.sqrt(8 * np.log(2))
    t2 = np.empty(sites.y.size)
    for face in np.unique(sites.face):
        here = sites.face == face
        t2[here] = random.mean + sigma * smooth_field(
            sites.y[here], random.correlation_length, (random.seed, int(face))
        )
    return np.clip(t2, random.lowest, random.highest)


def _detuning(body: Compartment, n_sites: int, settings: IsochromatSettings) -> RealArray:
    """Frequencies at equal quantiles of the Lorentzian whose decay time is T2', shape ``(frequency, site)`` [Hz].

    Its tails are heavy, so a handful of quantiles is a poor picture of it. Each site therefore takes other quantiles
    than its neighbours (shifted by the golden ratio): the sites of one pixel together sample it finely.
    """
    if body.t2_prime is None:
        return np.zeros((1, n_sites))
    shift = ((np.arange(n_sites) + 0.5) * _GOLDEN) % 1.0
    quantiles = (np.arange(settings.frequencies)[:, None] + shift) / settings.frequencies
    detuning: RealArray = np.tan(np.pi * (quantiles - 0.5)) / (2 * np.pi * body.t2_prime)
    return detuning


def _positions_along_x(body: Compartment, timeline: Timeline, settings: IsochromatSettings) -> RealArray:
    cycles = [abs(step.moment[0]) * body.thickness for step in timeline.steps]
    in_window = max(np.ptp(window.moments[:, 0], axis=0) for window in timeline.windows) * body.thickness
    in_pulse = max((float(np.abs(pulse.gradients[:, 0]).max()) for pulse in timeline.pulses), default=0.0)
    if max(*cycles, in_window, in_pulse * body.thickness) < 1e-6:
        return np.array([body.center_x])
    count = spins_along_x(cycles, settings.spins_along_x)
    return body.center_x + body.thickness * ((np.arange(count) + 0.5) / count - 0.5)


def spins_along_x(cycles: Sequence[float], least: int) -> int:
    """Choose how many equidistant spins to lay along x, such that no crusher makes a false echo.

    A crusher of whole cycles from spin to spin leaves the magnetisation as it was. So a prime of at least `least` is
    taken for which one to four times each crusher stays furthest from a multiple of it, relative to its own size.

    Parameters
    ----------
    cycles
        Turns over the whole body of each gradient moment of the sequence.
    least
        Smallest number wanted.
    """
    distinct = np.unique(np.round([c for c in cycles if c > 0.5], 3))
    choices = [prime for prime in _PRIMES if prime >= least][:8] or [least]
    if distinct.size == 0:
        return choices[0]
    multiples = np.multiply.outer(distinct, np.arange(1, 5)).ravel()
    for count in choices:
        distance = np.abs(multiples - count * np.round(multiples / count))
        aliased = (multiples > count / 2) & (distance < 1.5)
        if not aliased.any():
            return count
    return choices[-1]
