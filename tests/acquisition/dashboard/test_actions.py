"""Actions are off by default, need the token by hand, are journaled, and do what they say."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from dashboard_visit import TOKEN, scan, visit
from fake_scanner import FakeScanner, acquire_tiny, measurement
from starlette.testclient import TestClient

from knightshift.acquisition import ProgressKind, acquire
from knightshift.acquisition.dashboard import DashboardSettings
from knightshift.acquisition.outside_stop import STOP_WISH, ask_to_stop, take_stop_wish
from knightshift.acquisition.queue.store import QueueStore
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import InputError
from knightshift.core.manifest import RunSetup
from knightshift.core.run_folder import open_run


def act(visitor: TestClient, token: str = TOKEN, **action: Any) -> tuple[int, dict[str, str]]:
    answer = visitor.post("/api/actions", json=action, headers={"X-Knightshift-Token": token})
    return answer.status_code, answer.json()


def test_off_by_default(runs: Path) -> None:
    with visit(DashboardSettings(runs, TOKEN, previews=False)) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        status, said = act(client, action="stop", run="x")
    assert status == 403
    assert "--actions" in said["error"]


def test_being_signed_in_is_not_enough(visitor: TestClient, runs: Path) -> None:
    with QueueStore(runs.parent / "queue", lambda: 1.8e9) as store:
        store.add(scan("first"))
        for token in ("", "wrong", TOKEN.upper()):
            assert act(visitor, token, action="hold", job=1)[0] == 403
        assert not store.job(1).held


def test_the_queue_is_changed_and_its_history_says_from_where(visitor: TestClient, runs: Path) -> None:
    with QueueStore(runs.parent / "queue", lambda: 1.8e9) as store:
        store.add(scan("first"), scan("second"))
        assert act(visitor, action="hold", job=1)[0] == 200
        assert store.job(1).held
        assert act(visitor, action="release", job=1)[0] == 200
        assert act(visitor, action="move", job=2, before=1)[0] == 200
        assert store.job(2).place < store.job(1).place
        assert act(visitor, action="cancel", job=2)[0] == 200
        assert sum("live page" in entry.reason for entry in store.log()) >= 4


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b'{"action":"eval","code":"1"}',
        b'{"action":"stop","run":"../x"}',
        b'{"action":"stop","run":"x","more":1}',
        b'{"action":"hold","job":-1}',
        b'{"action":"hold","job":99}',
        b"\xff\xfe",
        b"{" * 2000,
    ],
)
def test_anything_else_is_refused_in_words(visitor: TestClient, content: bytes) -> None:
    answer = visitor.post("/api/actions", content=content, headers={"X-Knightshift-Token": TOKEN})
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_long_action_is_not_read_to_its_end(visitor: TestClient) -> None:
    answer = visitor.post("/api/actions", content=b" " * 100_000, headers={"X-Knightshift-Token": TOKEN})
    assert answer.status_code == 413


def test_nothing_to_stop_where_nobody_acquires(visitor: TestClient, runs: Path) -> None:
    (path,) = runs.iterdir()
    status, said = act(visitor, action="stop", run=path.name)
    assert status == 400
    assert "nothing to stop" in said["error"]
    assert not (path / STOP_WISH).exists()


def test_a_wish_from_outside_stops_the_run_after_its_pass(tmp_path: Path) -> None:
    runs, clock = tmp_path / "runs", VirtualClock()
    what = measurement(n_passes=50)

    def watch(event: Any) -> None:
        if event.kind is ProgressKind.COMMITTED and event.n_committed == 5:
            thread = threading.Thread(target=wish_from_another_process, args=(event.run_path,))
            thread.start()
            thread.join()

    def wish_from_another_process(path: Path) -> None:
        (path / STOP_WISH).write_text('{"who":"the live page","asked":1.0}')

    result = acquire(what, FakeScanner(clock), runs, setup=RunSetup(clock="virtual"), clock=clock, on_progress=watch)
    assert result.reason == "the live page"
    assert 5 <= result.n_committed <= 7
    assert [event.payload["who"] for event in open_run(result.path).events() if event.event == "stop_asked"] == [
        "the live page"
    ]
    assert take_stop_wish(result.path) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 10_000])
def test_an_unreadable_wish_is_a_wish_all_the_same(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STOP_WISH).write_bytes(content)
    wish = take_stop_wish(tmp_path)
    assert wish is not None
    assert STOP_WISH in wish.who
    assert take_stop_wish(tmp_path) is None


def test_asking_a_run_that_is_over_is_an_error(tmp_path: Path) -> None:
    result = acquire_tiny(tmp_path / "runs")
    with pytest.raises(InputError, match="nothing to stop"):
        ask_to_stop(result.path, "a test")
