"""All figures that the inputs of a report allow, with their captions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from knightshift.core.arrays import BoolArray
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.kspace import Spectrum
from knightshift.reconstruction.relaxometry import T2Fit
from knightshift.reconstruction.relaxometry.histogram import t2_histogram
from knightshift.reconstruction.relaxometry.populations import BULK_LABEL, Populations
from knightshift.reconstruction.report.chosen_voxels import isolated_mask, slice_to_show, typical_voxels
from knightshift.reconstruction.report.decay_figure import decay_figure
from knightshift.reconstruction.report.estimator_figures import (
    compare_estimators,
    estimators_figure,
    residuals_figure,
)
from knightshift.reconstruction.report.human_units import isotope, plain, quantity
from knightshift.reconstruction.report.image_axes import plane_of_slice
from knightshift.reconstruction.report.inputs import ReportInputs
from knightshift.reconstruction.report.intensity_figures import echoes_figure, intensity_figure, shown_slices
from knightshift.reconstruction.report.spectrum_figure import drift_figure, spectrum_figure
from knightshift.reconstruction.report.t2_figures import (
    T2Population,
    T2Slice,
    histogram_figure,
    t2_detail_figure,
    t2_map_figure,
    t2_range_of,
)


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
    yield from _intensity(inputs.series)
    if len(inputs.series.echo_times) > 1:
        yield _echoes(inputs)
    if inputs.fit is not None and inputs.fit.ok.any():
        t2_range = inputs.t2_range or t2_range_of(inputs.fit.t2, inputs.fit.t2_std)
        yield from _t2_maps(inputs.series, inputs.fit, inputs.populations, t2_range)
        yield _histogram(inputs.fit, inputs.populations, t2_range)
        if inputs.populations is not None:
            yield _decays(inputs.series, inputs.fit, inputs.populations)
            yield _estimators(inputs.series, inputs.populations)
        if inputs.fit.options.estimator != "rician" and inputs.fit.options.offset == "none":
            yield _residuals(inputs.fit)
    if inputs.spectrum is not None:
        yield _spectrum(inputs.spectrum)
    if inputs.drift is not None:
        caption = "Resonance frequency over the run, one point a pass, against the working frequency of the receiver."
        yield CaptionedFigure("frequency_drift", "Field drift", drift_figure(inputs.drift), caption)


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
    index = slice_to_show(fit, populations)
    outline: BoolArray = np.zeros(fit.t2.shape, bool) if populations is None else isolated_mask(populations)
    shown = T2Slice(fit.t2[index], fit.t2_std[index], outline[index], plane_of_slice(series, index))
    which = f"Slice {index + 1}. " if series.images.shape[1] > 1 else ""
    low, high = (plain(edge * 1e3) for edge in t2_range)
    outlined = " The orange line frames the isolated population." if shown.outline.any() else ""
    values = fit.t2[index][fit.ok[index]]
    clipped = int(np.count_nonzero((values < t2_range[0]) | (values > t2_range[1])))
    beyond = f" {clipped} voxels lie beyond the colour bar." if clipped else ""
    caption = (
        f"{which}T₂ (first panel, colours from {low} to {high} ms) and its standard deviation from the fit (second). "
        f"Grey: no signal above the noise, or no T₂.{outlined}{beyond}"
    )
    yield CaptionedFigure("t2_map", "T₂ map", t2_map_figure(shown, t2_range), caption)
    if shown.outline.any():
        caption = (
            "The T₂ map round the isolated population, enlarged; true proportions, every voxel as it was measured."
        )
        yield CaptionedFigure("t2_detail", "T₂ map", t2_detail_figure(shown, t2_range), caption)


def _histogram(fit: T2Fit, populations: Populations | None, t2_range: tuple[float, float]) -> CaptionedFigure:
    bar_width = (t2_range[1] - t2_range[0]) / 40
    if populations is None:
        groups = [T2Population("all", t2_histogram(fit.t2, bar_width=bar_width), False)]
    else:
        bulk = t2_histogram(fit.t2[populations.labels == BULK_LABEL], bar_width=bar_width)
        groups = [T2Population("electrodes", bulk, False)]
        isolated = isolated_mask(populations)
        if isolated.any():
            groups.append(T2Population("dendrite", t2_histogram(fit.t2[isolated], bar_width=bar_width), True))
    apart = " The isolated population is orange." if len(groups) > 1 else ""
    caption = (
        f"T₂ of all voxels that have one.{apart} Lines: smooth density; arrows: full width at half maximum, the "
        "width of the smoothing taken out, with its bootstrap error."
    )
    return CaptionedFigure("t2_histogram", "T₂ histogram", histogram_figure(groups, t2_range), caption)


def _decays(series: ImageSeries, fit: T2Fit, populations: Populations) -> CaptionedFigure:
    voxels = typical_voxels(series, fit, populations)
    caption = (
        "Decay of single voxels, those with a T₂ typical of their region: signal over noise against echo time, with "
        "the fit. Bars are one standard deviation of the noise; the dashed line is the noise level. A triangle at the "
        "foot stands for a point below the axis."
    )
    return CaptionedFigure("decay_curves", "Decay curves", decay_figure(fit, voxels), caption)


def _residuals(fit: T2Fit) -> CaptionedFigure:
    caption = (
        "What the fit leaves, in units of the noise: median, 68 % and 95 % range of all voxels at each echo time, and "
        "the histogram beside what the noise alone would leave. Early echoes leave less, because the fit follows them."
    )
    return CaptionedFigure("residuals", "Quality of the fit", residuals_figure(fit), caption)


def _estimators(series: ImageSeries, populations: Populations) -> CaptionedFigure:
    regions = {"electrodes": populations.labels == BULK_LABEL}
    if isolated_mask(populations).any():
        regions["dendrite"] = isolated_mask(populations)
    train = "" if series.train is None else " Without a model of the train, all read too long."
    caption = (
        "The same voxels by several estimators: median and range from 16 to 84 %. Dashed: the first of them. A "
        "constant at the noise floor reads T₂ too short where the signal is weak, plain magnitudes read it too "
        f"long.{train}"
    )
    figure = estimators_figure(compare_estimators(series, regions))
    return CaptionedFigure("estimators", "Quality of the fit", figure, caption)


def _spectrum(spectrum: Spectrum) -> CaptionedFigure:
    caption = (
        f"{isotope(spectrum.nucleus or '')} spectrum of the whole sample (real part), highest point at "
        f"{plain(spectrum.peak_shift * 1e6, 6)} ppm."
    ).strip()
    return CaptionedFigure("spectrum", "Spectrum", spectrum_figure(spectrum), caption)
