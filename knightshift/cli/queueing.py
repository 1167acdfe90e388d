"""`knightshift queue list|show|move|hold|release|cancel|log`, `status` and `install-service`."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knightshift.acquisition.local_time import local_zone
from knightshift.acquisition.queue.service_state import ServiceStatus, service_status
from knightshift.acquisition.queue.store import SCANNER, STOPPED, QueueStore
from knightshift.acquisition.queue.transitions import FINISHED, JobState
from knightshift.core.errors import ConfigError, DamagedDataError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from knightshift.acquisition.queue.jobs import Job
    from knightshift.acquisition.stop_rules.progress import RuleProgress

_DEFAULT_SCANNER = "simulated"
_FINISHED_SHOWN = 10


def console() -> Console:
    """Give a console for the output of a command."""
    from rich.console import Console

    return Console()


def folder_of(queue: Path | None) -> Path:
    """Find the folder of the queue: what was given, or that of this user."""
    if queue is not None:
        return queue.resolve()
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "knightshift" / "queue"


def open_queue(queue: Path | None) -> QueueStore:
    """Open the queue, made if there is none yet."""
    return QueueStore(folder_of(queue), time.time)


def scanner_of_queue(store: QueueStore, wanted: str | None) -> str:
    """Find the scanner of a queue: the first one that was named stays. Raises `InputError` for another one."""
    known = store.note(SCANNER)
    name = wanted or known or _DEFAULT_SCANNER
    path = Path(name)
    name = str(path.resolve()) if path.is_file() else name
    if known and name != known:
        raise InputError(
            f"{store.folder}: is the queue of scanner {known}, not of {name}: give another folder with --queue"
        )
    if not known:
        store.set_note(SCANNER, name)
    return name


def list_jobs(queue: Path | None, *, everything: bool, as_json: bool) -> None:
    """Print the jobs in their order: those in hand, those to come, the newest that are over."""
    with open_queue(queue) as store:
        jobs, stopped = store.jobs(), store.note(STOPPED)
    over = sorted((job for job in jobs if job.state in FINISHED), key=lambda job: job.ended or 0.0)
    hidden = 0 if everything else max(0, len(over) - _FINISHED_SHOWN)
    coming = sorted((job for job in jobs if job.state not in FINISHED), key=_order)
    shown = over[hidden:] + coming
    if as_json:
        _print_json([_plain(job) for job in shown])
        return
    _print_table([_cells(job) for job in shown], ("job", "kind", "name", "state", "passes", "hours", "prio", "reason"))
    if hidden:
        sys.stdout.write(f"{hidden} more are over: --all shows them\n")
    if stopped:
        sys.stdout.write(f"the queue is stopped: {stopped}\n")


def _order(job: Job) -> tuple[bool, int, float]:
    return not job.in_hand, -job.request.priority, job.place


def _cells(job: Job) -> tuple[str, ...]:
    request = job.request
    return (
        str(job.number),
        request.kind,
        request.name[:32],
        job.state + (" (held)" if job.held else ""),
        f"{job.n_committed}/{job.n_passes}" if job.n_passes else "",
        f"{request.duration / 3600:.2f}" if request.scan else "",
        str(request.priority),
        job.reason,
    )


def _print_table(rows: Sequence[tuple[str, ...]], headings: tuple[str, ...]) -> None:
    """Print columns; a thousand rows of a decorated table would take longer than the rest of the command."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    for row in (headings, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _plain(job: Job) -> dict[str, Any]:
    request = job.request.model_dump(mode="json")
    return {key: value for key, value in asdict(job).items() if key != "request"} | {"request": request}


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_job(queue: Path | None, number: int, *, as_json: bool) -> None:
    """Print one job with its history."""
    with open_queue(queue) as store:
        job, log = store.job(number), store.log(number)
    if as_json:
        _print_json(_plain(job) | {"log": [asdict(entry) for entry in log]})
        return
    request = job.request
    facts = {
        "job": f"{job.number}: {request.kind} {request.name}",
        "state": job.state + (f": {job.reason}" if job.reason else ""),
        "priority": str(request.priority),
        "time": f"{request.duration / 3600:.3f} h" if request.scan else "",
        "disk": f"{_bytes(job) / 1e6:.0f} MB" if request.scan else "",
        "not before": _moment(request.not_before),
        "deadline": _moment(request.deadline),
        "window": str(request.window or ""),
        "if late": request.when_late,
        "if it fails": f"{request.on_failure.retries} retries, then {request.on_failure.then}",
        "if interrupted": request.on_interruption,
        "after": ", ".join(f"job {other}" for other in request.after),
        "passes": f"{job.n_committed} of {job.n_passes}" if job.n_passes else "",
        "result": job.result or "",
        "begun": _moment(job.started),
        "over": _moment(job.ended),
    }
    for name, value in facts.items():
        if value:
            sys.stdout.write(f"{name:<15} {value}\n")
    sys.stdout.write("\n")
    _print_log_lines(log)


def _bytes(job: Job) -> int:
    task = job.request.scan
    return 0 if task is None else (job.averages or task.averages) * task.bytes_per_average


def _moment(moment: float | None) -> str:
    return "" if moment is None else datetime.fromtimestamp(moment, local_zone()).strftime("%a %d %b %Y, %H:%M:%S %Z")


def _print_log_lines(log: Sequence[Any]) -> None:
    for entry in log:
        when = datetime.fromtimestamp(entry.time, local_zone()).strftime("%d %b %H:%M:%S")
        job = f"job {entry.number}" if entry.number is not None else "queue"
        change = f"{entry.before or '-'} -> {entry.after}" if entry.after and entry.after != entry.before else ""
        sys.stdout.write(f"{when}  {job:<9} {entry.event:<12} {change:<24} {entry.reason}".rstrip() + "\n")


def print_log(queue: Path | None, number: int | None, newest: int, *, as_json: bool) -> None:
    """Print the history of the queue, or of one job."""
    with open_queue(queue) as store:
        if number is not None:
            store.job(number)  # says so if there is none
        log = store.log(number, newest)
    if as_json:
        _print_json([asdict(entry) for entry in log])
        return
    _print_log_lines(log)


def move_job(queue: Path | None, number: int, before: int | None) -> None:
    """Change the order."""
    with open_queue(queue) as store:
        store.move(number, before)
    sys.stdout.write(f"job {number} moved {'to the end' if before is None else f'before job {before}'}\n")


def hold_job(queue: Path | None, number: int) -> None:
    """Keep a job from beginning."""
    with open_queue(queue) as store:
        job = store.hold(number)
    after_pass = ": it is suspended after its pass" if job.in_hand else ""
    sys.stdout.write(f"job {number} is held{after_pass}: `knightshift queue release {number}` lets it go on\n")


def release_job(queue: Path | None, number: int | None) -> None:
    """Let a job, or the whole queue, go on."""
    with open_queue(queue) as store:
        if number is None:
            store.set_note(STOPPED, "")
            sys.stdout.write("the queue goes on\n")
            return
        job = store.release(number)
    sys.stdout.write(f"job {number} ({job.state}) goes on when it is its turn\n")


def cancel_job(queue: Path | None, number: int) -> None:
    """Take a job out."""
    with open_queue(queue) as store:
        job = store.cancel(number)
    done = "is cancelled" if job.state is JobState.CANCELLED else "is stopped after its pass; what it acquired is kept"
    sys.stdout.write(f"job {number} {done}\n")


def print_status(queue: Path | None, *, as_json: bool) -> None:
    """Say whether the scheduler is at work, or since when not, and how far the jobs are."""
    now = time.time()
    folder = folder_of(queue)
    with open_queue(queue) as store:
        jobs, scanner, stopped = store.jobs(), store.note(SCANNER), store.note(STOPPED)
    service = service_status(folder, now)
    in_hand = [job for job in jobs if job.in_hand]
    counts = {state: sum(job.state is state for job in jobs) for state in JobState}
    if as_json:
        _print_json(
            {
                "queue": str(folder),
                "scanner": scanner or None,
                "service": service.model_dump(mode="json"),
                "stopped": stopped or None,
                "jobs": {str(state): count for state, count in counts.items()},
                "in_hand": [
                    _plain(job) | {"rules": [progress.payload() for progress in _rules_of(job)]} for job in in_hand
                ],
                "failed": [_plain(job) for job in _newest_failures(jobs)],
            }
        )
        return
    sys.stdout.write(f"{_service_words(service, now)}\n")
    if stopped:
        sys.stdout.write(f"the queue is stopped: {stopped}\n")
    for job in in_hand:
        why = f" ({job.reason})" if job.paused else ""
        sys.stdout.write(f"job {job.number} ({job.request.name}) is {job.state}{why}{_how_far(job, service, now)}\n")
        for progress in _rules_of(job):
            sys.stdout.write(f"  {progress.line(local_zone())}\n")
    for job in _newest_failures(jobs):
        sys.stdout.write(f"job {job.number} ({job.request.name}) has failed: {job.reason}\n")
    words = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    sys.stdout.write(f"jobs: {words or 'none'} (scanner {scanner or 'not chosen yet'}, {folder})\n")


def _newest_failures(jobs: Sequence[Job]) -> list[Job]:
    """Pick the failed jobs of the last day of work, the newest last, no more than three: all are in `queue list`."""
    ends = [job.ended for job in jobs if job.ended is not None]
    since = max(ends, default=0.0) - 86400.0
    failed = [job for job in jobs if job.state is JobState.FAILED and job.ended is not None and job.ended >= since]
    return sorted(failed, key=lambda job: (job.ended or 0.0, job.number))[-3:]


def _service_words(service: ServiceStatus, now: float) -> str:
    if service.since is None or service.heartbeat is None:
        return "no scheduler has worked here yet: start one with `knightshift run-queue`"
    ago = max(0.0, now - service.since)
    since = f"{_moment(service.since)} ({ago / 3600:.1f} h ago)" if ago > 3600 else f"{_moment(service.since)}"
    holder = service.heartbeat.holder
    match service.state:
        case "running":
            return f"the scheduler is at work since {since} (process {holder.pid} on {holder.host})"
        case "late":
            return f"the scheduler (process {holder.pid} on {holder.host}) gives no sign since {since}: look after it"
        case "stopped":
            return f"the scheduler was stopped, {since}: `knightshift run-queue` goes on"
        case _:
            return f"the scheduler is dead since {since}: `knightshift run-queue` goes on where it was"


def _rules_of(job: Job) -> tuple[RuleProgress, ...]:
    """Tell how far the stop rules of a job in hand are; none where it has none, or no journal that can be read."""
    if job.request.scan is None or job.request.scan.stop_rules is None or job.result is None:
        return ()
    from knightshift.acquisition.stop_rules.progress import progress_of
    from knightshift.core.journal import read_journal
    from knightshift.core.run_folder import JOURNAL

    try:
        return progress_of(read_journal(Path(job.result) / JOURNAL).events)
    except (ConfigError, DamagedDataError):
        return ()  # `status` tells of the queue; `verify` tells of the run


def _how_far(job: Job, service: ServiceStatus, now: float) -> str:
    if not job.n_passes:
        return ""
    words = f": {job.n_committed} of {job.n_passes} passes"
    if service.state == "running":
        words += f", over by {_moment(now + job.remaining)}"
    return f"{words}, in {job.result}" if job.result else words


def write_unit(queue: Path | None, scanner: str | None, output: Path | None, *, system: bool) -> None:
    """Print a systemd unit, or write it and say what to do next."""
    from knightshift.acquisition.queue.systemd_unit import systemd_unit

    folder = folder_of(queue)
    with open_queue(queue) as store:
        name = scanner_of_queue(store, scanner)
    command = [sys.executable, "-m", "knightshift.cli", "run-queue", "--queue", str(folder), "--scanner", name]
    environment = {key: os.environ[key] for key in ("TZ",) if os.environ.get(key)}
    text = systemd_unit(command, name, Path.cwd(), environment=environment, system=system)
    if output is None:
        sys.stdout.write(text)
        return
    path = output.expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    control = "systemctl" if system else "systemctl --user"
    sys.stdout.write(
        f"wrote {path}\nnow: {control} daemon-reload && {control} enable --now {path.name}\n"
        + ("" if system else "and, so that it runs without anyone logged in: loginctl enable-linger\n")
    )
