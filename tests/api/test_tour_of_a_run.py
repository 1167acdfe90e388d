"""The tour of a run goes through on a run of the simulated scanner."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("xarray", reason="the extra 'xarray' is not installed")

_ROOT = Path(__file__).resolve().parents[2]


def test_the_tour_prints_the_t2_that_was_put_in(
    tmp_path: Path, synthetic_run: Any, small_encoding: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(5)
    lines, samples = np.arange(8) - 4, np.arange(16) - 8
    points = [
        np.exp(-2j * np.pi * (z * lines[:, None] / 8 + y * samples / 16)) for z in (-2, 2) for y in (-2, -1, 0, 1)
    ]
    passes = {
        index: np.sum(points, axis=0) * np.exp(-(4e-3, 8e-3)[index % 2] / 8e-3)
        + 0.01 * (rng.normal(size=(8, 16)) + 1j * rng.normal(size=(8, 16)))
        for index in range(10)
    }
    synthetic_run(small_encoding, passes).write(tmp_path / "run")
    tour = runpy.run_path(str(_ROOT / "examples" / "tour_of_a_run.py"))["tour"]
    tour(tmp_path / "run", tmp_path / "out")
    printed = capsys.readouterr().out
    assert "median T2 8.0 ms" in printed
    assert "10 of 10 passes are used" in printed
    assert (tmp_path / "out" / "t2.png").stat().st_size > 1000
    assert "matplotlib" in sys.modules
