"""Figures of the echo images: true aspect, axes in micrometres, one grey scale for all echoes."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from knightshift.core.arrays import RealArray
from knightshift.core.durable import write_durably
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import ImageSeries

_MILLIMETRES_FROM = 10e-3
"""Fields of view from this size on are labelled in mm [m]."""
_LABORATORY = ("x", "y", "z")
_MAX_COLUMNS = 6
_MOST_PANELS = 24
"""Slices of an echo that are drawn: each costs a fifth of a second."""
_MOST_VOXELS = 8_000_000
"""Voxels of an echo that are drawn."""


def write_echo_figures(series: ImageSeries, folder: Path) -> tuple[Path, ...]:
    """Write ``echo1.png``, ``echo2.png``, …: magnitude, phase_encode upwards, readout to the right.

    Returns
    -------
    tuple of Path
        The figures.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    places = np.ndindex(*series.images.shape[:2])
    highest = max(float(np.abs(series.images[echo, index]).max()) for echo, index in places) or 1.0
    paths = []
    for echo in range(series.images.shape[0]):
        path = folder / f"echo{echo + 1}.png"
        write_durably(path, _png(echo_figure(series, echo, highest)))
        paths.append(path)
    return tuple(paths)


def echo_figure(series: ImageSeries, echo: int, highest: float) -> Figure:
    """Draw the slices of one echo on a grey scale from 0 to `highest`; of very many, some evenly spread."""
    _, n_all, *plane = series.images.shape
    most = int(np.clip(_MOST_VOXELS // math.prod(plane), 1, min(n_all, _MOST_PANELS)))
    chosen = np.unique(np.linspace(0, n_all - 1, most).round().astype(int))
    n_slices = len(chosen)
    columns = min(n_slices, _MAX_COLUMNS)
    rows = -(-n_slices // columns)
    geometries = _geometry_of_each_slice(series)
    height, width = (n * size for n, size in zip(plane, geometries[0].voxel_size[1:], strict=True))
    panel = 3.4 if n_slices == 1 else 2.2
    ratio = min(2.0, max(0.3, height / width))
    figure = Figure(figsize=(panel * columns + 1.3, panel * ratio * rows + 0.9), dpi=200, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    shown: AxesImage | None = None
    for index, ax in enumerate(axes.flat):
        if index >= n_slices:
            ax.set_axis_off()
            continue
        one = chosen[index]
        shown = _draw_slice(ax, np.abs(series.images[echo, one]), geometries[one], series.axes, highest)
        if not series.stacks:  # all have the same axes, and text takes most of the time
            _label_edges(ax, left=index % columns == 0, below=index + columns >= n_slices)
        if n_all > 1:
            ax.set_title(f"slice {one + 1}", fontsize=7)
    figure.suptitle(f"TE = {series.echo_times[echo] * 1e3:.3g} ms", fontsize=9)
    if shown is not None:
        bar = figure.colorbar(shown, ax=axes.ravel().tolist(), shrink=0.9)
        bar.set_label("signal (arb. units)", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        bar.ax.yaxis.get_offset_text().set_fontsize(7)
        bar.formatter.set_powerlimits((-2, 3))  # type: ignore[attr-defined]
    return figure


def _label_edges(ax: Axes, *, left: bool, below: bool) -> None:
    """Take away the labels of axes that a neighbour has too."""
    ax.tick_params(labelleft=left, labelbottom=below)
    if not left:
        ax.set_ylabel("")
    if not below:
        ax.set_xlabel("")


def _draw_slice(
    ax: Axes, magnitude: RealArray, geometry: ImageGeometry, names: tuple[str, str, str], highest: float
) -> AxesImage:
    field = [n * size for n, size in zip(magnitude.shape, geometry.voxel_size[1:], strict=True)]
    scale, unit = (1e3, "mm") if max(field) >= _MILLIMETRES_FROM else (1e6, "µm")
    (low, high), (left, right) = (
        ((-(n // 2) - 0.5) * size * scale, (n - n // 2 - 0.5) * size * scale)
        for n, size in zip(magnitude.shape, geometry.voxel_size[1:], strict=True)
    )
    upwards = names[1] in _LABORATORY  # other consoles show the first row at the top
    shown = ax.imshow(
        magnitude,
        cmap="gray",
        vmin=0,
        vmax=highest,
        interpolation="nearest",
        aspect="equal",
        origin="lower" if upwards else "upper",
        extent=(left, right, low, high) if upwards else (left, right, high, low),
    )
    ax.set_xlabel(f"{names[2].replace('_', ' ')} ({unit})", fontsize=8)
    ax.set_ylabel(f"{names[1].replace('_', ' ')} ({unit})", fontsize=8)
    ax.tick_params(labelsize=7)
    return shown


def _geometry_of_each_slice(series: ImageSeries) -> list[ImageGeometry]:
    geometries = [series.geometry] * series.images.shape[1]
    for stack in series.stacks:
        for index in stack.slices:
            geometries[index] = stack.geometry
    return geometries


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()
