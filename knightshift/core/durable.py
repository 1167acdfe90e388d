"""Files that are whole or absent, also after a power cut: write aside, sync, rename, sync the folder.

``fsync`` of a file makes its bytes durable, not its name: the name lives in the folder, which is synced too.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from knightshift.core.errors import DamagedDataError, StorageError

PART_SUFFIX = ".part"
"""Ending of a file that is being written; what still has it after a crash was never committed."""


def storage_error(path: Path, doing: str, error: OSError) -> StorageError:
    """Say in words what the disk refused, and what to do."""
    return StorageError(
        f"{path}: {doing} failed: {error.strerror or error}: "
        "free space on the disk or make it writable, then run the same again (an acquisition: `knightshift resume`)"
    )


def make_folder(folder: Path, doing: str = "making the output folder") -> None:
    """Make a folder for results, and those above it, if they are not there.

    Raises
    ------
    StorageError
        If the disk refuses; `doing` says at what.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, doing, error) from error


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte: one `os.write` may write fewer than asked."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the bytes of a file durable that another library has written and closed. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes, write: Callable[[int, bytes], None] = write_all) -> None:
    """Write `content` to `path`, so that after a crash at any moment the file is complete or not there.

    Parameters
    ----------
    path
        The file.
    content
        All of it.
    write
        Writes bytes to a descriptor; another one only where a failing disk is rehearsed.

    Raises
    ------
    StorageError
        If the disk refuses at any step. Nothing half-written is left behind.
    """
    part = path.with_name(path.name + PART_SUFFIX)
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        try:
            write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(part, path)  # noqa: PTH104 - one system call, visible as such
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise storage_error(path, "writing", error) from error


@contextlib.contextmanager
def part_of(path: Path, doing: str) -> Iterator[Path]:
    """Lend a name under which another library writes a file; `path` then appears complete, or not at all.

    Parameters
    ----------
    path
        The file.
    doing
        What is done, for messages: "writing images".

    Yields
    ------
    Path
        Where to write; closed again when the block ends.

    Raises
    ------
    StorageError
        If the disk refuses at any step. Nothing half-written is left behind.
    """
    part = path.with_name(path.name + PART_SUFFIX)
    try:
        yield part
        sync_file(part)
        move_durably(part, path)
    except OSError as error:
        raise storage_error(path, doing, error) from error
    finally:
        part.unlink(missing_ok=True)


def move_durably(source: Path, target: Path) -> None:
    """Rename within one file system and make both names durable.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    try:
        source.rename(target)
        sync_folder(target.parent)
        if source.parent != target.parent:
            sync_folder(source.parent)
    except OSError as error:
        raise storage_error(source, f"moving to {target}", error) from error


def read_regular_file(path: Path, max_bytes: int, skip: int = 0) -> bytes:
    """Read a plain file; a link, a pipe, a folder or an oversized file is refused.

    Parameters
    ----------
    path
        The file.
    max_bytes
        Largest size accepted, so that a file cannot fill the memory.
    skip
        Bytes at its beginning that are left out: what is known of a file that grows.

    Raises
    ------
    DamagedDataError
        If the file is missing, not a regular file, too large, shorter than `skip` or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise DamagedDataError(path, "file", "is not a regular file")
            if status.st_size > max_bytes:
                raise DamagedDataError(path, "file", f"{status.st_size} bytes, at most {max_bytes} were expected")
            if status.st_size < skip:
                raise DamagedDataError(path, "file", f"{status.st_size} bytes, it had {skip} before")
            file.seek(skip)
            return file.read(max_bytes + 1)
    except OSError as error:
        raise DamagedDataError(path, "file", f"cannot be read: {error.strerror or error}") from error
