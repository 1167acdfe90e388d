"""Figure of a decay of more than one exponential: its maps where it is preferred, and the verdict of every voxel."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.relaxometry import ModelVerdict, RicherFit
from knightshift.reconstruction.report.image_axes import ImagePlane, draw_image, draw_scale_bar, round_up
from knightshift.reconstruction.report.panels import Margins, label_outer, make_panels
from knightshift.reconstruction.report.style import (
    BLACK,
    BLUE,
    ORANGE,
    T2_MAP,
    TWO_COLUMNS,
    UNCERTAINTY_MAP,
    styled,
)
from knightshift.reconstruction.report.t2_figures import draw_map, t2_range_of
from knightshift.reconstruction.t2_symbol import T2

_MS = 1e3
_COLORS = {  # Okabe & Ito
    ModelVerdict.PREFERRED: ORANGE,
    ModelVerdict.ONE_EXPONENTIAL: BLUE,
    ModelVerdict.UNDECIDED: "#F0E442",
    ModelVerdict.UNDETERMINED: "#CC79A7",
    ModelVerdict.NOT_CONVERGED: BLACK,
}
_LEGEND_HEIGHT = 0.5
"""[inch]"""
_Shown = tuple[RealArray, tuple[float, float], tuple[str, str]]
"""A map, the ends of its bar, and colours and name of that."""


@styled
def richer_figure(richer: RicherFit, index: int, plane: ImagePlane, symbol: str = T2) -> Figure:
    """Draw three maps of the richer model, where it is preferred, and the verdict.

    Parameters
    ----------
    richer
        Maps of shape ``(slice, phase_encode, readout)``.
    index
        Which slice.
    plane
        Where its voxels are.
    symbol
        What the relaxation time is called.
    """
    margins = Margins(between_columns=0.75, between_rows=0.3, bottom=0.40 + _LEGEND_HEIGHT)
    panels = make_panels(TWO_COLUMNS, 4, 2, plane.aspect, margins)
    for number, (values, limits, (colors, title)) in enumerate(_maps(richer, index, symbol)):
        draw_map(panels, number, plane, values, limits, (colors, ""))
        panels.axes[number].set_title(title, loc="left", pad=3)
    verdict = richer.verdict[index]
    kinds = list(_COLORS)
    codes = np.full(verdict.shape, np.nan)
    for number, kind in enumerate(kinds):
        codes[verdict == kind] = number
    listed = ListedColormap([_COLORS[kind] for kind in kinds])
    panels.axes[3].set_title("verdict", loc="left", pad=3)
    draw_image(panels.axes[3], codes, plane, cmap=listed, vmin=-0.5, vmax=len(kinds) - 0.5)
    label_outer(panels)
    draw_scale_bar(panels.axes[0], plane, BLACK)
    here = [kind for kind in kinds if (verdict == kind).any()]
    patches = [Patch(color=_COLORS[kind], label=kind.words) for kind in here]
    panels.figure.legend(handles=patches, loc="lower center", ncols=2, handlelength=1.0, borderaxespad=0.2)
    return panels.figure


def _maps(richer: RicherFit, index: int, symbol: str) -> tuple[_Shown, _Shown, _Shown]:
    shown = richer.verdict == ModelVerdict.PREFERRED
    chosen = {
        name: np.where(shown, getattr(richer, name), np.nan)
        for name in ("t2", "t2_std", "t2_fast", "t2_fast_std", "fast_share", "stretch")
    }
    spread = (chosen["t2_std"][index] * _MS, (0.0, _top(chosen["t2_std"]) * _MS), UNCERTAINTY_MAP)
    long = _times(chosen, "t2", index)
    if richer.model == "stretched":
        bar = (0.0, max(1.0, _top(chosen["stretch"])))
        return (
            (*long, (T2_MAP, f"{symbol}, stretched (ms)")),
            (*spread[:2], (spread[2], f"SD of {symbol} (ms)")),
            (chosen["stretch"][index], bar, (T2_MAP, "exponent")),
        )
    third: _Shown = (*spread[:2], (spread[2], f"SD of slow {symbol} (ms)"))
    if richer.model == "bi":
        third = (chosen["fast_share"][index], (0.0, 1.0), (T2_MAP, "share of the fast part"))
    fast = _times(chosen, "t2_fast", index)
    return (*long, (T2_MAP, f"slow {symbol} (ms)")), (*fast, (T2_MAP, f"fast {symbol} (ms)")), third


def _times(chosen: dict[str, RealArray], name: str, index: int) -> tuple[RealArray, tuple[float, float]]:
    low, high = t2_range_of(chosen[name], chosen[f"{name}_std"])
    return chosen[name][index] * _MS, (low * _MS, high * _MS)


def _top(values: RealArray) -> float:
    """Round number above 95 % of the values; of none, one that draws a bar."""
    known = values[np.isfinite(values) & (values > 0)]
    return round_up(float(np.percentile(known, 95))) if known.size else 1e-3
