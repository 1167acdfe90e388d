"""A disk that forgets: what a process did to it step by step, and the states that a power cut may leave behind.

The model: bytes are certain once their file was synced, names once their folder was. Of all else any part may be there,
in any order: each 512-byte sector of a write by itself, the new size of a file without its bytes (zeros), a rename
without the creation before it. A rename within one folder is atomic, one into another folder is two changes.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

SECTOR = 512
Tree: TypeAlias = dict[str, "bytes | Tree"]
"""Files and folders by name."""


@dataclass(frozen=True)
class New:
    """There is a new file or folder, empty and without a name."""

    node: int
    is_folder: bool


@dataclass(frozen=True)
class Names:
    """Names of one folder change, all at once; None: the name goes."""

    folder: int
    entries: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True)
class Data:
    """Bytes are written, at most one sector."""

    file: int
    offset: int
    content: bytes


@dataclass(frozen=True)
class Size:
    """A file is made longer (with zeros) or shorter."""

    file: int
    size: int


@dataclass(frozen=True)
class Sync:
    """All that was asked of a file or folder is durable now."""

    node: int


@dataclass(frozen=True)
class Claim:
    """The run says that a pass is committed."""

    index: int


Step: TypeAlias = New | Names | Data | Size | Sync | Claim


@dataclass
class Recording:
    """What happened below one folder, step by step."""

    initial: Tree
    """What was there, durable, when the recording began."""
    steps: list[Step] = field(default_factory=list)

    def claims(self, n_steps: int) -> set[int]:
        """Passes that the run has called committed within so many steps."""
        return {step.index for step in self.steps[:n_steps] if isinstance(step, Claim)}


def read_tree(folder: Path) -> Tree:
    return {path.name: read_tree(path) if path.is_dir() else path.read_bytes() for path in folder.iterdir()}


def write_tree(tree: Tree, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tree.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            write_tree(content, folder / name)


class Disk:
    """What is durable, and what is pending, after some steps. Node 0 is the root."""

    def __init__(self, initial: Tree) -> None:
        self.folders: dict[int, dict[str, int]] = {}
        self.files: dict[int, bytes] = {}
        self.pending: dict[int, list[Names | Data | Size]] = {}
        self._load(initial)

    def _load(self, tree: Tree) -> int:
        node = self.new(is_folder=True)
        for name, content in tree.items():
            if isinstance(content, bytes):
                child = self.new(is_folder=False)
                self.files[child] = content
            else:
                child = self._load(content)
            self.folders[node][name] = child
        return node

    def new(self, *, is_folder: bool) -> int:
        node = len(self.folders) + len(self.files)
        if is_folder:
            self.folders[node] = {}
        else:
            self.files[node] = b""
        return node

    def take(self, step: Step) -> None:
        if isinstance(step, New):
            assert self.new(is_folder=step.is_folder) == step.node
        elif isinstance(step, Claim):
            pass
        elif isinstance(step, Sync):
            for change in self.pending.pop(step.node, []):
                self._make_durable(change)
        else:
            self.pending.setdefault(step.folder if isinstance(step, Names) else step.file, []).append(step)

    def _make_durable(self, change: Names | Data | Size) -> None:
        if isinstance(change, Names):
            rename(self.folders[change.folder], change)
        else:
            self.files[change.file] = changed(self.files[change.file], change)

    def tree(self, choose: Callable[[int, Sequence[Any]], Iterable[Any]]) -> Tree:
        """Give the files and folders, if of the changes pending for each node those happen that `choose` picks."""

        def content(node: int) -> bytes | Tree:
            chosen = choose(node, self.pending.get(node, []))
            if node in self.files:
                bytes_ = self.files[node]
                for change in chosen:
                    bytes_ = changed(bytes_, change)
                return bytes_
            names = dict(self.folders[node])
            for change in chosen:
                rename(names, change)
            return {name: content(child) for name, child in names.items()}

        tree = content(0)
        assert isinstance(tree, dict)
        return tree


def rename(names: dict[str, int], change: Names) -> None:
    for name, node in change.entries:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def changed(content: bytes, change: Data | Size) -> bytes:
    if isinstance(change, Size):
        return content[: change.size].ljust(change.size, b"\0")
    padded = content.ljust(change.offset, b"\0")
    return padded[: change.offset] + change.content + padded[change.offset + len(change.content) :]


def states_after(recording: Recording, n_steps: int, n_random: int, chance: random.Random) -> Iterator[Tree]:
    """Give states that a power cut after `n_steps` may leave: all of them where they are few, else a choice.

    The choice: nothing pending happened; all of it; all for one file or folder and nothing for the others; the other
    way round; and `n_random` drawn ones.
    """
    disk = Disk(recording.initial)
    for step in recording.steps[:n_steps]:
        disk.take(step)
    pending = {node: changes for node, changes in disk.pending.items() if changes}
    if sum(map(len, pending.values())) <= n_random.bit_length() + 1:
        subsets = [list(_subsets(changes)) for changes in pending.values()]
        for chosen in itertools.product(*subsets):
            of_node = dict(zip(pending, chosen, strict=True))
            yield disk.tree(lambda node, _changes, of_node=of_node: of_node.get(node, ()))
        return
    yield disk.tree(lambda _node, _changes: ())
    yield disk.tree(lambda _node, changes: changes)
    for one in pending:
        yield disk.tree(lambda node, changes, one=one: changes if node == one else ())
        yield disk.tree(lambda node, changes, one=one: () if node == one else changes)
    for _ in range(n_random):
        yield disk.tree(lambda _node, changes: _some(changes, chance))


def _subsets(changes: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Every subset, in the order in which its members were asked for."""
    return itertools.chain.from_iterable(itertools.combinations(changes, size) for size in range(len(changes) + 1))


def _some(changes: Sequence[Any], chance: random.Random) -> list[Any]:
    share = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    return [change for change in changes if chance.random() < share]


def fingerprint(tree: Mapping[str, Any]) -> int:
    """Tell states apart, so that none is tried twice."""
    return hash(tuple(sorted((name, c if isinstance(c, bytes) else fingerprint(c)) for name, c in tree.items())))
