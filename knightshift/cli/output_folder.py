"""The option that says where results go, which is never among the passes of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def outside_of_runs(output: Path | None) -> Path | None:
    """Refuse the folder of a run, and that of its passes, as a place for results. Raises `InputError`."""
    if output is None or not output.is_dir():
        return output
    from knightshift.core.errors import InputError
    from knightshift.core.run_folder import MANIFEST, PASSES

    place = output.resolve()
    run = place.parent if place.name == PASSES else place
    if (run / MANIFEST).is_file():
        raise InputError(
            f"-o {output}: is the folder of a run, which holds what was measured and nothing else: give results a "
            f"folder of their own, such as -o {run.name}-results"
        )
    return output


Output = Annotated[
    Path,
    typer.Option(
        "-o", "--output", metavar="DIR", callback=outside_of_runs, help="Folder for the results; created if needed."
    ),
]
