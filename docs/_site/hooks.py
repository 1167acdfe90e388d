"""MkDocs hooks: pages made from code, README as the first page, and an order of pages that needs no list by hand."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
from reference_pages import PAGES

_SECTIONS = {"How to": "how-to", "Reference": "reference", "Explanation": "explanation", "Decisions": "adr"}
_ITEM = re.compile(r"([-*]|\d+\.) ")
_ROOT = Path(__file__).resolve().parents[2]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List all pages, section by section; the index of a section comes first."""
    docs = Path(config.docs_dir)
    config.nav = [{"knightshift": "index.md"}, {"Tutorial": "tutorial.md"}]
    for title, folder in _SECTIONS.items():
        names = {path.relative_to(docs).as_posix() for path in (docs / folder).glob("*.md")}
        names |= {name for name in PAGES if name.startswith(f"{folder}/")}
        config.nav.append({title: sorted(names, key=lambda name: (not name.endswith("README.md"), name))})
    config.nav.append({"Changelog": "changelog.md"})
    return config


def on_page_markdown(markdown: str, **_: object) -> str:
    """Begin lists where GitHub does: a list may follow a paragraph without an empty line."""
    lines: list[str] = []
    fenced = False
    for line in markdown.splitlines():
        fenced ^= line.lstrip().startswith("```")
        before = lines[-1] if lines else ""
        if not fenced and _ITEM.match(line) and before.strip() and not _ITEM.match(before) and before[0] not in " |":
            lines.append("")
        lines.append(line)
    return "\n".join(lines)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from code, and those that lie above the folder of the docs."""
    pages = {name: make() for name, make in PAGES.items()}
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")
    pages["index.md"] = re.sub(r"\]\(docs/", "](", readme).replace("](CHANGELOG.md)", "](changelog.md)")
    pages["changelog.md"] = (_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files
