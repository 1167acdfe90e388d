"""`knightshift batch`: a whole archive, with progress and a table of what went wrong."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from knightshift.cli.fit_request import FitRequest, echo_train, spectra_options
from knightshift.core.errors import InputError

if TYPE_CHECKING:
    from knightshift.reconstruction.batch import BatchOptions, BatchReport, ItemRecord

_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class BatchChoices:
    """What a user may choose about a batch."""

    scheduler: str | None
    """Address of a cluster that is there already."""
    workers: int
    """Processes on this machine."""
    recipe: str | None
    """Steps of the reconstruction."""
    fit: FitRequest
    """How images and spectra are fitted; the memory is that of each worker."""


def batch_to(sources: list[Path], output: Path, choices: BatchChoices) -> None:
    """Run a batch; exit code 1 if an item has no result."""
    options = batch_options(choices)
    from knightshift.reconstruction.batch import run_batch
    from knightshift.reconstruction.batch.cluster import open_cluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it meets is told once, as our error
    console = Console()
    with open_cluster(choices.scheduler, choices.workers) as client, _progress(console) as progress:
        task = progress.add_task("looking for scans", total=None)

        def show(finished: int, total: int, record: ItemRecord) -> None:
            progress.update(task, completed=finished, total=total, description=_description(record))

        report = run_batch(client, tuple(sources), output, options, show)
    _print_report(report, output, console)
    if report.errors:
        raise typer.Exit(1)


def batch_options(choices: BatchChoices) -> BatchOptions:
    """Turn the options of the command line into those of a batch. Raises `InputError`."""
    from knightshift.reconstruction.batch import BatchOptions
    from knightshift.reconstruction.image_fit import T2Request
    from knightshift.reconstruction.pseudo_2d import OffsetChoice
    from knightshift.reconstruction.recipe import Recipe, read_recipe

    fit = choices.fit
    memory = BatchOptions().memory if fit.memory_mb is None else fit.memory_mb * _MEGABYTE
    if choices.workers < 1 or memory < _MEGABYTE:
        raise InputError("--workers and --memory-mb must be 1 or more")
    of_spectra = fit.offset in get_args(OffsetChoice)
    of_images = "none" if fit.offset is None or fit.offset == "auto" else fit.offset
    request = replace(fit, offset=of_images).request()
    for name, path in request.files.items():
        if not path.exists():
            raise InputError(f"--{name} {path}: there is no such file, nor a folder with one for each scan")
    one_thread = request.fit.model_copy(update={"threads": 1})
    of_files = {name: path.resolve() for name, path in request.files.items()}  # workers may be at home elsewhere
    return BatchOptions(
        **{**{name: getattr(request, name) for name in T2Request.model_fields}, **of_files, "fit": one_thread},
        recipe=Recipe() if choices.recipe is None else read_recipe(choices.recipe),
        spectra=spectra_options(fit if of_spectra else replace(fit, offset=None)),
        echo_train=None if fit.echo_train is None else echo_train(fit.echo_train),
        memory=memory,
    )


def _progress(console: Console) -> Progress:
    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False)
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _description(record: ItemRecord) -> str:
    return f"{record.name}: {record.status}"


def _print_report(report: BatchReport, output: Path, console: Console) -> None:
    if report.errors:
        console.print("without a result:")
    for item in report.errors:
        if item.error is not None:
            _print_reason(item, f"{item.error.kind}: {_within(item, item.error.message)}", console)
    if report.unfitted:
        console.print("made, but not fitted:")
    for item in report.unfitted:
        _print_reason(item, _within(item, item.note or ""), console)
    before = sum(not item.repeated for item in report.items)
    done = f"{report.count('done')} done" + (f" ({len(report.unfitted)} not fitted)" if report.unfitted else "")
    results = [done, f"{len(report.errors)} without a result", f"{before} known from before"]
    console.print(f"{len(report.items)} items: {', '.join(results)}", highlight=False)
    console.print(f"table: {output / 'batch.csv'}", highlight=False, soft_wrap=True)


def _print_reason(item: ItemRecord, reason: str, console: Console) -> None:
    console.print(f"  {item.name}: {reason}", highlight=False, markup=False, soft_wrap=True)


def _within(item: ItemRecord, message: str) -> str:
    """Leave out of a message where the item lies: its name says so already."""
    inside = message.removeprefix(f"{item.source}: ").replace(f"{item.source}/", "")
    return inside.replace(f"{Path(item.source).parent}/", "")  # a file beside the one that describes it
