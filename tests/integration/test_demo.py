"""The main job: a whole night of each cell on the simulated scanner, from protocol to report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from knightshift.core.run_folder import open_run
from knightshift.hardware.simulated import load_phantom

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PIXEL = {"y": 100e-6, "z": 23e-6}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-c", "from knightshift.cli import main; main()", "demo", "-o", str(folder)]
    subprocess.run(command, check=True, timeout=850)
    return folder


def _summary(demo: Path, cell: str) -> dict[str, Any]:
    return json.loads((demo / cell / "summary.json").read_text())


def _region(summary: dict[str, Any], role: str) -> list[dict[str, Any]]:
    return [region for region in summary["regions"] if region["role"] == role]


@pytest.mark.parametrize("cell", ["pristine", "shorted"])
def test_report_is_complete_and_the_map_is_in_seconds(demo: Path, cell: str) -> None:
    for name in ("report.html", "summary.json", "t2_map.png", "t2_histogram.png", "decay_curves.png", "spectrum.png"):
        assert (demo / cell / name).stat().st_size > 1000
    t2 = np.asarray(nib.load(demo / cell / "t2_map.nii.gz").dataobj)
    assert t2.shape == (48, 96, 1)
    assert 5e-3 < np.nanmedian(t2) < 10e-3


@pytest.mark.parametrize("cell", ["pristine", "shorted"])
def test_night_lasts_as_planned_by_its_own_time_stamps(demo: Path, cell: str) -> None:
    (run,) = (demo / cell / "runs").glob("*-overnight_t2")
    commits = open_run(run).commits()
    measured = max(c.finished for c in commits.values()) - min(c.started for c in commits.values())
    assert len(commits) == 1725
    assert measured == pytest.approx(41400.0, rel=1e-3)


def test_electrodes_are_where_the_paper_has_them_and_wider_after_the_short(demo: Path) -> None:
    (pristine,), (shorted,) = (_region(_summary(demo, cell), "bulk") for cell in ("pristine", "shorted"))
    assert all(5e-3 <= edge <= 10e-3 for edge in pristine["iqr_t2_s"])
    assert all(5e-3 <= edge <= 12e-3 for edge in shorted["iqr_t2_s"])
    assert shorted["median_t2_s"] == pytest.approx(pristine["median_t2_s"], abs=1e-3)
    assert shorted["fwhm_t2_s"] > pristine["fwhm_t2_s"]


def test_dendrite_is_found_where_the_phantom_has_it_and_nowhere_else(demo: Path) -> None:
    assert _region(_summary(demo, "pristine"), "dendrite") == []
    (found,) = _region(_summary(demo, "shorted"), "dendrite")
    (truth,) = (region for region in load_phantom("shorted").regions() if region.name == "dendrite")
    for axis, center in zip("yz", truth.center, strict=True):
        assert found["centroid_um"][axis] * 1e-6 == pytest.approx(center, abs=PIXEL[axis])
    assert 15e-3 <= found["median_t2_s"] <= 17.5e-3
    assert 3 <= found["snr_per_echo"][-1] <= 5.5
