"""The queue on disk: every change whole or not at all, and impossible ones refused."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest
from fakes import EVENING, computation, scan

from knightshift.acquisition.queue import JobEvent, JobState, QueueStore, TransitionError
from knightshift.acquisition.queue.database import FILE_NAME
from knightshift.core.errors import ConfigError, DamagedDataError, InputError


def open_store(folder: Path) -> QueueStore:
    return QueueStore(folder, lambda: EVENING)


@pytest.fixture
def store(tmp_path: Path) -> QueueStore:
    return open_store(tmp_path)


def order(store: QueueStore) -> list[int]:
    return [job.number for job in sorted(store.jobs(), key=lambda job: job.place)]


def test_job_comes_back_as_it_was_asked_for(store: QueueStore, tmp_path: Path) -> None:
    request = scan(deadline=EVENING + 1, priority=3)
    (added,) = store.add(request)
    assert open_store(tmp_path).job(added.number).request == request


def test_file_is_synced_at_every_commit(store: QueueStore) -> None:
    connection = store._database._connection
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL


def test_transition_that_the_table_does_not_know_changes_nothing(store: QueueStore) -> None:
    store.add(scan())
    with pytest.raises(TransitionError, match="job 1 is queued: complete is not possible"):
        store.apply(1, JobEvent.COMPLETE)
    assert store.job(1).state is JobState.QUEUED
    assert len(store.log()) == 1


def test_chain_is_added_whole_or_not_at_all(store: QueueStore) -> None:
    added = store.add(scan(), computation("fit", -1), computation("report", -1, -2))
    assert [job.request.after for job in added] == [(), (1,), (1, 2)]
    with pytest.raises(InputError, match="there is no job 99"):
        store.add(scan(), computation("fit", 99))
    assert len(store.jobs()) == 3


def test_nothing_can_come_after_a_job_that_failed(store: QueueStore) -> None:
    store.add(scan())
    store.cancel(1)
    with pytest.raises(InputError, match="job 1 is cancelled"):
        store.add(computation("fit", 1))


def test_moving_changes_the_order_also_a_thousand_times(store: QueueStore) -> None:
    store.add(scan(), scan(), scan())
    store.move(3, 1)
    assert order(store) == [3, 1, 2]
    store.move(3, None)
    assert order(store) == [1, 2, 3]
    for _ in range(60):
        store.move(3, 2)
        store.move(1, 2)
        assert order(store) == [3, 1, 2]


def test_finished_job_can_be_neither_held_nor_moved_nor_cancelled(store: QueueStore) -> None:
    store.add(scan())
    store.cancel(1)
    for change in (store.hold, store.release, store.cancel, lambda number: store.move(number, None)):
        with pytest.raises(TransitionError, match="job 1 is cancelled"):
            change(1)


def add_some(folder: Path) -> None:
    with open_store(folder) as store:
        for _ in range(20):
            store.add(scan())


def test_many_processes_add_at_once_and_every_job_is_there(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=add_some, args=(tmp_path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    jobs = open_store(tmp_path).jobs()
    assert len({job.number for job in jobs}) == len({job.place for job in jobs}) == 60


def test_file_that_is_no_queue_or_a_newer_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"I am a letter, not a queue. " * 50)
    with pytest.raises(DamagedDataError, match="not a database"):
        open_store(tmp_path)
    newer = tmp_path / "newer"
    open_store(newer)
    with sqlite3.connect(newer / FILE_NAME) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(ConfigError, match="queue format 99"):
        open_store(newer)


def test_request_that_makes_no_sense_in_the_file_is_named(store: QueueStore) -> None:
    store.add(scan())
    with store._database.writing() as connection:
        connection.execute("UPDATE job SET request = '{}'")
    with pytest.raises(DamagedDataError, match="job 1"):
        store.jobs()
