"""Signal-to-noise and uncertainty of T2 that a plan will reach, from a signal and a noise that are known.

Noise of one voxel falls with the square root of the time spent listening; signal grows with the volume of the voxel:

    SNR ∝ volume · sqrt(averages · lines · phase cycle · samples · dwell time)

(Haacke et al., Magnetic Resonance Imaging, 2nd ed., ch. 15; the last three factors hold the bandwidth.) The law takes
the object to fill its voxel. A sheet thinner than a voxel gives the same signal to a thinner one: where the reference
has coarser voxels, the SNR will be at least what is predicted here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.errors import InputError
from knightshift.core.program import Encoding, Measurement
from knightshift.reconstruction.relaxometry import cramer_rao_t2, fit_t2
from knightshift.sequences.plan_summary import ASSUMED_T1, spin_echo_recovery

_BOUND_HOLDS_BELOW = 0.1
"""Relative standard deviation up to which an efficient estimator reaches the Cramér-Rao bound to 2 %."""
_SYNTHETIC_VOXELS = 40_000
_SEED = 20_260_105


@dataclass(frozen=True)
class RegionSignal:
    """Typical voxel of a region."""

    name: str
    """What it is called."""
    amplitude: float
    """Signal of one voxel at echo time zero, fully relaxed, in the units of the noise density."""
    t2: float
    """T2 [s]."""
    n_voxels: int
    """Voxels that it was taken from."""


@dataclass(frozen=True)
class SignalReference:
    """Signal and noise that are known: of a run, or of a phantom in a simulated scanner."""

    origin: str
    """Where they come from, in words."""
    regions: tuple[RegionSignal, ...]
    """Parts of the object."""
    noise_density: float
    """Noise of the real part of an image after 1 s of listening [signal·√s]."""
    voxel_volume: float
    """Of the images that the signal was taken from [m³]."""
    nucleus: str
    """Isotope; another one says nothing about a plan."""


@dataclass(frozen=True)
class Expectation:
    """What to expect of one region, or of one T2 in the place of its own."""

    region: str
    """Whose signal is taken."""
    t2_s: float
    """T2 [s]."""
    snr: tuple[float, ...]
    """Signal over the noise of the real part, for each echo."""
    t2_std_s: float
    """Standard deviation of T2 in one voxel [s]."""
    method: Literal["cramer-rao", "monte-carlo"]
    """The Cramér-Rao bound, or, where no estimator reaches it, a fit to synthetic voxels (half the distance between the
    16 % and 84 % quantiles)."""


def listening_time(encoding: Encoding) -> float:
    """Time in which one pass samples the signal of one echo [s]."""
    return encoding.matrix[1] * encoding.phase_cycle * encoding.samples * encoding.dwell_time


def voxel_volume(encoding: Encoding) -> float:
    """Volume of a voxel, or of the column that a projection sums over [m³]."""
    return float(np.prod(np.array(encoding.field_of_view) / np.array(encoding.matrix)))


def recovery_factors(measurement_kind: str, encoding: Encoding, nucleus: str) -> RealArray:
    """Fraction of the full magnetisation at each echo, shape ``(echo,)``; one where no T1 is known."""
    times, t1 = np.array(encoding.echo_times), ASSUMED_T1.get(nucleus)
    if t1 is None:
        return np.ones(times.size)
    if measurement_kind == "spin_echo_series":
        return spin_echo_recovery(times, encoding.repetition_time, t1)
    return np.full(times.size, -np.expm1(-encoding.repetition_time / t1))


def expect(measurement: Measurement, reference: SignalReference, t2: tuple[float, ...] = ()) -> list[Expectation]:
    """Predict SNR and uncertainty of T2 for every region of `reference`.

    Parameters
    ----------
    measurement
        What is planned.
    reference
        What is known.
    t2
        T2 values [s] to be predicted with the signal of each region; none: the region's own.

    Raises
    ------
    InputError
        If `reference` is of another nucleus, the plan gives no images, or fewer than two echoes.
    """
    encoding, nucleus = measurement.encoding, measurement.programs[0].nucleus
    if encoding.kind != "image" or len(encoding.echo_times) < 2:
        raise InputError("SNR and T2 are predicted for images at two or more echo times: plan such a protocol")
    if nucleus != reference.nucleus:
        raise InputError(f"{reference.origin} is of {reference.nucleus}, the plan of {nucleus}: give one of the same")
    averages = measurement.n_passes / encoding.n_steps
    noise = reference.noise_density / np.sqrt(listening_time(encoding) * averages)
    scale = voxel_volume(encoding) / reference.voxel_volume / noise
    recovery = recovery_factors(str(measurement.protocol["kind"]), encoding, nucleus)
    times = np.array(encoding.echo_times)
    return [
        _expect_one(region.name, value, region.amplitude * scale * recovery, times)
        for region in reference.regions
        for value in (t2 or (region.t2,))
    ]


def _expect_one(name: str, t2: float, start: RealArray, times: RealArray) -> Expectation:
    snr = start * np.exp(-times / t2)
    std, method = expected_t2_std(times, t2, start)
    return Expectation(name, t2, tuple(float(value) for value in snr), std, method)


def expected_t2_std(
    echo_times: RealArray, t2: float, start: RealArray
) -> tuple[float, Literal["cramer-rao", "monte-carlo"]]:
    """Predict the standard deviation of T2 in one voxel.

    Parameters
    ----------
    echo_times
        Echo times [s], shape ``(echo,)``.
    t2
        T2 [s].
    start
        Signal at echo time zero over the noise, for each echo, shape ``(echo,)``.

    Returns
    -------
    t2_std, method
        [s], and how it was found: the bound where it is reached, synthetic voxels elsewhere.
    """
    bound = float(cramer_rao_t2(echo_times, t2, noise_std=1 / start))
    if bound <= _BOUND_HOLDS_BELOW * t2:
        return bound, "cramer-rao"
    noise = np.random.default_rng(_SEED).standard_normal((len(echo_times), _SYNTHETIC_VOXELS))
    signal = (start * np.exp(-echo_times / t2))[:, None] + noise
    fit = fit_t2(signal, echo_times, estimator="gaussian", noise_std=1.0)
    if np.count_nonzero(fit.ok) < _SYNTHETIC_VOXELS / 2:
        return float("inf"), "monte-carlo"
    low, high = np.quantile(fit.t2[fit.ok], [0.16, 0.84])
    return float(high - low) / 2, "monte-carlo"
