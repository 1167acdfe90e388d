"""Figures: right places, true proportions, colours that mean what the bar says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.kspace import Spectrum
from knightshift.reconstruction.relaxometry import T2Fit
from knightshift.reconstruction.relaxometry.histogram import t2_histogram
from knightshift.reconstruction.relaxometry.populations import BULK_LABEL
from knightshift.reconstruction.report import ReportInputs
from knightshift.reconstruction.report.chosen_voxels import isolated_mask, t2_range_with_isolated, typical_voxels
from knightshift.reconstruction.report.decay_figure import ChosenVoxel, decay_figure
from knightshift.reconstruction.report.image_axes import (
    draw_image,
    draw_outline,
    image_plane,
    plane_of_slice,
    round_down,
    round_up,
)
from knightshift.reconstruction.report.intensity_figures import echoes_figure, intensity_figure, shown_slices
from knightshift.reconstruction.report.panels import make_panels
from knightshift.reconstruction.report.spectrum_figure import FrequencyDrift, drift_figure, spectrum_figure
from knightshift.reconstruction.report.style import DPI, ONE_COLUMN, TWO_COLUMNS, new_figure, render
from knightshift.reconstruction.report.t2_figures import (
    T2Population,
    T2Slice,
    histogram_figure,
    t2_detail_figure,
    t2_map_figure,
    t2_range_of,
)

SeriesOf = Callable[..., ImageSeries]
LARMOR = 105.8628e6


def texts(figure: Figure) -> str:
    """All that is written in a figure."""
    figure.draw_without_rendering()
    return " | ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def test_voxel_zero_of_the_isocentre_convention_is_drawn_half_a_field_of_view_below(series_of: SeriesOf) -> None:
    plane = plane_of_slice(series_of(shorted=False), 0)
    assert (plane.vertical.name, plane.horizontal.name) == ("z", "y")
    assert plane.vertical.start == pytest.approx(-(48 + 0.5) * 23e-6)
    assert plane.vertical.stop == pytest.approx((47 + 0.5) * 23e-6)
    assert plane.horizontal.start == pytest.approx(-(24 + 0.5) * 100e-6)
    assert plane.unit == (1e-6, "µm")


def test_an_axis_that_runs_backwards_is_still_drawn_upward(series_of: SeriesOf) -> None:
    series = series_of(shorted=False)
    directions = series.geometry.directions * np.array([[1.0], [-1.0], [1.0]])
    plane = image_plane(replace(series.geometry, directions=directions), series.axes, (1, 96, 48))
    assert plane.vertical.start > plane.vertical.stop
    axes = new_figure(3, 3).add_subplot()
    image = np.zeros((96, 48))
    image[0, 0] = 1.0
    drawn = draw_image(axes, image, plane, vmin=0, vmax=1)
    low, high = axes.get_ylim()
    assert low < high
    assert drawn.get_extent()[2:] == [plane.vertical.start / 1e-6, plane.vertical.stop / 1e-6]


def test_an_oblique_axis_counts_from_the_centre_of_the_image(series_of: SeriesOf) -> None:
    series = series_of(shorted=False)
    tilted = np.array([[1.0, 0, 0], [0, np.sin(0.3), np.cos(0.3)], [0, np.cos(0.3), -np.sin(0.3)]])
    plane = image_plane(replace(series.geometry, directions=tilted), series.axes, (1, 96, 48))
    assert plane.vertical.name == "phase encode"
    named = image_plane(replace(series.geometry, directions=tilted), ("slice", "row", "column"), (1, 96, 48))
    assert (named.vertical.name, named.horizontal.name) == ("row", "column")
    assert plane.vertical.start == pytest.approx(-48.5 * 23e-6)


def test_a_voxel_is_drawn_in_its_true_proportions(series_of: SeriesOf) -> None:
    figure = intensity_figure(series_of(shorted=False))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    box = axes.get_window_extent()
    assert axes.get_aspect() == 1.0
    assert box.height / box.width == pytest.approx(96 * 23 / (48 * 100), rel=1e-3)


def test_intensity_image_has_units_scale_bar_and_field_direction(series_of: SeriesOf) -> None:
    written = texts(intensity_figure(series_of(shorted=True)))
    for words in ("y (µm)", "z (µm)", "1000 µm", "B₀", "intensity (%)", "echo time 4 ms"):
        assert words in written


def test_all_echoes_share_one_grey_scale(series_of: SeriesOf) -> None:
    series = series_of(shorted=True)
    figure = echoes_figure(series)
    images = [axes.get_images()[0] for axes in figure.axes if axes.get_images()]
    assert len(images) == 5
    assert {image.get_clim() for image in images} == {(0.0, 100.0)}
    first, last = (np.asarray(image.get_array()) for image in (images[0], images[-1]))
    np.testing.assert_allclose(last / first, np.abs(series.images[-1, 0] / series.images[0, 0]), rtol=1e-4)
    assert all(f"{t} ms" in texts(figure) for t in (4, 8, 13, 20, 30))


def test_many_slices_become_a_montage_of_at_most_twelve(series_of: SeriesOf) -> None:
    assert shown_slices(3) == [0, 1, 2]
    assert len(shown_slices(18)) == 12
    assert shown_slices(18)[-1] == 17
    series = series_of(shorted=False)
    several = replace(series, images=np.repeat(series.images, 4, axis=1))
    assert "slice 4" in texts(intensity_figure(several))


def t2_slice(series: ImageSeries, fit: T2Fit, mask: np.ndarray) -> T2Slice:
    return T2Slice(fit.t2[0], fit.t2_std[0], mask[0], plane_of_slice(series, 0))


def test_t2_map_shows_milliseconds_in_the_stated_range(
    series_of: SeriesOf, fit_of: Callable[[ImageSeries], T2Fit], dendrite: np.ndarray
) -> None:
    series = series_of(shorted=True)
    fit = fit_of(series)
    figure = t2_map_figure(t2_slice(series, fit, dendrite), (0.0, 20e-3))
    image = figure.axes[0].get_images()[0]
    assert image.get_clim() == (0.0, 20.0)
    shown = np.ma.masked_invalid(image.get_array())
    np.testing.assert_allclose(shown.compressed(), 1e3 * fit.t2[0][fit.ok[0]], rtol=1e-6)
    assert np.ma.count_masked(shown) == np.count_nonzero(~fit.ok)
    assert "T₂ (ms)" in texts(figure)
    assert image.get_cmap().name == "viridis"


def test_the_enlarged_t2_map_frames_the_dendrite(
    series_of: SeriesOf, fit_of: Callable[[ImageSeries], T2Fit], dendrite: np.ndarray
) -> None:
    series = series_of(shorted=True)
    shown = t2_slice(series, fit_of(series), dendrite)
    axes = t2_detail_figure(shown, (0.0, 20e-3)).axes[0]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert left < 1150  # voxels 36 to 43 of 100 um, the isocentre in the middle of voxel 24
    assert right > 1950
    assert bottom < 218.5
    assert top > 264.5  # voxels 58 and 59 of 23 um
    assert right - left == pytest.approx(1200)
    with pytest.raises(InputError, match="nothing to enlarge"):
        t2_detail_figure(t2_slice(series, fit_of(series), np.zeros_like(dendrite)), (0.0, 20e-3))


def test_t2_range_is_round_and_holds_nearly_all_values() -> None:
    values = np.array([np.nan, *np.linspace(5e-3, 17e-3, 100)])
    assert t2_range_of(values, 0.1 * values) == pytest.approx((0.0, 20e-3))
    assert t2_range_of(np.full(5, np.nan), np.full(5, np.nan)) == (0.0, 20e-3)


def test_t2_range_ignores_long_values_that_only_noise_has_made() -> None:
    values = np.concatenate([np.linspace(5e-3, 17e-3, 90), np.full(10, 0.5)])
    std = np.concatenate([np.full(90, 1e-3), np.full(10, 0.4)])
    assert t2_range_of(values, std) == pytest.approx((0.0, 20e-3))


@given(value=st.floats(1e-9, 1e9))
def test_rounding_up_and_down_encloses_the_value(value: float) -> None:
    assert round_down(value) <= value * (1 + 1e-6)
    assert value <= 2.5 * round_down(value) * (1 + 1e-6)
    assert round_up(value) >= value * (1 - 1e-6)
    assert round_up(value) <= 1.51 * value


def test_outline_runs_round_every_edge_of_large_voxels() -> None:
    from knightshift.reconstruction.report.image_axes import ImagePlane, PlaneAxis

    panels = make_panels(3.0, 1, 1, 1.0)
    mask = np.zeros((6, 6), dtype=bool)
    mask[2:4, 1:4] = True
    plane = ImagePlane(PlaneAxis("z", 0.0, 6e-4), PlaneAxis("y", 0.0, 6e-4))
    draw_outline(panels.axes[0], mask, plane, "red")
    lines = next(item for item in panels.axes[0].collections if isinstance(item, LineCollection))
    segments = np.array(lines.get_segments())
    assert len(segments) == 10  # the circumference of 2 x 3 voxels
    np.testing.assert_allclose([segments[..., 0].min(), segments[..., 0].max()], [100.0, 400.0])
    np.testing.assert_allclose([segments[..., 1].min(), segments[..., 1].max()], [200.0, 400.0])


def test_outline_runs_along_voxels_however_small_they_are_printed() -> None:
    from knightshift.reconstruction.report.image_axes import ImagePlane, PlaneAxis

    panels = make_panels(3.0, 1, 1, 0.3)
    mask = np.zeros((200, 40), dtype=bool)
    mask[100:102, 10:18] = True
    draw_outline(panels.axes[0], mask, ImagePlane(PlaneAxis("z", 0.0, 2e-3), PlaneAxis("y", 0.0, 4e-3)), "red")
    lines = next(item for item in panels.axes[0].collections if isinstance(item, LineCollection))
    segments = np.array(lines.get_segments())
    np.testing.assert_allclose([segments[..., 1].min(), segments[..., 1].max()], [1000.0, 1020.0])
    np.testing.assert_allclose([segments[..., 0].min(), segments[..., 0].max()], [1000.0, 1800.0])


def test_histogram_marks_the_isolated_population_and_writes_the_width() -> None:
    random = np.random.default_rng(3)
    bulk = t2_histogram(random.normal(7.5e-3, 1e-3, 4000))
    apart = t2_histogram(random.normal(16e-3, 0.3e-3, 4))
    figure = histogram_figure(
        [T2Population("electrodes", bulk, False), T2Population("dendrite", apart, True)], (0.0, 20e-3)
    )
    below, above = figure.axes
    heights = [sum(patch.get_height() for patch in axes.patches) for axes in (below, above)]  # type: ignore[attr-defined]
    assert heights == [4000, 4]
    assert above.get_ylim()[1] < 10 < below.get_ylim()[1]  # four voxels are seen on an axis of their own
    assert above.get_position().y0 > below.get_position().y1
    assert above.get_xlim() == below.get_xlim() == (0.0, 20.0)
    written = texts(figure)
    assert f"FWHM {bulk.fwhm * 1e3:.1f} ±" in written
    assert bulk.fwhm == pytest.approx(2.355e-3, rel=0.1)  # of a Gaussian
    assert written.count("FWHM") == 1  # four voxels have no width
    assert "electrodes: 4000 voxels" in written


@pytest.mark.parametrize("times", [(30e-3, 80e-3), (80e-3, 30e-3), (10e-3, 40e-3)])
def test_words_of_a_width_do_not_cover_the_bars_of_another_peak(times: tuple[float, float]) -> None:
    random = np.random.default_rng(5)
    two = np.concatenate([random.normal(times[0], 3e-3, 6000), random.normal(times[1], 4e-3, 5000)])
    figure = histogram_figure([T2Population("bulk", t2_histogram(two, bar_width=2e-3), False)], (0.0, 120e-3))
    figure.canvas.draw()
    axes = figure.axes[0]
    words = next(text for text in axes.texts if "FWHM" in text.get_text()).get_window_extent()
    bars = [patch.get_window_extent() for patch in axes.patches if patch.get_height() > 0]  # type: ignore[attr-defined]
    assert not any(words.overlaps(bar) for bar in bars)
    assert axes.get_window_extent().x0 <= words.x0
    assert words.x1 <= axes.get_window_extent().x1


def test_voxels_beyond_the_axis_are_counted_not_dropped() -> None:
    histogram = t2_histogram(np.array([5.2e-3, 5.4e-3, 25e-3]))
    assert "3 voxels, 1 beyond the axis" in texts(
        histogram_figure([T2Population("electrodes", histogram, False)], (0.0, 20e-3))
    )


def test_peaks_of_a_histogram_are_those_with_a_valley_between() -> None:
    random = np.random.default_rng(6)
    two = np.concatenate([random.normal(30e-3, 3e-3, 6000), random.normal(80e-3, 6e-3, 5000)])
    assert t2_histogram(two).peaks == pytest.approx([30e-3, 80e-3], rel=0.03)
    near = np.concatenate([random.normal(30e-3, 3e-3, 6000), random.normal(35e-3, 3e-3, 5000)])
    assert len(t2_histogram(near).peaks) == 1


def test_the_scale_holds_a_dendrite_whose_voxels_are_not_well_known(both_cells: dict[str, ReportInputs]) -> None:
    fit, populations = both_cells["shorted"].fit, both_cells["shorted"].populations
    assert fit is not None
    assert populations is not None
    dendrite = isolated_mask(populations)
    vague = replace(fit, t2=np.where(dendrite, 0.03, fit.t2), t2_std=np.where(dendrite, 0.03, fit.t2_std))
    longer = replace(populations, isolated=tuple(replace(one, t2_median=0.03) for one in populations.isolated))
    assert t2_range_with_isolated(vague, None)[1] < 20e-3
    assert t2_range_with_isolated(vague, longer) == (0.0, 0.03)


def test_of_a_single_region_voxels_at_the_quartiles_stand_for_it(both_cells: dict[str, ReportInputs]) -> None:
    cell = both_cells["pristine"]
    assert cell.fit is not None
    assert cell.populations is not None
    voxels = typical_voxels(cell.series, cell.fit, replace(cell.populations, electrodes=()))
    bulk = cell.fit.t2[(cell.populations.labels == BULK_LABEL) & cell.fit.ok]
    assert [cell.fit.t2[one.index] for one in voxels] == pytest.approx(np.quantile(bulk, [0.25, 0.5, 0.75]), rel=0.02)


def test_decay_is_drawn_in_units_of_the_noise(series_of: SeriesOf, fit_of: Callable[[ImageSeries], T2Fit]) -> None:
    fit = fit_of(series_of(shorted=True))
    index = (0, 58, 40)
    figure = decay_figure(fit, [ChosenVoxel("dendrite (<b>)", index, True)])
    axes = figure.axes[0]
    points = axes.containers[0].lines[0]  # type: ignore[attr-defined]
    np.testing.assert_allclose(points.get_ydata(), fit.signal[(slice(None), *index)] / fit.noise_std)
    np.testing.assert_allclose(points.get_xdata(), 1e3 * fit.echo_times)
    assert axes.get_yscale() == "log"
    assert f"T₂ = {fit.t2[index] * 1e3:.1f} ±" in texts(figure)
    assert "noise level σ" in texts(figure)
    left = (fit.signal[(slice(None), *index)] - fit.curve(index, fit.echo_times)) / fit.noise_std
    np.testing.assert_allclose(figure.axes[1].lines[-1].get_ydata(), left)
    assert figure.axes[1].get_position().y1 < axes.get_position().y0


def test_long_names_of_voxels_do_not_run_into_each_other(
    series_of: SeriesOf, fit_of: Callable[[ImageSeries], T2Fit]
) -> None:
    fit = fit_of(series_of(shorted=True))
    voxel = ChosenVoxel("isolated region (readout −62, phase encode −7 mm)", (0, 58, 40), True)
    figure = decay_figure(fit, [voxel] * 3)
    figure.draw_without_rendering()
    titles = [axes.title if axes.get_title() else axes._left_title for axes in figure.axes[:3]]
    boxes = [title.get_window_extent() for title in titles]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert boxes[2].x1 <= figure.bbox.x1
    assert boxes[0].y1 <= figure.bbox.y1


def make_spectrum(nucleus: str | None = "23Na", center: float = 1126e-6) -> Spectrum:
    frequencies = np.linspace(-20e3, 20e3, 1001)
    values = (1 / (1 + (frequencies / 400) ** 2)).astype(complex)
    return Spectrum(
        values=values,
        frequencies=frequencies,
        working_frequency=LARMOR * (1 + center),
        reference_frequency=LARMOR,
        noise_std=0.01,
        nucleus=nucleus,
    )


def test_spectrum_marks_the_knight_shift_of_sodium_where_it_is_in_the_window() -> None:
    figure = spectrum_figure(make_spectrum())
    left, right = figure.axes[0].get_xlim()
    assert left > 1126 > right  # ppm fall to the right
    assert "1126 ppm" in texts(figure)
    assert "²³Na shift (ppm)" in texts(figure)
    assert "Knight" not in texts(spectrum_figure(make_spectrum("7Li")))
    assert "Knight" not in texts(spectrum_figure(make_spectrum(center=0.0)))


@pytest.mark.parametrize(
    ("passes", "unit", "last"), [(1725, "h", 1724 * 24 / 3600), (10, "min", 9 * 24 / 60), (1, "min", 0)]
)
def test_drift_is_drawn_against_the_time_from_the_start(passes: int, unit: str, last: float) -> None:
    times = 1767639600.0 + 24.0 * np.arange(passes)
    figure = drift_figure(FrequencyDrift(times, np.linspace(0, 7, passes)))
    points = figure.axes[0].lines[-1]
    assert np.asarray(points.get_xdata())[-1] == pytest.approx(last)
    assert f"time from the start ({unit})" in texts(figure)


def test_a_drift_needs_one_frequency_for_each_pass() -> None:
    times = np.arange(10.0)
    with pytest.raises(ShapeError, match="one frequency for each pass"):
        FrequencyDrift(times, np.zeros(3))


def test_figures_are_one_or_two_columns_wide_and_do_not_depend_on_user_settings(series_of: SeriesOf) -> None:
    series = series_of(shorted=False)
    plain = render(intensity_figure(series), "png")
    with mpl.rc_context({"font.size": 30, "image.cmap": "jet", "lines.linewidth": 9, "image.interpolation": "bicubic"}):
        assert render(intensity_figure(series), "png") == plain
    assert intensity_figure(series).get_size_inches()[0] == pytest.approx(ONE_COLUMN)
    assert echoes_figure(series).get_size_inches()[0] == pytest.approx(TWO_COLUMNS)
    assert DPI >= 200


def test_images_that_are_not_in_the_laboratory_frame_claim_no_field_direction(series_of: SeriesOf) -> None:
    series = replace(series_of(shorted=False), axes=("slice", "phase_encode", "readout"))
    written = texts(intensity_figure(series))
    assert "phase encode (µm)" in written
    assert "B₀" not in written
