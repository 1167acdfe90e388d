"""Histogram of T2 and its width, read from a smooth density whose bandwidth follows the peaks [1]_.

References
----------
.. [1] Botev, Grotowski and Kroese, Ann. Statist. 38 (2010) 2916 (the improved Sheather-Jones bandwidth: it presumes no
   shape, where Silverman's presumes one Gaussian and flattens two).
.. [2] DerSimonian and Laird, Control. Clin. Trials 7 (1986) 177; here with the spread from the quartiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import dct

from knightshift.core.arrays import RealArray
from knightshift.core.errors import InputError

_FWHM_OF_GAUSSIAN = float(2 * np.sqrt(2 * np.log(2)))
_QUARTILES_OF_GAUSSIAN = 1.349
"""Distance of the quartiles, in standard deviations."""
_CURVE_POINTS = 1024
_FARTHEST = 12
_STAGES = 7
"""Derivatives of the density, from which the bandwidth is iterated downward: the fixed point depends on no more."""
_FEWEST = 5
"""Voxels that have a width."""


@dataclass(frozen=True)
class T2Histogram:
    """How T2 is distributed over a group of voxels."""

    edges: RealArray
    """Edges of the bars [s], shape ``(bar + 1,)``."""
    n_beyond: int
    """Voxels longer than the last bar: farther above the median than 12 times the distance of the quartiles."""
    counts: RealArray
    """Voxels in each bar, shape ``(bar,)``."""
    times: RealArray
    """Where `density` is given [s], shape ``(point,)``."""
    density: RealArray
    """Smooth density of voxels [1/s], weighted by their uncertainty if it was given; integral = number of voxels, shape
    ``(point,)``."""
    bandwidth: float
    """Standard deviation of the Gaussian kernel of `density` [s]."""
    peak: float
    """T2 at the highest density [s]."""
    fwhm: float
    """Full width at half maximum of the highest peak, the kernel's own width taken out [s]; NaN below 5 voxels."""
    fwhm_std: float
    """Its standard deviation, by smoothed bootstrap over voxels [s]; NaN below 5 voxels. Neighbours are taken as
    independent."""
    median: float
    """Median [s]."""
    quartiles: tuple[float, float]
    """Lower and upper quartile [s]."""

    @property
    def peaks(self) -> RealArray:
        """T2 of the peaks of `density` [s], shape ``(peak,)``.

        A peak is at least a fifth of the highest, and falls by half of its own height before the next.
        """
        from scipy.signal import find_peaks

        padded = np.concatenate([[0.0], self.density, [0.0]])
        tops, found = find_peaks(padded, height=0.2 * padded.max(), prominence=0.1 * padded.max())
        return np.asarray(self.times[tops[found["prominences"] >= 0.5 * padded[tops]] - 1])


def t2_histogram(
    t2: RealArray, t2_std: RealArray | None = None, *, bar_width: float = 0.5e-3, bandwidth: float | None = None
) -> T2Histogram:
    """Make the histogram of T2, and the smooth density from which the width is read.

    Bars count voxels. The density weights them by ``1 / (e**2 + tau**2)`` with the relative error ``e = t2_std / t2``
    and the robust spread ``tau`` of ln T2 beyond those errors (random effects [2]_): a voxel far less certain than the
    spread of the others says little of that spread. Relative errors, since absolute ones would favour short T2.

    Parameters
    ----------
    t2
        T2 of the voxels [s], any shape; NaN are left out.
    t2_std
        Their standard deviations [s], same shape; not finite: not known, of no weight. None: every voxel counts once.
    bar_width
        Width of a bar [s].
    bandwidth
        Of the smooth density [s]; by default that of Botev et al. Where their equation has no solution, as may happen
        below some 20 voxels, Silverman's ``0.9 min(std, IQR / 1.34) n**-0.2``.

    Raises
    ------
    InputError
        If no voxel has a T2.
    """
    known = np.isfinite(np.asarray(t2, dtype=float))
    values = np.asarray(t2, dtype=float)[known]
    if values.size == 0:
        raise InputError("no voxel has a T2: nothing to make a histogram of")
    weights = _weights(values, None if t2_std is None else np.asarray(t2_std, dtype=float)[known])
    quartiles = np.quantile(values, [0.25, 0.5, 0.75])
    shown = values <= quartiles[1] + max(_FARTHEST * (quartiles[2] - quartiles[0]), bar_width)
    n_beyond, values, weights = int(np.sum(~shown)), values[shown], _of_mean_one(weights[shown])
    first, last = np.floor(values.min() / bar_width), np.floor(values.max() / bar_width) + 1
    edges = bar_width * np.arange(first, last + 1)
    counts = np.histogram(values, edges)[0].astype(float)
    kernel = bandwidth if bandwidth is not None else _bandwidth(values, weights, 0.1 * bar_width)
    times, density = _density(values, weights, kernel)
    fwhm, fwhm_std = np.nan, np.nan
    if values.size >= _FEWEST:
        fwhm, fwhm_std = _fwhm(times, density, kernel), _bootstrap(values, weights, kernel)
    return T2Histogram(
        edges,
        n_beyond,
        counts,
        times,
        density,
        kernel,
        float(times[density.argmax()]),
        fwhm,
        fwhm_std,
        float(quartiles[1]),
        (float(quartiles[0]), float(quartiles[2])),
    )


def _weights(values: RealArray, errors: RealArray | None) -> RealArray:
    """Weigh voxels by their relative errors and the spread beyond them."""
    if errors is None or not np.any(np.isfinite(errors)):
        return np.ones(values.size)
    certain = np.isfinite(errors)
    squares = np.full(values.size, np.inf)
    squares[certain] = (errors[certain] / values[certain]) ** 2
    low, high = np.quantile(np.log(values[certain]), [0.25, 0.75])
    typical = float(np.median(squares[certain]))
    beyond = max(((high - low) / _QUARTILES_OF_GAUSSIAN) ** 2 - typical, 0.0)
    return np.asarray(1 / np.maximum(squares + beyond, np.finfo(float).tiny))


def _of_mean_one(weights: RealArray) -> RealArray:
    """Weights relative to their mean; all alike where none is left."""
    mean = float(weights.mean())
    return weights / mean if mean > 0 else np.ones(weights.size)


def _bandwidth(values: RealArray, weights: RealArray, smallest: float) -> float:
    """Choose the standard deviation of the kernel [s], at least `smallest`."""
    found = _improved_sheather_jones(values, weights) if values.size >= _FEWEST and np.ptp(values) > 0 else None
    return float(max(found if found is not None else _silverman(values), smallest))


def _silverman(values: RealArray) -> float:
    spread = min(float(values.std()), float(np.subtract(*np.quantile(values, [0.75, 0.25]))) / 1.34)
    return float(0.9 * spread * values.size**-0.2)


def _improved_sheather_jones(values: RealArray, weights: RealArray) -> float | None:
    """Find the bandwidth [s] for which the roughness of the density that it makes asks; None: there is none.

    The density is smoothed by diffusion for a time ``t``, the bandwidth squared in units of the squared range, which
    damps the squares of its cosine transform by ``exp(-k**2 pi**2 t)``. The best ``t`` is the smallest solution of
    ``t = (2 n sqrt(pi) |f''|**2)**(-2/5)``, in which the roughness ``|f''|**2`` is itself estimated from higher
    derivatives with a bandwidth that follows from ``t`` (Algorithm 1 of Botev et al., with their seven stages).
    """
    from scipy.optimize import brentq

    margin = 0.1 * float(np.ptp(values))
    low, high = float(values.min()) - margin, float(values.max()) + margin
    share = np.histogram(values, _CURVE_POINTS, (low, high), weights=weights)[0] / values.size
    size = values.size**2 / float(np.sum(weights**2))  # as many voxels of one weight are as certain
    power = (dct(share)[1:] / 2) ** 2
    squares = np.arange(1.0, _CURVE_POINTS) ** 2

    def roughness(order: int, time: float) -> float:
        damping = np.exp(-squares * np.pi**2 * time)
        return float(2 * np.pi ** (2 * order) * np.sum(squares**order * power * damping))

    def excess(time: float) -> float:
        estimate = roughness(_STAGES, time)
        for order in range(_STAGES - 1, 1, -1):
            odd = np.prod(np.arange(1.0, 2 * order, 2)) / np.sqrt(2 * np.pi)
            factor = (1 + 0.5 ** (order + 0.5)) / 3
            estimate = roughness(order, (2 * factor * odd / (size * estimate)) ** (2 / (3 + 2 * order)))
        return time - float((2 * size * np.sqrt(np.pi) * estimate) ** -0.4)

    with np.errstate(all="ignore"):  # far too much smoothing leaves no roughness: no solution there
        for end in 0.001 * 2.0 ** np.arange(8):
            if excess(float(end)) > 0:
                return (high - low) * float(np.sqrt(brentq(excess, 0.0, float(end))))
    return None


def _density(values: RealArray, weights: RealArray, kernel: float) -> tuple[RealArray, RealArray]:
    """Sum of Gaussians on a grid: values are binned finely first, so that cost does not grow with their number."""
    low, high = values.min() - 4 * kernel, values.max() + 4 * kernel
    fine = np.linspace(low, high, _CURVE_POINTS)
    step = fine[1] - fine[0]
    position = (values - low) / step
    left = np.minimum(position.astype(int), _CURVE_POINTS - 2)
    share = position - left
    binned = np.bincount(left, weights * (1 - share), _CURVE_POINTS)
    binned += np.bincount(left + 1, weights * share, _CURVE_POINTS)
    reach = np.arange(-(_CURVE_POINTS - 1), _CURVE_POINTS) * step
    gaussian = np.exp(-0.5 * (reach / kernel) ** 2) / (kernel * np.sqrt(2 * np.pi))
    size = 4 * _CURVE_POINTS
    spectrum = np.fft.rfft(binned, size) * np.fft.rfft(gaussian, size)
    density = np.fft.irfft(spectrum, size)[_CURVE_POINTS - 1 : 2 * _CURVE_POINTS - 1]
    return fine, np.maximum(density, 0)


def _fwhm(times: RealArray, density: RealArray, kernel: float) -> float:
    top = int(density.argmax())
    half = density[top] / 2
    left = top - int(np.argmax(density[top::-1] < half))
    right = top + int(np.argmax(density[top:] < half))
    low = np.interp(half, density[left : left + 2], times[left : left + 2])
    high = np.interp(half, density[right - 1 : right + 1][::-1], times[right - 1 : right + 1][::-1])
    return float(np.sqrt(max((high - low) ** 2 - (_FWHM_OF_GAUSSIAN * kernel) ** 2, 0.0)))


def _bootstrap(values: RealArray, weights: RealArray, kernel: float, rounds: int = 100) -> float:
    """Spread of the width over samples drawn from the smooth density.

    Drawn from the voxels themselves, samples hold each of them several times, and the error comes out too small. A
    fixed seed: a report is the same when made again.
    """
    random = np.random.default_rng(values.size)
    widths = []
    for _ in range(rounds):
        drawn = random.integers(values.size, size=values.size)
        sample = values[drawn] + random.normal(0.0, kernel, values.size)
        widths.append(_fwhm(*_density(sample, weights[drawn], kernel), kernel))
    return float(np.std(widths))
