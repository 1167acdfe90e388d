"""T2* of gradient echoes is called T2* wherever it is shown or told, and misfit is told in words."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from knightshift.reconstruction.images import ECHO_FORMATION, GRADIENT_ECHO, ImageSeries
from knightshift.reconstruction.relaxometry import fit_series
from knightshift.reconstruction.relaxometry.populations import find_populations
from knightshift.reconstruction.report import ReportInputs, write_report
from knightshift.reconstruction.report.report_figures import report_figures
from knightshift.reconstruction.report.summary import Summary

_BARE = re.compile(r"T₂(?!\*)|\bT2\b(?!\*)")


@pytest.fixture
def gradient_echoes(series_of: Callable[..., ImageSeries]) -> ReportInputs:
    """A cell by gradient echoes, a quarter of whose signal decays slowly."""
    series = series_of(shorted=True)
    slow = 0.25 * np.exp(-series.echo_times / 60e-3)[:, None, None, None] * np.abs(series.images[:1])
    images = (series.images + slow * np.exp(1j * np.angle(series.images))).astype(np.complex64)
    series = replace(series, images=images, provenance={ECHO_FORMATION: GRADIENT_ECHO})
    fit = fit_series(series)
    populations = find_populations(fit, series.geometry)
    return ReportInputs(series, "Cell", fit, populations, with_distributions=True)


def test_every_figure_and_caption_of_gradient_echoes_says_t2_star(gradient_echoes: ReportInputs) -> None:
    said = 0
    for item in report_figures(gradient_echoes):
        written = [text.get_text() for text in item.figure.findobj(mpl.text.Text)]
        for words in (*written, item.caption, item.heading):
            assert not _BARE.search(words), (item.name, words)
            said += "T₂*" in words
    assert said >= 12


@pytest.mark.usefixtures("no_pictures")
def test_the_page_of_gradient_echoes_says_t2_star_and_the_summary_which(
    gradient_echoes: ReportInputs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        page = write_report(gradient_echoes, tmp_path).read_text(encoding="utf-8")
    body = re.sub(r"<style.*?</style>|data:[^\"]*", "", page, flags=re.DOTALL)
    bare = [body[found.start() - 40 : found.end() + 30] for found in _BARE.finditer(body)]
    assert all("shorter than T2" in words or "not T₂" in words for words in bare), bare
    summary = Summary.model_validate_json((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary.fit is not None
    assert summary.fit.quantity == "T2*"
    assert summary.fit.residuals is not None
    assert summary.fit.residuals.systematic
    sentence = "esiduals depart from one exponential by"
    assert sentence in body
    assert sentence in caplog.text
    assert caplog.text.rstrip().endswith("try --model bi")
