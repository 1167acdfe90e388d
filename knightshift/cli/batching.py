"""`knightshift batch`: a whole archive, with progress and a table of what went wrong."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from knightshift.cli.fit_request import t2_options
from knightshift.core.errors import InputError
from knightshift.reconstruction.batch import BatchOptions, BatchReport, ItemRecord, run_batch
from knightshift.reconstruction.batch.cluster import open_cluster
from knightshift.reconstruction.recipe import Recipe, read_recipe

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
    estimator: str
    """How T2 is estimated."""
    offset: str
    """Constant added to the decay."""
    memory_mb: int
    """Memory for fitting a slab of a large volume, on each worker [MB]."""


def batch_to(sources: list[Path], output: Path, choices: BatchChoices) -> None:
    """Run a batch; exit code 1 if an item has no result."""
    if choices.workers < 1 or choices.memory_mb < 1:
        raise InputError("--workers and --memory-mb must be 1 or more")
    recipe = Recipe() if choices.recipe is None else read_recipe(choices.recipe)
    fit = t2_options(choices.estimator, choices.offset).model_copy(update={"threads": 1})
    options = BatchOptions(recipe=recipe, fit=fit, memory=choices.memory_mb * _MEGABYTE)
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


def _progress(console: Console) -> Progress:
    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False)
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _description(record: ItemRecord) -> str:
    return f"{record.name}: {record.status}"


def _print_report(report: BatchReport, output: Path, console: Console) -> None:
    if report.errors:
        table = Table("item", "error", "message", box=None, pad_edge=False)
        for item in report.errors:
            if item.error is not None:
                table.add_row(item.name, item.error.kind, item.error.message)
        console.print(table, highlight=False, markup=False)
    before = sum(not item.repeated for item in report.items)
    results = [f"{report.count('done')} done", f"{len(report.errors)} without a result", f"{before} known from before"]
    console.print(f"{len(report.items)} items: {', '.join(results)}", highlight=False)
    console.print(f"table: {output / 'batch.csv'}", highlight=False, soft_wrap=True)
