"""Echo times that make T2 as certain as the time allows, over a range of T2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knightshift.acquisition.planner.pass_count import AnyProtocol
from knightshift.core.arrays import RealArray
from knightshift.core.errors import InputError, ProtocolError
from knightshift.core.limits import ScannerLimits
from knightshift.reconstruction.relaxometry import cramer_rao_t2
from knightshift.sequences import MultiEchoSpinEcho, SpinEchoSeries, build
from knightshift.sequences.gradient_lobes import GradientSystem
from knightshift.sequences.multi_echo_spin_echo import minimum_echo_spacing
from knightshift.sequences.raster import ceil_to
from knightshift.sequences.spin_echo_series import minimum_echo_time

SEPARATION = 1e-3
"""Echo times are kept so far apart [s]: the optimum alone would put several on top of each other, and a decay that is
not a single exponential would go unseen."""
_STEP = 0.1e-3
_T2_VALUES = 25
_LONGEST = 4.0
_MARGIN = 0.25e-3
_BACK_OFF = 40


@dataclass(frozen=True)
class EchoTimeAdvice:
    """Echo times found, and what they gain."""

    t2_range_s: tuple[float, float]
    """T2 looked at [s]."""
    echo_times_s: tuple[float, ...]
    """The best ones [s]."""
    present_echo_times_s: tuple[float, ...]
    """Those of the protocol [s]."""
    worst_before: float
    """Largest relative standard deviation of T2 in the range with the present ones, at SNR 1 at echo time zero."""
    worst_after: float
    """The same with the best ones."""
    minimum_echo_time_s: float
    """Shortest first echo time that sequence and limits allow [s]."""

    @property
    def gain(self) -> float:
        """By what factor the largest standard deviation falls."""
        return self.worst_before / self.worst_after

    @property
    def time_saved(self) -> float:
        """Fraction of the time that the same certainty would save."""
        return 1 - 1 / self.gain**2


def optimise_echo_times(protocol: AnyProtocol, limits: ScannerLimits, t2_range: tuple[float, float]) -> EchoTimeAdvice:
    """Find the echo times whose largest relative standard deviation of T2 in a range is smallest.

    The number of echoes, and so the time for each, stays. Each signal counts with the same noise; the criterion is the
    Cramér-Rao bound, whose shape does not depend on the SNR.

    Parameters
    ----------
    protocol
        Separate spin echoes (all echo times are free) or an echo train (its spacing is).
    limits
        Of the scanner.
    t2_range
        Shortest and longest T2 [s].

    Raises
    ------
    InputError
        If the range is empty or the protocol has no echo times to choose.
    ProtocolError
        If no echo times within the limits are found.
    """
    shortest, longest = t2_range
    if not 0 < shortest <= longest:
        raise InputError(f"T2 range {shortest * 1e3:g} to {longest * 1e3:g} ms: give the shorter one first")
    if not isinstance(protocol, SpinEchoSeries | MultiEchoSpinEcho) or len(protocol.echo_times) < 2:
        raise InputError(f"{protocol.name} has no echo times to choose: plan a spin-echo protocol of two or more")
    t2 = np.geomspace(shortest, longest, _T2_VALUES)
    if isinstance(protocol, MultiEchoSpinEcho):
        minimum, best = _best_spacing(protocol, limits, t2)
    else:
        minimum, best = _best_series(protocol, limits, t2)
    present = protocol.echo_times
    before, after = (worst_relative_std(np.array(times), t2) for times in (present, best))
    if after >= before:
        best, after = present, before
    return EchoTimeAdvice(t2_range, best, present, before, after, minimum)


def worst_relative_std(echo_times: RealArray, t2: RealArray) -> float:
    """Largest standard deviation of T2 over T2, for SNR 1 at echo time zero.

    Parameters
    ----------
    echo_times
        Echo times [s], shape ``(echo,)``.
    t2
        T2 values [s], shape ``(t2,)``.
    """
    return float(np.max(cramer_rao_t2(echo_times, t2, noise_std=1.0) / t2))


def _best_series(protocol: SpinEchoSeries, limits: ScannerLimits, t2: RealArray) -> tuple[float, tuple[float, ...]]:
    n_echoes = len(protocol.echo_times)
    gradients = GradientSystem.of(protocol.isotope, limits)
    last = min(_LONGEST * t2[-1] + n_echoes * SEPARATION, protocol.repetition_time / 2)
    first = ceil_to(minimum_echo_time(protocol, gradients), _STEP)
    for _ in range(_BACK_OFF):
        candidates = np.round(np.arange(first, last, _STEP), 7)
        if candidates.size * _STEP < n_echoes * SEPARATION:
            break
        best = _exchange(candidates, n_echoes, t2)
        try:
            build(protocol.model_copy(update={"echo_times": best, "averages": 1, "duration": None}), limits)
        except ProtocolError:
            first += _MARGIN  # the shortest echo works the gradients harder than their duty allows
        else:
            return first, best
    raise ProtocolError(
        f"{protocol.name}: no {n_echoes} echo times from {first * 1e3:.2f} to {last * 1e3:.2f} ms keep the limits of "
        f"{limits.name}: use fewer echo_times, or raise repetition_time"
    )


def _exchange(candidates: RealArray, n_echoes: int, t2: RealArray) -> tuple[float, ...]:
    """Improve one echo time after the other until none can be: a coordinate exchange, from several starts."""
    information = _information(candidates, t2)
    reach = np.linspace(0.3, 1.0, 4)
    found = [_exchange_from(candidates, information, share, n_echoes) for share in reach]
    best = min(found, key=lambda result: result[0])
    return tuple(float(time) for time in np.sort(candidates[best[1]]))


def _information(times: RealArray, t2: RealArray) -> RealArray:
    """Fisher information of (amplitude, log T2) that each echo time adds, shape ``(3, time, t2)``."""
    scaled = times[:, None] / t2
    decay = np.exp(-2 * scaled)
    return np.stack([decay, decay * scaled, decay * scaled**2])


def _exchange_from(
    candidates: RealArray, information: RealArray, reach: float, n_echoes: int
) -> tuple[float, list[int]]:
    apart = round(SEPARATION / _STEP)
    spread = max(reach * (candidates.size - 1), apart * (n_echoes - 1))
    chosen = [round(index) for index in np.linspace(0, spread, n_echoes)]
    best = np.inf
    while True:
        before = best
        for number in range(n_echoes):
            others = [index for position, index in enumerate(chosen) if position != number]
            rest = information[:, others].sum(axis=1)
            worst = _worst_variance(information + rest[:, None])
            for index in others:
                worst[max(0, index - apart + 1) : index + apart] = np.inf
            chosen[number] = int(np.argmin(worst))
            best = float(worst[chosen[number]])
        if not best < before * (1 - 1e-9):
            return best, chosen


def _worst_variance(information: RealArray) -> RealArray:
    """Largest variance of log T2 over the range for each candidate, shape ``(time,)``."""
    of_amplitude, mixed, of_t2 = information
    determinant = of_amplitude * of_t2 - mixed**2
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(determinant > 0, of_amplitude / determinant, np.inf)
    worst: RealArray = variance.max(axis=-1)
    return worst


def _best_spacing(protocol: MultiEchoSpinEcho, limits: ScannerLimits, t2: RealArray) -> tuple[float, tuple[float, ...]]:
    gradients = GradientSystem.of(protocol.isotope, limits)
    minimum = ceil_to(minimum_echo_spacing(protocol, gradients), _STEP)
    longest = min(_LONGEST * t2[-1], protocol.repetition_time / 2 / protocol.n_echoes)
    spacings = np.round(np.arange(minimum, longest, _STEP), 7)
    number = np.arange(1, protocol.n_echoes + 1)
    worst = np.array([worst_relative_std(spacing * number, t2) for spacing in spacings])
    for index in np.argsort(worst):
        changed = protocol.model_copy(update={"echo_spacing": float(spacings[index]), "averages": 1, "duration": None})
        try:
            build(changed, limits)
        except ProtocolError:
            continue
        return minimum, changed.echo_times
    raise ProtocolError(
        f"{protocol.name}: no echo_spacing from {minimum * 1e3:.2f} to {longest * 1e3:.2f} ms keeps the limits of "
        f"{limits.name}: use fewer echoes, or raise repetition_time"
    )
