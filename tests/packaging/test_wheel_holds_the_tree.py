"""The installed package holds what the tree holds: no module forgotten by the mapping, no config left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

_ROOT = Path(os.environ.get("KNIGHTSHIFT_TREE", Path(__file__).resolve().parents[2]))
_ROOMS = ("acquisition", "reconstruction", "sequences", "hardware", "configs")


def _tree(folder: Path, pattern: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob(pattern) if "__pycache__" not in path.parts}


@pytest.mark.parametrize("room", _ROOMS)
@pytest.mark.parametrize("pattern", ["*.py", "*.yaml", "*.css", "*.html", "*.json"])
def test_installed_room_has_every_file_of_the_tree(room: str, pattern: str) -> None:
    if not (_ROOT / room).is_dir():
        pytest.skip(f"the tree is not at {_ROOT}")
    installed = Path(str(files(f"knightshift.{room}")))
    assert _tree(installed, pattern) == _tree(_ROOT / room, pattern)


def test_installed_command_line_core_and_api_have_every_module_of_the_tree() -> None:
    if not (_ROOT / "knightshift").is_dir():
        pytest.skip(f"the tree is not at {_ROOT}")
    installed = Path(str(files("knightshift")))
    for part in ("core", "cli", "api"):
        assert _tree(installed / part, "*.py") == _tree(_ROOT / "knightshift" / part, "*.py")


@pytest.mark.parametrize("name", ["acquisition", "reconstruction", "sequences", "hardware", "configs"])
def test_no_room_is_importable_under_its_bare_name(name: str, tmp_path: Path) -> None:
    """A bare ``hardware`` at the top of site-packages would overwrite other people's packages."""
    code = f"import importlib.util as u; s = u.find_spec({name!r}); raise SystemExit(s is not None)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
