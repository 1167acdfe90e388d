"""Pseudo-2D spectra: a relaxation time for every peak or region, from its height or integral against the delay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from knightshift.core.arrays import ComplexArray, IntArray, RealArray
from knightshift.core.errors import InputError, ShapeError
from knightshift.core.quantities import NonNegativeSeconds, PositiveSeconds, Ratio
from knightshift.reconstruction.fid_series import Experiment, FidSeries
from knightshift.reconstruction.relaxometry.recovery import Curve, RelaxationFit, fit_relaxation

OffsetChoice: TypeAlias = Literal["auto", "none", "free"]

_CURVES: dict[Experiment, tuple[str, Curve]] = {
    "inversion recovery": ("T1", "recovery"),
    "saturation recovery": ("T1", "recovery"),
    "T1rho": ("T1rho", "decay"),
    "T2": ("T2", "decay"),
}
_ASK_EXPERIMENT = f"give the experiment (--experiment), one of {', '.join(_CURVES)}"
_PEAK_SHARE = 0.05  # of the highest peak; lower ones are left out
_PEAK_OVER_NOISE = 10.0


class Pseudo2DOptions(BaseModel):
    """What to fit; by default every strong peak, by what the raw data say was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: Experiment | None = None
    """What the steps measure, where the raw data do not tell (or tell wrong)."""
    regions: tuple[tuple[Ratio, Ratio], ...] = ()
    """Ranges of shift to integrate; none: the heights of the strongest peaks are taken."""
    loop_time: PositiveSeconds | None = None
    """Duration of one loop, where the console lists loop counts (``vclist``) [s]."""
    delays: tuple[NonNegativeSeconds, ...] | None = None
    """Delays [s], in the place of those in the raw data."""
    offset: OffsetChoice = "auto"
    """Constant added to a decay: never, always, or where AICc says that the data ask for it."""
    line_broadening: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Exponential window over FIDs [Hz], so that the height of a peak is less noisy."""
    max_peaks: int = Field(default=8, ge=1, le=64)
    """Most peaks that are fitted."""

    @model_validator(mode="after")
    def _regions_have_width(self) -> Self:
        for low, high in self.regions:
            if low >= high:
                raise ValueError(f"region {1e6 * low:g} to {1e6 * high:g} ppm is empty: give the lower shift first")
        return self


@dataclass(frozen=True)
class PeakFit:
    """Relaxation of one peak or region."""

    name: str
    """``"3.463 ppm"``, ``"0.8 to 0.9 ppm"``."""
    low: float
    """Lower end: a shift (ratio), or an offset [Hz] where no reference is known."""
    high: float
    """Upper end; equal to `low` for the height of a peak."""
    fit: RelaxationFit
    """Fit of shape ``()``: one number each."""


@dataclass(frozen=True)
class Pseudo2DFit:
    """Relaxation times of a pseudo-2D experiment."""

    quantity: str
    """``"T1"``, ``"T1rho"`` or ``"T2"``."""
    experiment: Experiment
    """What was measured."""
    series: FidSeries
    """The data."""
    delays: RealArray
    """[s], shape ``(step,)``."""
    peaks: tuple[PeakFit, ...]
    """One fit for each peak or region, by rising shift."""
    methods: tuple[str, ...]
    """What was done, one sentence a step."""


def fit_pseudo_2d(series: FidSeries, options: Pseudo2DOptions | None = None) -> Pseudo2DFit:
    """Fit T1, T1rho or T2 to the peaks or regions of a pseudo-2D experiment.

    Parameters
    ----------
    series
        FIDs or spectra with their delays.
    options
        What to fit.

    Raises
    ------
    InputError
        If the delays or the kind of experiment are not known, there is no peak, or a region holds no point.
    ShapeError
        If there are not as many delays as steps.
    """
    options = options or Pseudo2DOptions()
    experiment = options.experiment or series.experiment
    delays = _delays(series, options)
    if experiment == "unknown":
        raise InputError(f"{series.source}: the raw data do not say what was measured: {_ASK_EXPERIMENT}")
    quantity, curve = _CURVES[experiment]
    spectra, axis, unit = _spectra(series, 0.0 if options.regions else options.line_broadening)
    if options.regions:
        parts = [_integral(series, spectra, axis, region, unit) for region in options.regions]
    else:
        parts = [_height(spectra, axis, int(index), unit) for index in _peaks(spectra, options.max_peaks, series)]
    fits = tuple(
        PeakFit(name, low, high, _fit_one(signal, delays, curve, options.offset)) for name, low, high, signal in parts
    )
    return Pseudo2DFit(
        quantity, experiment, series, delays, fits, (*series.methods, *_sentences(quantity, options, series))
    )


def _delays(series: FidSeries, options: Pseudo2DOptions) -> RealArray:
    if options.loop_time is not None and series.counts is None:
        raise InputError(f"{series.source}: there is no vclist whose loops --loop-time could measure: leave it out")
    if options.delays is not None:
        delays = np.asarray(options.delays, dtype=float)
    elif series.counts is not None and options.loop_time is not None:
        delays = series.counts * options.loop_time
    elif series.delays is not None:
        delays = series.delays
    elif series.counts is not None:
        title = series.parameters.get("title", "")
        hint = f" (its title says {title!r})" if title else ""
        raise InputError(
            f"{series.source}: vclist counts loops, and the raw data do not say how long one takes{hint}: give "
            "--loop-time, e.g. '4 ms'"
        )
    else:
        known = (options.experiment or series.experiment) != "unknown"
        raise InputError(f"{series.source}: {_why_no_delays(series, experiment_known=known)}")
    if delays.shape != (series.n_steps,):
        raise ShapeError(f"{series.source}: {delays.size} delays for {series.n_steps} steps")
    return delays


def _why_no_delays(series: FidSeries, *, experiment_known: bool) -> str:
    if series.n_steps == 1:
        return (
            "this is a single FID or spectrum: a relaxation time needs several, each after another delay; if it is a "
            "train of echoes, give --echo-train, e.g. '128 x 300 us'"
        )
    if told := [words for words in series.missing if "two-dimensional spectrum" in words]:
        return f"{told[0].removeprefix('delays: ')}, so there is no relaxation to fit (unless --delays says otherwise)"
    from_bruker = series.format.startswith(("TopSpin", "XWIN-NMR"))
    lists = "copy vdlist, vplist or vclist into its folder, or " if from_bruker else ""
    also = "" if experiment_known else f". Nor do they say what was measured: {_ASK_EXPERIMENT}"
    return (
        f"the raw data hold no list of delays for their {series.n_steps} steps: {lists}give them, e.g. --delays "
        f"'1 ms, 2 ms, 5 ms', or --echo-train where each is a train of echoes{also}"
    )


def _spectra(series: FidSeries, broadening: float) -> tuple[ComplexArray | RealArray, RealArray, str]:
    """Spectra, shape ``(step, point)``, and their axis: shifts in ppm, or offsets in Hz where no reference is known."""
    spectra: ComplexArray | RealArray = _weighted(series, broadening).spectra
    if series.frequencies is not None:  # the console has corrected the phase
        spectra = spectra.real
    if series.shifts is not None:
        return spectra, series.shifts * 1e6, "ppm"
    return spectra, series.offsets, "Hz"


def _weighted(series: FidSeries, broadening: float) -> FidSeries:
    if series.frequencies is not None or broadening == 0:
        return series
    times = np.arange(series.values.shape[1]) * series.dwell_time
    return replace(series, values=series.values * np.exp(-np.pi * broadening * times))


def _peaks(spectra: ComplexArray | RealArray, at_most: int, series: FidSeries) -> IntArray:
    """Index of the strongest peaks of the root mean square spectrum, rising."""
    power = np.sqrt(np.mean(np.abs(spectra) ** 2, axis=0))
    if power.size == 1:  # tops of echoes: there is no spectrum to look for peaks in
        return np.zeros(1, np.int64)
    threshold = max(_PEAK_SHARE * float(power.max()), _PEAK_OVER_NOISE * float(np.median(power)))
    from scipy.signal import find_peaks

    found, _ = find_peaks(power, height=threshold, prominence=threshold / 2)
    if found.size == 0:
        raise InputError(f"{series.source}: no peak stands out of the noise: give the regions to integrate")
    strongest = found[np.argsort(power[found])[::-1][:at_most]]
    return np.sort(strongest)


def _height(
    spectra: ComplexArray | RealArray, axis: RealArray, index: int, unit: str
) -> tuple[str, float, float, ComplexArray | RealArray]:
    place = float(axis[index])
    scale = 1e-6 if unit == "ppm" else 1.0
    name = f"{place:.3f} {unit}" if axis.size > 1 else "all signal"
    return name, place * scale, place * scale, spectra[:, index]


def _integral(
    series: FidSeries, spectra: ComplexArray | RealArray, axis: RealArray, region: tuple[float, float], unit: str
) -> tuple[str, float, float, ComplexArray | RealArray]:
    low, high = (1e6 * value for value in region)
    if unit != "ppm":
        raise InputError(f"{series.source}: the reference frequency is not known, so a region in ppm has no place")
    inside = (axis >= low) & (axis <= high)
    if not inside.any():
        raise InputError(
            f"{series.source}: no point lies in {low:g} to {high:g} ppm: the spectrum runs from {axis[0]:.4g} to "
            f"{axis[-1]:.4g} ppm"
        )
    step = float(axis[1] - axis[0])
    return f"{low:g} to {high:g} ppm", region[0], region[1], spectra[:, inside].sum(axis=1) * step


def _fit_one(signal: ComplexArray | RealArray, delays: RealArray, curve: Curve, offset: OffsetChoice) -> RelaxationFit:
    """Fit one peak, with or without a constant."""
    if curve == "recovery" or offset == "none":
        return fit_relaxation(signal, delays, curve)
    free = fit_relaxation(signal, delays, "decay with offset")
    if offset == "free":
        return free
    plain = fit_relaxation(signal, delays, curve)
    return free if _aicc(free, 3) < _aicc(plain, 2) and free.ok else plain


def _aicc(fit: RelaxationFit, n_parameters: int) -> float:
    """Akaike's criterion for small samples; one parameter more for the noise. Infinite where it cannot be told."""
    n, k, loss = len(fit.delays), n_parameters + 1, float(fit.chi2)
    if not loss > 0 or n - k - 1 < 1:
        return float("inf")
    return n * float(np.log(loss / n)) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def _sentences(quantity: str, options: Pseudo2DOptions, series: FidSeries) -> tuple[str, ...]:
    what = "the integrals of the given regions" if options.regions else "the heights of the strongest peaks"
    window = ""
    if not options.regions and series.frequencies is None and options.line_broadening:
        window = f" after an exponential window of {options.line_broadening:g} Hz"
    phase = "" if series.frequencies is not None else "; each was brought to the phase that makes it real"
    chosen = {
        "auto": "a constant was added to a decay where AICc asked for it",
        "none": "decays have no constant",
        "free": "a constant was added to decays",
    }[options.offset]
    how = "with free equilibrium and efficiency of the preparation" if quantity == "T1" else chosen
    return (
        f"{quantity} was fitted to {what}{window}{phase}, by variable projection, {how}; standard deviations come from "
        "the residuals.",
    )
