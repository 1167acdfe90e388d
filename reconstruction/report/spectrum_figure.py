"""Figures of frequency: the spectrum with the Knight shift, and how the field drifted over the night."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from knightshift.core.arrays import RealArray
from knightshift.core.errors import ShapeError
from knightshift.core.human_units import isotope
from knightshift.reconstruction.kspace import Spectrum
from knightshift.reconstruction.report.panels import Margins, make_panels
from knightshift.reconstruction.report.style import BLACK, BLUE, GREY, ONE_COLUMN, ORANGE, styled

KNIGHT_SHIFTS = {"23Na": 1126e-6}
"""Knight shift of the metal by isotope (a ratio); Rees et al., doi 10.1002/anie.202013066."""
_WINDOW_WIDTHS = 25
"""The axis shows so many line widths around the line of the metal."""


@dataclass(frozen=True)
class FrequencyDrift:
    """Resonance frequency over a run."""

    time: RealArray
    """Seconds since the Unix epoch (UTC), shape ``(pass,)``."""
    frequency_offset: RealArray
    """Resonance minus working frequency [Hz], shape ``(pass,)``."""

    def __post_init__(self) -> None:
        if self.time.shape != self.frequency_offset.shape or self.time.ndim != 1 or not self.time.size:
            raise ShapeError(
                f"a drift needs one frequency for each pass, found shapes {self.frequency_offset.shape} "
                f"and {self.time.shape}"
            )


@styled
def spectrum_figure(spectrum: Spectrum) -> Figure:
    """Draw the real part with the ppm axis falling to the right, as chemists do, and mark the metal's Knight shift."""
    panels = make_panels(ONE_COLUMN, 1, 1, 0.6, Margins(left=0.15, right=0.15, top=0.08))
    axes = panels.axes[0]
    ppm, height = spectrum.shift * 1e6, np.real(spectrum.values)
    height = height / height[np.argmin(np.abs(ppm - spectrum.peak_shift * 1e6))]
    axes.plot(ppm, height, color=BLUE, linewidth=1.0)
    low, high = _window(ppm, height, spectrum.peak_shift * 1e6)
    marked = KNIGHT_SHIFTS.get(spectrum.nucleus or "", np.nan) * 1e6
    if ppm.min() <= marked <= ppm.max():
        axes.axvline(marked, color=ORANGE, linewidth=0.9, linestyle="--", zorder=0)
        low, high = min(low, marked - 5), max(high, marked + 5)
        text = f"Knight shift\nof the metal\n{marked:g} ppm"
        place: dict[str, Any] = {"xytext": (5, 0), "textcoords": "offset points", "va": "top", "fontsize": 7}
        axes.annotate(text, (marked, 1.0), xycoords=axes.get_xaxis_transform(), color=ORANGE, **place)
    axes.set_xlim(high, low)
    shown = height[(ppm >= low) & (ppm <= high)]
    axes.set_ylim(min(-0.05, 1.1 * float(shown.min())), 1.15 * float(shown.max()))
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=6, steps=[1, 2, 5, 10])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{isotope(spectrum.nucleus or '')} shift (ppm)".strip())
    return panels.figure


def _window(ppm: RealArray, height: RealArray, peak: float) -> tuple[float, float]:
    """Find the part of the axis worth showing: some line widths around the line of the metal, never beyond the data."""
    order = np.argsort(ppm)
    ppm, height = ppm[order], height[order]
    top = int(np.argmin(np.abs(ppm - peak)))
    below = np.flatnonzero(height < height[top] / 2)
    left, right = (np.max(below[below < top], initial=0), np.min(below[below > top], initial=len(ppm) - 1))
    step = float(np.median(np.diff(ppm)))
    reach = max(_WINDOW_WIDTHS * float(ppm[right] - ppm[left]) / 2, 20 * step)
    return max(float(ppm[0]), float(ppm[top]) - reach), min(float(ppm[-1]), float(ppm[top]) + reach)


@styled
def drift_figure(drift: FrequencyDrift) -> Figure:
    """Draw the resonance frequency against the time from the start of the run."""
    panels = make_panels(ONE_COLUMN, 1, 1, 0.5, Margins(left=0.62, right=0.15, top=0.08))
    axes = panels.axes[0]
    elapsed = drift.time - drift.time[0]
    seconds, unit = (3600.0, "h") if elapsed[-1] >= 2 * 3600 else (60.0, "min")
    axes.axhline(0.0, color=GREY, linewidth=0.6)
    axes.plot(elapsed / seconds, drift.frequency_offset, ".", color=BLACK, markersize=1.5)
    axes.locator_params(axis="x", steps=[1, 2, 5, 10])
    axes.set_xlabel(f"time from the start ({unit})")
    axes.set_ylabel("resonance − working\nfrequency (Hz)")
    return panels.figure
