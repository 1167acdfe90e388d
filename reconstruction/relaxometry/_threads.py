"""The same work on parts of an image, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Part = TypeVar("_Part")


def for_each(parts: Sequence[_Part], threads: int, work: Callable[[_Part], None]) -> None:
    """Do the work on every part; raises what the work raises."""
    if threads == 1 or len(parts) == 1:
        for part in parts:
            work(part)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, parts))


def parts_of(count: int, size: int) -> list[slice]:
    """Slices of `size` that cover a range, the last one shorter."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
