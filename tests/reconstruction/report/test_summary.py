"""``summary.json`` keeps its promise: valid against its schema, SI units, null and never NaN."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from knightshift.reconstruction.relaxometry import pool_region
from knightshift.reconstruction.report import ReportInputs, Summary, summarise, write_report, write_summary
from knightshift.reconstruction.report.digests import image_digest
from knightshift.reconstruction.report.sections import regions_table
from knightshift.reconstruction.report.summary import schema_text, shipped_schema

DIGEST = "0" * 64
_ROOT = Path(__file__).resolve().parents[3]


def strict_json(path: Path) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_shipped_schema_is_the_one_of_the_model() -> None:
    path = _ROOT / "reconstruction" / "report" / "summary.schema.json"
    assert path.read_text(encoding="utf-8") == schema_text(), "write schema_text() into summary.schema.json again"
    Draft202012Validator.check_schema(shipped_schema())


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("cell", ["pristine", "shorted"])
def test_the_summary_of_a_report_is_valid_against_the_schema(
    both_cells: dict[str, ReportInputs], cell: str, tmp_path: Path
) -> None:
    path = write_report(both_cells[cell], tmp_path).parent / "summary.json"
    content = strict_json(path)
    Draft202012Validator(shipped_schema()).validate(content)
    assert Summary.model_validate(content).model_dump(mode="json") == content


def test_the_numbers_are_those_of_the_analysis_in_si_units(both_cells: dict[str, ReportInputs]) -> None:
    inputs = both_cells["shorted"]
    populations, fit = inputs.populations, inputs.fit
    assert populations is not None
    assert fit is not None
    summary = summarise(inputs, DIGEST, "0.1.0")
    assert summary.dendrite is not None
    assert summary.dendrite.found
    dendrite = next(region for region in summary.regions if region.role == "dendrite")
    inside = populations.mask(0)
    assert dendrite.n_voxels == summary.dendrite.n_voxels == np.count_nonzero(inside)
    assert dendrite.median_t2_s == pytest.approx(np.median(fit.t2[inside]))
    assert dendrite.iqr_t2_s == pytest.approx(np.quantile(fit.t2[inside], [0.25, 0.75]))
    pooled = pool_region(fit, inside)
    assert (dendrite.pooled_t2_s, dendrite.pooled_interval_t2_s) == (pooled.t2, pooled.interval)
    assert pooled.interval[0] < 16e-3 < pooled.interval[1]
    assert dendrite.centroid_um is not None
    assert dendrite.extent_um is not None
    rows, columns = np.nonzero(inside[0])
    assert dendrite.centroid_um["z"] == pytest.approx((rows.mean() - 48) * 23, abs=2)
    assert dendrite.centroid_um["y"] == pytest.approx((columns.mean() - 24) * 100, abs=10)
    assert dendrite.extent_um["z"] == pytest.approx(np.ptp(rows) * 23 + 23)
    assert dendrite.extent_um["y"] == pytest.approx(np.ptp(columns) * 100 + 100)
    assert len(dendrite.snr_per_echo) == len(summary.echo_times_s) == 5
    bulk = summary.regions[0]
    assert (bulk.name, bulk.role) == ("electrodes", "bulk")
    assert 5e-3 < bulk.median_t2_s < 12e-3


def test_the_table_of_a_cell_says_that_numbered_regions_do_not_count_electrodes(
    both_cells: dict[str, ReportInputs],
) -> None:
    table = regions_table(summarise(both_cells["shorted"], DIGEST, "0.1.0"))
    assert "Electrode 1 and so on: large groups of touching voxels of the electrodes" in table
    assert "Each face of a plate may be one" in table
    assert "do not count electrodes" in table


def test_run_facts_are_told(both_cells: dict[str, ReportInputs]) -> None:
    run = summarise(both_cells["shorted"], DIGEST, "0.1.0").run
    assert run is not None
    assert (run.passes_planned, run.passes_used, run.passes_rejected, run.resumes) == (1725, 1722, 3, 1)
    assert run.duration_s == 41400.0
    assert run.started == "2026-01-05T19:00:00.000000+00:00"


def test_nan_becomes_null_and_is_refused_elsewhere(both_cells: dict[str, ReportInputs], tmp_path: Path) -> None:
    inputs = both_cells["shorted"]
    assert inputs.populations is not None
    nan = float("nan")
    small = replace(inputs.populations.isolated[0], fwhm=nan, fwhm_std=nan, snr=np.array([nan, 4, 3, 2, np.inf]))
    populations = replace(inputs.populations, isolated=(small,))
    summary = summarise(replace(inputs, populations=populations), DIGEST, "0.1.0")
    write_summary(summary, tmp_path / "summary.json")
    dendrite = strict_json(tmp_path / "summary.json")["regions"][-1]
    assert dendrite["fwhm_t2_s"] is None
    assert dendrite["snr_per_echo"] == [None, 4.0, 3.0, 2.0, None]
    with pytest.raises(ValidationError):
        summary.regions[0].__class__.model_validate({**summary.regions[0].model_dump(), "median_t2_s": nan})


def test_without_t2_there_are_no_regions(both_cells: dict[str, ReportInputs]) -> None:
    inputs = replace(both_cells["pristine"], fit=None, populations=None, run=None)
    summary = summarise(inputs, DIGEST, "0.1.0")
    assert summary.regions == ()
    assert summary.fit is None
    assert summary.dendrite is None
    assert summary.run is None


def test_image_digest_depends_on_values_not_on_memory_layout() -> None:
    images = (np.arange(24).reshape(2, 3, 4) + 1j).astype(np.complex64)
    digest = image_digest(images)
    assert image_digest(np.asfortranarray(images)) == digest
    assert image_digest(images.astype(">c8")) == digest
    changed = images.copy()
    changed[0, 0, 0] += 1
    assert image_digest(changed) != digest


def test_every_key_of_the_schema_is_in_the_reference_page() -> None:
    page = (_ROOT / "docs" / "reference" / "summary-json.md").read_text(encoding="utf-8")
    schema = shipped_schema()
    models = [schema, *schema["$defs"].values()]
    missing = [key for model in models for key in model.get("properties", {}) if f"`{key}`" not in page]
    assert not missing
