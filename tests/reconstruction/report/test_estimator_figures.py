"""Figures that judge a fit: what is drawn is what was found."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.core.errors import InputError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import (
    T2Options,
    fit_series,
    fit_t2,
    fit_t2_maps,
    t2_distribution,
)
from knightshift.reconstruction.report.estimator_figures import (
    Spread,
    compare_estimators,
    distribution_figure,
    estimators_figure,
    residuals_figure,
)
from knightshift.reconstruction.report.residuals import expected_widths, standard_residuals

TIMES = np.array([4e-3, 8e-3, 13e-3, 20e-3, 30e-3])


@pytest.fixture(scope="module")
def series() -> ImageSeries:
    """Half an image of 7 ms at SNR 30, half of 16 ms at SNR 6."""
    random = np.random.default_rng(2)
    long = np.arange(40)[:, None] * np.ones(30) >= 20
    decay = np.where(long, 6 * np.exp(-TIMES[:, None, None] / 16e-3), 30 * np.exp(-TIMES[:, None, None] / 7e-3))
    noise = random.normal(size=(2, 5, 40, 30))
    geometry = ImageGeometry((2e-3, 23e-6, 100e-6), np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]]), np.zeros(3))
    return ImageSeries((decay + noise[0] + 1j * noise[1])[:, None], TIMES, geometry, np.ones(5))


def test_estimators_differ_as_the_noise_floor_makes_them(series: ImageSeries) -> None:
    long = np.zeros((1, 40, 30), dtype=bool)
    long[:, 20:] = True
    table = compare_estimators(series, {"electrodes": ~long, "dendrite": long})
    weak = {name: regions["dendrite"].median for name, regions in table.items()}
    assert weak["complex"] == pytest.approx(16e-3, rel=0.1)  # 600 voxels: the median is known to 3 %
    assert weak["Rician"] == pytest.approx(16e-3, rel=0.1)
    assert weak["magnitude"] > 1.05 * weak["complex"]
    assert weak["magnitude + noise floor (paper)"] < 0.85 * weak["complex"]
    axes = estimators_figure(table).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(table)
    points = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert points[1] == pytest.approx(1e3 * weak["complex"])


def test_regions_that_the_first_estimator_loses_are_named_and_none_where_all_lose_them() -> None:
    found = Spread(7e-3, (6e-3, 8e-3), 0)
    table = {"complex": {"electrodes": None, "dendrite": found}, "Rician": {"electrodes": found, "dendrite": found}}
    (axes,) = estimators_figure(table).axes
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"electrodes", "dendrite"}
    (empty,) = estimators_figure({"complex": {"electrodes": None}}).axes
    assert empty.get_legend() is None


def test_residuals_of_a_right_model_are_as_wide_as_expected(series: ImageSeries) -> None:
    figure = residuals_figure(fit_series(series))
    bars, (expected,) = figure.axes[1].patches, figure.axes[1].lines
    heights = np.array([bar.get_height() for bar in bars])
    assert np.abs(heights - expected.get_ydata()).max() < 0.04
    with pytest.raises(InputError, match="no residuals"):
        residuals_figure(fit_t2(np.zeros((5, 3)), TIMES, noise_std=1.0))


@pytest.mark.parametrize("snr", [6, 20])
@pytest.mark.parametrize(
    ("estimator", "offset"),
    [("complex", "none"), ("rician", "none"), ("gaussian", "noise-quadrature"), ("complex", "free")],
)
def test_standard_residuals_are_as_wide_as_the_leverage_of_each_point_lets_them(
    estimator: str, offset: str, snr: float
) -> None:
    random = np.random.default_rng(8)
    echo_times = 2e-3 * np.arange(1, 9)
    decay = 1.4 * snr * np.exp(-echo_times / 12e-3)[:, None, None]
    images = decay + random.normal(size=(8, 70, 70)) + 1j * random.normal(size=(8, 70, 70))
    signal = images if estimator == "complex" else np.abs(images)
    options = T2Options(estimator=estimator, offset=offset)  # type: ignore[arg-type]
    fit = fit_t2_maps(signal, echo_times, options, noise_std=1.0)
    residuals, widths = standard_residuals(fit), expected_widths(fit)
    assert np.sqrt(np.mean(residuals**2)) == pytest.approx(np.sqrt(np.mean(widths**2)), rel=0.04)
    assert np.abs(residuals.mean(axis=1)).max() < 0.12


def test_area_under_a_distribution_is_one() -> None:
    times = 2e-3 * np.arange(1, 25)
    found = t2_distribution(np.exp(-times / 8e-3), times, 1e-3)
    (line,) = distribution_figure({"one": (found, ())}).axes[0].lines
    octaves = np.log2(line.get_xdata())
    assert np.sum(line.get_ydata()) * (octaves[1] - octaves[0]) == pytest.approx(1)
    assert line.get_xdata()[np.argmax(line.get_ydata())] == pytest.approx(8, rel=0.1)
