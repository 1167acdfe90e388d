"""The report as a whole: complete, self-contained, safe against hostile names, never half written."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from knightshift.core.errors import InputError, ShapeError, StorageError
from knightshift.reconstruction.images import ImageSeries, SliceStack
from knightshift.reconstruction.report import (
    ComparedRun,
    FrequencyDrift,
    RejectedPass,
    ReportInputs,
    RunFacts,
    write_report,
)
from knightshift.reconstruction.report.report_figures import report_figures
from knightshift.reconstruction.report.style import DPI, ONE_COLUMN, TWO_COLUMNS
from knightshift.reconstruction.report.summary import Summary

FIGURES = {
    "overview": TWO_COLUMNS,
    "intensity": ONE_COLUMN,
    "echoes": TWO_COLUMNS,
    "t2_map": TWO_COLUMNS,
    "t2_detail": ONE_COLUMN,
    "t2_histogram": ONE_COLUMN,
    "decay_curves": TWO_COLUMNS,
    "estimators": TWO_COLUMNS,
    "residuals": TWO_COLUMNS,
}
HOSTILE = '<script>alert("1")</script><img src=x onerror=alert(1)>&$\\frac$'


class Page(HTMLParser):
    """What a browser would meet."""

    void = frozenset({"img", "meta", "br", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory, both_cells: dict[str, ReportInputs]) -> dict[str, Path]:
    return {name: write_report(inputs, tmp_path_factory.mktemp(name)) for name, inputs in both_cells.items()}


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_written_as_png_of_column_width_and_as_vector_pdf(reports: dict[str, Path], name: str) -> None:
    folder = reports["shorted"].parent
    with Image.open(folder / f"{name}.png") as image:
        image.load()
        assert image.size[0] == pytest.approx(FIGURES[name] * DPI, abs=2)
        assert len(np.unique(np.asarray(image.convert("L")))) > 20  # something is drawn
    pdf = (folder / f"{name}.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert b"/Type /Font" in pdf  # its text is text


def test_no_part_of_a_file_is_left_behind(reports: dict[str, Path]) -> None:
    names = {path.name for path in reports["shorted"].parent.iterdir()}
    expected = {f"{name}.{ending}" for name in FIGURES for ending in ("png", "pdf")}
    assert names == expected | {"report.html", "summary.json"}


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(reports: dict[str, Path]) -> None:
    text = reports["shorted"].read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    assert not page.attributes("script")
    assert not page.attributes("link")
    sources = [attributes["src"] or "" for attributes in page.attributes("img")]
    assert len(sources) == len(FIGURES)
    for source in sources:
        with Image.open(BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,")))) as image:
            image.verify()
    assert all(attributes["alt"] for attributes in page.attributes("img"))


def test_the_policy_allows_the_style_sheet_by_its_digest_and_nothing_else(reports: dict[str, Path]) -> None:
    text = reports["shorted"].read_text(encoding="utf-8")
    policy = next(a["content"] for a in Page(text).attributes("meta") if a.get("http-equiv")) or ""
    style = re.search(r"<style>(.*)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert " style=" not in text
    assert not any(key.startswith("on") for _, attributes in Page(text).tags for key in attributes)


def test_the_headline_tells_the_dendrite_with_place_and_uncertainty(reports: dict[str, Path]) -> None:
    words = " ".join(read(reports["shorted"]).words)
    assert "Dendrite found" in words
    found = re.search(
        r"Dendrite: T₂ = ([\d.]+) ± ([\d.]+) ms \(median of (\d+) voxels\); one T₂ for all of them ([\d.]+) ms "
        r"\(95 %: ([\d.]+) to ([\d.]+) ms\)\. Centred at y = (\d+), z = (\d+) µm, 46 µm \(z\) × 800 µm \(y\) in "
        r"extent, 2 × 8 voxels\. Signal / noise ([\d.]+) at 4 ms, ([\d.]+) at 30 ms\. ([\d.]+) ± ([\d.]+) times the "
        r"median of the electrodes: (\d+) σ above",
        words,
    )
    assert found is not None
    t2, error, voxels, pooled, low, high, y, z, *strength, ratio, ratio_error, sigma = map(float, found.groups())
    assert strength == pytest.approx([0.5 * math.exp(-time / 16) / 0.012 for time in (4, 30)], rel=0.1)
    assert abs(ratio - 16 / 7.5) < 3 * ratio_error < 0.5
    assert sigma > 5
    assert low < pooled < high
    assert low - 0.1 < 16 < high + 0.1
    assert 14.5 < t2 < 17.5
    assert 0 < error < 2
    assert voxels == pytest.approx(16, abs=2)
    assert y == pytest.approx(1550, abs=100)
    assert z == pytest.approx(241.5, abs=23)


def test_the_headline_of_a_pristine_cell_says_that_there_is_none(reports: dict[str, Path]) -> None:
    words = " ".join(read(reports["pristine"]).words)
    assert "No dendrite found" in words
    assert "Dendrite found" not in words


def test_protocol_and_run_are_told_in_units_people_use(reports: dict[str, Path]) -> None:
    words = " ".join(read(reports["shorted"]).words)
    for value in ("4 ms, 8 ms, 13 ms, 20 ms, 30 ms", "120 ms", "1126 ppm", "8 µs", "90°", "y: 4.8 mm, z: 2.208 mm"):
        assert value in words
    for fact in (
        "1725 planned, 1725 got, 1722 with weight, 3 without",
        "2026-01-05 19:00:00 UTC",
        "2026-01-06 06:30:00 UTC",
        "1, resumed",
        "passes without weight: overrange",
        "1 min 12 s",
        "0.087 %",
        "11 h 30 min",
    ):
        assert fact in words


def test_the_methods_paragraph_has_a_sentence_of_each_step(
    reports: dict[str, Path], both_cells: dict[str, ReportInputs]
) -> None:
    words = " ".join(read(reports["shorted"]).words)
    inputs = both_cells["shorted"]
    assert inputs.fit is not None
    for sentence in (*inputs.series.methods, inputs.fit.methods_sentence()):
        assert sentence in words
    assert "²³Na images were acquired" in words
    assert "repetition time 120 ms" in words
    assert "voxels of 23 µm × 100 µm along z × y" in words
    assert "1722 of 1725 passes entered the images in 11 h 30 min, interrupted and resumed once" in words


def test_hostile_names_stay_text_everywhere(both_cells: dict[str, ReportInputs], tmp_path: Path) -> None:
    inputs = both_cells["shorted"]
    assert inputs.run is not None
    run = replace(
        inputs.run,
        run_id=HOSTILE,
        protocol={**inputs.run.protocol, "name": HOSTILE, HOSTILE: HOSTILE},
        scanner=HOSTILE,
        sample=HOSTILE,
        rejected=(RejectedPass(1, HOSTILE, 24.0),),
        versions={HOSTILE: HOSTILE},
        digests={HOSTILE: HOSTILE},
    )
    series = replace(
        inputs.series, nucleus=HOSTILE, methods=(HOSTILE,), missing=(HOSTILE,), provenance={HOSTILE: HOSTILE}
    )
    told = replace(inputs, title=HOSTILE, run=run, series=series, fit=None, populations=None)
    page = read(write_report(told, tmp_path))
    assert page.open == []
    assert not page.attributes("script")
    assert all((attributes["src"] or "").startswith("data:image/png;base64,") for attributes in page.attributes("img"))
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert "".join(page.words).count(HOSTILE) >= 10


@pytest.mark.usefixtures("no_pictures")
def test_what_is_no_cell_has_no_electrodes_on_its_page_nor_in_its_summary(
    both_cells: dict[str, ReportInputs], tmp_path: Path
) -> None:
    inputs = both_cells["shorted"]
    assert inputs.fit is not None
    assert inputs.populations is not None
    series = replace(inputs.series, nucleus=None)
    other = ComparedRun("earlier", series, inputs.fit, inputs.populations)
    told = replace(inputs, series=series, title="Rat", run=None, compared=other, spectrum=None)
    words = "".join(read(write_report(told, tmp_path)).words)
    assert "isolated region" in words
    assert "Part 1 and so on: large groups of touching voxels of the bulk, the one with most voxels first." in words
    summary = Summary.model_validate_json((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert [region.role for region in summary.regions if region.role != "part"] == ["bulk", "isolated"]
    assert summary.comparison is not None
    assert {one.region for one in summary.comparison.differences} == {"bulk", "isolated region"}
    values = {one.name for one in summary.regions} | {summary.title}
    for item in report_figures(told):
        values |= {text.get_text() for text in item.figure.findobj(mpl.text.Text)}
    assert not re.search("electrode|dendrite", " ".join([words, *values]), re.IGNORECASE)


def test_a_single_echo_scan_of_another_console_gets_a_report_without_t2(
    series_of: Callable[..., ImageSeries], tmp_path: Path
) -> None:
    whole = series_of(shorted=False)
    one = replace(whole, images=whole.images[:1], echo_times=whole.echo_times[:1], noise_std=whole.noise_std[:1])
    page = read(
        write_report(
            ReportInputs(
                series=one,
                title="FLASH",
            ),
            tmp_path / "new" / "folder",
        )
    )
    words = " ".join(page.words)
    assert "T₂ needs several" in words
    for heading in ("T₂ map", "Run", "Protocol", "Regions", "Single echo images"):
        assert heading not in page.words
    assert {path.stem for path in (tmp_path / "new" / "folder").glob("*.png")} == {"intensity"}


def test_slices_in_several_stacks_get_a_figure_each(series_of: Callable[..., ImageSeries], tmp_path: Path) -> None:
    series = series_of(shorted=False)
    turned = replace(series.geometry, directions=series.geometry.directions[[0, 2, 1]])
    tripilot = replace(
        series,
        images=np.repeat(series.images[:1], 2, axis=1),
        echo_times=series.echo_times[:1],
        noise_std=series.noise_std[:1],
        stacks=(SliceStack((0,), series.geometry), SliceStack((1,), turned)),
    )
    write_report(ReportInputs(series=tripilot, title="tripilot"), tmp_path)
    assert {path.stem for path in tmp_path.glob("*.png")} == {"intensity_stack1", "intensity_stack2"}


def test_spectrum_and_drift_are_shown_where_they_are_given(both_cells: dict[str, ReportInputs], tmp_path: Path) -> None:
    drift = FrequencyDrift(1767639600.0 + 24.0 * np.arange(10), np.arange(10.0))
    page = read(write_report(replace(both_cells["pristine"], fit=None, populations=None, drift=drift), tmp_path))
    assert "Field drift" in page.words
    assert (tmp_path / "frequency_drift.pdf").exists()


def test_the_same_inputs_give_the_same_bytes(
    reports: dict[str, Path], both_cells: dict[str, ReportInputs], tmp_path: Path
) -> None:
    first, second = reports["pristine"].parent, write_report(both_cells["pristine"], tmp_path).parent
    for path in sorted(first.iterdir()):
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_a_folder_that_cannot_be_made_is_a_storage_error(both_cells: dict[str, ReportInputs], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        write_report(both_cells["pristine"], tmp_path / "file" / "report")


def test_inputs_that_do_not_belong_together_are_refused(both_cells: dict[str, ReportInputs]) -> None:
    inputs = both_cells["shorted"]
    smaller = replace(inputs.series, images=inputs.series.images[..., :24])
    with pytest.raises(ShapeError, match="fit these images"):
        replace(inputs, series=smaller)
    with pytest.raises(InputError, match="give fit too"):
        replace(inputs, fit=None)
    with pytest.raises(InputError, match="t2_range"):
        replace(inputs, t2_range=(20e-3, 0.0))


@pytest.mark.usefixtures("no_pictures")
def test_a_run_without_passes_is_told_as_such(both_cells: dict[str, ReportInputs], tmp_path: Path) -> None:
    empty = RunFacts(
        run_id="r", protocol={}, passes_planned=5, passes_used=0, started=None, finished=None, acquiring=0.0, resumes=0
    )
    inputs = replace(both_cells["pristine"], fit=None, populations=None, run=empty)
    words = " ".join(read(write_report(inputs, tmp_path)).words)
    assert "0 used of 5 planned" in words
    assert "n/a" in words
