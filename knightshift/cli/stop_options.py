"""Options that stop a scan when its result is good enough, with their help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knightshift.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knightshift.acquisition.stop_rules import StopRules

StopWhen = Annotated[
    list[str] | None,
    typer.Option(
        "--stop-when",
        metavar="RULE",
        help="Stop when it is true, such as 'snr of echo 5 in box z=[-0.4 mm, 0.1 mm] >= 4' or "
        "'t2 std in dendrite of report <= 1 ms'; several have to be true together.",
    ),
]
StopFile = Annotated[
    Path | None, typer.Option("--stop-rules", metavar="FILE", help="The same from a YAML file: stop_when, a list.")
]
MinPasses = Annotated[
    int | None, typer.Option("--min-passes", min=1, help="Not before so many passes, all echo times together.")
]


@dataclass(frozen=True)
class StopChoices:
    """What the command line says about stopping."""

    when: Sequence[str] | None = None
    file: Path | None = None
    min_passes: int | None = None

    def rules(self) -> StopRules | None:
        """Read the rules; None where there are none. Raises `InputError` if they make no sense."""
        if not self.when and self.file is None:
            if self.min_passes is not None:
                raise InputError("--min-passes belongs to a stop rule: give --stop-when too, or --averages for a plan")
            return None
        from knightshift.acquisition.stop_rules import StopRules, parse_rules, read_rules

        if self.file is None:
            return parse_rules(self.when or (), self.min_passes or 1)
        read = read_rules(self.file)
        more = parse_rules(self.when).rules if self.when else ()
        return StopRules(rules=(*read.rules, *more), minimum_passes=self.min_passes or read.minimum_passes)
