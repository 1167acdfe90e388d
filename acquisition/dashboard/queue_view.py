"""The queue as the live page shows it: who works, what comes, and the night as a time line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from knightshift.acquisition.queue.database import FILE_NAME
from knightshift.acquisition.queue.jobs import Job
from knightshift.acquisition.queue.service_state import service_status
from knightshift.acquisition.queue.store import STOPPED, QueueStore
from knightshift.acquisition.queue.transitions import FINISHED

_FINISHED_SHOWN = 10
_COMING_SHOWN = 100


def queue_state(folder: Path) -> dict[str, Any] | None:
    """Give jobs and service as plain data for the page; times in s since 1970 UTC; None where there is no queue yet.

    Raises
    ------
    ConfigError, DamagedDataError, StorageError
        If the queue cannot be read.
    """
    if not (folder / FILE_NAME).is_file():
        return None
    with QueueStore(folder, time.time) as store:
        jobs, stopped, newest = store.jobs(), store.note(STOPPED), store.newest_time()
    service = service_status(folder, time.time())
    now = max(time.time(), service.heartbeat.beat if service.heartbeat else 0.0, newest)
    over = sorted((job for job in jobs if job.state in FINISHED), key=lambda job: job.ended or 0.0)[-_FINISHED_SHOWN:]
    coming = sorted((job for job in jobs if job.state not in FINISHED), key=_order)[:_COMING_SHOWN]
    return {
        "service": service.state,
        "since": service.since,
        "stopped": stopped,
        "now": now,
        "jobs": [_over(job) for job in over] + _planned(coming, now),
    }


def _order(job: Job) -> tuple[bool, bool, int, float]:
    return not job.in_hand, job.held, -job.request.priority, job.place


def _facts(job: Job) -> dict[str, Any]:
    return {
        "number": job.number,
        "name": job.request.name,
        "kind": job.request.kind,
        "state": job.state,
        "held": job.held,
        "reason": job.reason,
        "n_committed": job.n_committed,
        "n_passes": job.n_passes,
        "over": job.state in FINISHED,
    }


def _over(job: Job) -> dict[str, Any]:
    return _facts(job) | {"begins": job.started or job.ended, "ends": job.ended}


def _planned(coming: list[Job], now: float) -> list[dict[str, Any]]:
    """Lay the jobs one behind the other, as they would follow if nothing came between.

    An estimate for the eye: windows of the night and deadlines are the scheduler's business.
    """
    rows, free = [], now
    for job in coming:
        left = job.remaining
        begins = max(free, job.request.not_before or free)
        if job.in_hand and job.started is not None:
            begins = min(job.started, now)
        ends = max(begins, now if job.in_hand else begins) + left
        if job.request.scan is not None and not job.held:
            free = ends
        rows.append(_facts(job) | {"begins": begins, "ends": ends})
    return rows
