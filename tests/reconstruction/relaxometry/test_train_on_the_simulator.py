"""T2 from echo trains played on the simulated scanner: the fit has never seen how the simulator makes its signal."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightshift.acquisition import acquire
from knightshift.cli.fit_request import ImageChoices
from knightshift.cli.processing import ReportChoices, report_to
from knightshift.core.clock import VirtualClock
from knightshift.core.manifest import RunSetup
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.site import load_site
from knightshift.reconstruction.export import load_images, save_images
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.reconstruct import reconstruct
from knightshift.reconstruction.relaxometry import T2Options, fit_series, fit_t2_maps, train_of
from knightshift.sequences import build, load_protocol

Play = Callable[[float, int], Path]


def plate(t2: float) -> dict[str, Any]:
    """A sodium plate with both faces perpendicular to z, seen to its skin depth."""
    body = {
        "name": "plate", "thickness": 4e-3, "t1": 17.1e-3, "t2": t2, "shift": 1126e-6, "metal": {"skin_depth": 10.8e-6},
        "shape": {"kind": "box", "center_y": 0.0, "center_z": 0.62e-3, "size_y": 4e-3, "size_z": 160e-6},
    }  # fmt: skip
    return {"name": "plate", "compartments": [body]}


@pytest.fixture(scope="session")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """Run two passes of the overnight train on a plate of one T2, without noise; the run folder, made once each."""

    @cache
    def run(t2: float, lines: int) -> Path:
        site = load_site("simulated")
        settings = dict(site.settings)
        settings["receiver"] = settings["receiver"] | {"noise_density": 1e-10}
        settings["isochromats"] = settings["isochromats"] | {"depth": 6.0, "depth_nodes": 12}
        site = site.model_copy(update={"settings": settings})
        protocol = load_protocol("overnight_t2_train").model_copy(
            update={"matrix": {"y": 8, "z": lines}, "duration": None, "averages": 2}
        )
        clock = VirtualClock()
        scanner = open_scanner(site, clock=clock, phantom=plate(t2), seed=1)
        folder = tmp_path_factory.mktemp("train")
        return acquire(build(protocol, site.limits), scanner, folder, setup=RunSetup(), clock=clock).path

    return run


def faces(series: ImageSeries) -> np.ndarray:
    """Voxels of the two faces, away from the edges along y and from ringing."""
    strength = np.abs(series.images[0])
    return strength > 0.5 * strength.max()


@pytest.mark.parametrize("t2", [7e-3, 16e-3])
def test_whole_depth_of_a_face_gives_its_t2_within_one_percent(play: Play, t2: float) -> None:
    series = reconstruct(play(t2, 24))
    across = series.images[:, 0, :, 3:6].sum(axis=(1, 2))[:, None]  # all depths of both faces: k_z = 0
    train = train_of(series)
    assert train is not None
    assert train.t1 == pytest.approx(17.1e-3, rel=2e-3)
    echo_times = series.echo_times
    options = T2Options(estimator="gaussian", train=train)
    assert fit_t2_maps(np.abs(across), echo_times, options, noise_std=1e-9).t2[0] == pytest.approx(t2, rel=0.01)
    alone = fit_t2_maps(np.abs(across), echo_times, T2Options(estimator="gaussian"), noise_std=1e-9).t2[0]
    assert 1.10 < alone / t2 < 1.26


def test_voxels_that_resolve_the_depth_are_within_eleven_percent_their_median_within_five(play: Play) -> None:
    """Voxels of 23 um see unequal parts of a skin of 11 um; the model has the whole of it in each."""
    series = reconstruct(play(7e-3, 96))
    mask = faces(series)
    fit = fit_t2_maps(series.images, series.echo_times, T2Options(train=train_of(series)), noise_std=1e-9, mask=mask)
    assert np.count_nonzero(mask) > 6
    assert fit.ok[mask].all()
    np.testing.assert_allclose(fit.t2[mask], 7e-3, rtol=0.11)
    assert np.median(fit.t2[mask]) == pytest.approx(7e-3, rel=0.05)
    alone = fit_t2_maps(series.images, series.echo_times, T2Options(), noise_std=1e-9, mask=mask)
    assert np.median(alone.t2[mask]) > 1.25 * 7e-3


@pytest.mark.usefixtures("no_pictures")
def test_report_of_a_train_uses_its_model_and_says_so(play: Play, tmp_path: Path) -> None:
    run = play(7e-3, 24)
    series = reconstruct(run)
    report_to(run, tmp_path / "report", ReportChoices())
    page = (tmp_path / "report" / "report.html").read_text()
    assert "in the skin depth of a metal (T1 held at 17.1 ms; 10 % of error in T1 would change" in page
    assert "Caution" not in page
    save_images(series, tmp_path)
    assert load_images(tmp_path).train == series.train


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_report_of_a_train_fitted_without_its_model_cautions(play: Play, tmp_path: Path) -> None:
    report_to(play(7e-3, 24), tmp_path, ReportChoices(ImageChoices("gaussian", "noise")))
    assert "Caution: the echoes are those of a train" in (tmp_path / "report.html").read_text()


def test_fit_of_a_series_chooses_the_model_of_its_train(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    series = reconstruct(play(7e-3, 24))
    caplog.clear()  # of what the reconstruction tells, where an earlier test has asked for that level
    assert fit_series(series).options.train == train_of(series)
    assert not caplog.records
    fit_series(series, T2Options())
    assert "stimulated echoes" in caplog.text
