"""Lets the tests of this room, and the processes they start, import the fake scanner beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from knightshift.core.run_folder import Run

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A night in a field that drifts far, with references."""
    from adjusted_night import drifting_night

    return drifting_night(tmp_path_factory.mktemp("drifted"))
