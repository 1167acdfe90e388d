"""Figures of magnitude: the intensity image, and the single images behind a T2 map."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.human_units import quantity
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.report.image_axes import (
    ImagePlane,
    add_color_bar,
    draw_b0_arrow,
    draw_image,
    draw_outline,
    draw_scale_bar,
    plane_of_slice,
)
from knightshift.reconstruction.report.panels import label_outer, make_panels
from knightshift.reconstruction.report.style import INTENSITY_MAP, ONE_COLUMN, ORANGE, TWO_COLUMNS, styled

_MAX_SLICES = 12


def intensity_scale(magnitude: RealArray) -> float:
    """Choose the upper end of a grey scale: the 99.8th percentile, so that one hot voxel does not hide the rest."""
    top = float(np.percentile(magnitude, 99.8))
    return top if top > 0 else 1.0


@styled
def intensity_figure(series: ImageSeries, outline: BoolArray | None = None) -> Figure:
    """Draw the first echo, in percent of the brightest signal; several slices become a montage.

    Parameters
    ----------
    series
        Complex images.
    outline
        Voxels to outline, shape ``(slice, phase_encode, readout)``.
    """
    magnitude = np.abs(series.images[0])
    percent = 100 * magnitude / intensity_scale(magnitude)
    slices = shown_slices(len(percent))
    plane = plane_of_slice(series, 0)
    echo = quantity(float(series.echo_times[0]), "s", 4)
    if len(slices) > 1:
        titles = [f"slice {index + 1}" for index in slices]
        images = [percent[index] for index in slices]
        outlines = None if outline is None else [outline[index] for index in slices]
        return _montage(images, titles, plane, "intensity (%)", outlines)
    panels = make_panels(ONE_COLUMN, 1, 1, plane.aspect)
    axes = panels.axes[0]
    drawn = _draw_magnitude(axes, percent[0], plane)
    if outline is not None and outline.any():
        draw_outline(axes, outline[0], plane, ORANGE)
    draw_scale_bar(axes, plane)
    draw_b0_arrow(axes, plane)
    axes.set_title(f"echo time {echo}", loc="left", pad=3)
    add_color_bar(drawn, panels.color_bar_axes(axes), "intensity (%)", "max")
    return panels.figure


@styled
def echoes_figure(series: ImageSeries, slice_index: int = 0) -> Figure:
    """Draw the image of every echo time on one common scale.

    Parameters
    ----------
    series
        Complex images at several echo times.
    slice_index
        Which slice.
    """
    magnitude = np.abs(series.images[:, slice_index])
    percent = 100 * magnitude / intensity_scale(magnitude[0])
    titles = [f"{quantity(float(echo_time), 's', 4)}" for echo_time in series.echo_times]
    return _montage(list(percent), titles, plane_of_slice(series, slice_index), "intensity (%)", None)


def shown_slices(count: int) -> list[int]:
    """Choose at most twelve slices, evenly spread over all."""
    return sorted({round(position) for position in np.linspace(0, count - 1, min(count, _MAX_SLICES))})


def draw_intensity(axes: Axes, series: ImageSeries, slice_index: int, plane: ImagePlane) -> AxesImage:
    """Draw the first echo of one slice, in percent of its brightest signal, into axes of another figure."""
    magnitude = np.abs(series.images[0])
    return _draw_magnitude(axes, 100 * magnitude[slice_index] / intensity_scale(magnitude), plane)


def _draw_magnitude(axes: Axes, image: RealArray, plane: ImagePlane) -> AxesImage:
    return draw_image(axes, image, plane, cmap=INTENSITY_MAP, vmin=0, vmax=100)


def _montage(
    images: list[RealArray], titles: list[str], plane: ImagePlane, label: str, outlines: list[BoolArray] | None
) -> Figure:
    panels = make_panels(TWO_COLUMNS, len(images), _columns(len(images), plane.aspect), plane.aspect)
    for index, axes in enumerate(panels.axes):
        drawn = _draw_magnitude(axes, images[index], plane)
        axes.set_title(titles[index], loc="left", pad=3)
        if outlines is not None and outlines[index].any():
            draw_outline(axes, outlines[index], plane, ORANGE)
    label_outer(panels)
    draw_b0_arrow(panels.axes[0], plane)
    draw_scale_bar(panels.axes[0], plane)
    add_color_bar(drawn, panels.color_bar_axes(panels.axes[0], whole_height=True), label, "max")
    return panels.figure


def _columns(count: int, aspect: float) -> int:
    """Choose how many panels stand side by side: as many as give each a width at which its voxels can be seen."""
    widest = 3 if aspect < 0.6 else 5
    if count <= widest:
        return count
    rows = math.ceil(count / widest)
    return math.ceil(count / rows)
