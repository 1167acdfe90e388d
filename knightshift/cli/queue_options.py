"""Options of the commands of the queue, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from knightshift.cli.output_folder import outside_of_runs

Queue = Annotated[
    Path | None,
    typer.Option(
        "--queue",
        metavar="DIR",
        envvar="KNIGHTSHIFT_QUEUE",
        help="Folder of the queue, one for each scanner; default ~/.local/state/knightshift/queue.",
    ),
]
Notify = Annotated[
    Path | None,
    typer.Option(
        "--notify",
        metavar="FILE",
        envvar="KNIGHTSHIFT_NOTIFY",
        help="Whom to tell how it goes: a YAML file outside the runs, for its addresses are secrets.",
    ),
]
JobNumber = Annotated[int, typer.Argument(metavar="JOB", min=1, help="Number of the job.")]
What = Annotated[
    str, typer.Argument(metavar="WHAT", help="A protocol to scan (file or shipped name), or reconstruct, fit, report.")
]
ScanRuns = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Folder that will hold the run.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the simulated noise.")]
Name = Annotated[str | None, typer.Option("--name", help="What to call the job.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="DIR", callback=outside_of_runs, help="Folder for results; default: beside the runs."
    ),
]
SourcePath = Annotated[
    Path | None, typer.Option("--source", metavar="PATH", help="What to reconstruct, fit or report, if no job made it.")
]
After = Annotated[
    list[int] | None, typer.Option("--after", metavar="JOB", help="Only after this job succeeded; may be repeated.")
]
Then = Annotated[
    list[str] | None,
    typer.Option("--then", metavar="KIND", help="Add what follows the scan: reconstruct, fit, report; repeatable."),
]
Averages = Annotated[int | None, typer.Option("--averages", min=1, help="Passes per image, instead of the protocol's.")]
Duration = Annotated[str | None, typer.Option("--duration", metavar="TIME", help="Time to fill, such as '11.5 h'.")]
NotBefore = Annotated[
    str | None, typer.Option("--not-before", metavar="WHEN", help="Local time: 19:00, or with a date.")
]
Deadline = Annotated[
    str | None,
    typer.Option("--deadline", metavar="WHEN", help="To be over by then, local time: 08:30, or with a date."),
]
Window = Annotated[
    str | None, typer.Option("--window", metavar="FROM-TO", help="Hours in which it may run, such as 19:00-08:30.")
]
Priority = Annotated[int, typer.Option("--priority", min=-100, max=100, help="The higher, the sooner.")]
WhenLate = Annotated[
    str, typer.Option("--late", metavar="WHAT", help="If time is short: shrink (fewer averages), skip, or run anyway.")
]
MinAverages = Annotated[int, typer.Option("--min-averages", min=1, help="Shrink no further than this.")]
OnFailure = Annotated[
    str, typer.Option("--on-failure", metavar="WHAT", help="continue, stop, 'retry 2', or 'retry 2, stop'.")
]
OnInterruption = Annotated[
    str,
    typer.Option("--on-interruption", metavar="WHAT", help="After a crash or power cut: auto (go on), ask, or never."),
]
Before = Annotated[
    int | None, typer.Option("--before", metavar="JOB", help="Put it before this job; otherwise to the end.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, quantities in SI units.")]
