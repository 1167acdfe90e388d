"""The same work on parts of an image, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Part = TypeVar("_Part")
_Result = TypeVar("_Result")


def for_each(parts: Sequence[_Part], threads: int, work: Callable[[_Part], _Result]) -> list[_Result]:
    """Do the work on every part and return what it returns; raises what the work raises."""
    if threads == 1 or len(parts) == 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))


def parts_of(count: int, size: int) -> list[slice]:
    """Slices of `size` that cover a range, the last one shorter."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
