"""`knightshift queue add`: from words to jobs, refused at once if they cannot be."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from knightshift.acquisition.local_time import NightWindow, local_text, local_zone, parse_moment
from knightshift.acquisition.queue.jobs import FailurePolicy, Job, JobKind, JobRequest, ProcessingTask, ScanTask
from knightshift.acquisition.queue.store import QueueStore
from knightshift.cli.queueing import console, open_queue, scanner_of_queue
from knightshift.cli.stop_options import StopChoices
from knightshift.core.durable import write_durably
from knightshift.core.errors import InputError
from knightshift.core.yaml_files import find_config, read_yaml

if TYPE_CHECKING:
    from knightshift.acquisition.planner import NightPlan
    from knightshift.acquisition.stop_rules import StopRules

_COMPUTATIONS = (JobKind.RECONSTRUCT, JobKind.FIT, JobKind.REPORT)
_PLAN_FORMAT = 2
"""Of remembered plans: one of another format is made anew."""
_FIRST_OF_CALL = -1
"""How a request points to the first job of the same call."""


@dataclass(frozen=True)
class AddChoices:
    """What the command line says; see the help of each option."""

    what: str
    queue: Path | None = None
    scanner: str | None = None
    phantom: str | None = None
    seed: int | None = None
    runs: Path = Path("runs")
    output: Path | None = None
    source: Path | None = None
    name: str | None = None
    averages: int | None = None
    duration: str | None = None
    not_before: str | None = None
    deadline: str | None = None
    window: str | None = None
    zone: str | None = None
    priority: int = 0
    late: str = "shrink"
    min_averages: int = 1
    on_failure: str = "continue"
    on_interruption: str = "auto"
    after: Sequence[int] | None = None
    then: Sequence[str] | None = None
    stop_when: Sequence[str] | None = None
    stop_rules: Path | None = None
    min_passes: int | None = None


def add_jobs(choices: AddChoices) -> None:
    """Add what was asked for and say which numbers it got."""
    with open_queue(choices.queue) as store:
        requests = requests_of(choices, store)
        added = store.add(*requests)
    for job in added:
        console().print(f"job {job.number}: {_words(job, choices.zone)}", highlight=False, soft_wrap=True)


def _words(job: Job, zone_name: str | None) -> str:
    request, zone = job.request, local_zone(zone_name)
    words = [f"scan {request.name}" if request.scan else request.name]
    if request.scan is not None:
        words.append(f"{request.duration / 3600:.2f} h, {request.scan.averages} averages")
    if request.not_before is not None:
        words.append(f"not before {local_text(request.not_before, zone)}")
    if request.window is not None:
        words.append(f"within {request.window}")
    if request.deadline is not None:
        words.append(f"to be over by {local_text(request.deadline, zone)}")
    if request.scan is not None and request.scan.stop_rules is not None:
        words.append(f"until {request.scan.stop_rules}")
    if request.after:
        words.append(f"after job {', '.join(map(str, request.after))}")
    return ", ".join(words)


def requests_of(choices: AddChoices, store: QueueStore) -> list[JobRequest]:
    """Turn the words of the command line into requests. Raises `InputError` if they make no sense."""
    scanner = scanner_of_queue(store, choices.scanner)
    rules = StopChoices(choices.stop_when, choices.stop_rules, choices.min_passes).rules()
    if choices.what in _COMPUTATIONS:
        if choices.then:
            raise InputError("--then belongs to a scan: give --after to a computation instead")
        if rules is not None:
            raise InputError("--stop-when belongs to a scan: a computation ends by itself")
        return [_computation(choices, JobKind(choices.what), tuple(choices.after or ()))]
    scan = _scan(choices, scanner, store, rules)
    follow = [_kind(word) for word in choices.then or ()]
    stem = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{scan.name}"
    base = choices.output or choices.runs.parent / "results" / stem
    requests = [scan]
    for position, kind in enumerate(follow):
        after = tuple(dict.fromkeys((_FIRST_OF_CALL, -1 - position)))
        output = ProcessingTask(output=str((base / kind).resolve()))
        requests.append(JobRequest(name=f"{kind} of {scan.name}"[:80], kind=kind, processing=output, after=after))
    return requests


def _kind(word: str) -> JobKind:
    if word not in _COMPUTATIONS:
        raise InputError(f"--then {word}: choose from {', '.join(_COMPUTATIONS)}")
    return JobKind(word)


def _computation(choices: AddChoices, kind: JobKind, after: tuple[int, ...]) -> JobRequest:
    if choices.source is None and not after:
        raise InputError(f"{kind} needs something to work on: give --source PATH, or --after JOB")
    if choices.output is None:
        raise InputError(f"{kind} needs a folder for its results: give -o DIR")
    source = None if choices.source is None else str(choices.source.resolve())
    task = ProcessingTask(output=str(choices.output.resolve()), source=source)
    return _request(choices, name=str(kind), kind=kind, processing=task, after=after)


def _scan(choices: AddChoices, scanner: str, store: QueueStore, rules: StopRules | None) -> JobRequest:
    plan = _planned(choices, scanner, store)
    if rules is not None:
        _must_fit_images(rules, plan, scanner)
    task = ScanTask(
        runs=str(choices.runs.resolve()),
        phantom=choices.phantom,
        seed=choices.seed,
        stop_rules=rules,
        **plan,
    )
    name = str(task.protocol["name"])
    return _request(choices, name=name, kind=JobKind.SCAN, scan=task, after=tuple(choices.after or ()))


def _request(choices: AddChoices, *, name: str, **task: Any) -> JobRequest:
    zone, now = local_zone(choices.zone), time.time()
    not_before = None if choices.not_before is None else parse_moment(choices.not_before, now, zone)
    deadline = None if choices.deadline is None else parse_moment(choices.deadline, not_before or now, zone)
    if deadline is not None and deadline <= max(now, not_before or 0.0):
        raise InputError(f"--deadline {choices.deadline} is over before the job may begin: give a later one")
    try:
        request = JobRequest(
            name=choices.name or name,
            priority=choices.priority,
            not_before=not_before,
            deadline=deadline,
            window=None if choices.window is None else NightWindow.parse(choices.window),
            when_late=choices.late,
            minimum_averages=choices.min_averages,
            on_failure=FailurePolicy.parse(choices.on_failure),
            on_interruption=choices.on_interruption,
            **task,
        )
    except ValidationError as error:
        places = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'job'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise InputError(f"the job makes no sense: {places}") from error
    except ValueError as error:
        raise InputError(f"--on-failure {error}") from error
    _must_fit_some_night(request, now, choices)
    return request


def _must_fit_some_night(request: JobRequest, now: float, choices: AddChoices) -> None:
    """Refuse a job that no window and no deadline will ever have room for."""
    if request.scan is None or request.when_late == "run":
        return
    least = request.scan.averages if request.when_late == "skip" else request.minimum_averages
    needed = request.scan.duration_of(least)
    zone, begins = local_zone(choices.zone), max(now, request.not_before or 0.0)
    room, what = float("inf"), ""
    if request.window is not None:
        opens, closes = request.window.next_interval(begins + 86400.0, zone)
        room, what = closes - opens, f"the window {request.window}"
    if request.deadline is not None and request.deadline - begins < room:
        room, what = request.deadline - begins, f"the time up to {local_text(request.deadline, zone)}"
    if needed > room:
        raise InputError(
            f"{request.name}: {least} averages take {needed / 3600:.2f} h, {what} has {room / 3600:.2f} h: "
            f"--averages {max(1, request.scan.averages_in(room))} would fit, or use --late run"
        )


def _planned(choices: AddChoices, scanner: str, store: QueueStore) -> dict[str, Any]:
    """Build the protocol for the scanner, or remember what building it gave: pypulseq takes seconds to import."""
    digest = _digest(choices, scanner)
    remembered = store.folder / "plans" / f"{digest}.json"
    try:
        plan: dict[str, Any] = json.loads(remembered.read_bytes())
    except (OSError, ValueError):
        plan = _plan(choices, scanner)
        remembered.parent.mkdir(exist_ok=True)
        write_durably(remembered, json.dumps(plan).encode())
    return plan


def _must_fit_images(rules: StopRules, plan: dict[str, Any], scanner: str) -> None:
    """Refuse now what could not be measured tonight."""
    from knightshift.acquisition.stop_rules import AppliedRules
    from knightshift.core.yaml_files import validate
    from knightshift.hardware.site import load_site
    from knightshift.sequences import ImagingProtocol, Protocol, PulseAcquire, build

    protocol: ImagingProtocol | PulseAcquire = validate(Protocol, plan["protocol"], "protocol")
    AppliedRules.to(rules, build(protocol, load_site(scanner).limits).encoding)


def _digest(choices: AddChoices, scanner: str) -> str:
    from importlib.metadata import version

    site = find_config("scanners", scanner)
    named = read_yaml(site)
    limits = named.get("limits") if isinstance(named, dict) else None
    files = [find_config("protocols", choices.what), site]
    if isinstance(limits, str):
        files.append(find_config("limits", limits))
    words = f"{version('knightshift')} {_PLAN_FORMAT} {choices.averages} {choices.duration}"
    content = hashlib.sha256(words.encode())
    for path in files:
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


def _plan(choices: AddChoices, scanner: str) -> dict[str, Any]:
    from knightshift.cli.planning import PlanChoices, make_plan
    from knightshift.core.yaml_files import as_plain
    from knightshift.sequences import load_protocol

    plan = make_plan(choices.what, scanner, PlanChoices(duration=choices.duration, averages=choices.averages))
    return {"protocol": as_plain(load_protocol(choices.what))} | times_of(plan)


def times_of(plan: NightPlan) -> dict[str, Any]:
    """Give what a `ScanTask` must know of a plan to shrink it: as the scanner will play it, not its passes alone."""
    summary = plan.summary
    return {
        "average_s": plan.passes_duration / summary.passes_per_image,
        "averages": summary.passes_per_image,
        "passes_per_average": summary.steps,
        "lead_s": plan.lead,
        "references": None if plan.references is None else asdict(plan.references),
        "bytes_per_average": -(-plan.disk_bytes // summary.passes_per_image),
    }
