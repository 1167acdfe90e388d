"""The section "Compared with": two runs on one page."""

from __future__ import annotations

import math

import numpy as np

from knightshift.core.arrays import BoolArray
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.region_words import region_words
from knightshift.reconstruction.relaxometry import Populations, T2Fit
from knightshift.reconstruction.report.chosen_voxels import isolated_mask, slice_to_show, t2_range_with_isolated
from knightshift.reconstruction.report.comparison import Difference, Measured, compare
from knightshift.reconstruction.report.comparison_figure import ShownRun
from knightshift.reconstruction.report.image_axes import plane_of_slice
from knightshift.reconstruction.report.inputs import ReportInputs
from knightshift.reconstruction.report.markup import Markup, element, joined, table
from knightshift.reconstruction.report.t2_figures import T2Slice
from knightshift.reconstruction.t2_symbol import t2_symbol, t2_symbol_of_both

_MS = 1e3
_QUANTITIES = {"voxels": "voxels", "median_t2": "median {} (ms)", "fwhm_t2": "FWHM of {} (ms)"}


def shown_runs(inputs: ReportInputs) -> tuple[ShownRun, ShownRun]:
    """Prepare both runs for the figures: the one reported, and the one it is compared with."""
    other = inputs.compared
    assert other is not None
    assert inputs.fit is not None
    assert inputs.populations is not None
    this = _shown(inputs.title, inputs.series, inputs.fit, inputs.populations)
    return this, _shown(other.title, other.series, other.fit, other.populations)


def _shown(title: str, series: ImageSeries, fit: T2Fit, populations: Populations) -> ShownRun:
    index = slice_to_show(fit, populations)
    return ShownRun(title, series, index, t2_slice_of(series, fit, populations, index), fit.t2[fit.ok])


def t2_slice_of(series: ImageSeries, fit: T2Fit, populations: Populations | None, index: int) -> T2Slice:
    """Take one slice of a T2 map for the figures, its isolated voxels outlined."""
    outline: BoolArray = np.zeros(fit.t2.shape, bool) if populations is None else isolated_mask(populations)
    return T2Slice(fit.t2[index], fit.t2_std[index], outline[index], plane_of_slice(series, index), t2_symbol(series))


def range_of_both(inputs: ReportInputs) -> tuple[float, float]:
    """Choose the range of T2 [s] that both runs are drawn in: the wider of theirs."""
    other = inputs.compared
    assert other is not None
    assert inputs.fit is not None
    ranges = [
        t2_range_with_isolated(inputs.fit, inputs.populations),
        t2_range_with_isolated(other.fit, other.populations),
    ]
    return inputs.t2_range or (min(low for low, _ in ranges), max(high for _, high in ranges))


def differences(inputs: ReportInputs) -> tuple[Difference, ...]:
    """Compare the run that is reported with the other."""
    if inputs.compared is None or inputs.fit is None or inputs.populations is None:
        return ()
    other, words = inputs.compared, region_words(inputs.series.nucleus)
    return compare((inputs.fit, inputs.populations), (other.fit, other.populations), words)


def comparison_table(inputs: ReportInputs) -> Markup:
    """Tabulate the populations of both runs, the differences and their errors."""
    assert inputs.compared is not None
    head = ("population", "quantity", inputs.title, inputs.compared.title, "difference", "in σ")
    symbol = t2_symbol_of_both(inputs.series, inputs.compared.series)
    rows = [_row(one, symbol) for one in differences(inputs)]
    words = (
        "Difference: first minus second. Errors are standard deviations by bootstrap over voxels, independent in the "
        "two runs; systematic ones, of B1 or of the registration of the cells, are not in them."
    )
    return joined([table(head, rows), element("p", words, class_="note")])


def _row(one: Difference, symbol: str) -> tuple[str, ...]:
    whole = one.quantity == "voxels"
    sigma = "–" if math.isnan(one.sigma) else f"{one.sigma:+.1f}".replace("-", "−")
    cells = [_number(measured, whole, signed) for measured, signed in ((one.first, False), (one.second, False))]
    return (one.region, _QUANTITIES[one.quantity].format(symbol), *cells, _number(one.difference, whole, True), sigma)


def _number(measured: Measured, whole: bool, signed: bool) -> str:
    if math.isnan(measured.value):
        return "none"
    sign = "+" if signed else ""
    if whole:
        return f"{measured.value:{sign}.0f}".replace("-", "−")
    error = "" if math.isnan(measured.std) else f" ± {measured.std * _MS:.2f}"
    return f"{measured.value * _MS:{sign}.2f}{error}".replace("-", "−")
