"""All figures that the inputs of a report allow, with their captions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

from knightshift.core.human_units import isotope, plain, quantity
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.kspace import Spectrum
from knightshift.reconstruction.region_words import region_words
from knightshift.reconstruction.relaxometry import (
    DistributionOptions,
    RicherFit,
    T2Distribution,
    T2Fit,
    t2_distribution,
)
from knightshift.reconstruction.relaxometry.histogram import T2Histogram, t2_histogram
from knightshift.reconstruction.relaxometry.populations import BULK_LABEL, Populations
from knightshift.reconstruction.report.chosen_voxels import (
    isolated_mask,
    slice_to_show,
    t2_range_with_isolated,
    typical_voxels,
)
from knightshift.reconstruction.report.comparison_figure import comparison_figure, histograms_figure
from knightshift.reconstruction.report.comparison_section import range_of_both, shown_runs, t2_slice_of
from knightshift.reconstruction.report.decay_figure import decay_figure
from knightshift.reconstruction.report.estimator_figures import (
    compare_estimators,
    distribution_figure,
    estimators_figure,
    residuals_figure,
)
from knightshift.reconstruction.report.image_axes import plane_of_slice
from knightshift.reconstruction.report.inputs import ReportInputs
from knightshift.reconstruction.report.intensity_figures import echoes_figure, intensity_figure, shown_slices
from knightshift.reconstruction.report.methods import model_words
from knightshift.reconstruction.report.night_figure import night_figure, night_panels
from knightshift.reconstruction.report.overview_figure import overview_figure
from knightshift.reconstruction.report.richer_figure import richer_figure
from knightshift.reconstruction.report.spectrum_figure import drift_figure, spectrum_figure
from knightshift.reconstruction.report.t2_figures import (
    T2Population,
    histogram_figure,
    t2_detail_figure,
    t2_map_figure,
)
from knightshift.reconstruction.t2_symbol import in_symbol, t2_symbol, t2_symbol_of_both

_MS = 1e3
NIGHT = "The night"
"""Heading of the section of the night."""
QUALITY = "Quality of the fit"
"""Heading of the section that judges the fit."""
COMPARISON = "Compared with another run"
"""Heading of the section that holds two runs beside each other."""


@dataclass(frozen=True)
class CaptionedFigure:
    """One figure of a report."""

    name: str
    """Name of its files, without the ending."""
    heading: str
    """Section of the report it stands in."""
    figure: Figure
    """The figure."""
    caption: str
    """What it shows, in words."""


def report_figures(inputs: ReportInputs) -> Iterator[CaptionedFigure]:
    """Draw all figures that the inputs allow, in the order of the report, one at a time."""
    fit, populations = inputs.fit, inputs.populations
    has_t2 = fit is not None and bool(fit.ok.any())
    if has_t2 and fit is not None and populations is not None:
        yield _overview(inputs, fit, populations)
    if inputs.compared is not None:
        yield from _comparison(inputs)
    yield from _intensity(inputs.series)
    if len(inputs.series.echo_times) > 1:
        yield _echoes(inputs)
    if has_t2 and fit is not None:
        yield from _t2(inputs, fit)
        if inputs.richer is not None:
            yield _richer(inputs, fit, inputs.richer)
    if inputs.spectrum is not None:
        yield _spectrum(inputs.spectrum)
    if inputs.drift is not None:
        caption = "Resonance frequency over the run, one point a pass, against the working frequency of the receiver."
        yield CaptionedFigure("frequency_drift", "Field drift", drift_figure(inputs.drift), caption)
    if night_panels(inputs):
        yield CaptionedFigure("night", NIGHT, night_figure(inputs), _night_caption(inputs))


def _t2(inputs: ReportInputs, fit: T2Fit) -> Iterator[CaptionedFigure]:
    series, populations = inputs.series, inputs.populations
    t2_range = _range(inputs, fit)
    yield from _t2_maps(series, fit, populations, t2_range)
    yield _histogram(series, fit, populations, t2_range)
    if populations is not None:
        yield _decays(inputs, fit, populations)
        yield _estimators(replace(series, noise_std=fit.noise_std), fit, populations)
        if inputs.with_distributions:
            yield _distributions(series, fit, populations)
    yield _residuals(inputs, fit)


def _richer(inputs: ReportInputs, fit: T2Fit, richer: RicherFit) -> CaptionedFigure:
    index = slice_to_show(fit, inputs.populations)
    which = f"Slice {index + 1}. " if inputs.series.images.shape[1] > 1 else ""
    sentence = in_symbol(richer.methods_sentence(), t2_symbol(inputs.series))
    caption = (
        f"{which}Where the data prefer more than one exponential: {sentence} Maps of its parameters "
        "in voxels that prefer it and determine them; last panel: the verdict of every voxel. Grey: no value."
    )
    figure = richer_figure(richer, index, plane_of_slice(inputs.series, index), t2_symbol(inputs.series))
    return CaptionedFigure("richer_model", "More than one exponential?", figure, caption)


def _range(inputs: ReportInputs, fit: T2Fit) -> tuple[float, float]:
    """Choose the range of every T2 scale of a report [s]; beside another run it is the range of both."""
    if inputs.compared is not None:
        return range_of_both(inputs)
    return inputs.t2_range or t2_range_with_isolated(fit, inputs.populations)


def _overview(inputs: ReportInputs, fit: T2Fit, populations: Populations) -> CaptionedFigure:
    series, t2_range, t2 = inputs.series, _range(inputs, fit), t2_symbol(inputs.series)
    index = slice_to_show(fit, populations)
    shown = (index, t2_slice_of(series, fit, populations, index))
    every = typical_voxels(series, fit, populations)
    plain, marked = ([voxel for voxel in every if voxel.isolated == isolated] for isolated in (False, True))
    voxels = [plain[0], *(marked[:1] if marked or len(plain) < 3 else plain[-1:])]
    groups = _histogram_groups(series, fit, populations, t2_range)
    outlined = "; the orange line frames the isolated population" if isolated_mask(populations).any() else ""
    caption = (
        f"(a) Magnitude of the first echo. (b) {t2}{outlined}; grey: no {t2}. (c) Histogram of {t2}, with the full "
        "width at half maximum. (d) Decays of typical voxels with their fits; bars: one standard deviation of the "
        "noise; dashed: the noise level."
    )
    figure = overview_figure(series, fit, shown, groups, voxels, t2_range)
    return CaptionedFigure("overview", "Overview", figure, caption)


def _comparison(inputs: ReportInputs) -> Iterator[CaptionedFigure]:
    this, other = shown_runs(inputs)
    t2_range = range_of_both(inputs)
    low, high = (plain(edge * _MS) for edge in t2_range)
    t2 = t2_symbol_of_both(this.series, other.series)
    names = f"{this.title} (left) and {other.title} (right)"
    caption = (
        f"{names}: first echo above, each on its own grey scale; {t2} below, both on one scale, {low} to {high} ms."
    )
    yield CaptionedFigure("comparison", COMPARISON, comparison_figure(this, other, t2_range), caption)
    caption = f"{t2} of both runs, each as a share of its voxels that have one. Dashed: medians."
    yield CaptionedFigure("comparison_histogram", COMPARISON, histograms_figure(this, other, t2_range), caption)


def _distributions(series: ImageSeries, fit: T2Fit, populations: Populations) -> CaptionedFigure:
    """Find the distribution of T2 in the mean decay of each population."""
    words, t2 = region_words(series.nucleus), t2_symbol(series)
    regions = {words.bulk: populations.labels == BULK_LABEL, words.isolated: isolated_mask(populations)}
    found: dict[str, tuple[T2Distribution, tuple[int, ...]]] = {}
    for name, mask in regions.items():
        inside = mask & fit.ok
        if inside.any():
            options = DistributionOptions(train=fit.typical_train(inside))
            noise = fit.noise_std / np.sqrt(np.count_nonzero(inside))
            found[name] = (t2_distribution(fit.signal[:, inside].mean(axis=1), fit.echo_times, noise, options), ())
    caption = (
        f"Distribution of {t2} in the mean decay of each population, by regularised non-negative least squares from "
        f"{len(fit.echo_times)} echoes. The problem is ill-posed: the width of a peak is mostly that of the "
        f"regularisation, and two {t2} closer than a factor of two are one."
    )
    return CaptionedFigure("t2_distribution", f"{t2} distribution", distribution_figure(found, t2), caption)


def _night_caption(inputs: ReportInputs) -> str:
    parts = [
        f"Through the night: {', '.join(night_panels(inputs))}. Frequencies count from the first working frequency of "
        "the receiver; 100 % are medians, levels apart."
    ]
    if inputs.running_snr is not None:
        echo = quantity(inputs.running_snr.echo_time, "s", 4)
        grew = (
            ""
            if inputs.running_snr.growth is None
            else (f"; it grew with n to the power {inputs.running_snr.growth:.2f} (0.5: noise that averages out)")
        )
        parts.append(
            f"Signal over noise is that of the voxels with signal in the image of all passes so far, at {echo}{grew}."
        )
    run = inputs.run
    if run is not None and run.night.suspensions:
        parts.append("Orange bands: suspended.")
    if run is not None and len(run.night.epochs) > 1:
        parts.append("Dotted: resumed.")
    if run is not None and (run.rejected or run.night.repetitions):
        parts.append("Ticks at the foot: passes without weight (orange), spoilt attempts (black).")
    return " ".join(parts)


def _intensity(series: ImageSeries) -> Iterator[CaptionedFigure]:
    stacks = series.split()
    for number, stack in enumerate(stacks):
        name = "intensity" if len(stacks) == 1 else f"intensity_stack{number + 1}"
        count = stack.images.shape[1]
        shown = len(shown_slices(count))
        which = f"Stack {number + 1} of {len(stacks)}. " if len(stacks) > 1 else ""
        slices = "" if count == 1 else f" {shown} of {count} slices." if shown < count else f" All {count} slices."
        caption = (
            f"{which}Magnitude of the first echo ({quantity(float(stack.echo_times[0]), 's', 4)}), in percent of the "
            f"99.8th percentile.{slices} {_voxel_words(stack)}{_b0_words(stack)}"
        )
        yield CaptionedFigure(name, "Intensity", intensity_figure(stack), caption)


def _voxel_words(series: ImageSeries) -> str:
    _, rows, columns = series.geometry.voxel_size
    plane = plane_of_slice(series, 0)
    return (
        f"Voxels are {quantity(rows, 'm', 3)} ({plane.vertical.name}) by {quantity(columns, 'm', 3)} "
        f"({plane.horizontal.name})."
    )


def _b0_words(series: ImageSeries) -> str:
    plane = plane_of_slice(series, 0)
    names = {plane.vertical.name, plane.horizontal.name}
    if "z" in names:
        return " B₀ is along z."
    return " B₀ is perpendicular to the plane." if names == {"x", "y"} else ""


def _echoes(inputs: ReportInputs) -> CaptionedFigure:
    slice_index = 0 if inputs.fit is None else slice_to_show(inputs.fit, inputs.populations)
    which = f" of slice {slice_index + 1}" if inputs.series.images.shape[1] > 1 else ""
    caption = f"Magnitude{which} at each echo time, all on the grey scale of the first."
    return CaptionedFigure("echoes", "Single echo images", echoes_figure(inputs.series, slice_index), caption)


def _t2_maps(
    series: ImageSeries, fit: T2Fit, populations: Populations | None, t2_range: tuple[float, float]
) -> Iterator[CaptionedFigure]:
    index, t2 = slice_to_show(fit, populations), t2_symbol(series)
    shown = t2_slice_of(series, fit, populations, index)
    which = f"Slice {index + 1}. " if series.images.shape[1] > 1 else ""
    low, high = (plain(edge * 1e3) for edge in t2_range)
    outlined = " The orange line frames the isolated population." if shown.outline.any() else ""
    values = fit.t2[index][fit.ok[index]]
    clipped = int(np.count_nonzero((values < t2_range[0]) | (values > t2_range[1])))
    beyond = f" {clipped} voxels lie beyond the colour bar." if clipped else ""
    caption = (
        f"{which}{t2} (first panel, colours from {low} to {high} ms) and its standard deviation from the fit (second): "
        f"{model_words(fit)}. Grey: no signal above the noise, or no {t2}.{outlined}{beyond}"
    )
    yield CaptionedFigure("t2_map", f"{t2} map", t2_map_figure(shown, t2_range), caption)
    if shown.outline.any():
        caption = (
            f"The {t2} map round the isolated population, enlarged; true proportions, every voxel as it was measured."
        )
        yield CaptionedFigure("t2_detail", f"{t2} map", t2_detail_figure(shown, t2_range), caption)


def _histogram(
    series: ImageSeries, fit: T2Fit, populations: Populations | None, t2_range: tuple[float, float]
) -> CaptionedFigure:
    groups, t2 = _histogram_groups(series, fit, populations, t2_range), t2_symbol(series)
    apart = " The isolated population is above, on an axis of its own; dashed: its median." if len(groups) > 1 else ""
    caption = (
        f"{t2} of all voxels that have one.{apart} Line: smooth density, in which uncertain voxels count for less; "
        "arrow: full width at half maximum, the width of the smoothing taken out, with its bootstrap error."
        f"{_peak_words(groups[0].histogram)}"
    )
    return CaptionedFigure("t2_histogram", f"{t2} histogram", histogram_figure(groups, t2_range), caption)


def _peak_words(histogram: T2Histogram) -> str:
    """Say that there are several peaks, where there are: one width and one median do not describe them."""
    if len(histogram.peaks) < 2:
        return ""
    times = ", ".join(f"{t2 * _MS:.1f}" for t2 in histogram.peaks)
    return f" There are {len(histogram.peaks)} peaks, at {times} ms: the width is that of the highest alone."


def _histogram_groups(
    series: ImageSeries, fit: T2Fit, populations: Populations | None, t2_range: tuple[float, float]
) -> list[T2Population]:
    bar_width, t2 = (t2_range[1] - t2_range[0]) / 40, t2_symbol(series)
    if populations is None:
        return [T2Population("all", t2_histogram(fit.t2, fit.t2_std, bar_width=bar_width), False, t2)]
    in_bulk = populations.labels == BULK_LABEL
    bulk = t2_histogram(fit.t2[in_bulk], fit.t2_std[in_bulk], bar_width=bar_width)
    words = region_words(series.nucleus)
    groups = [T2Population(words.bulk, bulk, False, t2)]
    isolated = isolated_mask(populations)
    if isolated.any():
        apart = t2_histogram(fit.t2[isolated], fit.t2_std[isolated], bar_width=bar_width)
        groups.append(T2Population(words.isolated, apart, True, t2))
    return groups


def _decays(inputs: ReportInputs, fit: T2Fit, populations: Populations) -> CaptionedFigure:
    series = inputs.series
    voxels = typical_voxels(series, fit, populations)
    caption = (
        f"Decay of single voxels, typical of their region in {t2_symbol(series)} and χ²: signal over noise against "
        "echo time, with the fit. Bars are one standard deviation of the noise; the dashed line is the noise level. A "
        "triangle at the foot stands for a point below the axis. Below: what the fit leaves, in units of the noise. "
        f"{inputs.misfit_sentence}"
    )
    return CaptionedFigure("decay_curves", "Decay curves", decay_figure(fit, voxels), caption)


def _residuals(inputs: ReportInputs, fit: T2Fit) -> CaptionedFigure:
    rician = fit.options.estimator == "rician"
    unit = "of the spread of magnitudes with the fitted signal" if rician else "of the noise"
    caption = (
        f"What the fit leaves, in units {unit}: median, 68 % and 95 % range of all voxels at each echo time, and "
        "the histogram beside what the noise alone would leave. Early echoes leave less, because the fit follows "
        f"them. {inputs.misfit_sentence}"
    )
    return CaptionedFigure("residuals", QUALITY, residuals_figure(fit, inputs.misfit_sentence), caption)


def _estimators(series: ImageSeries, fit: T2Fit, populations: Populations) -> CaptionedFigure:
    words = region_words(series.nucleus)
    regions = {words.bulk: populations.labels == BULK_LABEL}
    if isolated_mask(populations).any():
        regions[words.isolated] = isolated_mask(populations)
    modelled = fit.options.train is not None
    train = " Without a model of the train, all read too long." if modelled or series.train is not None else ""
    table = compare_estimators(series, regions, fit)
    left_out = "" if "complex" in table else " The complex estimator is left out: these images have no phase to use."
    caption = (
        "The same voxels by several estimators: median and range from 16 to 84 %. Dashed: the first of them. A "
        f"constant at the noise floor reads {t2_symbol(series)} too short where the signal is weak, plain magnitudes "
        f"read it too long.{train}{left_out}"
    )
    figure = estimators_figure(table, t2_symbol(series))
    return CaptionedFigure("estimators", QUALITY, figure, caption)


def _spectrum(spectrum: Spectrum) -> CaptionedFigure:
    caption = (
        f"{isotope(spectrum.nucleus or '')} spectrum of the whole sample (real part), highest point at "
        f"{plain(spectrum.peak_shift * 1e6, 6)} ppm."
    ).strip()
    return CaptionedFigure("spectrum", "Spectrum", spectrum_figure(spectrum), caption)
