"""``summary.json``: the numbers of a report for machines, in SI units where the key does not say otherwise."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.clock import iso_time
from knightshift.core.durable import write_durably
from knightshift.core.json_numbers import number_or_none
from knightshift.reconstruction.region_words import region_words
from knightshift.reconstruction.relaxometry import ModelVerdict, RicherFit, T2Fit, T2Status
from knightshift.reconstruction.relaxometry.populations import Populations
from knightshift.reconstruction.report.comparison import Difference
from knightshift.reconstruction.report.comparison_section import differences
from knightshift.reconstruction.report.inputs import ComparedRun, ReportInputs, RunFacts
from knightshift.reconstruction.report.night_summary import NightSummary, night_summary
from knightshift.reconstruction.report.region_summary import RegionSummary, regions_of
from knightshift.reconstruction.report.residuals_summary import ResidualsSummary, residuals_summary
from knightshift.reconstruction.report.train_summary import TrainSummary, train_summary
from knightshift.reconstruction.t2_symbol import T2Name, t2_name

SCHEMA_FILE = "summary.schema.json"
"""JSON schema of `Summary`, shipped beside this module."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class DendriteSummary(_Record):
    """Whether an isolated population of long T2 was found."""

    found: bool
    """Whether there is at least one region."""
    n_regions: int = Field(ge=0)
    """Connected regions."""
    n_voxels: int = Field(ge=0)
    """Voxels in all of them."""
    significance: tuple[float, ...]
    """Of each region: by how many standard deviations its T2 lies above the bulk."""
    bulk_edge_t2_s: float
    """Upper edge of the T2 distribution of the bulk [s]: what lies significantly above is isolated."""


class FitSummary(_Record):
    """How T2 was estimated."""

    quantity: T2Name = "T2"
    """What was fitted: T2* where the echoes are known to be gradient echoes (the keys say ``t2`` all the same)."""
    estimator: str
    """``complex``, ``rician`` or ``gaussian``."""
    offset: str
    """Constant offset of the decay: ``none``, ``noise``, ``noise-quadrature`` or ``free``."""
    noise_std: tuple[float, ...]
    """Noise of the real part at each echo time, units of the images."""
    noise_source: str
    """``given``, ``background`` or ``residuals``."""
    residuals: ResidualsSummary | None = None
    """Whether one exponential is all; null where that cannot be told."""
    train: TrainSummary | None = None
    """How an echo train was modelled; null for separate echoes, or a train that was fitted as if it were such."""
    voxels_by_status: dict[str, int]
    """Voxels with each status code of the fit, by its name in lower case; ``ok`` and ``one_sided`` ones have a T2."""


class RicherModelSummary(_Record):
    """A decay of more than one exponential, and in how many voxels the data ask for it."""

    model: Literal["bi", "bi-60-40", "stretched"]
    """``bi``: two exponentials; ``bi-60-40``: two, 60 % of them fast; ``stretched``: one with an exponent."""
    n_compared: int = Field(ge=0)
    """Voxels with a T2, in which the models were compared."""
    n_preferred: int = Field(ge=0)
    """Voxels in which Akaike's criterion and the F test at 5 % both prefer it."""
    voxels_by_verdict: dict[str, int]
    """Voxels with each verdict, by its name in lower case; those under ``preferred`` have parameters."""
    median_slow_t2_s: float | None
    """Median over the voxels under ``preferred``: T2 of the slow part, or of the stretched decay [s]."""
    median_fast_t2_s: float | None
    """T2 of the fast part [s]; null for ``stretched``."""
    median_fast_share: float | None
    """Share of the fast part; null for ``stretched``."""
    median_stretch: float | None
    """Exponent; null for the bi-exponentials."""


class RunSummary(_Record):
    """How the run went."""

    run_id: str
    """Name of the run."""
    protocol: str
    """Name of the protocol."""
    started: str | None
    """Start of the first pass, UTC in ISO 8601."""
    finished: str | None
    """End of the last pass, UTC in ISO 8601."""
    duration_s: float | None
    """From one to the other, interruptions included [s]."""
    passes_planned: int
    """Passes of the whole run."""
    passes_used: int
    """Passes in the images."""
    passes_rejected: int
    """Passes measured and not used."""
    resumes: int
    """How often the run was interrupted and went on."""


class DifferenceSummary(_Record):
    """One quantity of one population in two runs."""

    region: str
    """``electrodes`` (all of the bulk) or ``dendrite`` (all isolated voxels); of no cell ``bulk`` or
    ``isolated region``."""
    quantity: Literal["voxels", "median_t2_s", "fwhm_t2_s"]
    """What is compared."""
    this: float | None
    """In this run; null where there is none."""
    this_std: float | None
    """Its standard deviation."""
    other: float | None
    """In the other run."""
    other_std: float | None
    """Its standard deviation."""
    difference: float | None
    """This minus the other."""
    difference_std: float | None
    """Its standard deviation."""


class ComparisonSummary(_Record):
    """Another run beside this one."""

    title: str
    """What the other run is called."""
    quantity: T2Name = "T2"
    """What was fitted to the other run: `FitSummary.quantity` is that of this one."""
    differences: tuple[DifferenceSummary, ...]
    """Population by population."""


class Summary(_Record):
    """The numbers of one report."""

    schema_version: Literal[1] = 1
    """Version of this layout; a change that breaks readers raises it."""
    title: str
    """Heading of the report."""
    knightshift_version: str
    """Software that wrote it."""
    images_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Over the complex images, as little-endian complex64 in the order ``(echo, slice, phase_encode, readout)``."""
    nucleus: str | None
    """Isotope, where the raw data say so."""
    echo_times_s: tuple[float, ...]
    """Echo times [s]."""
    run: RunSummary | None
    """How the run went; null for raw data of other consoles."""
    night: NightSummary | None
    """What happened during the run; null for raw data of other consoles."""
    fit: FitSummary | None
    """How T2 was estimated; null where it was not."""
    richer_model: RicherModelSummary | None = None
    """A decay of more than one exponential; null where none was asked for."""
    dendrite: DendriteSummary | None
    """Whether a dendrite was found; null where it was not looked for."""
    regions: tuple[RegionSummary, ...]
    """Bulk first, then its parts (electrodes), then isolated regions (dendrites); empty where there is no T2."""
    comparison: ComparisonSummary | None
    """Another run beside this one; null where none was asked for."""


def summarise(inputs: ReportInputs, images_sha256: str, knightshift_version: str) -> Summary:
    """Collect the numbers of a report.

    Parameters
    ----------
    inputs
        What the report is made of.
    images_sha256
        `image_digest` of the images.
    knightshift_version
        Of this software.
    """
    populations = inputs.populations
    return Summary(
        title=inputs.title,
        knightshift_version=knightshift_version,
        images_sha256=images_sha256,
        nucleus=inputs.series.nucleus,
        echo_times_s=tuple(float(echo_time) for echo_time in inputs.series.echo_times),
        run=None if inputs.run is None else _run(inputs.run),
        night=None if inputs.run is None else night_summary(inputs, inputs.run),
        fit=None if inputs.fit is None else _fit(inputs.fit, inputs),
        richer_model=None if inputs.richer is None else _richer(inputs.richer),
        dendrite=None if populations is None else _dendrite(populations),
        regions=()
        if populations is None
        else regions_of(populations, inputs.series.axes, region_words(inputs.series.nucleus), inputs.fit),
        comparison=None if inputs.compared is None else _comparison(inputs.compared, differences(inputs)),
    )


def _comparison(other: ComparedRun, found: tuple[Difference, ...]) -> ComparisonSummary:
    rows = tuple(_difference(one) for one in found)
    return ComparisonSummary(title=other.title, quantity=t2_name(other.series), differences=rows)


def _difference(one: Difference) -> DifferenceSummary:
    numbers = {"this": one.first, "other": one.second, "difference": one.difference}
    flat = {name: number_or_none(measured.value) for name, measured in numbers.items()}
    flat |= {f"{name}_std": number_or_none(measured.std) for name, measured in numbers.items()}
    quantity = one.quantity if one.quantity == "voxels" else f"{one.quantity}_s"
    return DifferenceSummary.model_validate({"region": one.region, "quantity": quantity, **flat})


def _run(facts: RunFacts) -> RunSummary:
    return RunSummary(
        run_id=facts.run_id,
        protocol=facts.protocol_name,
        started=None if facts.started is None else iso_time(facts.started),
        finished=None if facts.finished is None else iso_time(facts.finished),
        duration_s=facts.duration,
        passes_planned=facts.passes_planned,
        passes_used=facts.passes_used,
        passes_rejected=len(facts.rejected),
        resumes=facts.resumes,
    )


def _fit(fit: T2Fit, inputs: ReportInputs) -> FitSummary:
    return FitSummary(
        quantity=t2_name(inputs.series),
        estimator=fit.options.estimator,
        offset=fit.options.offset,
        noise_std=tuple(float(noise) for noise in fit.noise_std),
        noise_source=fit.noise_source,
        residuals=None if inputs.misfit is None else residuals_summary(inputs.misfit),
        train=train_summary(fit),
        voxels_by_status={status.name.lower(): fit.count(status) for status in T2Status},
    )


def _richer(richer: RicherFit) -> RicherModelSummary:
    inside = richer.verdict == ModelVerdict.PREFERRED
    names = {"median_slow_t2_s": "t2", "median_fast_t2_s": "t2_fast", "median_fast_share": "fast_share"}
    names["median_stretch"] = "stretch"
    medians = {
        key: number_or_none(float(np.median(getattr(richer, name)[inside]))) if inside.any() else None
        for key, name in names.items()
    }
    return RicherModelSummary(
        model=richer.model,
        n_compared=richer.n_compared,
        n_preferred=int(np.count_nonzero(richer.preferred())),
        voxels_by_verdict={verdict.name.lower(): richer.count(verdict) for verdict in ModelVerdict},
        **medians,
    )


def _dendrite(populations: Populations) -> DendriteSummary:
    return DendriteSummary(
        found=bool(populations.isolated),
        n_regions=len(populations.isolated),
        n_voxels=sum(part.n_voxels for part in populations.isolated),
        significance=tuple(float(value) for value in populations.significance),
        bulk_edge_t2_s=populations.bulk_edge,
    )


def write_summary(summary: Summary, path: Path) -> None:
    """Write ``summary.json`` at once. Raises `StorageError` if the disk refuses."""
    write_durably(path, (summary.model_dump_json(indent=2) + "\n").encode())


def summary_schema() -> dict[str, Any]:
    """Make the JSON schema of `Summary` from the model; descriptions are the docstrings of its fields."""
    schema = Summary.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """Write the schema as the shipped file holds it."""
    return json.dumps(summary_schema(), indent=2, ensure_ascii=False) + "\n"


def shipped_schema() -> dict[str, Any]:
    """Read the schema that is shipped with this package."""
    text = (files("knightshift.reconstruction.report") / SCHEMA_FILE).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
