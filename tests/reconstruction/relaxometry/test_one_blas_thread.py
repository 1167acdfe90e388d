"""Chunks of a fit run side by side, so each has the linear algebra under numpy on one thread, and only meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from knightshift.reconstruction.relaxometry import fit_t2
from knightshift.reconstruction.relaxometry._threads import for_each, one_blas_thread


def _threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def two_threads() -> Iterator[None]:
    with threadpool_limits(2, user_api="blas"):
        yield


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("threads", [1, 2])
def test_work_on_parts_has_one_thread_and_gives_the_others_back(threads: int) -> None:
    assert for_each([0, 1, 2], threads, lambda _: _threads()) == [{1}, {1}, {1}]
    assert _threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_threads_are_given_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        for_each([1, 0], 2, lambda part: 1 / part)
    assert _threads() == {2}


def test_two_at_once_give_the_threads_back() -> None:
    before, together = _threads(), Barrier(2, timeout=30)

    def one(goes_last: bool) -> None:
        with one_blas_thread():
            together.wait()
            if goes_last:
                together.wait()
        if not goes_last:
            together.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, [False, True]))
    assert _threads() == before


@pytest.mark.usefixtures("two_threads")
def test_fit_gives_the_threads_back() -> None:
    times = 4e-3 * np.arange(1, 6)
    fit_t2(np.exp(-times / 16e-3)[:, None] * np.ones(10), times, noise_std=0.01)
    assert _threads() == {2}
