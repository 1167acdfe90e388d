"""Record what a process does to the disk: it stands between ``os`` and its callers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from forgetful_disk import SECTOR, Data, Disk, Names, New, Recording, Size, Step, Sync, changed, read_tree, rename


@contextmanager
def recording(root: Path, ignored: Callable[[str, str], bool] = lambda _call, _path: False) -> Iterator[Recording]:
    """Record all that this process does to the disk below `root`; what it writes past ``os`` is found at the end.

    Parameters
    ----------
    root
        An existing folder.
    ignored
        Told call and path of each ``fsync`` and ``fdatasync``; where it is true, the call does nothing.
    """
    recorder = _Recorder(root, ignored)
    real = {name: getattr(os, name) for name in _Recorder.CALLS}
    for name, call in real.items():
        setattr(os, name, recorder.wrap(name, call))
    try:
        yield recorder.recording
    finally:
        for name, call in real.items():
            setattr(os, name, call)
    assert recorder.disk.tree(lambda _node, pending: pending) == read_tree(root), (
        "something was written past the recorder"
    )


class _Recorder:
    """Stands between ``os`` and its callers."""

    CALLS = (
        "open",
        "close",
        "write",
        "fsync",
        "fdatasync",
        "rename",
        "replace",
        "ftruncate",
        "unlink",
        "mkdir",
        "rmdir",
    )

    def __init__(self, root: Path, ignored: Callable[[str, str], bool]) -> None:
        self.root, self._ignored = root.resolve(), ignored
        self.recording = Recording(read_tree(root))
        self.disk = Disk(self.recording.initial)
        self._names = {node: dict(names) for node, names in self.disk.folders.items()}
        self._descriptors: dict[int, int] = {}
        self._lock = threading.RLock()

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        on_call = getattr(self, f"_on_{name}")

        def recorded(*args: Any, **options: Any) -> Any:
            with self._lock:
                return on_call(real, *args, **options)

        return recorded

    def _step(self, step: Step) -> None:
        self.recording.steps.append(step)
        self.disk.take(step)

    def _find(self, path: Any) -> tuple[int, str] | None:
        """Folder and name of a path below the root; None for one elsewhere."""
        absolute = Path(os.path.abspath(os.fspath(path)))  # noqa: PTH100 - resolve() would follow links
        if self.root not in absolute.parents:
            return None
        *parents, name = absolute.relative_to(self.root).parts
        folder = 0
        for parent in parents:
            folder = self._names[folder][parent]
        return folder, name

    def _node(self, path: Any) -> int | None:
        place = self._find(path)
        return None if place is None else self._names[place[0]].get(place[1])

    def _rename(self, folder: int, *entries: tuple[str, int | None]) -> None:
        step = Names(folder, entries)
        rename(self._names[folder], step)
        self._step(step)

    def _create(self, path: Any, *, is_folder: bool) -> None:
        place = self._find(path)
        if place is None:
            return
        node = len(self.disk.folders) + len(self.disk.files)
        if is_folder:
            self._names[node] = {}
        self._step(New(node, is_folder))
        self._rename(place[0], (place[1], node))

    def _on_open(self, real: Any, given: Any, flags: int, *args: Any, **options: Any) -> int:
        path = _absolute(given, **options)
        existed = os.path.lexists(path)
        descriptor: int = real(given, flags, *args, **options)
        if flags & os.O_CREAT and not existed:
            self._create(path, is_folder=False)
        node = 0 if Path(path).resolve() == self.root else self._node(path)
        if node is not None:
            self._descriptors[descriptor] = node
            if flags & os.O_TRUNC and existed:
                self._step(Size(node, 0))
        return descriptor

    def _on_close(self, real: Any, descriptor: int) -> None:
        self._descriptors.pop(descriptor, None)
        real(descriptor)

    def _on_write(self, real: Any, descriptor: int, content: Any) -> int:
        node = self._descriptors.get(descriptor)
        offset = 0 if node is None else os.lseek(descriptor, 0, os.SEEK_CUR)
        written: int = real(descriptor, content)
        if node is not None:
            self._step(Size(node, max(offset + written, self._size(node))))
            start = offset
            while start < offset + written:
                end = min((start // SECTOR + 1) * SECTOR, offset + written)
                self._step(Data(node, start, bytes(content[start - offset : end - offset])))
                start = end
        return written

    def _size(self, node: int) -> int:
        content = self.disk.files[node]
        for change in self.disk.pending.get(node, []):
            assert not isinstance(change, Names)
            content = changed(content, change)
        return len(content)

    def _on_sync(self, call: str, real: Any, descriptor: int) -> None:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if self._ignored(call, path):
            return
        real(descriptor)
        if descriptor in self._descriptors:
            self._step(Sync(self._descriptors[descriptor]))

    def _on_fsync(self, real: Any, descriptor: int) -> None:
        self._on_sync("fsync", real, descriptor)

    def _on_fdatasync(self, real: Any, descriptor: int) -> None:
        self._on_sync("fdatasync", real, descriptor)

    def _on_ftruncate(self, real: Any, descriptor: int, length: int) -> None:
        real(descriptor, length)
        if descriptor in self._descriptors:
            self._step(Size(self._descriptors[descriptor], length))

    def _on_rename(self, real: Any, source: Any, target: Any) -> None:
        before, after, node = self._find(source), self._find(target), self._node(source)
        real(source, target)
        if before is None and after is None:
            return
        assert before is not None, "something was moved in from outside"
        assert after is not None, "something was moved out"
        if before[0] == after[0]:
            self._rename(before[0], (before[1], None), (after[1], node))
        else:
            self._rename(after[0], (after[1], node))
            self._rename(before[0], (before[1], None))

    _on_replace = _on_rename

    def _on_unlink(self, real: Any, path: Any, **options: Any) -> None:
        place = self._find(_absolute(path, **options))
        real(path, **options)
        if place is not None:
            self._rename(place[0], (place[1], None))

    _on_rmdir = _on_unlink

    def _on_mkdir(self, real: Any, path: Any, *args: Any) -> None:
        real(path, *args)
        self._create(path, is_folder=True)


def _absolute(path: Any, dir_fd: int | None = None, **_options: Any) -> Path:
    """Where a path lies that may be meant from an open folder."""
    return Path(path) if dir_fd is None else Path(f"/proc/self/fd/{dir_fd}").readlink() / path
