"""`knightshift reconstruct`, `fit` and `report`: from files to images, maps and pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from knightshift.acquisition.options import resume_command
from knightshift.cli.fit_request import ImageChoices
from knightshift.core.errors import InputError
from knightshift.core.run_folder import Run, open_run
from knightshift.reconstruction.export import save_images
from knightshift.reconstruction.export.fid_spectra import save_fid_spectra
from knightshift.reconstruction.export.images_file import FILE_NAME, images_shape
from knightshift.reconstruction.export.maps import write_richer_maps, write_t2_maps
from knightshift.reconstruction.export.spectrum import save_spectrum
from knightshift.reconstruction.export.volume_maps import (
    each_warning_once,
    fit_volume_file,
    fits_memory,
    middle_slab,
)
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.image_fit import FittedImages, T2Request, fit_images
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.loading import images_path, is_images, load_series, run_or_none
from knightshift.reconstruction.pass_sum import PassSum, sum_passes
from knightshift.reconstruction.readers import RawKind, detect, read_raw
from knightshift.reconstruction.recipe import Recipe, read_recipe
from knightshift.reconstruction.reconstruct import images_of_sum, reconstruct, reconstruct_repetitions
from knightshift.reconstruction.region_words import RegionWords, region_words
from knightshift.reconstruction.relaxometry import (
    Populations,
    RegionStatistics,
    RicherFit,
    T2Fit,
    find_populations,
    signal_mask,
)
from knightshift.reconstruction.report import ComparedRun, ReportInputs, RunFacts, write_report
from knightshift.reconstruction.report.run_facts import run_facts
from knightshift.reconstruction.running_snr import RunningSnr, running_snr
from knightshift.reconstruction.spectrum import spectrum_of_run
from knightshift.reconstruction.storage import default_memory, disk_storage
from knightshift.reconstruction.t2_symbol import T2, in_symbol, t2_symbol

_SPECTROSCOPIC = (RawKind.TOPSPIN, RawKind.TECMAG, RawKind.PROSPA, RawKind.AGILENT, RawKind.ARRAY)
"""Kinds of raw data that may hold FIDs."""


@dataclass(frozen=True)
class Outcome:
    """What a report was made of."""

    page: Path
    """The HTML file."""
    populations: Populations | None
    """Bulk and isolated regions; None for a single echo or a map without a T2."""
    words: RegionWords = field(default_factory=lambda: region_words(None))
    """What the regions are called."""
    richer: RicherFit | None = None
    """A decay of more than one exponential, where one was asked for."""
    symbol: str = T2
    """What the T2 is called."""


@dataclass(frozen=True)
class _Loaded:
    """What a path held."""

    series: ImageSeries
    """The images."""
    run: Run | None
    """The run that they are of; None for other sources."""
    summed: PassSum | None = None
    """The sum of its passes, where the images were made from it just now."""


def reconstruct_to(source: Path, output: Path, *, recipe: str | None = None, memory_mb: int | None = None) -> None:
    """Reconstruct `source` and write images (or spectra) into `output`; of separate repetitions, a folder each."""
    console = Console()
    steps = Recipe() if recipe is None else read_recipe(recipe)
    run = run_or_none(source)
    fids = None if run is not None or is_images(source) else _fids_of(source)
    if fids is not None:
        if recipe is not None:
            raise InputError(f"{source}: these are FIDs, and a recipe is for images: leave --recipe out")
        written = save_fid_spectra(fids, output)
        points = fids.values.shape[1]
        console.print(f"{fids.n_steps} spectr{'um' if fids.n_steps == 1 else 'a'} of {points} points", highlight=False)
        for line in fids.missing:
            console.print(f"not in the raw data: {line}", highlight=False, markup=False)
    elif run is not None and run.manifest.encoding.kind == "spectrum":
        written = save_spectrum(spectrum_of_run(run), output)
    else:
        written = ()
        with disk_storage(output, bytes_of(memory_mb)) as storage:
            every = reconstruct_repetitions(source, steps, storage)
            echoes, *shape = every[0].images.shape
            for number, series in enumerate(every, start=1):
                folder = output if len(every) == 1 else output / f"repetition{number}"
                written += save_images(series, folder)
        times = "" if len(every) == 1 else f"{len(every)} repetitions of "
        one, several = ("echo", "echoes") if every[0].inversion_times is None else ("image", "images")
        size = " x ".join(map(str, shape))
        console.print(f"{times}{echoes} {one if echoes == 1 else several} of {size} voxels", highlight=False)
        for line in every[0].missing:
            console.print(f"not in the raw data: {line}", highlight=False, markup=False)
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _fids_of(source: Path) -> FidSeries | None:
    """Read FIDs or spectra; None for what holds images."""
    if detect(source) not in _SPECTROSCOPIC:
        return None
    raw = read_raw(source)
    return raw if isinstance(raw, FidSeries) else None


def bytes_of(memory_mb: int | None) -> int:
    """Memory that may be taken [bytes]; half of what is free where nothing is said. Raises `InputError`."""
    if memory_mb is None:
        return default_memory()
    if memory_mb < 1:
        raise InputError(f"--memory-mb {memory_mb}: give 1 or more")
    return memory_mb << 20


def fit_to(source: Path, output: Path, choices: ReportChoices, memory_mb: int | None = None) -> None:
    """Fit T2 to `source`: maps, regions, summary and figures into `output`; what is larger than memory, in slabs."""
    memory, request = bytes_of(memory_mb), choices.images.request()
    loaded = _load_within(source, output, memory, (request, Recipe(echo_times=choices.echo_times)))
    if isinstance(loaded, Path):
        _fit_volume(loaded, output, request, memory)
        return
    n_echoes = len(loaded.series.echo_times)
    if n_echoes < 2:
        raise InputError(f"{source}: has {n_echoes} echo: a T2 needs at least two echo times")
    outcome = _write_all(loaded, output, choices)
    print_outcome(outcome, Console())


def _load_within(source: Path, output: Path, memory: int, how: tuple[T2Request, Recipe]) -> _Loaded | Path:
    """Load images, or tell the file of those that are too large to be fitted whole."""
    request, recipe = how
    if recipe.echo_times is not None and (is_images(source) or run_or_none(source) is not None):
        raise InputError(f"{source}: the echo times of these images are known: leave --delays out")
    if (path := images_path(source)) is not None:
        return _load(source) if fits_memory(images_shape(path), memory, request) else path
    if run_or_none(source) is not None:
        return _load(source)
    with disk_storage(output, memory) as storage:
        series = reconstruct(source, recipe, storage)
        if fits_memory(series.images.shape, memory, request):
            return _Loaded(series, None)
        save_images(series, output)
    return output / FILE_NAME


def _fit_volume(images: Path, output: Path, request: T2Request, memory: int) -> None:
    """Fit images slab by slab, and write a report of the slab in the middle."""
    with each_warning_once():
        volume = fit_volume_file(images, output, request, memory)
        found = middle_slab(images, volume, request)
    series, fit = found.told, found.fit
    console = Console()
    for path in volume.paths:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    whole = f"{volume.n_voxels} voxels of the volume have a T2. {volume.richer}".rstrip()
    console.print(in_symbol(whole, t2_symbol(series)), highlight=False, soft_wrap=True)
    console.print(series.methods[-1], highlight=False)
    populations = find_populations(fit, series.geometry) if fit.ok.any() else None
    inputs = ReportInputs(
        series=series, title=_title(None, output), fit=fit, populations=populations, richer=found.richer
    )
    words, symbol = region_words(series.nucleus), t2_symbol(series)
    print_outcome(Outcome(write_report(inputs, output), populations, words, found.richer, symbol), console)


@dataclass(frozen=True)
class ReportChoices:
    """What a user may choose about a report."""

    images: ImageChoices = field(default_factory=ImageChoices)
    """How T2 is fitted."""
    spectrum: Path | None = None
    """A run of a spectrum of the same cell."""
    t2_range: tuple[float, float] | None = None
    """Ends of the T2 colour bar [s], so that two reports compare."""
    distributions: bool = False
    """Whether to show distributions of T2 too."""
    echo_times: tuple[float, ...] | None = None
    """Echo times that are not in the files [s]."""
    compare: Path | None = None
    """A run, scan or folder of images to hold beside this one."""


def report_to(source: Path, output: Path, choices: ReportChoices) -> Outcome:
    """Write the whole report of a run into `output`."""
    outcome = _write_all(_load(source), output, choices)
    print_outcome(outcome, Console())
    return outcome


def _write_all(loaded: _Loaded, output: Path, choices: ReportChoices) -> Outcome:
    request = choices.images.request()
    if choices.compare is not None and request.files:
        given = " and ".join(f"--{name} {path}" for name, path in request.files.items())
        raise InputError(f"{given} with --compare: a file is of one run, and the other would be fitted without it")
    series, run = loaded.series, loaded.run
    series = series if request.noise is None else series.with_noise(request.noise)
    found = _fitted(loaded.series, request)
    fit, richer = (None, None) if found is None else (found.fit, found.richer)
    populations = find_populations(fit, series.geometry) if fit is not None and fit.ok.any() else None
    save_images(series, output)
    if fit is not None:
        write_t2_maps(fit, series, output)
    if richer is not None:
        write_richer_maps(richer, series, output)
    facts = None if run is None else run_facts(run, resume_command(run.path.resolve()))
    inputs = ReportInputs(
        series=series if found is None else found.told,
        title=_title(facts, output),
        fit=fit,
        populations=populations,
        richer=richer,
        run=facts,
        spectrum=None if choices.spectrum is None else spectrum_of_run(open_run(choices.spectrum)),
        running_snr=_snr_through(loaded, fit),
        t2_range=choices.t2_range,
        with_distributions=choices.distributions,
        compared=None if choices.compare is None else _compared(choices.compare, request),
    )
    return Outcome(write_report(inputs, output), populations, region_words(series.nucleus), richer, t2_symbol(series))


def _fitted(series: ImageSeries, request: T2Request) -> FittedImages | None:
    """Fit what was asked for; None for a single echo."""
    if len(series.echo_times) > 1:
        return fit_images(series, request)
    request.check_unused()
    return None


def _title(facts: RunFacts | None, folder: Path) -> str:
    return f"{facts.sample}: {facts.protocol_name}" if facts and facts.sample else folder.resolve().name


def _load(source: Path) -> _Loaded:
    """Load images; of a run that is not reconstructed yet, keep the sum of its passes too."""
    run = run_or_none(source)
    if run is None or is_images(source) or run.manifest.encoding.kind != "image":
        return _Loaded(load_series(source), run)
    summed = sum_passes(run)
    return _Loaded(images_of_sum(run, summed, Recipe()), run, summed)


def _snr_through(loaded: _Loaded, fit: T2Fit | None) -> RunningSnr | None:
    """Follow the signal-to-noise ratio of the voxels with a T2 (with one echo time: with signal) through a run."""
    if loaded.run is None or loaded.summed is None:
        return None
    series = loaded.series
    region = signal_mask(series.images, series.noise_std) if fit is None else fit.ok
    return running_snr(loaded.run, loaded.summed, region)


def _compared(source: Path, request: T2Request) -> ComparedRun:
    """Fit another run, scan or folder of images in the same way."""
    series = load_series(source)
    if len(series.echo_times) < 2:
        raise InputError(f"{source}: has {len(series.echo_times)} echo: T2 maps compare, of several echo times")
    found = fit_images(series, request.model_copy(update={"model": None, "noise": None}))
    series, fit = found.told, found.fit
    if not fit.ok.any():
        raise InputError(f"{source}: no voxel has a T2: there is nothing to compare")
    run = run_or_none(source)
    title = _title(None if run is None else run_facts(run), source)
    return ComparedRun(title, series, fit, find_populations(fit, series.geometry))


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Say in a few lines what was found and where to look."""
    found = outcome.populations
    if found is not None:
        names = [*map(outcome.words.part_number, range(1, 1 + len(found.electrodes)))]
        names += [*map(outcome.words.isolated_number, range(1, 1 + len(found.isolated)))]
        for name, region in zip(names, (*found.electrodes, *found.isolated), strict=True):
            told = in_symbol(_region_words(region), outcome.symbol)
            console.print(f"  {name}: {told}", highlight=False, soft_wrap=True)
        if not found.isolated:
            console.print(in_symbol("  no isolated population of long T2", outcome.symbol), highlight=False)
    if outcome.richer is not None:
        told = in_symbol(outcome.richer.methods_sentence(), outcome.symbol)
        console.print(f"  {told}", highlight=False, soft_wrap=True)
    console.print(f"report: {outcome.page}", highlight=False, soft_wrap=True)


def _region_words(region: RegionStatistics) -> str:
    place = ""
    if region.centroid_position is not None:
        _, y, z = (1e6 * value for value in region.centroid_position)
        place = f" at y {y:+.0f} µm, z {z:+.0f} µm"
    low, high = (1e3 * value for value in region.t2_quartiles)
    width = "" if region.fwhm != region.fwhm else f", FWHM {1e3 * region.fwhm:.1f} ms"
    return (
        f"{region.n_voxels} voxels, median T2 {1e3 * region.t2_median:.1f} ms "
        f"(middle half {low:.1f} to {high:.1f} ms{width}){place}"
    )
