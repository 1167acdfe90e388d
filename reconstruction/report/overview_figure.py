"""The figure of a paper: intensity, T2 map, histogram, and decays of chosen voxels, as panels a to d."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import T2Fit
from knightshift.reconstruction.report.decay_figure import ChosenVoxel, draw_decays
from knightshift.reconstruction.report.image_axes import add_color_bar, draw_b0_arrow, draw_scale_bar
from knightshift.reconstruction.report.intensity_figures import draw_intensity
from knightshift.reconstruction.report.panels import Margins, make_panels
from knightshift.reconstruction.report.style import BLACK, TWO_COLUMNS, styled
from knightshift.reconstruction.report.t2_figures import T2Population, T2Slice, draw_histogram, draw_t2

_MARGINS = Margins(left=0.7, right=0.62, top=0.2, between_columns=1.3, between_rows=0.62)


@styled
def overview_figure(
    series: ImageSeries,
    fit: T2Fit,
    shown: tuple[int, T2Slice],
    populations: list[T2Population],
    voxels: list[ChosenVoxel],
    t2_range: tuple[float, float],
) -> Figure:
    """Draw the four panels of a paper's figure.

    Parameters
    ----------
    series
        The images; the first echo is shown.
    fit
        Their T2.
    shown
        Index of the slice, and its T2 map.
    populations
        Of the histogram.
    voxels
        Whose decays are shown, at most two of the electrodes and two isolated ones.
    t2_range
        Ends of the colour bar and of the axis of the histogram [s].
    """
    index, t2_slice = shown
    lowest = 0.56 if any(population.isolated for population in populations) else 0.45
    aspect = float(np.clip(t2_slice.plane.aspect, lowest, 1.0))
    panels = make_panels(TWO_COLUMNS, 4, 2, aspect, _MARGINS)
    intensity, t2_map, histogram, decays = panels.axes
    drawn = draw_intensity(intensity, series, index, t2_slice.plane)
    add_color_bar(drawn, panels.color_bar_axes(intensity), "intensity (%)", "max")
    draw_t2(panels, 1, t2_slice, t2_range)
    for axes, color in ((intensity, "white"), (t2_map, BLACK)):
        draw_scale_bar(axes, t2_slice.plane, color)
        draw_b0_arrow(axes, t2_slice.plane, color)
    above = draw_histogram(histogram, populations, t2_range, small=True)
    draw_decays(decays, fit, voxels)
    for axes, letter in zip((intensity, t2_map, above, decays), "abcd", strict=True):
        axes.set_title(letter, loc="left", pad=4, fontweight="bold", fontsize=9)
    return panels.figure
