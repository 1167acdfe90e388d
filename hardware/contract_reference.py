"""Renders the table of transitions of ``docs/reference/scanner-contract.md`` from the data, so that it stays true."""

from __future__ import annotations

from knightshift.hardware.contract import TRANSITIONS, ScannerState

BEGIN = "<!-- transitions: written by knightshift.hardware.contract_reference -->"
END = "<!-- end of transitions -->"


def render_transitions() -> str:
    """Table of commands and states; an empty cell is a call that raises and changes nothing."""
    rows = [
        ["", *(f"`{state}`" for state in ScannerState)],
        ["---"] * (len(ScannerState) + 1),
        *(
            [f"`{command}`", *(str(targets.get(state, "")) for state in ScannerState)]
            for command, targets in TRANSITIONS.items()
        ),
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def with_current_transitions(page: str) -> str:
    """Put the present table into the text of the page, between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{render_transitions()}\n\n{END}{after}"
