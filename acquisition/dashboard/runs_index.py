"""The runs of a folder, newest first. A name from outside counts only if it is one of these."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from knightshift.acquisition.dashboard.run_watch import RunWatch
from knightshift.acquisition.run_lock import living_holder
from knightshift.core.errors import InputError
from knightshift.core.run_folder import JOURNAL, LOCK, MANIFEST

_LISTED = 100
_FOLLOWED = 4


@dataclass(frozen=True)
class RunEntry:
    """One run in the list."""

    name: str
    """Name of its folder."""
    changed: float
    """When its journal was last written, by the disk's clock: seconds since the Unix epoch (UTC)."""
    acquiring: bool
    """Whether a process acquires into it."""


class RunsIndex:
    """Finds runs in a folder, and follows those that are looked at.

    Parameters
    ----------
    folder
        Folder that holds the runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._followed: OrderedDict[str, RunWatch] = OrderedDict()

    def entries(self) -> list[RunEntry]:
        """Give the newest runs, those that are being acquired first."""
        found = [entry for path in self._paths() if (entry := _entry(path)) is not None]
        return sorted(found, key=lambda entry: (entry.acquiring, entry.changed), reverse=True)[:_LISTED]

    def _paths(self) -> list[Path]:
        try:
            return [path for path in self._folder.iterdir() if not path.name.startswith(".") and not path.is_symlink()]
        except OSError:
            return []

    def path(self, name: str) -> Path:
        """Find the folder of a run by its name. Raises `InputError` if the folder holds no run of that name."""
        for path in self._paths():
            if path.name == name and (path / MANIFEST).is_file():
                return path
        raise InputError(f"{self._folder}: there is no run {name!r}")

    def watch(self, name: str) -> RunWatch:
        """Give the follower of a run, up to date.

        Raises
        ------
        InputError
            If there is no such run.
        ConfigError, DamagedDataError
            If it cannot be read.
        """
        path = self.path(name)
        if name not in self._followed:
            self._followed[name] = RunWatch(path)
            while len(self._followed) > _FOLLOWED:
                self._followed.popitem(last=False)
        self._followed.move_to_end(name)
        watch = self._followed[name]
        watch.refresh()
        return watch


def _entry(path: Path) -> RunEntry | None:
    try:
        if not (path / MANIFEST).is_file():
            return None
        changed = (path / JOURNAL).stat().st_mtime
    except OSError:
        return None
    return RunEntry(path.name, changed, living_holder(path / LOCK) is not None)
