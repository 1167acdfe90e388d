"""Axes that show one slice in true proportions: laboratory coordinates, scale bar, direction of B0, outlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import ShapeError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.report.style import NO_VALUE

_LAB_AXES = ("x", "y", "z")
_ALIGNED = 0.999
"""Cosine above which an axis counts as running along a laboratory axis (2.6 degrees)."""
_MICROMETRES_UP_TO = 12e-3
"""Fields of view below this [m] are labelled in µm, larger ones in mm."""


@dataclass(frozen=True)
class PlaneAxis:
    """One axis of an image plane, as a figure labels it."""

    name: str
    """``"y"``, or what the axis encodes where it is oblique."""
    start: float
    """Position of the outer edge of the first voxel [m]."""
    stop: float
    """Position of the outer edge of the last voxel [m]; below `start` where the index runs against the axis."""

    @property
    def length(self) -> float:
        """Field of view [m]."""
        return abs(self.stop - self.start)


@dataclass(frozen=True)
class ImagePlane:
    """Where the voxels of one slice are drawn: phase encode upward, readout to the right."""

    vertical: PlaneAxis
    """The phase-encode axis."""
    horizontal: PlaneAxis
    """The readout axis."""

    @property
    def unit(self) -> tuple[float, str]:
        """Length of one unit of the axes [m], and its name."""
        small = max(self.vertical.length, self.horizontal.length) <= _MICROMETRES_UP_TO
        return (1e-6, "µm") if small else (1e-3, "mm")

    @property
    def aspect(self) -> float:
        """Height over width."""
        return self.vertical.length / self.horizontal.length


def image_plane(geometry: ImageGeometry, axes: tuple[str, str, str], shape: tuple[int, ...]) -> ImagePlane:
    """Find where the ``(phase_encode, readout)`` plane of an image lies.

    An axis that runs along an axis of the frame is labelled with the coordinates of that frame; along an oblique one
    the coordinate counts from the centre of the image. Only the laboratory frame has a B0: images in the frame of a
    subject keep the names that `axes` gives them.

    Parameters
    ----------
    geometry
        Of the whole image.
    axes
        Laboratory axis of slice, phase_encode and readout; other words where the frame is not the laboratory's.
    shape
        ``(slice, phase_encode, readout)``.
    """
    vertical, horizontal = (_plane_axis(geometry, axes[i], i, shape[i]) for i in (1, 2))
    return ImagePlane(vertical=vertical, horizontal=horizontal)


def plane_of_slice(series: ImageSeries, slice_index: int) -> ImagePlane:
    """Find where the voxels of one slice are drawn, also where slices lie in several stacks."""
    stacks = (stack for stack in series.stacks if slice_index in stack.slices)
    stack = next(stacks, None)
    geometry = series.geometry if stack is None else stack.geometry
    return image_plane(geometry, series.axes, series.images.shape[1:])


def _plane_axis(geometry: ImageGeometry, name: str, index: int, count: int) -> PlaneAxis:
    voxel = geometry.voxel_size[index]
    components = np.asarray(geometry.directions[index], dtype=float)
    nearest = int(np.argmax(np.abs(components)))
    in_laboratory = name in _LAB_AXES
    if abs(components[nearest]) < _ALIGNED:
        oblique = ("slice", "phase encode", "readout")[index] if in_laboratory else name.replace("_", " ")
        return PlaneAxis(oblique, -(count // 2 + 0.5) * voxel, (count - count // 2 - 0.5) * voxel)
    step = float(np.sign(components[nearest])) * voxel
    first = float(geometry.origin[nearest])
    label = _LAB_AXES[nearest] if in_laboratory else name.replace("_", " ")
    return PlaneAxis(label, first - step / 2, first + (count - 0.5) * step)


def draw_image(axes: Axes, image: RealArray, plane: ImagePlane, **how: Any) -> AxesImage:
    """Draw one slice; voxels that are NaN are grey, coordinates grow upward and to the right.

    Parameters
    ----------
    axes
        Where to draw.
    image
        Shape ``(phase_encode, readout)``.
    plane
        Where its voxels are.
    how
        ``cmap``, ``vmin``, ``vmax`` as `matplotlib.axes.Axes.imshow` takes them.
    """
    if image.ndim != 2:
        raise ShapeError(f"an image of shape {image.shape} is not (phase_encode, readout): choose one slice")
    length, unit = plane.unit
    horizontal, vertical = plane.horizontal, plane.vertical
    extent = tuple(edge / length for edge in (horizontal.start, horizontal.stop, vertical.start, vertical.stop))
    axes.set_facecolor(NO_VALUE)
    drawn = axes.imshow(np.ma.masked_invalid(image), origin="lower", extent=extent, aspect="equal", **how)  # type: ignore[arg-type]
    axes.set_xlim(min(extent[:2]), max(extent[:2]))
    axes.set_ylim(min(extent[2:]), max(extent[2:]))
    axes.set_xlabel(f"{horizontal.name} ({unit})")
    axes.set_ylabel(f"{vertical.name} ({unit})")
    axes.locator_params(nbins=5, steps=[1, 2, 5, 10])
    axes.spines[:].set_visible(True)
    return drawn


def draw_scale_bar(axes: Axes, plane: ImagePlane, color: str = "white") -> None:
    """Draw a bar of a round length, a tenth to a quarter of the width, in the lower right corner."""
    length, unit = plane.unit
    width, height = plane.horizontal.length / length, plane.vertical.length / length
    bar = round_down(width / 4)
    right, bottom = axes.get_xlim()[1] - 0.03 * width, axes.get_ylim()[0] + 0.05 * height
    axes.add_patch(
        Rectangle(
            (right - bar, bottom),
            bar,
            0.025 * height,
            facecolor=color,
            edgecolor="black" if color == "white" else color,
            linewidth=0.3,
        )
    )
    above = bottom + 0.045 * height
    text = axes.text(right, above, f"{bar:g} {unit}", color=color, ha="right", va="bottom", fontsize=6.5)
    outline = "black" if color == "white" else "white"  # legible on bright tissue and on dark voxels too
    text.set_path_effects([withStroke(linewidth=1.2, foreground=outline)])


def draw_b0_arrow(axes: Axes, plane: ImagePlane, color: str = "white") -> None:
    """Show in the upper left corner which way B0 (the z axis) points; out of plane it is a circle with a dot."""
    style = {"color": color, "fontsize": 6.5, "ha": "center", "va": "center"}
    arrow = {"arrowstyle": "-|>", "color": color, "lw": 0.8, "mutation_scale": 7, "shrinkA": 0, "shrinkB": 0}
    if plane.vertical.name == "z":
        axes.annotate("", (0.05, 0.95), (0.05, 0.68), xycoords="axes fraction", arrowprops=arrow)
        axes.text(0.07, 0.88, "B₀", transform=axes.transAxes, **{**style, "ha": "left"})  # type: ignore[arg-type]
    elif plane.horizontal.name == "z":
        axes.annotate("", (0.20, 0.93), (0.04, 0.93), xycoords="axes fraction", arrowprops=arrow)
        axes.text(0.23, 0.93, "B₀", transform=axes.transAxes, **{**style, "ha": "left"})  # type: ignore[arg-type]
    elif {plane.vertical.name, plane.horizontal.name} == {"x", "y"}:
        axes.text(0.05, 0.92, "⊙ B₀", transform=axes.transAxes, **{**style, "ha": "left"})  # type: ignore[arg-type]


def draw_outline(axes: Axes, mask: BoolArray, plane: ImagePlane, color: str) -> None:
    """Draw a line round the voxels of `mask`, shape ``(phase_encode, readout)``.

    The line runs exactly along the edges of the voxels, however small these are printed, and is thin where they are.
    """
    length, _ = plane.unit
    x = np.linspace(plane.horizontal.start, plane.horizontal.stop, mask.shape[1] + 1) / length
    y = np.linspace(plane.vertical.start, plane.vertical.stop, mask.shape[0] + 1) / length
    padded = np.pad(mask, 1)
    across = padded[1:, 1:-1] != padded[:-1, 1:-1]  # edges between rows, shape (phase_encode + 1, readout)
    along = padded[1:-1, 1:] != padded[1:-1, :-1]  # edges between columns
    segments = [((x[j], y[i]), (x[j + 1], y[i])) for i, j in zip(*np.nonzero(across), strict=True)]
    segments += [((x[j], y[i]), (x[j], y[i + 1])) for i, j in zip(*np.nonzero(along), strict=True)]
    width = float(np.clip(0.5 * min(_points_per_voxel(axes, plane, mask.shape)), 0.35, 0.8))
    axes.add_collection(LineCollection(segments, colors=color, linewidths=width, capstyle="projecting"))


def _points_per_voxel(axes: Axes, plane: ImagePlane, shape: tuple[int, ...]) -> tuple[float, float]:
    """Size of a voxel on paper, along (phase_encode, readout), at the present limits of the axes [points]."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = figure.get_size_inches() * 72
    box, (length, _) = axes.get_position(), plane.unit
    shown_height, shown_width = (abs(float(np.ptp(ends))) for ends in (axes.get_ylim(), axes.get_xlim()))
    return (
        box.height * height * plane.vertical.length / length / shown_height / shape[0],
        box.width * width * plane.horizontal.length / length / shown_width / shape[1],
    )


def add_color_bar(drawn: ScalarMappable, bar_axes: Axes, label: str, extend: str = "neither") -> None:
    """Draw a colour bar with quantity and unit.

    Parameters
    ----------
    drawn
        What it belongs to.
    bar_axes
        Where to draw it.
    label
        Quantity and unit.
    extend
        ``"min"``, ``"max"`` or ``"both"`` where values lie beyond its ends, told by an arrow.
    """
    figure = bar_axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(drawn, cax=bar_axes, label=label, extend=extend)
    bar.outline.set_linewidth(0.6)


def round_down(value: float) -> float:
    """Find the largest of 1, 2, 5 times a power of ten that is not above `value`."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(step for step in (1.0, 2.0, 5.0) if step * power <= value * (1 + 1e-9)) * power)


def round_up(value: float) -> float:
    """Find the smallest of 1, 1.5, 2, 3, 4, 5, 6, 8, 10 times a power of ten that is not below `value`."""
    power = 10.0 ** np.floor(np.log10(value))
    steps = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    return float(min(step for step in steps if step * power >= value * (1 - 1e-9)) * power)
