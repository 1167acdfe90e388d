"""A batch: every scan of an archive on the workers of a cluster, with one table of what became of each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from knightshift.core.durable import make_folder
from knightshift.core.errors import StorageError
from knightshift.reconstruction.batch.cluster import Finished, run_tasks
from knightshift.reconstruction.batch.discovery import BatchItem, find_items
from knightshift.reconstruction.batch.item import check_place, process_item
from knightshift.reconstruction.batch.records import BatchOptions, BatchReport, ItemError, ItemRecord
from knightshift.reconstruction.batch.volume import fit_volume, is_large_volume

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, ItemRecord], None]
"""Called after each item with how many are finished, how many there are, and its record."""


def run_batch(
    client: Client, sources: tuple[Path, ...], output: Path, options: BatchOptions, progress: Progress | None = None
) -> BatchReport:
    """Reconstruct and fit every scan found in `sources`; what an earlier batch has done is not done again.

    Parameters
    ----------
    client
        Of `open_cluster`; its workers must see the same paths.
    sources
        Folders to search, or single scans or images.
    output
        Results of each item in a folder of its name; ``batch.json`` and ``batch.csv`` beside them.
    options
        How every item is treated.
    progress
        Told of each item as it is finished.

    Returns
    -------
    BatchReport
        Also on disk. An error of one item stops no other.

    Raises
    ------
    InputError
        If there is no scan, or something that is no result of a batch lies where results go.
    StorageError
        If the disk of the results refuses.
    HardwareError
        If the cluster is lost.
    """
    items = find_items(sources, output)
    output = output.resolve()
    for item in items:
        check_place(output / item.name)
    make_folder(output)
    records: dict[str, ItemRecord] = {}
    for record in _records(client, items, output, options):
        records[record.name] = record
        if progress is not None:
            progress(len(records), len(items), record)
    report = BatchReport(items=tuple(records[item.name] for item in items))
    report.write(output)
    return report


def _records(client: Client, items: tuple[BatchItem, ...], output: Path, options: BatchOptions) -> Iterator[ItemRecord]:
    """Finish the items, those that fit into memory first, several at a time; then large volumes, slab by slab."""
    large = [item for item in items if is_large_volume(item.source, options)]
    small = [item for item in items if item not in large]
    as_json = options.model_dump_json()
    tasks = [(item.name, str(item.source), str(output), as_json) for item in small]
    for finished in run_tasks(client, process_item, tasks):
        yield _record(small[finished.index], finished)
    for item in large:
        yield fit_volume(client, item, output, options)


def _record(item: BatchItem, finished: Finished) -> ItemRecord:
    """Read what a worker returned; what it raised becomes the error of the item, but for a full disk."""
    error = finished.error
    if error is None:
        return ItemRecord.model_validate_json(finished.value)
    if isinstance(error, StorageError):
        raise error
    logger.error("%s: %s: %s", item.source, type(error).__name__, error)
    why = ItemError(kind=type(error).__name__, message=crash_message(error))
    return ItemRecord(name=item.name, source=str(item.source), status="crashed", error=why)


def crash_message(error: BaseException) -> str:
    """Say in words what no error of the data explains."""
    if type(error).__name__ == "KilledWorker":
        return (
            "the workers that tried it died, one after another: give them more memory, or fewer at a time (--workers)"
        )
    return f"{error or 'no message'} (not an error of the data: please report it)"
