"""What one check of the pre-flight found, and what becomes of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from knightshift.core.errors import HardwareError, InputError, KnightshiftError
from knightshift.hardware.preflight_rules import CheckName, PreflightConfig


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    """As it should be."""
    WARNING = "warning"
    """Worth a word; the run begins."""
    FAILED = "failed"
    """The run does not begin."""
    NOT_MADE = "not made"
    """Nobody asked for it, the scanner cannot do it, or an earlier check was in its way: the value says which."""


@dataclass(frozen=True)
class Check:
    """One line of the pre-flight."""

    name: CheckName
    """What was checked."""
    subject: str
    """Of what: a folder, a reading, an interlock."""
    value: str
    """What was found, with its unit."""
    limit: str
    """What it is compared with."""
    verdict: Verdict
    """How it came out."""
    remedy: str = ""
    """What to do where it is not OK."""
    error: type[KnightshiftError] = InputError
    """What is raised where it failed; its exit code tells things to mend from hardware."""

    def __str__(self) -> str:
        return f"{self.name} ({self.subject}): {self.value}, wanted {self.limit}" + (
            f": {self.remedy}" if self.remedy else ""
        )

    def for_journal(self) -> dict[str, Any]:
        """Give it as plain JSON data."""
        names = ("name", "subject", "value", "limit", "verdict", "remedy")
        return {name: str(getattr(self, name)) for name in names}


def apply_rules(checks: Iterable[Check], rules: PreflightConfig) -> tuple[Check, ...]:
    """Turn the failures into warnings that the site file wants so; nothing else is changed, nothing left out."""
    return tuple(
        replace(check, verdict=Verdict.WARNING)
        if check.verdict is Verdict.FAILED and check.name in rules.warn_only
        else check
        for check in checks
    )


def refuse_if_failed(checks: Sequence[Check], consequence: str = "nothing was played") -> None:
    """Raise if any check failed; `consequence` says what became of the run.

    Raises
    ------
    KnightshiftError
        With one line for each failure. Where all failures are of one kind, that kind of error: `StorageError`,
        `ScannerFault`, `InterlockFault`, `RunLockedError`, `InputError`; else `HardwareError` or `InputError`.
    """
    failed = [check for check in checks if check.verdict is Verdict.FAILED]
    if not failed:
        return
    passed = ", ".join(dict.fromkeys(check.name for check in checks if check.verdict is Verdict.OK))
    lines = [f"  {check}" for check in failed]
    if passed:
        lines.append(f"in order are: {passed}")
    raise _error_of(failed)("\n".join([f"pre-flight failed, {consequence}:", *lines]))


def _error_of(failed: Sequence[Check]) -> type[KnightshiftError]:
    kinds = {check.error for check in failed}
    if len(kinds) == 1:
        return kinds.pop()
    return HardwareError if any(issubclass(kind, HardwareError) for kind in kinds) else InputError
