"""Every command block of README and docs runs, or says why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_blocks import ROOT, CommandBlock, blocks_of, pages

_NOT_RUN = 14  # blocks that need hardware, other machines or data, a terminal or the tree itself; 2026-11
_ALL = [block for page in pages() for block in blocks_of(page)]
_PAGES = sorted({block.page for block in _ALL if not block.reason})
Givens = dict[str, Callable[[Path], None]]


def test_blocks_are_found_with_what_they_need(tmp_path_factory: pytest.TempPathFactory) -> None:
    page = ROOT / "docs" / "how-to" / "reconstruct-an-archive.md"
    first, second, third = blocks_of(page)
    assert first.given == ("archive",)
    assert second.script.startswith("knightshift batch archive")
    assert third.reason.startswith("needs machines")


def test_blocks_that_are_not_run_have_a_reason_and_are_few() -> None:
    not_run = [block for block in _ALL if block.reason]
    assert all(len(block.reason.split()) >= 3 for block in not_run)
    assert len(not_run) <= _NOT_RUN, [f"{block.page}:{block.line}: {block.reason}" for block in not_run]
    assert len(_ALL) >= 2 * len(not_run)


def test_nothing_outside_the_folder_is_written() -> None:
    for block in _ALL:
        assert block.reason or " /data" not in block.script, f"{block.page}:{block.line}"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", _PAGES)
def test_commands_of_a_page_run(page: str, givens: Givens, shell: Callable[[str, Path], None], tmp_path: Path) -> None:
    blocks = [block for block in _ALL if block.page == page and not block.reason]
    for name in dict.fromkeys(name for block in blocks for name in block.given):
        givens[name](tmp_path)
    for block in blocks:
        _run(block, shell, tmp_path)


def _run(block: CommandBlock, shell: Callable[[str, Path], None], folder: Path) -> None:
    try:
        shell(block.script, folder)
    except AssertionError as error:
        raise AssertionError(f"{block.page}:{block.line}: {error}") from None
