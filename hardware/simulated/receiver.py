"""The receiver: filter, gain, noise of absolute size, analogue-to-digital converter."""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray, RealArray
from knightshift.hardware.simulated.settings import ReceiverSettings


def filter_response(frequency: RealArray, bandwidth: float, settings: ReceiverSettings) -> RealArray:
    """Amplitude response of the digital filter: a high-order Butterworth magnitude with its delay taken out.

    Parameters
    ----------
    frequency
        Distance from the centre of the receiver [Hz].
    bandwidth
        Sampling rate, 1/dwell_time [Hz].
    settings
        Order and width of the filter.
    """
    corner = 0.5 * bandwidth * settings.filter_width
    with np.errstate(over="ignore"):
        response: RealArray = 1 / np.sqrt(1 + np.abs(frequency / corner) ** (2 * settings.filter_order))
    return response


def noise(
    shape: tuple[int, int], bandwidth: RealArray, settings: ReceiverSettings, key: tuple[int, int]
) -> ComplexArray:
    """White noise; real and imaginary part have the standard deviation ``noise_density * sqrt(bandwidth)``.

    Parameters
    ----------
    shape
        Shape of the result, ``(readout, sample)``.
    bandwidth
        Sampling rate of each readout [Hz], shape ``(readout,)``.
    settings
        Noise density.
    key
        Seed of the scanner and index of the pass: nothing else decides which noise a pass gets.
    """
    generator = np.random.default_rng(key)
    parts = generator.standard_normal((*shape, 2), dtype=np.float32)
    parts *= (settings.noise_density * np.sqrt(bandwidth)).astype(np.float32)[:, None, None]
    return parts.view(np.complex64)[..., 0]


def digitise(signal: ComplexArray, settings: ReceiverSettings) -> tuple[ComplexArray, BoolArray]:
    """Clip and quantise what reaches the converter.

    Parameters
    ----------
    signal
        In units of the full scale, shape ``(readout, channel, sample)``.
    settings
        Bits of the converter.

    Returns
    -------
    samples, overrange
        complex64 of the same shape, and whether each readout hit the full scale, shape ``(readout,)``.
    """
    parts = np.ascontiguousarray(signal, dtype=np.complex64).view(np.float32)
    largest = np.float32(2 ** (settings.adc_bits - 1) - 1)
    parts = np.rint(parts * largest)
    overrange: BoolArray = (np.abs(parts) > largest).any(axis=(1, 2))
    np.clip(parts, -largest, largest, out=parts)
    parts /= largest
    return parts.view(np.complex64), overrange
