"""Figures of T1 and its friends: what is drawn is what was fitted."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry.recovery import RelaxationFit, fit_relaxation
from knightshift.reconstruction.report.relaxation_figures import (
    ShownCurve,
    curves_figure,
    t1_map_figure,
    time_with_error,
    typical_curves,
)

DELAYS = np.array([0.01, 0.1, 0.3, 0.7, 1.5, 3.0, 6.0])


@pytest.fixture(scope="module")
def fit() -> RelaxationFit:
    """T1 from 0.5 to 1.5 s along the rows of two slices, with noise of one percent."""
    t1 = np.linspace(0.5, 1.5, 12)[:, None] * np.ones((2, 12, 10))
    recovery = 1 - 1.9 * np.exp(-DELAYS[:, None, None, None] / t1)
    return fit_relaxation(recovery + 0.01 * np.random.default_rng(5).normal(size=recovery.shape), DELAYS, "recovery")


def test_residuals_below_a_curve_are_what_the_fit_leaves(fit: RelaxationFit) -> None:
    curves = typical_curves(fit)
    assert [float(fit.time[shown.index]) for shown in curves] == pytest.approx([0.6, 1.0, 1.4], abs=0.1)
    figure = curves_figure("T1", curves)
    above, below = figure.subfigs[0].axes
    index = curves[0].index
    left = fit.signal[(slice(None), *index)] - fit.expected(index, DELAYS)
    size = np.abs(fit.signal[(slice(None), *index)]).max()
    np.testing.assert_allclose(below.lines[-1].get_ydata(), 100 * left / size)
    assert time_with_error(float(fit.time[index]), float(fit.time_std[index])) in above.texts[0].get_text()


def test_t1_maps_stand_beside_their_error_on_one_scale_with_a_scale_bar(fit: RelaxationFit) -> None:
    geometry = ImageGeometry((1e-3, 0.2e-3, 0.3e-3), np.eye(3), np.zeros(3))
    images = np.zeros((len(DELAYS), 2, 12, 10), dtype=np.complex64)
    series = ImageSeries(images, np.full(7, 0.01), geometry, np.ones(7), inversion_times=DELAYS)
    maps = [axes for axes in t1_map_figure(fit, series).axes if axes.images]
    limits = [axes.images[0].get_clim() for axes in maps]
    assert len(maps) == 4
    assert limits[0] == limits[2]
    assert limits[0][1] >= 1.4
    assert limits[1][1] < 0.2
    np.testing.assert_array_equal(maps[1].images[0].get_array().filled(np.nan), fit.time_std[0])
    assert any("µm" in text.get_text() for text in maps[0].texts)


def test_a_peak_without_a_time_says_why_and_a_map_without_voxels_has_no_curves() -> None:
    nothing = fit_relaxation(np.zeros((7, 1, 2, 2)), DELAYS, "recovery")
    assert typical_curves(nothing) == ()
    (part,) = curves_figure("T1", [ShownCurve("peak", nothing, (0, 0, 0))]).subfigs
    assert "signal" in part.axes[0].texts[0].get_text()


@pytest.mark.parametrize(
    ("time", "error", "words"), [(0.0727, 0.0014, "72.7 ± 1.4 ms"), (1.195, 0.025, "1.195 ± 0.025 s")]
)
def test_times_below_a_second_are_in_ms(time: float, error: float, words: str) -> None:
    assert time_with_error(time, error) == words


def test_a_curve_of_two_times_says_so_above_its_residuals() -> None:
    delays = np.linspace(0, 0.4, 24)
    noise = np.random.default_rng(4).normal(0, 1e-3, 24)
    two = 0.6 * np.exp(-delays / 0.03) + 0.4 * np.exp(-delays / 0.15) + noise
    one = np.exp(-delays / 0.1) + noise
    curves = [ShownCurve("peak", fit_relaxation(each[:, None], delays, "decay"), (0,)) for each in (two, one)]
    titles = [part.axes[1].get_title(loc="left") for part in curves_figure("T2", curves).subfigs]
    assert titles[0].startswith("departs from one exponential by")
    assert titles[1] == ""
