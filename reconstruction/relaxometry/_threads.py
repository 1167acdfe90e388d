"""The same work on parts of an image, several at a time, each on one thread of the linear algebra under numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any, TypeVar

_LIMITED = Lock()
_Part = TypeVar("_Part")
_Result = TypeVar("_Result")


@lru_cache(maxsize=1)
def _linear_algebra() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Multiply matrices on one thread: many small ones on several wait for each other longer than they work.

    Of several at once the first sets the limit, which is of the whole process, and lifts it when it ends.
    """
    if not _LIMITED.acquire(blocking=False):
        yield
        return
    try:
        with _linear_algebra().limit(limits=1, user_api="blas"):
            yield
    finally:
        _LIMITED.release()


def for_each(parts: Sequence[_Part], threads: int, work: Callable[[_Part], _Result]) -> list[_Result]:
    """Do the work on every part and return what it returns; raises what the work raises."""
    with one_blas_thread():
        if threads == 1 or len(parts) == 1:
            return [work(part) for part in parts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, parts))


def parts_of(count: int, size: int) -> list[slice]:
    """Slices of `size` that cover a range, the last one shorter."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
