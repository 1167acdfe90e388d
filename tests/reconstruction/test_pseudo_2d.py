"""Peaks and regions of pseudo-2D spectra: the right points, the right offset, the right words where something lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.pseudo_2d import Pseudo2DOptions, fit_pseudo_2d

DELAYS = np.linspace(0.0, 0.4, 16)
SHORT, LONG = 0.05, 0.12


def two_lines(offset: float = 0.0, noise: float = 0.0, **changes: Any) -> FidSeries:
    """A line at 2 ppm that decays with 50 ms and one at -1 ppm with 120 ms; receiver at 0 ppm, 100 MHz."""
    times = np.arange(1024) * 1e-3
    lines = [np.exp((2j * np.pi * hertz - 8) * times) for hertz in (200.0, -100.0)]
    decays = [np.exp(-DELAYS / t2) + offset for t2 in (SHORT, LONG)]
    fids = 1e3 * sum(np.outer(decay, line) for decay, line in zip(decays, lines, strict=True))
    random = np.random.default_rng(1)
    fids = fids + noise * (random.normal(size=fids.shape) + 1j * random.normal(size=fids.shape))
    plain: dict[str, Any] = {
        "source": Path("synthetic"), "format": "synthetic", "values": fids * np.exp(0.7j), "dwell_time": 1e-3,
        "delays": DELAYS, "experiment": "T2", "working_frequency": 100e6, "reference_frequency": 100e6,
    }  # fmt: skip
    return FidSeries(**(plain | changes))


def test_peaks_are_found_by_themselves_and_named_by_shift() -> None:
    result = fit_pseudo_2d(two_lines(noise=1.0))
    assert [peak.low for peak in result.peaks] == pytest.approx([-1e-6, 2e-6], abs=0.5 / 1.024 / 100e6 * 1.01)
    assert [peak.name for peak in result.peaks] == [f"{1e6 * peak.low:.3f} ppm" for peak in result.peaks]
    assert [float(peak.fit.time) for peak in result.peaks] == pytest.approx([LONG, SHORT], rel=0.02)


def test_regions_are_integrated() -> None:
    result = fit_pseudo_2d(two_lines(), Pseudo2DOptions(regions=((1.5e-6, 2.5e-6), (-1.5e-6, -0.5e-6))))
    assert [float(peak.fit.time) for peak in result.peaks] == pytest.approx([SHORT, LONG], rel=0.02)
    assert result.peaks[0].name == "1.5 to 2.5 ppm"


def test_a_constant_is_added_only_where_the_data_ask_for_it() -> None:
    with_constant = fit_pseudo_2d(two_lines(offset=0.1, noise=1.0))
    without = fit_pseudo_2d(two_lines(noise=1.0))
    assert {peak.fit.curve for peak in with_constant.peaks} == {"decay with offset"}
    assert {peak.fit.curve for peak in without.peaks} == {"decay"}
    assert [float(peak.fit.time) for peak in with_constant.peaks] == pytest.approx([LONG, SHORT], rel=0.03)
    forced = fit_pseudo_2d(two_lines(offset=0.1), Pseudo2DOptions(offset="none"))
    assert float(forced.peaks[0].fit.time) > 1.1 * LONG


def test_loop_counts_become_times() -> None:
    series = two_lines(delays=None, counts=np.arange(16))
    with pytest.raises(InputError, match="--loop-time"):
        fit_pseudo_2d(series)
    result = fit_pseudo_2d(series, Pseudo2DOptions(loop_time=DELAYS[1]))
    np.testing.assert_allclose(result.delays, DELAYS)


@pytest.mark.parametrize(
    ("changes", "options", "error", "match"),
    [
        ({"experiment": "unknown"}, {}, InputError, "give the experiment"),
        ({"delays": None}, {}, InputError, "no list of delays .* train of echoes$"),
        ({"delays": None, "experiment": "unknown"}, {}, InputError, "no list of delays.* Nor .* give the experiment"),
        ({"delays": None, "experiment": "unknown"}, {"experiment": "T2"}, InputError, "no list of .* of echoes$"),
        ({"delays": None, "experiment": "unknown", "values": np.ones((1, 64))}, {}, InputError, "a single FID"),
        (
            {"delays": None, "missing": ("delays: t1 of a two-dimensional spectrum",)},
            {},
            InputError,
            "no relaxation to fit",
        ),
        ({}, {"delays": (1.0, 2.0)}, ShapeError, "2 delays for 16 steps"),
        ({}, {"regions": ((90e-6, 91e-6),)}, InputError, "no point lies"),
        ({"reference_frequency": None}, {"regions": ((0.0, 1e-6),)}, InputError, "no place"),
    ],
)
def test_what_lacks_is_said(
    changes: dict[str, Any], options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        fit_pseudo_2d(two_lines(**changes), Pseudo2DOptions(**options))


def test_noise_alone_has_no_peak() -> None:
    random = np.random.default_rng(1)
    noise = random.normal(size=(16, 1024)) + 1j * random.normal(size=(16, 1024))
    with pytest.raises(InputError, match="no peak"):
        fit_pseudo_2d(two_lines(values=noise))


def test_an_empty_region_is_refused_at_once() -> None:
    with pytest.raises(ValidationError, match="empty"):
        Pseudo2DOptions(regions=((1e-6, 1e-6),))
