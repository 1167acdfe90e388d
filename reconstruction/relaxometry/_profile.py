"""Profile of the likelihood of magnitudes over the rate: the loss of a decay with its best amplitude.

In the squared amplitude the loss is convex and its slope concave, for a Rician and for noise in quadrature alike.
Newton steps from the right pass the optimum once, then close in on it from below: they need no safeguard but a floor.
"""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.relaxometry._laws import Law
from knightshift.reconstruction.relaxometry._least_squares import Curves

_FIRST_STEPS, _STEPS = 8, 3
_SMALLEST_SHARE = 1 / 16  # of the squared amplitude that a step leaves
_LARGEST_SHARE = 64.0
_FAINT = 1e-3  # squared decay in noise, summed over echoes: fainter is none
_SINGLE = 1e4  # magnitudes in noise from which on single precision is too coarse


class Profile:
    """Loss of many voxels at one rate each; the search for an amplitude starts where the last one ended."""

    def __init__(self, scaled: RealArray, curves: Curves, law: Law) -> None:
        """Take magnitudes over the noise, shape ``(echo, voxel)``."""
        self.scaled = scaled
        self.curves = curves
        self.law = law
        precise = scaled.max(initial=0.0) > _SINGLE
        self.columns = scaled if precise else scaled.astype(np.float32)
        self.amplitude: RealArray | None = None

    def __call__(self, log_rate: RealArray) -> RealArray:
        """Twice the loss at rates of shape ``(voxel,)``, with the best amplitude."""
        shape = np.maximum(self.curves.at(log_rate), 0)  # the spline of a decay that is over swings about zero
        shape /= np.maximum(shape.max(axis=0), np.finfo(float).tiny)
        narrow = shape.astype(self.columns.dtype)
        self.amplitude = best_amplitude(self.columns, narrow, self.law, self.amplitude)
        return np.asarray(2 * self.law.loss(self.scaled, self.amplitude * shape).sum(axis=0))


def best_amplitude(scaled: RealArray, shape: RealArray, law: Law, start: RealArray | None = None) -> RealArray:
    """Amplitude of a given decay.

    Parameters
    ----------
    scaled, shape
        Magnitudes over the noise, and the decay in the same unit, shape ``(echo, voxel)``.
    law
        What is minimised.
    start
        An amplitude not far off, shape ``(voxel,)``.
    """
    smallest = float(np.finfo(shape.dtype).tiny)  # a decay that is over before the first echo has no amplitude
    norm = np.maximum(np.einsum("ev,ev->v", shape, shape), smallest)
    floor, steps = np.sqrt(_FAINT / norm), _STEPS
    if start is None:
        start, steps = np.einsum("ev,ev->v", scaled, shape) / norm, _FIRST_STEPS
    amplitude = np.maximum(start, floor)
    for _ in range(steps):
        signal = amplitude * shape
        first, second = law.derivatives(scaled, signal)
        first *= signal
        slope = first.sum(axis=0)
        second *= signal
        second *= signal
        bend = np.maximum(second.sum(axis=0) - slope, smallest)
        share = np.minimum(np.maximum(1 - 2 * slope / bend, _SMALLEST_SHARE), _LARGEST_SHARE)
        amplitude = np.maximum(amplitude * np.sqrt(share), floor)
    return np.asarray(amplitude)
