"""How a magnitude departs from a signal: the loss of one echo, its derivatives, and what it tells of the signal."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.relaxometry.rician import (
    bessel_shortfall,
    bessel_sums,
    log_bessel,
    rician_information,
)

_NEARLY_ZERO = 1e-30
_BRIGHTEST = 1e18  # magnitude, in noise, whose square single precision holds


class Law(ABC):
    """How a magnitude ``m`` departs from a signal ``s``, both in units of the noise."""

    has_one_sided = False
    """Whether voxels without a maximum at short T2 get one by a prior (it is a likelihood, not a square)."""

    @abstractmethod
    def loss(self, magnitude: RealArray, signal: RealArray) -> RealArray:
        """Loss, up to what depends on ``m`` alone."""

    @abstractmethod
    def slope(self, magnitude: RealArray, signal: RealArray) -> RealArray:
        """First derivative of the loss by the signal."""

    @abstractmethod
    def derivatives(self, magnitude: RealArray, signal: RealArray) -> tuple[RealArray, RealArray]:
        """First and second derivative of the loss by the signal."""

    @abstractmethod
    def information(self, signal: RealArray) -> RealArray:
        """Return the expected second derivative."""

    @abstractmethod
    def misfits(self, magnitude: RealArray, signal: RealArray) -> tuple[RealArray, RealArray]:
        """Twice the loss, summed over echoes: above that of the best signal of each echo, and below that of none."""


class RicianLaw(Law):
    """Minus the log-likelihood of a Rician magnitude."""

    has_one_sided = True

    def loss(self, magnitude: RealArray, signal: RealArray) -> RealArray:
        """``(m - s)^2 / 2 - ln(exp(-m s) I0(m s))``."""
        return np.asarray(0.5 * (magnitude - signal) ** 2 - log_bessel(magnitude * signal))

    def slope(self, magnitude: RealArray, signal: RealArray) -> RealArray:
        """``s - m I1/I0``."""
        slope = magnitude * bessel_shortfall((magnitude * signal).astype(np.float32))
        slope -= magnitude
        slope += signal
        return slope

    def derivatives(self, magnitude: RealArray, signal: RealArray) -> tuple[RealArray, RealArray]:
        """``s - m I1/I0`` and its derivative."""
        argument = magnitude * signal
        shortfall = bessel_shortfall(argument)
        first = signal - magnitude
        first += magnitude * shortfall
        argument += _NEARLY_ZERO
        second = 1 - shortfall
        second /= argument
        shortfall *= shortfall - 2
        second += shortfall
        second = second * magnitude
        second *= magnitude
        second += 1
        return first, second

    def information(self, signal: RealArray) -> RealArray:
        """Fisher information."""
        return rician_information(signal)

    def misfits(self, magnitude: RealArray, signal: RealArray) -> tuple[RealArray, RealArray]:
        """Deviances; what varies slowly is looked up in single precision."""
        bessel, bessel_of_best = bessel_sums(in_single_precision(magnitude), in_single_precision(signal))
        residuals = magnitude - signal
        squares = np.einsum("ev,ev->v", residuals, residuals)
        return squares - bessel_of_best, np.einsum("ev,ev->v", magnitude, magnitude) - squares + bessel


class QuadratureLaw(Law):
    """Least squares against ``sqrt(s^2 + 2)``: signal and noise floor added in quadrature."""

    def loss(self, magnitude: RealArray, signal: RealArray) -> RealArray:
        """Half the squared residual."""
        return np.asarray(0.5 * (magnitude - np.sqrt(signal**2 + 2)) ** 2)

    def slope(self, magnitude: RealArray, signal: RealArray) -> RealArray:
        """First derivative of half the squared residual."""
        expected = np.sqrt(signal**2 + 2)
        return np.asarray((expected - magnitude) * (signal / expected))

    def derivatives(self, magnitude: RealArray, signal: RealArray) -> tuple[RealArray, RealArray]:
        """First and second derivative of half the squared residual."""
        expected = np.sqrt(signal**2 + 2)
        residual = magnitude - expected
        slope = signal / expected
        return -residual * slope, slope**2 - 2 * residual / expected**3

    def information(self, signal: RealArray) -> RealArray:
        """Squared slope of the expected magnitude."""
        return np.asarray(signal**2 / (signal**2 + 2))

    def misfits(self, magnitude: RealArray, signal: RealArray) -> tuple[RealArray, RealArray]:
        """Squared residuals, and by how much they are below those from the floor."""
        squares = 2 * self.loss(magnitude, signal).sum(axis=0)
        return squares, np.sum((magnitude - np.sqrt(2)) ** 2, axis=0) - squares


def in_single_precision(magnitude: RealArray) -> RealArray:
    """Magnitudes in units of the noise, held within the range of single precision."""
    return np.minimum(magnitude, _BRIGHTEST).astype(np.float32)
