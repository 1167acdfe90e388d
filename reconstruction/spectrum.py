"""Spectra: the FIDs of a run summed, transformed and put on the shift scale."""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import InputError
from knightshift.core.run_folder import Run
from knightshift.reconstruction.fft import centered_ifft
from knightshift.reconstruction.kspace import Spectrum, peak_index
from knightshift.reconstruction.pass_sum import sample_times, sum_passes

_ZERO_FILL = 2
"""Points of the spectrum per acquired sample: two bring out all that the FID holds."""


def spectrum_of_run(run: Run, *, correct_drift: bool = True) -> Spectrum:
    """Sum the FIDs of a run and transform them, phase corrected.

    Raises
    ------
    InputError
        If the run holds images, or has no good pass yet.
    DamagedDataError
        If a pass is damaged.
    """
    encoding = run.manifest.encoding
    if encoding.kind != "spectrum":
        raise InputError(f"{run.path}: this run holds images, not spectra: use reconstruct")
    summed = sum_passes(run, correct_drift=correct_drift)
    fid = summed.kspace[0].mean(axis=(0, 1, 2))
    times = sample_times(encoding)
    values, frequencies = transform_fid(fid, encoding.dwell_time, float(times[0]))
    peak = peak_index(values, frequencies, summed.frequency)
    values = values * np.exp(-1j * np.angle(values[peak]))
    entry = run.manifest.programs[0]
    if summed.noise_std is None:
        edge = np.concatenate([values[: len(values) // 8], values[-len(values) // 8 :]])
        noise = float(np.std(edge.imag))
        noise_sentence = "The noise was estimated from the edges of the spectrum."
    else:
        noise = float(summed.noise_std[0]) * np.sqrt(len(fid) / summed.kspace.shape[2])
        noise_sentence = "The noise was measured from the differences of successive passes."
    return Spectrum(
        values=values,
        frequencies=frequencies,
        working_frequency=summed.frequency,
        reference_frequency=entry.gyromagnetic_ratio * entry.b0,
        noise_std=noise,
        nucleus=entry.nucleus,
        methods=(
            f"{int(summed.n_passes[0])} FIDs were averaged in the complex domain and transformed; the first-order "
            f"phase is that of the {times[0] * 1e6:.3g} us between the pulse and the first sample, the zero-order "
            "phase makes the peak at the working frequency absorptive.",
            summed.drift.sentence,
            *filter(None, [summed.weighting]),
            noise_sentence,
        ),
        missing=(f"the first {times[0] * 1e6:.3g} us of the FID (dead time)",) if times[0] > 0 else (),
        provenance={"source": str(run.path), "run_id": run.manifest.run_id, "passes": str(int(summed.n_passes[0]))},
    )


def transform_fid(fid: ComplexArray, dwell_time: float, first_sample_time: float) -> tuple[ComplexArray, RealArray]:
    """Transform an FID into a spectrum with its first-order phase corrected.

    As in the images, spins at a frequency offset f give ``exp(-i 2 pi f t)``: precession and gradients rotate one way.

    Parameters
    ----------
    fid
        Complex samples, shape ``(sample,)``.
    dwell_time
        Time between samples [s].
    first_sample_time
        Time of the first sample after the centre of the pulse [s].

    Returns
    -------
    values
        Spectrum, the sum of the FID times ``exp(+i 2 pi f t)``, shape ``(point,)``.
    frequencies
        Offsets [Hz], ascending, shape ``(point,)``.
    """
    n_points = _ZERO_FILL * len(fid) + len(fid) % 2 * _ZERO_FILL
    padded = np.zeros(n_points, np.complex128)
    padded[: len(fid)] = fid
    padded[0] *= 0.5  # trapezoid rule: without it a constant is added to the whole spectrum
    center = n_points // 2
    frequencies = (np.arange(n_points) - center) / (n_points * dwell_time)
    values = n_points * centered_ifft(padded, n_axes=1)
    return values * np.exp(2j * np.pi * frequencies * (first_sample_time + center * dwell_time)), frequencies
