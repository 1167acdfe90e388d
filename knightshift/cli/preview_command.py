"""The command that shows a run while it goes on. What it does is in the module beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def preview(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of one run, going on or over.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Folder for the pictures; default: RUN/derived/preview."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Draw again whenever there is more, until the run is over or Ctrl-C.")
    ] = False,
    every: Annotated[str, typer.Option("--every", metavar="TIME", help="With --follow: not more often.")] = "30 s",
) -> None:
    """Draw echoes, T2 map and SNR of the passes so far; the run is only read, also while it goes on."""
    from knightshift.cli.previewing import be_nice, preview_run

    be_nice()
    preview_run(run, output, follow=follow, every=every)


def add_to(app: typer.Typer) -> None:
    """Put the command into the command line."""
    app.command(epilog="Example: knightshift preview runs/20260105-190000-overnight_t2 --follow")(preview)
