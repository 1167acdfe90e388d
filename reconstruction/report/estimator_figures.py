"""Figures that judge a T2 fit: its residuals, other estimators on the same data, and distributions of T2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from scipy.special import ndtr

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import T2Distribution, T2Fit, T2Options, fit_t2_maps, train_of
from knightshift.reconstruction.relaxometry.phase_evolution import reason_against_real_part
from knightshift.reconstruction.report.panels import Margins, make_panels
from knightshift.reconstruction.report.residuals import expected_widths, standard_residuals
from knightshift.reconstruction.report.style import BLACK, BLUE, GREEN, GREY, ONE_COLUMN, ORANGE, TWO_COLUMNS, styled
from knightshift.reconstruction.t2_symbol import T2

_MS = 1e3
_ESTIMATORS = {
    "complex": T2Options(),
    "Rician": T2Options(estimator="rician"),
    "magnitude": T2Options(estimator="gaussian"),
    "magnitude, noise in quadrature": T2Options(estimator="gaussian", offset="noise-quadrature"),
    "magnitude + noise floor (paper)": T2Options(estimator="gaussian", offset="noise"),
}
_NAMES = {"complex": "complex", "rician": "Rician", "gaussian": "magnitude"}


@dataclass(frozen=True)
class Spread:
    """T2 of the voxels of a region by one estimator."""

    median: float
    """[s]."""
    quantiles: tuple[float, float]
    """Of 16 and 84 % [s]."""
    n_lost: int
    """Voxels of the region without a T2."""


def compare_estimators(
    series: ImageSeries, regions: Mapping[str, BoolArray], fit: T2Fit | None = None
) -> dict[str, dict[str, Spread | None]]:
    """Fit the same voxels with every estimator that these images allow.

    Parameters
    ----------
    series
        Complex images with their noise. A train of which a model is known is fitted with it first.
    regions
        Masks of shape ``image`` by name.
    fit
        How these images were fitted: tells the model of the train.

    Returns
    -------
    dict
        Estimator, then region; None where fewer than two voxels have a T2. Without the complex ones for magnitudes, and
        where the phase changes from echo to echo.
    """
    mask = np.logical_or.reduce(list(regions.values()))
    chosen = T2Options(train=train_of(series)) if fit is None or fit.options.train is None else fit.options
    of_train = {} if chosen.train is None else {f"{_NAMES[chosen.estimator]}, model of the train": chosen}
    estimators = of_train | _ESTIMATORS
    if series.are_magnitudes or reason_against_real_part(series.images, series.noise_std, mask) is not None:
        estimators = {name: options for name, options in estimators.items() if options.estimator != "complex"}
    table: dict[str, dict[str, Spread | None]] = {}
    for name, options in estimators.items():
        trains = None if fit is None or fit.trains is None or options.train is None else fit.trains.given
        found = fit_t2_maps(
            series.images, series.echo_times, options, noise_std=series.noise_std, mask=mask, trains=trains
        )
        table[name] = {region: _spread(found, inside) for region, inside in regions.items()}
    return table


def _spread(fit: T2Fit, inside: BoolArray) -> Spread | None:
    values = fit.t2[inside & fit.ok]
    if values.size < 2:
        return None
    low, middle, high = np.quantile(values, [0.16, 0.5, 0.84])
    return Spread(float(middle), (float(low), float(high)), int(np.count_nonzero(inside)) - values.size)


@styled
def estimators_figure(table: Mapping[str, Mapping[str, Spread | None]], symbol: str = T2) -> Figure:
    """Draw median and 16 to 84 % range of T2 by estimator, regions in colours.

    Parameters
    ----------
    table
        From `compare_estimators`; the last region is drawn in the marking colour.
    symbol
        What the T2 is called.
    """
    panels = make_panels(TWO_COLUMNS, 1, 1, 0.3, Margins(left=1.9, right=0.2, top=0.1))
    axes = panels.axes[0]
    regions = list(next(iter(table.values())))
    colors = [*(BLUE, GREEN, GREY)[: len(regions) - 1], ORANGE] if len(regions) > 1 else [BLUE]
    unnamed = set(regions)
    for row, by_region in enumerate(table.values()):
        for place, (region, color) in enumerate(zip(regions, colors, strict=True)):
            height = row + 0.22 * (place - (len(regions) - 1) / 2)
            _draw_spread(axes, by_region[region], height, color, region if region in unnamed else "")
            if by_region[region] is not None:
                unnamed.discard(region)
    reference = next(iter(table.values()))
    for region, color in zip(regions, colors, strict=True):
        if (spread := reference[region]) is not None:
            axes.axvline(spread.median * _MS, color=color, linewidth=0.6, linestyle="--", alpha=0.6)
    axes.set_yticks(range(len(table)), list(table))
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"{symbol} (ms)")
    if len(unnamed) < len(regions):
        axes.legend(loc="lower left", handlelength=1.2)
    return panels.figure


def _draw_spread(axes: Axes, spread: Spread | None, height: float, color: str, label: str) -> None:
    if spread is None:
        return
    low, high = (edge * _MS for edge in spread.quantiles)
    axes.plot([low, high], [height, height], color=color, linewidth=2.2, solid_capstyle="butt", alpha=0.55)
    axes.plot([spread.median * _MS], [height], "o", color=color, markersize=4, label=label or None)
    if spread.n_lost:
        axes.text(high + 0.15, height, f" {spread.n_lost} lost", va="center", fontsize=6, color=color)


@styled
def residuals_figure(fit: T2Fit, verdict: str = "") -> Figure:
    """Draw the residuals in units of their spread: at each echo, and their distribution beside the normal one.

    Parameters
    ----------
    fit
        Below a signal of twice the noise the residuals of magnitudes are not normal.
    verdict
        What a test says of them, written above; empty for nothing.

    Raises
    ------
    InputError
        If no voxel has a T2.
    """
    residuals = standard_residuals(fit)
    top = 0.3 if verdict else 0.12
    panels = make_panels(TWO_COLUMNS, 2, 2, 0.55, Margins(left=0.5, right=0.15, top=top, between_columns=0.6))
    shown = verdict.partition(";")[0]  # what to try is told in the caption: here it would not fit
    panels.axes[0].set_title(shown, loc="left", pad=4, color=ORANGE, fontsize=6.5)
    _residuals_by_echo(panels.axes[0], fit, residuals)
    _residual_histogram(panels.axes[1], residuals, expected_widths(fit))
    return panels.figure


def _residuals_by_echo(axes: Axes, fit: T2Fit, residuals: RealArray) -> None:
    times = fit.echo_times * _MS
    for low, high, width in ((0.025, 0.975, 1.2), (0.16, 0.84, 4.0)):
        ends = np.quantile(residuals, [low, high], axis=1)
        axes.vlines(times, ends[0], ends[1], color=BLUE, linewidth=width, alpha=0.7)
    axes.plot(times, np.median(residuals, axis=1), "o", color=BLACK, markersize=3)
    for level in (-1.96, -1.0, 1.0, 1.96):
        axes.axhline(level, color=GREY, linewidth=0.7, linestyle="--" if abs(level) == 1.0 else ":")
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.set_xlim(0, 1.08 * float(times[-1]))
    axes.set_xlabel("echo time (ms)")
    axes.set_ylabel("residual / σ")


def _residual_histogram(axes: Axes, residuals: RealArray, widths: RealArray) -> None:
    shown = np.clip(residuals.ravel(), -5, 5)
    axes.hist(
        shown, np.linspace(-5, 5, 51).tolist(), density=True, color=BLUE, alpha=0.6, edgecolor="white", linewidth=0.3
    )
    middle = np.linspace(-4.9, 4.9, 50)
    cumulative = ndtr(np.subtract.outer(np.append(middle - 0.1, 5.0), np.zeros(1)) / widths).mean(axis=1)
    axes.plot(middle, np.diff(cumulative) / 0.2, color=BLACK, linewidth=0.9, label="expected of the noise alone")
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    axes.set_xlabel("residual / σ")
    axes.set_ylabel("density")
    axes.legend(loc="upper right", handlelength=1.4)


@styled
def distribution_figure(
    distributions: Mapping[str, tuple[T2Distribution, tuple[int, ...]]], symbol: str = T2
) -> Figure:
    """Draw distributions of T2 on a logarithmic axis, each as a share of its signal.

    Parameters
    ----------
    distributions
        By name: a distribution and the voxel of it to draw (an empty index for a single decay); at most four.
    symbol
        What the T2 is called.
    """
    panels = make_panels(ONE_COLUMN, 1, 1, 0.65, Margins(left=0.5, right=0.15, top=0.08))
    axes = panels.axes[0]
    for (name, (found, voxel)), color in zip(distributions.items(), (BLUE, ORANGE, GREEN, BLACK), strict=False):
        weight = np.moveaxis(found.weight, 0, -1)[voxel]
        per_octave = weight / weight.sum() / np.log2(found.t2[1] / found.t2[0])
        axes.plot(found.t2 * _MS, per_octave, color=color, label=name)
        axes.fill_between(found.t2 * _MS, per_octave, color=color, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
    axes.set_xlabel(f"{symbol} (ms)")
    axes.set_ylabel("share of the signal per octave")
    axes.legend(loc="upper right", handlelength=1.2)
    return panels.figure
