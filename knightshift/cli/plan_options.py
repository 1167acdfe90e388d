"""Options of `knightshift plan`, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PlanDuration = Annotated[str | None, typer.Option("--duration", metavar="TIME", help="Time to fill, such as '11.5 h'.")]
PlanUntil = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", help="Deadline in local time: 08:30, or with a date.")
]
PlanAverages = Annotated[int | None, typer.Option("--averages", min=1, help="Passes per image.")]
PlanStart = Annotated[
    str | None, typer.Option("--start", metavar="WHEN", help="When it begins, local time; now if not given.")
]
Zone = Annotated[
    str | None, typer.Option("--zone", metavar="ZONE", help="Time zone such as Europe/London; default: the computer's.")
]
PlanT2 = Annotated[
    list[str] | None, typer.Option("--t2", metavar="TIME", help="A T2 of interest, such as 16ms; may be repeated.")
]
PlanFromRun = Annotated[
    Path | None, typer.Option("--from-run", metavar="RUN", help="Predict SNR and T2 error from this run.")
]
PlanOptimise = Annotated[
    str | None,
    typer.Option("--optimise-echo-times", metavar="T2:T2", help="Best echo times for a range, such as 5ms:17ms."),
]
PlanRuns = Annotated[Path | None, typer.Option("--runs", metavar="DIR", help="Check that this folder's disk has room.")]
