"""Fit of an exponential to magnitudes where the loss is not a plain square: Rician likelihood, noise in quadrature.

The parameters are the logarithms of the signal at the first echo and of ``R``. A few plain Newton steps from a grid
bring nearly all voxels to their optimum. The others take damped steps from there: one that does not lower the loss is
refused and the damping raised, so the loss never grows, and where the Hessian is not positive the information matrix,
which always is, takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from knightshift.core.arrays import BoolArray, IntArray, RealArray
from knightshift.reconstruction.relaxometry import _least_squares
from knightshift.reconstruction.relaxometry._laws import Law, in_single_precision
from knightshift.reconstruction.relaxometry._least_squares import ONE_SIDED, Problem, Solution
from knightshift.reconstruction.relaxometry._one_sided import most_likely

_TOLERANCE = 1e-5
_LONGEST_STEP = 0.7
_LONGEST_WAY = 0.5  # by plain steps: they may have passed over a ridge
_ROUGH_STEPS = 2  # Newton steps in single precision: of all voxels, and as many again of those that are still far
_FAR = 5e-3
_NEAR = 1e-6  # size of the last step times how old its Hessian is: about the error that is left
_ROUNDING = 1e-12  # of ln R: a step that ends at a bound may miss it by that
_FAINTEST = -7.0  # ln of an amplitude, in noise: fainter ones are none
_STEEP, _FLAT = 2.0, 1.0  # rate times the first gap, and times the whole time, where other maxima are looked for
_APART = 0.5  # in ln R: a maximum as near is the same
_HIGHER = 1e-5  # of twice the log-likelihood: lookups in single precision tell no less

FLAT_TOP = 0.35
"""Standard deviation of ``ln R``: likelihoods of two maxima have wider ones."""

_Found: TypeAlias = tuple[RealArray, RealArray, BoolArray, IntArray]
"""Logarithms of the signal at the first echo and of ``R``, whether converged, at which bound."""


@dataclass
class _State:
    """Where each voxel is and what the loss looks like there; arrays ``(voxel,)``."""

    log_amplitude: RealArray
    log_rate: RealArray
    loss: RealArray
    slope: RealArray  # (2, voxel)
    hessian: RealArray  # (3, voxel): aa, ax, xx

    def take(self, chosen: BoolArray) -> _State:
        return _State(*(values[..., chosen] for values in vars(self).values()))

    def replace(self, other: _State, where: BoolArray) -> None:
        for old, new in zip(vars(self).values(), vars(other).values(), strict=True):
            np.copyto(old, new, where=where)


def solve(signal: RealArray, problem: Problem, law: Law) -> Solution:
    """Fit every column of magnitudes; parameters and result as in `_least_squares.solve`.

    Some plain Newton steps bring nearly all voxels to their optimum; the others descend from their start with damping.
    """
    scaled = signal / problem.noise_std[:, None]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        rough = in_single_precision(scaled)
        start = _start(rough, problem)
        log_amplitude, log_rate, converged = _newton(scaled, rough, problem, law, start)
    side = np.zeros(log_rate.size, dtype=np.int8)
    if not converged.all():
        rest = np.flatnonzero(~converged)
        found = _descend(scaled.take(rest, axis=1), problem, law, start[:, rest].astype(float))
        log_amplitude[rest], log_rate[rest], converged[rest], side[rest] = found
    solution = _finish(scaled, problem, law, (log_amplitude, log_rate, converged, side))
    _try_other_hills(scaled, problem, law, solution)
    if law.has_one_sided:
        _bound_from_above(scaled, problem, law, solution)
    return solution


def _try_other_hills(scaled: RealArray, problem: Problem, law: Law, solution: Solution) -> None:
    """Take the higher one of two maxima where there may be two; in place.

    Where the first echo alone explains nearly as much as the decay does, the likelihood may rise to a second maximum at
    a T2 of the order of the first gap, to one of long T2, or to no signal at all after the first echo.
    """
    flat_top = np.flatnonzero(solution.converged & (solution.log_rate_std > FLAT_TOP))
    if flat_top.size == 0:
        return
    first = scaled[:1].take(flat_top, axis=1)
    best = np.sqrt(np.maximum(first**2 - 1, 0.1))
    _, explained = law.misfits(first, best)
    near = solution.explained[flat_top] - explained < max(1, len(scaled) - 2)  # no more than noise might
    doubtful, log_amplitude = flat_top[near], np.log(best[0, near] / _relative_weights(problem)[0])
    steep, flat = np.log(_STEEP / _delays(problem)[1]), np.log(_FLAT / _delays(problem)[-1])
    found = solution.log_rate[doubtful]
    for place, elsewhere in ((steep, found < steep - _APART), (flat, found > flat + _APART)):
        voxels = doubtful[elsewhere]
        columns = scaled.take(voxels, axis=1)
        start = np.stack([log_amplitude[elsewhere], np.full(voxels.size, np.clip(place, *problem.log_rates))])
        other = _finish(columns, problem, law, _descend(columns, problem, law, start))
        better = other.converged & (other.explained > solution.explained[voxels] + _HIGHER)
        solution.put(voxels[better], other.take(better))


def _bound_from_above(scaled: RealArray, problem: Problem, law: Law, solution: Solution) -> None:
    """Give voxels whose likelihood is highest for no signal after the first echo a T2 by a prior; in place."""
    short = np.flatnonzero(solution.side > 0)
    if short.size:
        columns = scaled.take(short, axis=1)
        log_amplitude, log_rate = most_likely(columns, problem, law.loss, law.slope, law.information)
        ends = solution.converged[short], np.full(short.size, ONE_SIDED, dtype=np.int8)
        solution.put(short, _finish(columns, problem, law, (log_amplitude, log_rate, *ends)))


def _newton(
    scaled: RealArray, rough: RealArray, problem: Problem, law: Law, start: RealArray
) -> tuple[RealArray, RealArray, BoolArray]:
    """Take the same few Newton steps for all voxels: both parameters, and whether they are the optimum.

    All but the last step are in single precision. The last one tells how far they were off; its slope is in double
    precision, its Hessian that of the step before.
    """
    place = start.copy()
    before, bend = _rough_steps(rough, problem, law, place)
    far = np.flatnonzero(~(before < _FAR))
    if far.size:
        there = place.take(far, axis=1)
        before[far], bend[:, far] = _rough_steps(rough.take(far, axis=1), problem, law, there)
        place[:, far] = there
    place = place.astype(float)
    steps = _newton_leads(_slope(scaled, problem, law, place), bend.astype(float))
    place += steps
    size = np.abs(steps).max(axis=0)
    (log_amplitude, log_rate), (lowest, highest) = place, problem.log_rates
    sound = (bend[0] > 0) & (bend[0] * bend[2] > bend[1] ** 2) & (size * (before + size) < _NEAR)
    sound &= (np.abs(log_rate - start[1]) < _LONGEST_WAY) & (log_amplitude > _FAINTEST)
    return log_amplitude, log_rate, sound & (log_rate > lowest) & (log_rate < highest)


def _rough_steps(columns: RealArray, problem: Problem, law: Law, place: RealArray) -> tuple[RealArray, RealArray]:
    """Take Newton steps from `place`, ``(2, voxel)``, in place; size of the last, and the Hessian it came from."""
    for _ in range(_ROUGH_STEPS):
        slope, bend, _ = _slope_and_bend(columns, problem, law, place)
        steps = _newton_leads(slope, bend)
        place += steps
    return np.abs(steps).max(axis=0), bend


def _newton_leads(slope: RealArray, bend: RealArray) -> RealArray:
    """Where Newton leads, ``(2, voxel)``, from gradient and Hessian; not too far."""
    steps = np.stack([bend[1] * slope[1] - bend[2] * slope[0], bend[1] * slope[0] - bend[0] * slope[1]])
    steps /= bend[0] * bend[2] - bend[1] ** 2
    return np.asarray(np.fmax(np.fmin(steps, _LONGEST_STEP, out=steps), -_LONGEST_STEP, out=steps))


def _slope(scaled: RealArray, problem: Problem, law: Law, place: RealArray) -> RealArray:
    """Gradient of the loss, ``(2, voxel)``."""
    rate = np.exp(place[1])
    signal = _decay(problem, place[0], rate)
    signal *= law.slope(scaled, signal)
    slope = _powers(problem)[:2] @ signal
    slope[1] *= -rate
    return np.asarray(slope)


def _slope_and_bend(
    scaled: RealArray, problem: Problem, law: Law, place: RealArray
) -> tuple[RealArray, RealArray, RealArray]:
    """Gradient ``(2, voxel)`` and Hessian ``(3, voxel)`` of the loss, and the signal, in the precision of `place`."""
    rate = np.exp(place[1])
    signal = _decay(problem, place[0], rate)
    first, second = law.derivatives(scaled, signal)
    first *= signal
    second *= signal
    second *= signal
    second += first
    powers = _powers(problem).astype(place.dtype)
    slope, bend = powers[:2] @ first, powers @ second
    bend[2] *= rate
    bend[2] -= slope[1]
    bend[2] *= rate
    bend[1] *= -rate
    slope[1] *= -rate
    return slope, bend, signal


def _delays(problem: Problem) -> RealArray:
    return np.asarray(problem.echo_times - problem.echo_times[0])


def _relative_weights(problem: Problem) -> RealArray:
    return np.asarray(problem.noise_std.mean() / problem.noise_std)


def _descend(scaled: RealArray, problem: Problem, law: Law, start: RealArray) -> _Found:
    """Damped Newton steps that never raise the loss: both parameters, whether converged, at which bound."""
    state = _evaluate(scaled, problem, law, start)
    (log_amplitude, log_rate), count = start.copy(), scaled.shape[1]
    converged, side = np.zeros(count, dtype=bool), np.zeros(count, dtype=np.int8)
    active, columns, damping = np.arange(count), scaled, np.zeros(count)
    for _ in range(problem.max_iterations):
        step, outward = _step(state, damping, problem.log_rates)
        trial = _trial(columns, problem, law, state, step)
        better = trial.loss <= state.loss + 1e-10 * (1 + np.abs(state.loss))
        state.replace(trial, better)
        done = better & (np.abs(step).max(axis=0) < _TOLERANCE * (1 + damping)) | (state.log_amplitude <= _FAINTEST)
        damping = np.where(better, np.where(damping < 1e-2, 0, damping / 10), np.maximum(4 * damping, 1e-2))
        log_amplitude[active], log_rate[active] = state.log_amplitude, state.log_rate
        converged[active], side[active] = done, outward
        if done.any():
            active, columns, damping, state = active[~done], columns[:, ~done], damping[~done], state.take(~done)
        if active.size == 0:
            break
    return log_amplitude, log_rate, converged, side


def _start(rough: RealArray, problem: Problem) -> RealArray:
    """Logarithms of amplitude and ``R`` of least squares on magnitudes whose noise floor is taken out in quadrature."""
    freed = rough * rough
    freed -= 2
    np.sqrt(np.maximum(freed, 0.01, out=freed), out=freed)
    lowest, highest = problem.log_rates
    log_rate = np.clip(_least_squares.rough_start(freed, problem), lowest + 1.0, highest - 1.0)
    decay = _decay(problem, np.zeros_like(log_rate), np.exp(log_rate))
    amplitude = np.einsum("ev,ev->v", freed, decay) / np.einsum("ev,ev->v", decay, decay)
    return np.stack([np.log(np.fmax(amplitude, 0.1)), log_rate])


def _decay(problem: Problem, log_amplitude: RealArray, rate: RealArray) -> RealArray:
    """Noise-free signal in units of the noise of each echo; amplitude at the first echo in units of the mean noise."""
    exponent = np.multiply.outer(-_delays(problem).astype(rate.dtype), rate)
    exponent += log_amplitude
    np.exp(exponent, out=exponent)
    exponent *= _relative_weights(problem).astype(rate.dtype)[:, None]
    return np.asarray(exponent)


def _evaluate(scaled: RealArray, problem: Problem, law: Law, place: RealArray) -> _State:
    slope, hessian, signal = _slope_and_bend(scaled, problem, law, place)
    loss = law.loss(scaled, signal)
    unsound = ~((hessian[0] > 0) & (hessian[0] * hessian[2] > hessian[1] ** 2))
    if unsound.any():
        weak = signal[:, unsound]
        expected = _powers(problem) @ (weak**2 * (weak**2 / (1 + weak**2)))
        slow = np.exp(place[1][unsound])
        hessian[:, unsound] = np.stack([expected[0], -slow * expected[1], slow**2 * expected[2]])
    return _State(place[0], place[1], loss.sum(axis=0), slope, hessian)


def _powers(problem: Problem) -> RealArray:
    delay = _delays(problem)
    return np.stack([np.ones_like(delay), delay, delay**2])


def _step(state: _State, damping: RealArray, bounds: tuple[float, float]) -> tuple[RealArray, RealArray]:
    """Damped Newton step ``(2, voxel)``, and at which bound of the rate (-1, 0, +1) the loss still falls outwards."""
    below = (state.log_rate <= bounds[0] + _ROUNDING) & (state.slope[1] >= 0)
    above = (state.log_rate >= bounds[1] - _ROUNDING) & (state.slope[1] <= 0)
    outward = above.astype(np.int8) - below.astype(np.int8)
    amplitude_bend, cross, rate_bend = state.hessian
    amplitude_bend, rate_bend = amplitude_bend * (1 + damping) + 1e-300, rate_bend * (1 + damping) + 1e-300
    cross = np.where(outward != 0, 0.0, cross)
    determinant = np.maximum(amplitude_bend * rate_bend - cross**2, 1e-12 * amplitude_bend * rate_bend)
    rate_slope = np.where(outward != 0, 0.0, state.slope[1])
    step = np.stack(
        [cross * rate_slope - rate_bend * state.slope[0], cross * state.slope[0] - amplitude_bend * rate_slope]
    ) / np.maximum(determinant, 1e-300)
    step *= _LONGEST_STEP / np.maximum(np.abs(step).max(axis=0), _LONGEST_STEP)
    step[1] = np.clip(state.log_rate + step[1], *bounds) - state.log_rate
    return step, outward


def _trial(columns: RealArray, problem: Problem, law: Law, state: _State, step: RealArray) -> _State:
    return _evaluate(columns, problem, law, np.stack([state.log_amplitude, state.log_rate]) + step)


def _finish(scaled: RealArray, problem: Problem, law: Law, found: _Found) -> Solution:
    """Amplitude in units of the images, deviance, and errors from the expected information."""
    log_amplitude, log_rate, converged, side = found
    rate = np.exp(log_rate)
    signal = _decay(problem, log_amplitude, rate)
    weight = signal**2
    weight *= law.information(in_single_precision(signal))
    zero, one, two = _powers(problem) @ weight
    with np.errstate(divide="ignore", invalid="ignore"):
        information = rate**2 * (two - one * (one / zero))
        log_rate_std = np.where(information > 0, 1 / np.sqrt(np.abs(information)), np.inf)
    chi2, explained = law.misfits(scaled, signal)
    at_zero = np.exp(np.minimum(log_amplitude + rate * problem.echo_times[0], 700.0))
    amplitude = np.where(log_amplitude <= _FAINTEST, 0.0, at_zero * problem.noise_std.mean())
    return Solution(log_rate, amplitude, np.zeros_like(amplitude), chi2, explained, log_rate_std, converged, side)
