"""What a batch was asked, and what it tells of every item; plain models, so that they travel and rest as JSON."""

from __future__ import annotations

import csv
import hashlib
import io
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from knightshift.core.durable import read_regular_file, write_durably
from knightshift.core.quantities import PositiveSeconds
from knightshift.reconstruction.batch.found_times import COLUMNS, FoundTime, table_lines
from knightshift.reconstruction.image_fit import T2Request
from knightshift.reconstruction.pseudo_2d import Pseudo2DOptions
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.relaxometry import T2Options

RECORD_FILE = "item.json"
"""Name of the record in the folder of an item; written with the results, never before them."""
_MAX_RECORD_BYTES = 1_000_000
_HEADINGS = ("name", "source", "status", "result", *COLUMNS, "computed in (s)", "error", "message")
_STRICT = ConfigDict(frozen=True, extra="forbid")

Status = Literal["done", "failed", "crashed"]


class BatchOptions(T2Request):
    """How every item is treated; a mask or map may be a folder, with a file of the name of each item."""

    recipe: Recipe = Recipe()
    """How images are reconstructed."""
    fit: T2Options = T2Options(threads=1)
    """How T2 of images is fitted."""
    spectra: Pseudo2DOptions = Pseudo2DOptions()
    """How spectra are fitted; experiment, delays and duration of a loop fill in what the data do not say."""
    echo_train: tuple[Annotated[int, Field(ge=2)], PositiveSeconds] | None = None
    """Echoes and their distance [s] of FIDs that do not say their delays."""
    memory: int = Field(default=1 << 30, ge=1 << 20)
    """Bytes that fitting a slab of a volume may take on a worker."""

    def key(self, content_digest: str) -> str:
        """SHA-256 (hex) of all that the result depends on: content, options and version of this software."""
        treatment = self.model_dump_json(exclude={"memory"})
        return hashlib.sha256(f"{content_digest}\n{version('knightshift')}\n{treatment}".encode()).hexdigest()


class ItemError(BaseModel):
    """Why an item has no result."""

    model_config = _STRICT

    kind: str
    """Class of the error: ``DamagedDataError``."""
    message: str
    """What, where, the numbers and the remedy."""


class ItemRecord(BaseModel):
    """What became of one item."""

    model_config = _STRICT

    name: str
    """Where its results lie below the output folder."""
    source: str
    """What was read."""
    status: Status
    """``failed``: its data are at fault, so that trying again gives the same; ``crashed``: anything else went wrong."""
    key: str | None = None
    """`BatchOptions.key`; None where not even the content could be read."""
    result: str | None = None
    """What was made: ``T2 map``, ``T2* map`` (of gradient echoes), ``T1 map``, ``images``, ``spectrum`` (of a run),
    ``spectra`` or ``relaxation of spectra``."""
    note: str | None = None
    """Why images or spectra were made, but not fitted."""
    times: tuple[FoundTime, ...] = ()
    """Relaxation times that were found: one of a map, one for each peak of spectra."""
    error: ItemError | None = None
    """Why there is no result."""
    seconds: float = 0.0
    """How long it took when it was made [s]."""
    repeated: bool = True
    """Whether it was made in this batch; False: an earlier one had made it."""


class BatchReport(BaseModel):
    """All items of a batch."""

    model_config = _STRICT

    items: tuple[ItemRecord, ...]
    """In order of their names."""

    def count(self, status: Status) -> int:
        """Count the items of one status."""
        return sum(item.status == status for item in self.items)

    @property
    def errors(self) -> tuple[ItemRecord, ...]:
        """Items without a result."""
        return tuple(item for item in self.items if item.status != "done")

    @property
    def unfitted(self) -> tuple[ItemRecord, ...]:
        """Items whose images or spectra could be made, but not fitted."""
        return tuple(item for item in self.items if item.note is not None)

    def write(self, folder: Path) -> None:
        """Write ``batch.json``, and ``batch.csv`` with a line for each item, or each peak of an item.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        write_durably(folder / "batch.json", (self.model_dump_json(indent=2) + "\n").encode())
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(_HEADINGS)
        for item in self.items:
            error = ("", item.note or "") if item.error is None else (item.error.kind, item.error.message)
            about = item.name, item.source, item.status, item.result
            writer.writerows([*about, *cells, f"{item.seconds:.2f}", *error] for cells in table_lines(item.times))
        write_durably(folder / "batch.csv", table.getvalue().encode())


def read_record(folder: Path) -> ItemRecord | None:
    """Read the record in the folder of an item; None if there is none, or it is not one of this version."""
    path = folder / RECORD_FILE
    if not path.is_file():
        return None
    try:
        return ItemRecord.model_validate_json(read_regular_file(path, _MAX_RECORD_BYTES))
    except ValidationError:
        return None


def write_record(record: ItemRecord, folder: Path) -> None:
    """Write the record of an item into its folder. Raises `StorageError` if the disk refuses."""
    write_durably(folder / RECORD_FILE, (record.model_dump_json(indent=2) + "\n").encode())
