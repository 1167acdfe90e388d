"""The strongest line of an FID: frequency, amplitude, phase, width, noise, each with its error.

Samples are those of ``A exp(i phi) exp(-2 pi i f t) exp(-pi w t)``: the sense of this house (a positive offset f turns
clockwise), and a Lorentzian of full width w. Steps of a phase cycle, which the receiver has followed, tell noise from
signal: the signal is in their mean, an offset of the receiver and its image elsewhere, and what is left is noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import NoSignalError, ShapeError

FALSE_ALARM = 1e-6
"""Probability with which noise alone is taken for a line."""
_LEAST_PHASES = 4
_WEIGHTING = 0.2
"""Time constant of the weighting under which a line is looked for, as a part of the FID."""
_ZERO_FILL = 4
_ADDRESS = "is the sample in the coil, the field right, the coil tuned? Widen search_range if the line is farther off"


@dataclass(frozen=True)
class FidTiming:
    """When the samples of an FID were taken."""

    first_sample: float
    """From the centre of the pulse [s]."""
    dwell_time: float
    """Between samples [s]."""

    def times(self, n_samples: int) -> RealArray:
        """Give the times from the centre of the pulse [s], shape ``(sample,)``."""
        times: RealArray = self.first_sample + self.dwell_time * np.arange(n_samples)
        return times


@dataclass(frozen=True)
class MeanFid:
    """The mean over a phase cycle."""

    samples: ComplexArray
    """Shape ``(sample,)``, of one receiver."""
    noise_std: float
    """Noise of the real part of one sample before averaging."""
    n_averaged: int
    """FIDs that were averaged."""
    channel: int = 0
    """The receiver."""

    @property
    def mean_noise(self) -> float:
        """Noise of the real part of a sample of the mean."""
        return self.noise_std / math.sqrt(self.n_averaged)


@dataclass(frozen=True)
class FidLine:
    """One line."""

    frequency: float
    """Offset from the receiver [Hz]."""
    frequency_std: float
    """Its standard deviation [Hz]."""
    amplitude: float
    """At time zero, in units of the samples."""
    amplitude_std: float
    """Its standard deviation."""
    phase: float
    """At time zero [rad]."""
    phase_std: float
    """Its standard deviation [rad]."""
    linewidth: float
    """Full width at half height [Hz]."""
    noise_std: float
    """Noise of the real part of a sample of one FID."""
    channel: int = 0
    """The receiver it was measured with."""

    @property
    def snr(self) -> float | None:
        """Amplitude over its standard deviation; None without noise."""
        return self.amplitude / self.amplitude_std if self.amplitude_std > 0 else None


def mean_fid(fids: ComplexArray, channel: int | None = None) -> MeanFid:
    """Average a phase cycle and measure the noise in what the average leaves out.

    Parameters
    ----------
    fids
        Shape ``(phase step, channel, sample)``, a multiple of four steps of 90 degrees in order; the receiver has
        followed.
    channel
        The receiver to take; None: the one with the most signal. Phases are only comparable for one and the same.

    Raises
    ------
    ShapeError
        If these are not four phases.
    """
    if fids.ndim != 3 or len(fids) % _LEAST_PHASES:
        raise ShapeError(f"FIDs of shape {fids.shape}: whole cycles of four phases were expected")
    n_phases = len(fids)
    patterns = np.fft.fft(fids.astype(np.complex128), axis=0, norm="ortho")
    if channel is None:
        channel = int(np.argmax(np.sum(np.abs(patterns[0]) ** 2, axis=1)))
    signal = patterns[0, channel] / math.sqrt(n_phases)
    rest = patterns[1::2, channel]  # neither the signal (0) nor its quadrature image (n/2)
    rest = rest - rest.mean(axis=1, keepdims=True)  # an offset of the receiver turns with the cycle and is constant
    freedom = rest.size - len(rest)
    noise = math.sqrt(float(np.sum(np.abs(rest) ** 2)) / (2 * freedom))
    return MeanFid(signal, noise, n_phases, channel)


def find_line(fid: MeanFid, timing: FidTiming, search_range: float) -> FidLine:
    """Find the strongest line within `search_range` of the receiver, and fit it.

    Parameters
    ----------
    fid
        Mean over the phase cycle.
    timing
        When it was sampled.
    search_range
        How far on either side a line is looked for [Hz]. Beyond it lines may be as strong as they like.

    Raises
    ------
    NoSignalError
        If nothing within the range stands out of the noise, or only the flank of a line outside.
    """
    start = _strongest(fid, timing, search_range)
    times = timing.times(len(fid.samples))

    def residual(parameters: RealArray) -> RealArray:
        shape = _shape(parameters / span, times)
        left = fid.samples - shape * (np.vdot(shape, fid.samples) / np.vdot(shape, shape))
        return np.concatenate([left.real, left.imag]) / scale

    from scipy.optimize import least_squares

    span = times[-1] - times[0]
    rate = 3 / span
    scale = max(float(np.abs(fid.samples).max()), 1e-300)
    fitted = least_squares(residual, [start * span, rate * span], x_scale=[0.1, 1.0])
    frequency, rate = fitted.x / span
    line = _line(fid, times, float(frequency), float(rate))
    if abs(line.frequency) > search_range or line.amplitude < 5 * line.amplitude_std:
        raise NoSignalError(_nothing(search_range, "the fit left the range, or found less than five times its error"))
    return line


def _shape(parameters: RealArray, times: RealArray) -> ComplexArray:
    frequency, rate = parameters
    shape: ComplexArray = np.exp(-(2j * np.pi * frequency + abs(rate)) * times)
    return shape


def _strongest(fid: MeanFid, timing: FidTiming, search_range: float) -> float:
    """Frequency of the highest point of a weighted spectrum within the range [Hz]."""
    n_samples = len(fid.samples)
    times = timing.dwell_time * np.arange(n_samples)
    weights = np.exp(-times / (_WEIGHTING * times[-1]))
    n_points = _ZERO_FILL * n_samples
    spectrum = np.abs(np.fft.ifft(fid.samples * weights, n_points)) * n_points
    frequencies = np.fft.fftfreq(n_points, timing.dwell_time)
    inside = np.flatnonzero(np.abs(frequencies) <= search_range)
    peak = inside[np.argmax(spectrum[inside])]
    height = float(spectrum[peak])
    noise = fid.mean_noise * math.sqrt(float(np.sum(weights**2)))
    needed = noise * math.sqrt(2 * math.log(len(inside) / FALSE_ALARM))
    if height <= max(needed, 1e-12 * n_samples):
        raise NoSignalError(
            _nothing(search_range, f"the highest point is {height:.3g}, noise alone reaches {needed:.3g}")
        )
    if height < max(spectrum[peak - 1], spectrum[(peak + 1) % n_points]):
        raise NoSignalError(_nothing(search_range, "the spectrum only rises towards the edge of the range"))
    return float(frequencies[peak])


def _nothing(search_range: float, why: str) -> str:
    return f"no line within ±{search_range / 1e3:g} kHz of the receiver: {why}: {_ADDRESS}"


def _line(fid: MeanFid, times: RealArray, frequency: float, rate: float) -> FidLine:
    shape = _shape(np.array([frequency, rate]), times)
    factor = complex(np.vdot(shape, fid.samples) / np.vdot(shape, shape))
    amplitude = abs(factor)
    along = np.exp(1j * np.angle(factor)) * shape
    # derivatives by amplitude, phase, frequency, rate
    jacobian = np.stack(
        [along, 1j * amplitude * along, -2j * np.pi * times * amplitude * along, -times * amplitude * along]
    )
    fisher = (jacobian @ jacobian.conj().T).real
    stds = fid.mean_noise * np.sqrt(np.diag(np.linalg.pinv(fisher, rcond=1e-14, hermitian=True)))
    return FidLine(
        frequency=frequency,
        frequency_std=float(stds[2]),
        amplitude=amplitude,
        amplitude_std=float(stds[0]),
        phase=float(np.angle(factor)),
        phase_std=float(stds[1]),
        linewidth=abs(rate) / math.pi,
        noise_std=fid.noise_std,
        channel=fid.channel,
    )
