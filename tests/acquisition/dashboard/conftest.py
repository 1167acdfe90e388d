"""A folder with one small run, and a visitor of its live page."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_scanner import acquire_tiny
from starlette.testclient import TestClient

from knightshift.acquisition.dashboard import DashboardSettings

sys.path.insert(0, str(Path(__file__).parent))

from dashboard_visit import TOKEN, visit


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    acquire_tiny(folder)
    return folder


@pytest.fixture
def visitor(runs: Path) -> Iterator[TestClient]:
    """Somebody with the token; actions are on."""
    settings = DashboardSettings(runs, TOKEN, runs.parent / "queue", actions=True, previews=False)
    with visit(settings) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield client
