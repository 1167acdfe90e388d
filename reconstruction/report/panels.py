"""Panels of a figure, placed in inches: images keep their proportions and labels have their room."""

from __future__ import annotations

from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from knightshift.reconstruction.report.style import new_figure


@dataclass(frozen=True)
class Margins:
    """Room around and between panels [inch]."""

    left: float = 0.62
    """For tick labels and the name of the vertical axis."""
    right: float = 0.66
    """For a colour bar with its labels."""
    top: float = 0.20
    """For a title."""
    bottom: float = 0.40
    """For tick labels and the name of the horizontal axis."""
    between_columns: float = 0.10
    """From one panel to the next on its right."""
    between_rows: float = 0.24
    """From one panel to the next below it."""


@dataclass(frozen=True)
class Panels:
    """A figure and its panels in reading order."""

    figure: Figure
    """The figure."""
    axes: list[Axes]
    """One for each panel, row by row."""
    columns: int
    """Panels side by side."""
    margins: Margins = field(default_factory=Margins)
    """Room around and between them."""

    def color_bar_axes(self, panel: Axes, whole_height: bool = False) -> Axes:
        """Make room for a colour bar, 0.08 inch wide, right of a panel or of all panels."""
        width, height = self.figure.get_size_inches()
        box = panel.get_position()
        left = (width - self.margins.right + 0.06) / width if whole_height else box.x1 + 0.06 / width
        bottom, tall = box.y0, box.height
        if whole_height:
            bottom = min(axes.get_position().y0 for axes in self.axes)
            tall = 1 - self.margins.top / height - bottom
        return self.figure.add_axes((left, bottom, 0.08 / width, tall))


def make_panels(width: float, count: int, columns: int, aspect: float, margins: Margins | None = None) -> Panels:
    """Divide a figure into panels of equal size.

    Parameters
    ----------
    width
        Of the figure [inch]; its height follows.
    count
        Panels in all.
    columns
        Panels side by side.
    aspect
        Height over width of one panel.
    margins
        Room around and between panels.
    """
    margins = margins or Margins()
    rows = -(-count // columns)
    panel_width = (width - margins.left - margins.right - (columns - 1) * margins.between_columns) / columns
    panel_height = panel_width * aspect
    height = margins.top + rows * panel_height + (rows - 1) * margins.between_rows + margins.bottom
    figure = new_figure(width, height)
    axes = []
    for index in range(count):
        row, column = divmod(index, columns)
        left = margins.left + column * (panel_width + margins.between_columns)
        bottom = height - margins.top - (row + 1) * panel_height - row * margins.between_rows
        axes.append(figure.add_axes((left / width, bottom / height, panel_width / width, panel_height / height)))
    return Panels(figure, axes, columns, margins)


def label_outer(panels: Panels) -> None:
    """Keep axis labels only on the leftmost and the lowest panels: all share their coordinates."""
    for index, axes in enumerate(panels.axes):
        if index % panels.columns:
            axes.set_ylabel("")
            axes.tick_params(labelleft=False)
        if index + panels.columns < len(panels.axes):
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)
