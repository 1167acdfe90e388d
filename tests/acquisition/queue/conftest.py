"""Lets the tests of the queue, and the processes they start, import the fakes beside them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fakes import Night

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """A scheduler on a virtual clock whose executors only take time."""
    from fakes import Night

    return Night(tmp_path)
