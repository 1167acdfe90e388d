"""The SQLite file of a queue: durable to the last committed transaction, readable while the scheduler writes."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from knightshift.core.errors import ConfigError, DamagedDataError, StorageError

FILE_NAME = "queue.sqlite"
FORMAT_VERSION = 2
"""Version of the tables that this code writes; version 1 is brought up to it on opening."""
_PATIENCE = 10.0
"""How long to wait for another process that writes [s]."""

_TABLES = """
CREATE TABLE job (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL,
    state TEXT NOT NULL,
    place REAL NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    held INTEGER NOT NULL DEFAULT 0,
    cancel_asked INTEGER NOT NULL DEFAULT 0,
    paused INTEGER NOT NULL DEFAULT 0,
    earliest REAL NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0,
    n_committed INTEGER NOT NULL DEFAULT 0,
    n_passes INTEGER NOT NULL DEFAULT 0,
    averages INTEGER,
    run_name TEXT,
    result TEXT,
    created REAL NOT NULL,
    started REAL,
    ended REAL
) STRICT;
CREATE TABLE event (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL,
    number INTEGER,
    event TEXT NOT NULL,
    before TEXT,
    after TEXT,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX event_of_job ON event (number);
CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
_FROM_VERSION = {
    0: _TABLES,
    1: "ALTER TABLE job ADD COLUMN paused INTEGER NOT NULL DEFAULT 0",
}
"""What brings a file of a version up to the present one; 0 is an empty file."""


class Database:
    """One connection to the queue in `folder`. Every write is one transaction, synced to disk before it returns.

    Parameters
    ----------
    folder
        Folder of the queue; made if needed.

    Raises
    ------
    ConfigError
        If the folder cannot be used, or holds a queue of another version.
    DamagedDataError
        If the file is not a queue.
    StorageError
        If the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{folder}: cannot hold a queue: {error.strerror or error}: give a writable folder with --queue"
            ) from error
        with self._translated():
            # autocommit: transactions are begun by hand, so that none is ever open unseen
            self._connection = sqlite3.connect(
                self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
        self._prepare()

    def _prepare(self) -> None:
        version = self._version()
        if version in _FROM_VERSION:
            with self.writing() as connection:
                if self._version() == version:  # nobody else was quicker
                    for statement in filter(str.strip, _FROM_VERSION[version].split(";")):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version={FORMAT_VERSION:d}")
        elif version != FORMAT_VERSION:
            raise ConfigError(
                f"{self.path}: queue format {version}, this knightshift reads {FORMAT_VERSION}: use the version of "
                "knightshift that wrote it, or another folder with --queue"
            )

    def _version(self) -> int:
        with self._translated():
            return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Write in one transaction: all of it is durable on leaving, or none of it happened."""
        with self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read one consistent state, also while another process writes."""
        with self._translated():
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise self._in_our_words(error) from error

    def _in_our_words(self, error: sqlite3.DatabaseError) -> ConfigError | DamagedDataError | StorageError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            remedy = "move it away, and restore a copy or add the jobs again; runs are not touched by this"
            return DamagedDataError(self.path, "queue", str(error), remedy)
        if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY}:
            return ConfigError(f"{self.path}: cannot be written: {error}: give a writable folder with --queue")
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return StorageError(f"{self.path}: another process keeps it busy for {_PATIENCE:g} s: try again")
        return StorageError(f"{self.path}: {error}: free space on the disk or make it writable, then try again")

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()
