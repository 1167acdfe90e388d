"""Every relative link in README and docs leads to a file."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

_ROOT = Path(os.environ.get("KNIGHTSHIFT_TREE", Path(__file__).resolve().parents[2]))
_PAGES = sorted([*_ROOT.glob("*.md"), *_ROOT.glob("docs/**/*.md"), *_ROOT.glob("examples/**/*.md")])


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.relative_to(_ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    broken = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
    assert broken == []
