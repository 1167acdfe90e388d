"""Tell whether the raw data of an item are still those of the last batch: a digest over all that it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from knightshift.core.errors import DamagedDataError
from knightshift.core.run_folder import DERIVED, LOCK

_NOT_DATA = frozenset({LOCK, DERIVED, "quarantine"})
_PIECE = 1 << 20


def content_digest(source: Path) -> str:
    """SHA-256 (hex) over names, sizes and bytes of the files of an item, in order of their names.

    Raises
    ------
    DamagedDataError
        If a file cannot be read.
    """
    files = [source] if source.is_file() else _files(source)
    digest = hashlib.sha256()
    for path in files:
        name = path.relative_to(source.parent).as_posix()
        try:
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
        except OSError as error:
            raise DamagedDataError(path, "file", f"cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def digest_with_files(source: Path, files: Iterable[Path]) -> str:
    """Digest of an item and of the masks and maps that it is fitted with, as far as they are there.

    Raises
    ------
    DamagedDataError
        If a file cannot be read.
    """
    digests = [content_digest(source), *(content_digest(file) for file in files if file.is_file())]
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    """Regular files of a folder and those below; not the lock of a run, nor what is made from its passes."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DamagedDataError(folder, "folder", f"cannot be read: {error.strerror or error}") from error
    files: list[Path] = []
    for path in entries:
        if path.name in _NOT_DATA or path.is_symlink():
            continue
        if path.is_dir():
            files += _files(path)
        elif path.is_file():
            files.append(path)
    return files
