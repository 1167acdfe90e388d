"""Do the residuals say that one exponential is not all? Two tests, of one curve and of many voxels.

Of one curve whose noise nobody knows, neighbouring residuals are compared, as in the test of Durbin and Watson [1]_:
noise leaves them unlike each other, a wrong model alike. What the fit itself does to its residuals is in the null
distribution, which is drawn. Of many voxels the mean residual at each delay is compared with its scatter from tile to
tile of the image (Hotelling's test [2]_), so that neither a wrong noise level nor noise that neighbours share is taken
for a wrong model.

References
----------
.. [1] Durbin and Watson, Biometrika 37 (1950) 409 (serial correlation of the residuals of a regression).
.. [2] Hotelling, Ann. Math. Statist. 2 (1931) 360 (the mean of several variates against their own scatter).
.. [3] Cook, Tsai and Wei, Biometrika 73 (1986) 615 (bias of the residuals of a non-linear regression).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import idct
from scipy.special import chdtri, fdtrc

from knightshift.core.arrays import BoolArray, IntArray, RealArray
from knightshift.core.human_units import quantity
from knightshift.reconstruction.relaxometry._laws import QuadratureLaw, RicianLaw
from knightshift.reconstruction.relaxometry._least_squares import Problem, Tabulated
from knightshift.reconstruction.relaxometry.recovery import RelaxationFit
from knightshift.reconstruction.relaxometry.result import T2Fit
from knightshift.reconstruction.relaxometry.rician import rician_mean
from knightshift.reconstruction.relaxometry.voxel_trains import VoxelTrains

CURVE_FALSE_ALARMS = 0.05
"""Share of single curves of one exponential and noise that are nevertheless said to depart from it."""
MAP_FALSE_ALARMS = 0.01
"""Share of maps of one exponential and noise that are nevertheless said to depart from it."""
_DRAWS = 20_000
_LEAST_SNR = 10.0
"""Of the first echo: below, the curvature of the model alone bends the mean of the residuals."""
_LEAST_SNR_IN_QUADRATURE = 20.0
"""Of the first echo where that law was fitted, which is not quite that of magnitudes."""
_TILE = 8
"""Voxels along each axis of a tile: noise that is interpolated or filtered reaches no farther."""
_TILES_PER_DIRECTION = 4
"""Tiles that the scatter must be known from, for each direction that is tested."""
_MOST_VOXELS = 50_000
"""Voxels in the test, roughly: more tell no more."""
_BEYOND = 0.1
"""Of ln R, beyond the voxels, in the table of a train."""
_STEP = 0.05
"""Of a signal in noise, for derivatives."""
_LEAST_INFORMATION = 1e-3
"""Of a magnitude on its signal: where there is none."""
ONE_EXPONENTIAL = "one exponential"


@dataclass(frozen=True)
class Misfit:
    """What a test of residuals found."""

    probability: float
    """That one exponential and noise leave residuals as systematic."""
    delay: float
    """Where the residual, or its mean over voxels, is largest [s]."""
    size: float
    """How large it is there, with its sign, as a share of the largest fitted signal."""
    n_curves: int
    """Curves or voxels in the test."""
    curve: str = ONE_EXPONENTIAL
    """What the residuals were left by."""

    @property
    def departs(self) -> bool:
        """Whether residuals as systematic are rarer than the false alarms that are allowed."""
        return self.probability < (CURVE_FALSE_ALARMS if self.n_curves == 1 else MAP_FALSE_ALARMS)

    @property
    def numbers(self) -> str:
        """Size, place and probability in words: ``"+1.9 % of the signal at 20 ms (p < 0.0001)"``."""
        whose = "" if self.n_curves == 1 else f" in the mean of {self.n_curves} voxels"
        # no more digits than the drawn null distribution, or the F distribution far out, can tell
        chance = (
            f"p = {self.probability:.{2 if self.probability >= 0.01 else 1}g}"
            if self.probability >= 1e-4
            else "p < 0.0001"
        )
        size = f"{100 * self.size:+.2g}".replace("-", "−")
        return f"{size} % of the signal at {quantity(self.delay, 's', 3)}{whose} ({chance})"

    def sentence(self, remedy: str = "") -> str:
        """Say in one sentence that the curve is not all; empty where the residuals do not say so."""
        if not self.departs:
            return ""
        return f"residuals depart from {self.curve} by {self.numbers}{f'; {remedy}' if remedy else ''}"


def misfit_of_curve(fit: RelaxationFit, index: tuple[int, ...] = ()) -> Misfit | None:
    """Test whether neighbouring residuals of one curve are alike.

    Parameters
    ----------
    fit
        Of one peak, or of an image.
    index
        Which voxel; empty for one peak.

    Returns
    -------
    Misfit or None
        None without a fit, or with fewer than four degrees of freedom.
    """
    if not fit.ok[index]:
        return None
    order = np.argsort(fit.delays, kind="stable")
    delays = fit.delays[order]
    expected = fit.expected(index, delays)
    left = np.moveaxis(fit.signal, 0, -1)[index][order] - expected
    columns = _columns(delays, np.array([fit.time[index]]), with_constant=fit.curve != "decay")[0]
    if len(delays) - columns.shape[1] < 4 or not left.any():
        return None
    basis, _ = np.linalg.qr(columns)
    noise = np.random.default_rng(len(delays)).standard_normal((_DRAWS, len(delays)))
    noise -= (noise @ basis) @ basis.T
    alike = int(np.count_nonzero(_likeness(noise) >= _likeness(left)))
    where = int(np.argmax(np.abs(left)))
    size = float(left[where] / np.max(np.abs(expected)))
    return Misfit((alike + 1) / (_DRAWS + 1), float(delays[where]), size, 1)


def _likeness(residuals: RealArray) -> RealArray:
    """Correlation of neighbours along the last axis."""
    products = np.sum(residuals[..., 1:] * residuals[..., :-1], axis=-1)
    return np.asarray(products / np.sum(residuals**2, axis=-1))


def misfit_of_t2(fit: T2Fit) -> Misfit | None:
    """Test whether the residuals of a T2 map, averaged over its voxels, are systematic.

    Rician fits, and magnitudes fitted in quadrature with the noise floor, are held against the mean of a Rician
    variable.

    Parameters
    ----------
    fit
        A T2 fit; voxels with a signal-to-noise ratio of at least 10 at the first echo (20 for noise in quadrature) take
        part.

    Returns
    -------
    Misfit or None
        None where no degree of freedom is left, there are too few voxels to tell, or B1 was fitted along (the curvature
        of the model in B1, which bends the mean residual as well, is not known).
    """
    if fit.trains is not None and fit.trains.b1_is_fitted:
        return None
    noise: RealArray = np.where(np.isfinite(fit.noise_std) & (fit.noise_std > 0), fit.noise_std, 1.0)
    in_quadrature = fit.options.offset == "noise-quadrature"
    least = _LEAST_SNR_IN_QUADRATURE if in_quadrature else _LEAST_SNR
    strong = _some_tiles(fit.ok & (fit.snr[0] >= least))
    value, slope, bend = (fit.amplitude[strong] * part for part in _decays(fit, strong, noise))
    has_floor = fit.options.offset in {"noise", "free"}
    expected: RealArray = value + fit.offset[strong] / noise[:, None] if has_floor else value
    spread: RealArray = np.ones_like(value)
    bent: RealArray = 0.5 * (fit.t2_std[strong] / fit.t2[strong]) ** 2 * bend
    if fit.options.estimator == "rician" or in_quadrature:
        expected, rise, turn = _mean_magnitude(value)
        spread = np.sqrt(2 + value**2 - expected**2)
        variance, of_signal = _variances(value, slope, spread, is_rician=not in_quadrature)
        bent = 0.5 * (variance * rise * bend + turn * of_signal)
        value, slope = rise * value, rise * slope
    left = fit.signal[:, strong] / noise[:, None] - expected
    constant = np.broadcast_to(1 / noise[:, None], value.shape)
    columns = _side_by_side(value, slope, *([constant] if fit.options.offset == "free" else []))
    bent *= _noise_scale(left / spread, columns.shape[2])
    curve = "the model of the echo train" if fit.options.train is not None else ONE_EXPONENTIAL
    return _of_voxels((left, expected, bent, columns), (fit.echo_times, noise), strong, curve)


def _variances(
    signal: RealArray, slope: RealArray, spread: RealArray, *, is_rician: bool
) -> tuple[RealArray, RealArray]:
    """Variance of ``ln R``, shape ``(voxel,)``, and of the signal, ``(echo, voxel)``, as magnitudes determine them.

    `slope` is the derivative of the signal by ``ln R``, `spread` the standard deviation of the magnitudes. Least
    squares do not weigh echoes by that, so the variance of their estimate is not one over their curvature.
    """
    law = RicianLaw() if is_rician else QuadratureLaw()
    weight = np.maximum(law.information(np.maximum(signal, 0)), _LEAST_INFORMATION).T
    columns = _side_by_side(signal, slope)
    curvature = np.linalg.inv(np.einsum("vep,ve,veq->vpq", columns, weight, columns))
    covariance = curvature
    if not is_rician:
        scatter = np.einsum("vep,ve,veq->vpq", columns, weight * spread.T**2, columns)
        covariance = curvature @ scatter @ curvature
    return covariance[:, 1, 1], np.einsum("vep,vpq,veq->ev", columns, covariance, columns)


def _side_by_side(*columns: RealArray) -> RealArray:
    """Shape ``(voxel, echo, parameter)`` from columns of shape ``(echo, voxel)``."""
    return np.stack(columns, axis=2).transpose(1, 0, 2)


def _decays(fit: T2Fit, inside: BoolArray, noise: RealArray) -> tuple[RealArray, RealArray, RealArray]:
    """Decays of amplitude one over the noise, first and second derivative by ``ln R``; shape ``(echo, voxel)``."""
    log_rate = -np.log(fit.t2[inside])
    ends = float(log_rate.min(initial=np.inf)) - _BEYOND, float(log_rate.max(initial=-np.inf)) + _BEYOND
    problem = Problem(fit.echo_times, noise, ends, False, 0)
    train, found = fit.options.train, np.empty((3, noise.size, log_rate.size))
    if train is None:
        exponent = np.multiply.outer(fit.echo_times, np.exp(log_rate))
        found[0] = np.exp(-exponent) / noise[:, None]
        found[1], found[2] = -exponent * found[0], (exponent**2 - exponent) * found[0]
    elif log_rate.size:
        trains = VoxelTrains(train) if fit.trains is None else fit.trains.part(inside)
        for one, where in trains.groups(np.ones(log_rate.size, dtype=bool)):
            table = Tabulated(problem, one.decays)
            for row, part in enumerate((table.spline, table.slope, table.bend)):
                found[row][:, where] = part(log_rate[where]).T
    return found[0], found[1], found[2]


def _mean_magnitude(signal: RealArray) -> tuple[RealArray, RealArray, RealArray]:
    """Mean of a magnitude over the noise, and its first and second derivative by the signal."""
    below, middle, above = (rician_mean(signal + step) for step in (-_STEP, 0, _STEP))
    return middle, (above - below) / (2 * _STEP), (above + below - 2 * middle) / _STEP**2


def misfit_of_t1(fit: RelaxationFit) -> Misfit | None:
    """Test whether the residuals of a T1 map, averaged over its voxels, are systematic.

    Parameters
    ----------
    fit
        Of images.

    Returns
    -------
    Misfit or None
        None where no degree of freedom is left or there are too few voxels to tell.
    """
    strong = _some_tiles(fit.ok & (fit.time_std < fit.time / _LEAST_SNR))
    part = fit.amplitude[strong] * np.exp(-np.divide.outer(fit.delays, fit.time[strong]))
    expected = fit.offset[strong] + (-part if fit.curve == "recovery" else part)
    largest = np.max(np.abs(expected), axis=0)
    left = (fit.signal[:, strong] - expected) / largest
    bend = 0.5 * fit.rate_std[strong] ** 2 * (expected - fit.offset[strong]) / largest * fit.delays[:, np.newaxis] ** 2
    columns = _columns(fit.delays, fit.time[strong], with_constant=fit.curve != "decay")
    data = left, expected / largest, bend, columns
    return _of_voxels(data, (fit.delays, np.ones(len(fit.delays))), strong, ONE_EXPONENTIAL)


def _of_voxels(
    data: tuple[RealArray, RealArray, RealArray, RealArray],
    axis: tuple[RealArray, RealArray],
    inside: BoolArray,
    curve: str,
) -> Misfit | None:
    """Hotelling's test of the mean residual, in the directions that the fit cannot follow.

    `data` are residuals, expected signal, and half the variance of the rate times the second derivative of the curve
    by it, each of shape ``(delay, voxel)``, and the derivatives of the curve, shape ``(voxel, delay, parameter)``;
    `axis` the delays, and the noise that all were divided by; `inside` the voxels of the image.
    """
    left, expected, bend, columns = data
    delays, noise = axis
    tile = _tiles(inside)
    n_directions = min(len(delays) - columns.shape[2], (int(tile.max(initial=-1)) + 1) // _TILES_PER_DIRECTION)
    if n_directions < 1:
        return None
    basis, _ = np.linalg.qr(columns)
    # the curve is curved: noise of the rate bends the mean residual by this much [3]
    bent = bend.T.copy()
    bent -= np.einsum("vdp,vp->vd", basis, np.einsum("vdp,vd->vp", basis, bent))
    # means of the tiles, each weighted as the voxels it holds
    tiles = np.stack([np.bincount(tile, one) for one in left + bent.T]) / np.bincount(tile).mean()
    probability = _hotelling(_directions(basis, n_directions).T @ tiles)
    shares = left.mean(axis=1) * noise / np.max(np.abs(expected.mean(axis=1) * noise))
    largest = int(np.argmax(np.abs(shares)))
    return Misfit(probability, float(delays[largest]), float(shares[largest]), left.shape[1], curve)


def _noise_scale(left: RealArray, n_parameters: int) -> float:
    """Tell by how much the variance of the noise differs from the one that the fit believed."""
    freedom = len(left) - n_parameters
    if freedom < 1 or not left.size:
        return 1.0
    return float(np.median(np.sum(left**2, axis=0)) / chdtri(freedom, 0.5))


def _hotelling(samples: RealArray) -> float:
    """Probability that samples, shape ``(variate, sample)``, of mean zero have a mean as far from it."""
    n_variates, n_samples = samples.shape
    mean = samples.mean(axis=1)
    squared = n_samples * float(mean @ np.linalg.pinv(np.atleast_2d(np.cov(samples))) @ mean)
    ratio = squared * (n_samples - n_variates) / (n_variates * (n_samples - 1))
    return float(fdtrc(n_variates, n_samples - n_variates, ratio))


def _columns(delays: RealArray, times: RealArray, *, with_constant: bool) -> RealArray:
    """Differentiate the curve by its parameters, shape ``(voxel, delay, parameter)``."""
    decay = np.exp(-delays / times[:, None])
    parts = [decay, decay * delays / times[:, None]]
    return np.stack([*parts, np.ones_like(decay)] if with_constant else parts, axis=2)


def _directions(basis: RealArray, count: int) -> RealArray:
    """Choose directions that the fits of all voxels follow least, smooth ones first, shape ``(delay, direction)``.

    `basis` is what each of them follows, shape ``(voxel, delay, parameter)``.
    """
    _, n_delays, n_parameters = basis.shape
    _, vectors = np.linalg.eigh(np.einsum("vdp,vep->de", basis, basis))
    free = vectors[:, : n_delays - n_parameters]
    smooth = idct(np.eye(n_delays)[:, : n_parameters + count], axis=0, norm="ortho")
    turned, _, _ = np.linalg.svd(free.T @ smooth)
    return np.asarray(free @ turned[:, :count])


def _tiles(inside: BoolArray) -> IntArray:
    """Tell which tile of the image each voxel is in, shape ``(voxel,)``."""
    _, tile = np.unique(np.argwhere(inside) // _TILE, axis=0, return_inverse=True)
    return np.asarray(tile.ravel())


def _some_tiles(inside: BoolArray) -> BoolArray:
    """Leave out whole tiles, evenly, where there are far more voxels than the test needs."""
    step = -(-int(np.count_nonzero(inside)) // _MOST_VOXELS)
    if step <= 1:
        return inside
    some = inside.copy()
    some[inside] = _tiles(inside) % step == 0
    return some
