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
    """Write lists as MkDocs wants them: an empty line before the first item, and four spaces before what is inside."""
    lines: list[str] = []
    fenced, indent = False, 0
    for line in markdown.splitlines():
        item = None if fenced else _ITEM.match(line)
        before = lines[-1] if lines else ""
        if item:
            if before.strip() and not indent:
                lines.append("")
            indent = len(item[0])
        elif indent and line.startswith(" " * indent):
            line = "    " + line[indent:]  # noqa: PLW2901 - the line as it is written out
        elif line.strip() and not fenced:
            indent = 0
        fenced ^= line.lstrip().startswith("```")
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
