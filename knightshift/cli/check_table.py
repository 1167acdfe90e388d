"""What the pre-flight found, as a table and one line for everything worth a word."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from knightshift.acquisition.preflight_verdict import Check, Verdict


def show_checks(checks: Sequence[Check], console: Console) -> None:
    """Print them."""
    table = Table("check", "of", "found", "wanted", "", title="pre-flight", title_justify="left", box=None)
    for check in checks:
        table.add_row(*map(escape, (check.name, check.subject, check.value, check.limit, check.verdict)))
    console.print(table)
    for check in checks:
        if check.verdict not in (Verdict.OK, Verdict.NOT_MADE):
            console.print(f"{check.verdict}: {check}", highlight=False, markup=False, soft_wrap=True)
