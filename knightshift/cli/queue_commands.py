"""The commands of the queue and of its scheduler. What they do is in the modules beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from knightshift.cli import queue_options as option
from knightshift.cli.plan_options import Zone
from knightshift.cli.stop_options import MinPasses, StopFile, StopWhen

queue_app = typer.Typer(name="queue", help="Jobs of a scanner: add, list, move, hold, cancel.", no_args_is_help=True)

Scanner = Annotated[
    str | None, typer.Option("--scanner", metavar="SCANNER", help="A site file or shipped name; default: the queue's.")
]


@queue_app.command(
    epilog="Example: knightshift queue add overnight_t2 --window 19:00-08:30 --deadline 08:30 --then report"
)
def add(  # noqa: PLR0913, PLR0917 - one parameter an option
    what: option.What,
    queue: option.Queue = None,
    scanner: Scanner = None,
    phantom: Annotated[str | None, typer.Option("--phantom", help="Sample in the simulated scanner.")] = None,
    seed: option.Seed = None,
    runs: option.ScanRuns = Path("runs"),
    output: option.Output = None,
    source: option.SourcePath = None,
    name: option.Name = None,
    averages: option.Averages = None,
    duration: option.Duration = None,
    not_before: option.NotBefore = None,
    deadline: option.Deadline = None,
    window: option.Window = None,
    zone: Zone = None,
    priority: option.Priority = 0,
    late: option.WhenLate = "shrink",
    min_averages: option.MinAverages = 1,
    on_failure: option.OnFailure = "continue",
    on_interruption: option.OnInterruption = "auto",
    after: option.After = None,
    then: option.Then = None,
    stop_when: StopWhen = None,
    stop_rules: StopFile = None,
    min_passes: MinPasses = None,
) -> None:
    """Add a scan, or a computation, to the queue. A protocol is checked now and kept as it is now."""
    from knightshift.cli.queue_adding import AddChoices, add_jobs

    choices = dict(locals())
    choices.pop("AddChoices", None)
    choices.pop("add_jobs", None)
    add_jobs(AddChoices(**choices))


@queue_app.command("list", epilog="Example: knightshift queue list --all")
def list_(
    queue: option.Queue = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also all jobs that are over, not only the newest.")
    ] = False,
    as_json: option.AsJson = False,
) -> None:
    """List the jobs in the order in which they will run."""
    from knightshift.cli.queueing import list_jobs

    list_jobs(queue, everything=everything, as_json=as_json)


@queue_app.command(epilog="Example: knightshift queue show 3")
def show(job: option.JobNumber, queue: option.Queue = None, as_json: option.AsJson = False) -> None:
    """Show all that is known of a job."""
    from knightshift.cli.queueing import show_job

    show_job(queue, job, as_json=as_json)


@queue_app.command(epilog="Example: knightshift queue move 7 --before 3")
def move(job: option.JobNumber, before: option.Before = None, queue: option.Queue = None) -> None:
    """Change the order among jobs of equal priority."""
    from knightshift.cli.queueing import move_job

    move_job(queue, job, before)


@queue_app.command(epilog="Example: knightshift queue hold 3")
def hold(job: option.JobNumber, queue: option.Queue = None) -> None:
    """Keep a job from beginning; one that runs is suspended after its pass."""
    from knightshift.cli.queueing import hold_job

    hold_job(queue, job)


@queue_app.command(epilog="Example: knightshift queue release 3")
def release(
    job: Annotated[int | None, typer.Argument(metavar="[JOB]", min=1, help="Left out: the queue itself.")] = None,
    queue: option.Queue = None,
) -> None:
    """Let a held or interrupted job go on; without a number: let a queue go on that a failure has stopped."""
    from knightshift.cli.queueing import release_job

    release_job(queue, job)


@queue_app.command(epilog="Example: knightshift queue cancel 3")
def cancel(job: option.JobNumber, queue: option.Queue = None) -> None:
    """Take a job out; one that runs is stopped after its pass, and what it acquired is kept."""
    from knightshift.cli.queueing import cancel_job

    cancel_job(queue, job)


@queue_app.command(epilog="Example: knightshift queue log 3")
def log(
    job: Annotated[int | None, typer.Argument(metavar="[JOB]", min=1, help="Only of this job.")] = None,
    queue: option.Queue = None,
    newest: Annotated[int, typer.Option("-n", min=1, help="So many entries.")] = 50,
    as_json: option.AsJson = False,
) -> None:
    """Tell what happened, when and why."""
    from knightshift.cli.queueing import print_log

    print_log(queue, job, newest, as_json=as_json)


def run_queue(
    queue: option.Queue = None,
    scanner: Scanner = None,
    zone: Zone = None,
    virtual_clock: Annotated[
        bool, typer.Option("--virtual-clock", help="Simulated nights pass in seconds, time stamps as in reality.")
    ] = False,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Return when nothing is left that could begin.")
    ] = False,
    notify: option.Notify = None,
) -> None:
    """Play the queue, in the foreground, until Ctrl-C: once lets the pass end, twice cuts it. Scans go on next time."""
    from knightshift.cli.queue_service import ServiceChoices, run_service

    run_service(queue, scanner, ServiceChoices(zone, virtual_clock, until_idle, notify))


def install_service(
    queue: option.Queue = None,
    scanner: Scanner = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the unit there; default: print it.")
    ] = None,
    system: Annotated[bool, typer.Option("--system", help="For the computer, not for this user alone.")] = False,
) -> None:
    """Print or write a systemd unit that keeps `run-queue` running, also after a power cut."""
    from knightshift.cli.queueing import write_unit

    write_unit(queue, scanner, output, system=system)


def status(queue: option.Queue = None, as_json: option.AsJson = False) -> None:
    """Say what the scheduler does, or since when it does nothing, and how far the jobs are."""
    from knightshift.cli.queueing import print_status

    print_status(queue, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Put the commands of the queue into the command line."""
    app.add_typer(queue_app)
    app.command("run-queue", epilog="Example: knightshift run-queue --scanner simulated")(run_queue)
    unit = "~/.config/systemd/user/knightshift.service"
    app.command("install-service", epilog=f"Example: knightshift install-service -o {unit}")(install_service)
    app.command(epilog="Example: knightshift status")(status)
