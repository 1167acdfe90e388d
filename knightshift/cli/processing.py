"""`knightshift reconstruct`, `fit` and `report`: from files to images, maps and pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from knightshift.core.errors import InputError
from knightshift.core.run_folder import Run, open_run
from knightshift.reconstruction.export import save_images
from knightshift.reconstruction.export.maps import write_t2_maps
from knightshift.reconstruction.export.spectrum import save_spectrum
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.kspace import Spectrum
from knightshift.reconstruction.loading import load_series, run_or_none
from knightshift.reconstruction.recipe import Recipe, read_recipe
from knightshift.reconstruction.reconstruct import reconstruct_repetitions
from knightshift.reconstruction.relaxometry import (
    Populations,
    RegionStatistics,
    T2Options,
    find_populations,
    fit_series,
    with_train,
)
from knightshift.reconstruction.report import ReportInputs, write_report
from knightshift.reconstruction.report.run_facts import run_facts
from knightshift.reconstruction.spectrum import spectrum_of_run


@dataclass(frozen=True)
class Outcome:
    """What a report was made of."""

    page: Path
    """The HTML file."""
    populations: Populations | None
    """Bulk and isolated regions; None for a single echo or a map without a T2."""


def reconstruct_to(source: Path, output: Path, *, recipe: str | None = None) -> None:
    """Reconstruct `source` and write images (or a spectrum) into `output`; of separate repetitions, a folder each."""
    console = Console()
    steps = Recipe() if recipe is None else read_recipe(recipe)
    run = run_or_none(source)
    if run is not None and run.manifest.encoding.kind == "spectrum":
        written = save_spectrum(spectrum_of_run(run), output)
    else:
        written = ()
        every = reconstruct_repetitions(source, steps)
        for number, series in enumerate(every, start=1):
            folder = output if len(every) == 1 else output / f"repetition{number}"
            written += save_images(series, folder)
        echoes, *shape = every[0].images.shape
        times = "" if len(every) == 1 else f"{len(every)} repetitions of "
        console.print(f"{times}{echoes} echoes of {' x '.join(map(str, shape))} voxels", highlight=False)
        for line in every[0].missing:
            console.print(f"not in the raw data: {line}", highlight=False, markup=False)
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def fit_to(source: Path, output: Path, *, estimator: str, offset: str) -> None:
    """Fit T2 to `source`: maps, regions, summary and figures into `output`."""
    series = load_series(source)
    if len(series.echo_times) < 2:
        raise InputError(f"{source}: has {len(series.echo_times)} echo: a T2 needs at least two echo times")
    choices = ReportChoices(estimator=estimator, offset=offset)
    outcome = _write_all(series, output, choices, run=run_or_none(source), spectrum=None)
    print_outcome(outcome, Console())


@dataclass(frozen=True)
class ReportChoices:
    """What a user may choose about a report."""

    estimator: str = "complex"
    """How T2 is estimated."""
    offset: str = "none"
    """Constant added to the decay."""
    spectrum: Path | None = None
    """A run of a spectrum of the same cell."""
    t2_range: tuple[float, float] | None = None
    """Ends of the T2 colour bar [s], so that two reports compare."""


def report_to(source: Path, output: Path, choices: ReportChoices) -> Outcome:
    """Write the whole report of a run into `output`."""
    measured = None if choices.spectrum is None else spectrum_of_run(open_run(choices.spectrum))
    outcome = _write_all(load_series(source), output, choices, run=run_or_none(source), spectrum=measured)
    print_outcome(outcome, Console())
    return outcome


def t2_options(estimator: str, offset: str) -> T2Options:
    """Turn the options of the command line into those of the fit. Raises `InputError`."""
    try:
        return T2Options.model_validate({"estimator": estimator, "offset": offset})
    except ValidationError as error:
        words = "; ".join(str(item["msg"]).removeprefix("Value error, ") for item in error.errors())
        raise InputError(f"--estimator {estimator} --offset {offset}: {words}") from error


def _write_all(
    series: ImageSeries, output: Path, choices: ReportChoices, *, run: Run | None, spectrum: Spectrum | None
) -> Outcome:
    options = with_train(t2_options(choices.estimator, choices.offset), series)
    save_images(series, output)
    fit = fit_series(series, options) if len(series.echo_times) > 1 else None
    populations = None
    if fit is not None:
        write_t2_maps(fit, series, output)
        populations = find_populations(fit, series.geometry) if fit.ok.any() else None
    facts = None if run is None else run_facts(run)
    inputs = ReportInputs(
        series=series,
        title=f"{facts.sample}: {facts.protocol_name}" if facts and facts.sample else output.resolve().name,
        fit=fit,
        populations=populations,
        run=facts,
        spectrum=spectrum,
        t2_range=choices.t2_range,
    )
    return Outcome(write_report(inputs, output), populations)


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Say in a few lines what was found and where to look."""
    found = outcome.populations
    if found is not None:
        for region in (*found.electrodes, *found.isolated):
            console.print(f"  {_region_words(region)}", highlight=False)
        if not found.isolated:
            console.print("  no isolated population of long T2", highlight=False)
    console.print(f"report: {outcome.page}", highlight=False, soft_wrap=True)


def _region_words(region: RegionStatistics) -> str:
    place = ""
    if region.centroid_position is not None:
        _, y, z = (1e6 * value for value in region.centroid_position)
        place = f" at y {y:+.0f} µm, z {z:+.0f} µm"
    low, high = (1e3 * value for value in region.t2_quartiles)
    width = "" if region.fwhm != region.fwhm else f", FWHM {1e3 * region.fwhm:.1f} ms"
    return (
        f"{region.name}: {region.n_voxels} voxels, median T2 {1e3 * region.t2_median:.1f} ms "
        f"(middle half {low:.1f} to {high:.1f} ms{width}){place}"
    )
