"""The commands with which a run is watched and stopped from outside. What they do is in `watching`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Folder that holds the runs.")]


def dashboard(
    runs: _Runs,
    queue: Annotated[Path | None, typer.Option("--queue", metavar="DIR", help="Folder of a queue to show.")] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on loopback; 0: any free one.")] = 8765,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="Who may look; or set KNIGHTSHIFT_DASHBOARD_TOKEN."),
    ] = None,
    actions: Annotated[bool, typer.Option("--actions", help="Let runs be stopped and the queue be changed.")] = False,
    previews: Annotated[
        bool, typer.Option("--previews/--no-previews", help="Make images of the passes so far.")
    ] = True,
) -> None:
    """Serve a live page of the runs in a folder, on this computer only, to whoever has the token."""
    from knightshift.cli.watching import serve_dashboard

    serve_dashboard(runs, queue=queue, port=port, token_file=token_file, actions=actions, previews=previews)


def stop(run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the run.")]) -> None:
    """Ask the process that acquires into a run to stop after its pass; everything acquired is kept."""
    from knightshift.cli.watching import stop_run

    stop_run(run)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command(epilog="Example: knightshift dashboard --runs runs --port 8765")(dashboard)
    app.command(epilog="Example: knightshift stop runs/20260105-190000-overnight_t2")(stop)
