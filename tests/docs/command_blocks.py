"""Command blocks of README and docs: found, and run as a reader would, in a scratch folder.

A comment before a block says what it needs::

    <!-- commands: given night, archive -->          fixtures of this folder, made before the page is run
    <!-- commands: not run: needs two machines -->   and why

Blocks of one page run in order in one folder. Lines may begin with ``$``; those that do not are then output.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^ *```(\w*)")
_COMMENT = re.compile(r"^ *<!-- commands: (.*) -->")
_LANGUAGES = {"sh", "bash", "console"}


@dataclass(frozen=True)
class CommandBlock:
    """One fenced block of commands."""

    page: str
    """Path of the page below the root of the tree."""
    line: int
    """Where it begins, from 1."""
    script: str
    """What bash is given."""
    given: tuple[str, ...] = ()
    """Names of what must be there."""
    reason: str = ""
    """Why it is not run; empty where it is."""


def pages() -> list[Path]:
    """Every page that may hold commands."""
    return sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


def blocks_of(page: Path) -> list[CommandBlock]:
    """Find the command blocks of a page."""
    blocks: list[CommandBlock] = []
    told, language, start, inside = "", None, 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if fence := _FENCE.match(line):
            if language is None:
                language, start, inside = fence[1], number, []
            else:
                if language in _LANGUAGES:
                    blocks.append(_block(page, start, inside, told))
                told, language = "", None
        elif language is not None:
            inside.append(line)
        elif comment := _COMMENT.match(line):
            told = comment[1]
        elif line.strip():
            told = ""
    return blocks


def _block(page: Path, line: int, inside: list[str], told: str) -> CommandBlock:
    prompted = [text.strip()[2:] for text in inside if text.strip().startswith("$ ")]
    script = "\n".join(prompted or [text.strip() for text in inside]) + "\n"
    name = page.relative_to(ROOT).as_posix()
    if told.startswith("not run: "):
        return CommandBlock(name, line, script, reason=told.removeprefix("not run: "))
    if told and not told.startswith("given "):
        raise ValueError(f"{name}:{line}: <!-- commands: {told} --> is neither 'given …' nor 'not run: …'")
    given = tuple(part.strip() for part in told.removeprefix("given ").split(",") if told)
    return CommandBlock(name, line, script, given)
