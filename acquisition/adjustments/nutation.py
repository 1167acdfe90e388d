r"""Nutation: how the FID grows and turns over with the amplitude of a pulse of fixed length, and what that says of B1.

In a uniform sample the signal is ``sin(s x)``, where x is the nominal flip angle and s the scale of B1 to be found. In
metal B1 and its phase fall off with depth u (in skin depths) as ``exp(-(1 + i) u)``, and once more on reception:

.. math:: m(x) = \int_0^\infty \sin(s x e^{-u}) \, e^{-u} \, e^{\mp 2 i u} \, du

so that the signal has its maximum where the *surface* is turned by well over 90 degrees, and never returns to zero. A
sine put through it would give a B1 that is far too low. The scale of the integral is that of the surface. The sign of
the phase is a convention of the console: both are tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import AdjustmentError, NoSignalError

_DEEPEST = 12.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)
_SCALES = np.linspace(0.2, 2.0, 721)
_LARGEST_MISFIT = 0.15
_LEAST_SNR = 5.0

Sample: TypeAlias = Literal["metal", "uniform"]
_Model: TypeAlias = Callable[[RealArray], ComplexArray]


@dataclass(frozen=True)
class Nutation:
    """What the transmitter really does."""

    sample: Sample
    """Model that was fitted."""
    scale: float
    """B1 over the nominal one; in metal that at the surface."""
    scale_std: float
    """Its standard deviation by noise alone."""
    misfit: float
    """Root mean square of what the model leaves over that of the signal: noise, and the error of the model."""
    flip_of_most_signal: float
    """Nominal flip angle with the largest signal [rad]."""

    def amplitude_for(self, flip: float, pulse_length: float) -> float:
        """Nominal nutation frequency of a rectangular pulse of `pulse_length` [s] that turns by `flip` [rad], in Hz."""
        return flip / (2 * math.pi * pulse_length * self.scale)


def uniform_signal(flips: RealArray) -> ComplexArray:
    """Signal of a uniform sample over that of a 90 degree pulse, for flip angles [rad] of any shape."""
    return np.sin(flips).astype(np.complex128)


def metal_signal(flips: RealArray) -> ComplexArray:
    """Signal of a thick metal over that of one skin depth fully tipped, for flip angles at the surface [rad]."""
    depths = 0.5 * _DEEPEST * (_NODES + 1)
    weights = 0.5 * _DEEPEST * _WEIGHTS * np.exp(-(1 + 2j) * depths)
    signal: ComplexArray = np.sin(np.multiply.outer(flips, np.exp(-depths))) @ weights
    return signal


def fit_nutation(signals: ComplexArray, flips: RealArray, noise_std: float, sample: Sample) -> Nutation:
    """Fit the scale of B1 to FID amplitudes.

    Parameters
    ----------
    signals
        Complex amplitude of the FID after each pulse, shape ``(point,)``.
    flips
        Nominal flip angle of each [rad], shape ``(point,)``.
    noise_std
        Noise of the real part of each amplitude.
    sample
        Which model.

    Raises
    ------
    NoSignalError
        If the amplitudes do not stand out of the noise.
    AdjustmentError
        If they do not follow the model, or the best scale lies at the edge of 0.2 to 2.
    """
    power = float(np.mean(np.abs(signals) ** 2))
    if power <= (_LEAST_SNR * noise_std) ** 2:
        raise NoSignalError(
            f"nutation: the amplitudes are {math.sqrt(power):.3g} (rms), their noise is {noise_std:.3g}: is there a "
            "sample, and is the frequency right?"
        )
    model = uniform_signal if sample == "uniform" else metal_signal
    turned = (signals,) if sample == "uniform" else (signals, signals.conj())
    candidates = [(*_best_scale(values, flips, model), values) for values in turned]
    left, scale, values = min(candidates, key=lambda entry: entry[0])
    misfit = math.sqrt(max(0.0, left) / float(np.vdot(values, values).real))
    expected = noise_std * math.sqrt(2 / power)
    if misfit > _LARGEST_MISFIT + expected or not _SCALES[0] < scale < _SCALES[-1]:
        raise AdjustmentError(
            f"nutation: the best fit of a {sample} sample is B1 = {scale:.3g} of the nominal one and leaves "
            f"{100 * misfit:.0f} % of the signal unexplained: is `rf_calibration.sample` right, the pulse much "
            "shorter than T2, the frequency that of the line?"
        )
    return Nutation(sample, scale, _scale_std(values, flips, noise_std, scale, model), misfit, _maximum(scale, model))


def _left(scale: float, signals: ComplexArray, flips: RealArray, model: _Model) -> float:
    """Sum of squares that no amplitude and phase of the model explains."""
    shape = model(scale * flips)
    overlap = abs(np.vdot(shape, signals)) ** 2 / float(np.vdot(shape, shape).real)
    return float(np.vdot(signals, signals).real) - float(overlap)


def _best_scale(signals: ComplexArray, flips: RealArray, model: _Model) -> tuple[float, float]:
    from scipy.optimize import minimize_scalar

    coarse = [_left(scale, signals, flips, model) for scale in _SCALES]
    near = int(np.clip(np.argmin(coarse), 1, len(_SCALES) - 2))
    found = minimize_scalar(
        _left, args=(signals, flips, model), bounds=(_SCALES[near - 1], _SCALES[near + 1]), method="bounded",
        options={"xatol": 1e-7},
    )  # fmt: skip
    return float(found.fun), float(found.x)


def _scale_std(signals: ComplexArray, flips: RealArray, noise_std: float, scale: float, model: _Model) -> float:
    step = 1e-4
    shape = model(scale * flips)
    factor = np.vdot(shape, signals) / np.vdot(shape, shape)
    slope = factor * (model((scale + step) * flips) - model((scale - step) * flips)) / (2 * step)
    slope = slope - shape * np.vdot(shape, slope) / np.vdot(shape, shape)  # amplitude and phase are free
    return noise_std / float(np.linalg.norm(slope))


def _maximum(scale: float, model: _Model) -> float:
    flips = np.linspace(0, 1.5 * math.pi, 2001)
    return float(flips[np.argmax(np.abs(model(scale * flips)))])
