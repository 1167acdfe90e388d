"""Find the scans in an archive: runs, raw data of consoles, and what was once such and no longer reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from knightshift.core.errors import InputError, KnightshiftError, UnsupportedDataError
from knightshift.reconstruction.loading import is_images
from knightshift.reconstruction.readers import detect

_MARKERS = frozenset(
    {"manifest.json", "journal.jsonl", "acqp", "method", "fid", "ser", "rawdata.job0", "acqus", "procpar"}
)
"""A folder that holds one of these is a scan, or the ruins of one: it is an item, and its error is told."""
_FILES = frozenset({".tnt", ".h5", ".mrd", ".yaml", ".yml"})
"""Endings of single files worth looking into."""
_RUINS = frozenset({".tnt", ".mrd"})
"""Of those, the ones that are raw data even if they do not read."""


@dataclass(frozen=True)
class BatchItem:
    """One scan of an archive."""

    name: str
    """Path below the folder it was found in, that folder's name first; the results lie at the same place."""
    source: Path
    """Folder or file."""


def find_items(sources: tuple[Path, ...], output: Path) -> tuple[BatchItem, ...]:
    """Find every scan in the folders given, in order of their names.

    Parameters
    ----------
    sources
        Folders to search, or single scans. Images reconstructed before count only if they are named here themselves.
    output
        Folder of the results, which is not searched.

    Raises
    ------
    InputError
        If a source does not exist, two items would have one name, or there is no scan at all.
    """
    items: dict[str, BatchItem] = {}
    for source in sources:
        if not source.exists():
            raise InputError(f"{source}: there is no such file or folder")
        root = source.resolve()
        for found in _scans(root, output.resolve(), chosen=True):
            name = (Path(root.name) / found.relative_to(root)).as_posix()
            if name in items and items[name].source != found:
                raise InputError(f"{found} and {items[name].source} are both called {name}: give them in two batches")
            items[name] = BatchItem(name, found)
    if not items:
        raise InputError(
            f"no scan was found in {', '.join(map(str, sources))}: give folders that hold runs or raw data"
        )
    return tuple(items[name] for name in sorted(items))


def _scans(path: Path, output: Path, *, chosen: bool = False) -> Iterator[Path]:
    """Walk down to the scans; links are not followed, hidden names not looked at."""
    if path == output or (path.is_symlink() and not chosen):
        return
    if path.is_file():
        if chosen or _is_item_file(path):
            yield path
        return
    names = {entry.name for entry in path.iterdir()}
    if (chosen and is_images(path)) or names & _MARKERS or _reads(path):
        yield path
        return
    for name in sorted(names):
        if not name.startswith("."):
            yield from _scans(path / name, output)


def _reads(path: Path) -> bool:
    """Whether some reader knows the folder or file."""
    try:
        detect(path)
    except UnsupportedDataError:
        return False
    except KnightshiftError:
        return path.is_file() and path.suffix in _RUINS
    return True


def _is_item_file(path: Path) -> bool:
    return path.suffix in _FILES and not is_images(path) and (path.suffix in _RUINS or _reads(path))
