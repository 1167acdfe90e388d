"""Cut a phantom into isochromats: sites in the (z, y) plane, sub-spins along x and in frequency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.hardware.simulated.bloch import Ensemble, moves_along_x
from knightshift.hardware.simulated.phantom import Compartment, Phantom
from knightshift.hardware.simulated.settings import IsochromatSettings
from knightshift.hardware.simulated.sites import lay_sites, relaxation_times
from knightshift.hardware.simulated.timeline import Timeline
from knightshift.hardware.simulated.voxel_map import VoxelMap, read_voxels

_FloatT = TypeVar("_FloatT", float, RealArray)

_SPINS_PER_CHUNK = 96_000
_PHASORS_PER_CHUNK = 400_000
_MM3 = 1e9
_GOLDEN = 0.6180339887498949
_TAIL = 0.125
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


def cut(
    phantom: Phantom, timeline: Timeline, surroundings: Surroundings, settings: IsochromatSettings
) -> list[Ensemble]:
    """Cut what gives signal into ensembles of bounded size.

    Spins along x are laid only where the sequence uses an x gradient, T2' sub-spins only where there is a T2'.
    """
    scene = _Scene(timeline, surroundings, settings)
    metals = [body for body in phantom.compartments if body.metal]
    ensembles: list[Ensemble] = []
    for body in phantom.compartments:
        if body.nucleus == surroundings.nucleus:
            hidden_by = [metal for metal in metals if metal is not body] if body.metal is None else []
            ensembles += _of_compartment(body, hidden_by, scene)
    for voxels in phantom.voxel_maps:
        if voxels.nucleus == surroundings.nucleus:
            ensembles += _of_voxels(voxels, scene)
    return ensembles


def _of_compartment(body: Compartment, hidden_by: Sequence[Compartment], scene: _Scene) -> Iterator[Ensemble]:
    sites = lay_sites(body, hidden_by, scene.settings)
    n_sites, b1 = sites.y.size, scene.surroundings.transmit_scale * body.nutation_factor
    detuning, share = scene.detuning(body.t2_prime, sites.along, sites.across)
    for part, t2 in relaxation_times(body, sites):
        whole = Ensemble(
            y=sites.y,
            z=sites.z,
            offset=np.full(n_sites, scene.offset(body.shift)),
            r1=np.full(n_sites, 1 / body.t1),
            r2=1 / t2,
            transmit=b1 * sites.field,
            receive=part * body.density * sites.volume * sites.field,
            x=scene.positions_along_x(body.center_x, body.thickness),
            detuning=detuning,
            share=share,
        )
        yield from scene.chunks(whole)


def _of_voxels(body: VoxelMap, scene: _Scene) -> Iterator[Ensemble]:
    for plane in read_voxels(body):
        along, across = np.unique(plane.y, return_inverse=True)[1], np.unique(plane.z, return_inverse=True)[1]
        detuning, share = scene.detuning(body.t2_prime, along.astype(float), across.astype(float))
        n_sites = plane.y.size
        whole = Ensemble(
            y=plane.y,
            z=plane.z,
            offset=np.asarray(scene.offset(plane.shift)),
            r1=1 / plane.t1,
            r2=1 / plane.t2,
            transmit=np.full(n_sites, complex(scene.surroundings.transmit_scale * body.nutation_factor)),
            receive=(plane.density * plane.volume * _MM3).astype(complex),
            x=scene.positions_along_x(plane.center_x, plane.thickness),
            detuning=detuning,
            share=share,
        )
        yield from scene.chunks(whole)


@dataclass(frozen=True)
class _Scene:
    """Sequence, surroundings and settings: how finely anything is cut, and how far off it is."""

    timeline: Timeline
    surroundings: Surroundings
    settings: IsochromatSettings

    def offset(self, shift: _FloatT) -> _FloatT:
        """Resonance minus working frequency [Hz]."""
        offset: _FloatT = self.surroundings.larmor_frequency * (1 + shift) - self.surroundings.working_frequency
        return offset

    def chunks(self, whole: Ensemble) -> Iterator[Ensemble]:
        """Cut an ensemble into pieces whose memory is bounded, whatever the phantom and the sequence."""
        n_frequencies = len(whole.share)
        n_samples = max(window.times.size for window in self.timeline.windows)
        heard = n_samples * (whole.x.size if any(map(moves_along_x, self.timeline.windows)) else 1)
        spins = _SPINS_PER_CHUNK // (whole.x.size * n_frequencies)
        limit = max(1, min(spins, _PHASORS_PER_CHUNK // (heard * n_frequencies)))
        for start in range(0, whole.y.size, limit):
            yield whole.part(slice(start, start + limit))

    def detuning(self, t2_prime: float | None, along: RealArray, across: RealArray) -> tuple[RealArray, RealArray]:
        """Frequencies [Hz] from the Lorentzian whose decay time is T2', shape ``(frequency, site)``, and their shares.

        Its tails are heavy, so a handful of quantiles is a poor picture of it. Each site therefore takes other
        quantiles than its neighbours (shifted by the golden ratio along the surface, by the root of 2 across it): the
        sites of one pixel together sample it finely. The outermost strata are narrow, so that no spin far out in a
        tail, which leaves its pixel, carries much signal.
        """
        if t2_prime is None:
            return np.zeros((1, along.size)), np.ones(1)
        share = _shares(self.settings.frequencies)
        shift = (along * _GOLDEN + across * np.sqrt(2) + 0.5) % 1.0
        quantiles = (np.cumsum(share) - share)[:, None] + share[:, None] * shift
        detuning: RealArray = np.tan(np.pi * (quantiles - 0.5)) / (2 * np.pi * t2_prime)
        return detuning, share

    def positions_along_x(self, center: float, thickness: float) -> RealArray:
        """Positions of the spins along x [m]: one where the sequence uses no x gradient."""
        cycles = [abs(step.moment[0]) * thickness for step in self.timeline.steps]
        in_window = max(np.ptp(window.moments[:, 0], axis=0) for window in self.timeline.windows) * thickness
        in_pulse = max((float(np.abs(pulse.gradients[:, 0]).max()) for pulse in self.timeline.pulses), default=0.0)
        if max(*cycles, in_window, in_pulse * thickness) < 1e-6:
            return np.array([center])
        least = self.settings.spins_along_x
        count = spins_along_x(cycles, least) if least > 1 else 1
        positions: RealArray = center + thickness * ((np.arange(count) + 0.5) / count - 0.5)
        return positions


def _shares(count: int) -> RealArray:
    """Widths of the strata of a distribution with heavy tails: outer ones an eighth of the others."""
    widths = np.ones(count)
    if count > 2:
        widths[[0, -1]] = _TAIL
    shares: RealArray = widths / widths.sum()
    return shares


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
