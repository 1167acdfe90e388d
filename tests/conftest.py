"""Shared fixtures: where the real raw data are, if they are here at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")

_ROOT = Path(__file__).resolve().parents[1]
_DATA = Path(os.environ.get("KNIGHTSHIFT_DATA", _ROOT.parent / "shared" / "data"))


def _folder_or_skip(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"real data {path.name!r} are not on this machine (set KNIGHTSHIFT_DATA to their folder)")
    return path


@pytest.fixture(scope="session")
def raw_data() -> Callable[[str], Path]:
    """Path of one set of real raw data; skips where it is absent."""
    return lambda name: _folder_or_skip(_DATA / name)


@pytest.fixture(scope="session")
def reference_data() -> Callable[[str], Path]:
    """Path of one file of reference numbers; skips where it is absent."""
    return lambda name: _folder_or_skip(_DATA.parent / "reference" / name)
