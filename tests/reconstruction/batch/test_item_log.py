"""Messages of the workers name their item, and those of nobody else do."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from knightshift.reconstruction.batch.item_log import named_by_item

OURS, OTHERS = logging.getLogger("knightshift.reconstruction.relaxometry.fit"), logging.getLogger("other")


def test_messages_name_the_item_at_work_in_their_thread(caplog: pytest.LogCaptureFixture) -> None:
    together = Barrier(2, timeout=10)

    @named_by_item
    def treat(name: str, loudness: int) -> int:
        together.wait()  # both items are at work at the same time
        OURS.warning("%d %% loud", loudness)
        OTHERS.warning("not ours")
        return loudness

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(treat, ("archive/a", "archive/b"), (10, 20))) == [10, 20]
    OURS.warning("%s after them", "all")
    expected = ["all after them", "archive/a: 10 % loud", "archive/b: 20 % loud", "not ours", "not ours"]
    assert sorted(caplog.messages) == expected


def test_an_item_that_fails_leaves_its_name_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    @named_by_item
    def treat(name: str) -> None:
        raise ValueError(name)

    with pytest.raises(ValueError, match="broken"):
        treat("broken")
    OURS.warning("next")
    assert caplog.messages == ["next"]
