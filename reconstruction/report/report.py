"""Write a report: figures, ``summary.json`` and one HTML page."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path

from knightshift.core.durable import make_folder, write_durably
from knightshift.core.human_units import isotope, quantity
from knightshift.reconstruction.relaxometry import T2Fit
from knightshift.reconstruction.report.comparison_section import comparison_table
from knightshift.reconstruction.report.digests import image_digest
from knightshift.reconstruction.report.inputs import ReportInputs
from knightshift.reconstruction.report.markup import Markup, element
from knightshift.reconstruction.report.methods import methods_paragraph
from knightshift.reconstruction.report.night_section import night_story
from knightshift.reconstruction.report.page import inline_figure, page
from knightshift.reconstruction.report.report_figures import COMPARISON, NIGHT, QUALITY, report_figures
from knightshift.reconstruction.report.sections import (
    fit_table,
    headline,
    night_line,
    protocol_section,
    regions_table,
    run_section,
    section,
    sources_section,
)
from knightshift.reconstruction.report.style import save_figure
from knightshift.reconstruction.report.summary import Summary, summarise, write_summary
from knightshift.reconstruction.t2_symbol import t2_symbol

REPORT_FILE = "report.html"
SUMMARY_FILE = "summary.json"

_LOGGER = logging.getLogger(__name__)
_ANCHORS = {NIGHT: "night"}
_CSS_PIXELS_PER_INCH = 128.0


def write_report(inputs: ReportInputs, directory: Path) -> Path:
    """Write ``report.html``, ``summary.json`` and every figure as PNG and PDF; each file appears whole or not at all.

    Parameters
    ----------
    inputs
        What to report.
    directory
        Made if it is not there; files of an older report in it are replaced.

    Returns
    -------
    Path
        The HTML page.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    make_folder(directory, "making the folder")
    knightshift_version = version("knightshift")
    summary = summarise(inputs, image_digest(inputs.series.images), knightshift_version)
    body = [
        headline(summary, t2_symbol(inputs.series)),
        *([] if inputs.run is None else [night_line(inputs.run)]),
        *_figure_sections(inputs, directory),
        *_tables(inputs, summary),
        section("Methods", element("p", methods_paragraph(inputs))),
        sources_section(inputs, summary),
    ]
    made_by = f"Made by knightshift {knightshift_version}. The figures lie beside this page as PNG and PDF."
    write_summary(summary, directory / SUMMARY_FILE)
    path = directory / REPORT_FILE
    write_durably(path, page(inputs.title, _subtitle(inputs), body, made_by).encode("utf-8"))
    if inputs.misfit_sentence:
        _LOGGER.warning("%s", inputs.misfit_sentence.rstrip("."))
    _LOGGER.info("report written to %s", path)
    return path


def _figure_sections(inputs: ReportInputs, directory: Path) -> list[Markup]:
    by_heading: dict[str, list[Markup]] = {}
    for item in report_figures(inputs):
        png = save_figure(item.figure, directory, item.name)
        width = float(item.figure.get_size_inches()[0]) * _CSS_PIXELS_PER_INCH
        by_heading.setdefault(item.heading, []).append(inline_figure(png, item.caption, width))
    if inputs.compared is not None:
        by_heading[COMPARISON].append(comparison_table(inputs))
    if inputs.fit is not None:
        by_heading.setdefault(QUALITY, [])
        by_heading[QUALITY] += _quality(inputs, inputs.fit)
    if inputs.run is not None:
        by_heading.setdefault(NIGHT, [])
        by_heading[NIGHT] += night_story(inputs, inputs.run)
    return [section(heading, *content, anchor=_ANCHORS.get(heading, "")) for heading, content in by_heading.items()]


def _quality(inputs: ReportInputs, fit: T2Fit) -> list[Markup]:
    misfit = inputs.misfit_sentence
    words = [element("p", element("strong", misfit))] if misfit else []
    return [*words, fit_table(fit, t2_symbol(inputs.series))]


def _tables(inputs: ReportInputs, summary: Summary) -> list[Markup]:
    tables = []
    if summary.regions:
        tables.append(section("Regions", regions_table(summary, t2_symbol(inputs.series))))
    if inputs.run is not None:
        tables += [protocol_section(inputs.run), run_section(inputs.run)]
    return tables


def _subtitle(inputs: ReportInputs) -> str:
    parts = []
    if inputs.run is not None:
        parts += [f"run {inputs.run.run_id}", f"protocol {inputs.run.protocol_name}"]
        parts += [f"simulated sample: {inputs.run.sample}"] if inputs.run.sample else []
    if inputs.series.nucleus is not None:
        frequency = inputs.series.working_frequency
        parts.append(isotope(inputs.series.nucleus) + (f" at {quantity(frequency, 'Hz', 6)}" if frequency else ""))
    if inputs.series.refocused is False and inputs.fit is not None:
        parts.append("gradient echoes: T₂* is shown, not T₂")
    return " · ".join(parts)
