"""What the site makes from code leaves nothing out: every command, every field with its meaning."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from knightshift.core.field_tables import attribute_docstrings, default_text, field_table, unit_text
from knightshift.core.quantities import PositiveSeconds, Ratio

_SITE = Path(__file__).resolve().parents[2] / "docs" / "_site"


@pytest.fixture(scope="module")
def pages() -> dict[str, Any]:
    return runpy.run_path(str(_SITE / "reference_pages.py"))


class Example(BaseModel):
    """A model."""

    delay: PositiveSeconds = 0.012
    """How long [s]."""
    shift: Ratio
    """Where | when."""


def test_a_row_tells_unit_default_and_meaning() -> None:
    assert field_table(Example)[2:] == [
        '| `delay` | s | `"12 ms"` | How long [s]. |',
        "| `shift` | ppm | required | Where \\| when. |",
    ]
    assert attribute_docstrings(Example)["delay"] == "How long [s]."
    assert unit_text({"unit": "rad"}) == "deg"
    assert default_text({"default": 1.5, "unit": "K"}) == '`"1.5 K"`'


def test_every_field_of_every_yaml_file_has_a_meaning(pages: dict[str, Any]) -> None:
    unexplained = []
    for roots in pages["FILES"].values():
        for model in pages["_with_parts"](roots):
            assert model.__doc__, model
            for row in field_table(model)[2:]:
                name, meaning = row.split("|")[1].strip(" `"), row.replace("\\|", "").split("|")[4].strip()
                if not meaning and name != "kind":
                    unexplained.append(f"{model.__module__}.{model.__name__}.{name}")
    assert unexplained == []


def test_every_command_is_on_the_page(pages: dict[str, Any]) -> None:
    from knightshift.cli.app import app

    page = pages["command_line"]()
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    for name in names:
        assert f"## `knightshift {name.replace('_', '-')}`" in page
    assert "--scheduler" in page
