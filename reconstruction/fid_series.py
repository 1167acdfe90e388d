"""What every reader of spectroscopic raw data returns: FIDs or spectra along one stepped parameter (pseudo-2D)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from knightshift.core.arrays import ComplexArray, IntArray, RealArray

Experiment: TypeAlias = Literal["inversion recovery", "saturation recovery", "T1rho", "T2", "unknown"]
"""What the stepped parameter does to the magnetisation."""


@dataclass(frozen=True)
class FidSeries:
    """Free induction decays, or the spectra a console made of them, one for every step of a parameter."""

    source: Path
    """File that the samples were read from."""
    format: str
    """Console and version: ``"TopSpin 3.2"``."""
    values: ComplexArray
    """complex64 or complex128, shape ``(step, sample)``; of spectra in order of rising frequency."""
    dwell_time: float
    """Time between samples [s]; of spectra one over their width."""
    frequencies: RealArray | None = None
    """Offset from `working_frequency` [Hz], rising, shape ``(sample,)``, if `values` are spectra; None: FIDs."""
    delays: RealArray | None = None
    """Delay of each step [s], shape ``(step,)``; None where the raw data do not say."""
    counts: IntArray | None = None
    """Loop counts of each step, shape ``(step,)``, where the console lists counts and not times."""
    experiment: Experiment = "unknown"
    """What the steps measure, as far as the raw data tell."""
    nucleus: str | None = None
    """Isotope."""
    working_frequency: float | None = None
    """Frequency of the receiver [Hz]."""
    reference_frequency: float | None = None
    """Frequency of zero shift [Hz]."""
    methods: tuple[str, ...] = ()
    """What the reader did, one sentence a step."""
    missing: tuple[str, ...] = ()
    """What the raw data did not say."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Further parameters worth showing, as text."""

    @property
    def n_steps(self) -> int:
        """FIDs or spectra."""
        return len(self.values)

    @property
    def spectra(self) -> ComplexArray:
        """Spectra in order of rising frequency, shape ``(step, sample)``.

        A FID is transformed by ``sum s(t) exp(-2 pi i f t)``, its first point halved so that the baseline is flat.
        """
        if self.frequencies is not None:
            return self.values
        fids = self.values.copy()
        fids[:, 0] *= 0.5
        return np.asarray(np.fft.fftshift(np.fft.fft(fids, axis=1), axes=1))

    @property
    def offsets(self) -> RealArray:
        """Offset of each point of `spectra` from the receiver [Hz], rising, shape ``(sample,)``."""
        if self.frequencies is not None:
            return self.frequencies
        return np.asarray(np.fft.fftshift(np.fft.fftfreq(self.values.shape[1], self.dwell_time)))

    @property
    def shifts(self) -> RealArray | None:
        """Shift of each point of `spectra` as a ratio (0.85 ppm is 0.85e-6); None where no reference is known."""
        if self.working_frequency is None or self.reference_frequency is None:
            return None
        offset = self.working_frequency - self.reference_frequency
        return np.asarray((self.offsets + offset) / self.reference_frequency)
