"""Shared fixtures: small protocols and raw data, pictures and disks that cost no time, real raw data where they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import matplotlib as mpl
import pytest
import yaml

if TYPE_CHECKING:
    from synthetic_raw_data import SyntheticRun, SyntheticScan

    from knightshift.core.program import Encoding

mpl.use("Agg")
sys.path.insert(0, str(Path(__file__).parent / "shared"))

_ROOT = Path(__file__).resolve().parents[1]
_DATA = Path(os.environ.get("KNIGHTSHIFT_DATA", _ROOT.parent / "shared" / "data"))
if not os.access(_ROOT, os.W_OK):  # hypothesis keeps what failed in the tree, and warns where it cannot
    hypothesis.settings.register_profile("read-only", database=None)
    hypothesis.settings.load_profile("read-only")

_EMPTY_PICTURES = {"png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-"}


def _folder_or_skip(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"real data {path.name!r} are not on this machine (set KNIGHTSHIFT_DATA to their folder)")
    return path


@pytest.fixture(scope="session")
def small_protocol() -> Callable[..., str]:
    """Text of ``small_protocol.yaml``; keyword arguments change its keys, None takes one out."""
    plain = yaml.safe_load((_ROOT / "tests" / "small_protocol.yaml").read_text())

    def with_changes(**changes: object) -> str:
        return yaml.safe_dump({key: value for key, value in (plain | changes).items() if value is not None})

    return with_changes


def _sync_without_waiting(descriptor: int) -> None:
    os.fstat(descriptor)  # refuses what is not open, as a sync does


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sync only in the slow campaigns, and in processes of their own.

    A sync decides what a power cut leaves: the tests of that look at the calls. A process that is killed leaves to the
    kernel all that it has written, synced or not.
    """
    with pytest.MonkeyPatch.context() as patch:
        if "not slow" in request.config.option.markexpr:
            patch.setattr(os, "fsync", _sync_without_waiting)
            patch.setattr(os, "fdatasync", _sync_without_waiting)
        yield


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and not drawn, which takes seconds: for a test that reads the words and numbers around them."""
    monkeypatch.setattr("knightshift.reconstruction.report.style.render", lambda _figure, kind: _EMPTY_PICTURES[kind])


@pytest.fixture(scope="session")
def synthetic_scan() -> type[SyntheticScan]:
    """Writer of small ParaVision 6 scans."""
    from synthetic_raw_data import SyntheticScan

    return SyntheticScan


@pytest.fixture(scope="session")
def synthetic_run() -> type[SyntheticRun]:
    """Writer of small run folders."""
    from synthetic_raw_data import SyntheticRun

    return SyntheticRun


@pytest.fixture(scope="session")
def small_encoding() -> Encoding:
    """Two echoes of 8 voxels squared, twofold oversampled readout."""
    from synthetic_raw_data import small_encoding

    return small_encoding()


@pytest.fixture(scope="session")
def raw_data() -> Callable[[str], Path]:
    """Path of one set of real raw data; skips where it is absent."""
    return lambda name: _folder_or_skip(_DATA / name)


@pytest.fixture(scope="session")
def reference_data() -> Callable[[str], Path]:
    """Path of one file of reference numbers; skips where it is absent."""
    return lambda name: _folder_or_skip(_DATA.parent / "reference" / name)
