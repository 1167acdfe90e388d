"""A run with adjustments and references that is killed and goes on is equal to an undisturbed one, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from adjusted_night import acquire_adjusted, events_of, resume_adjusted
from dying_process import run_and_die

from knightshift.core.run_folder import open_run
from knightshift.core.run_verification import verify_run
from knightshift.reconstruction.pass_sum import sum_passes


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return acquire_adjusted(tmp_path_factory.mktemp("undisturbed")).path


@pytest.mark.parametrize("stride", [53, pytest.param(7, marks=pytest.mark.slow)])
def test_killed_anywhere_the_resumed_sum_is_equal_to_the_bit(undisturbed: Path, tmp_path: Path, stride: int) -> None:
    whole = sum_passes(open_run(undisturbed))
    assert "reference FIDs" in whole.drift.sentence
    assert any(event["retuned_to_Hz"] for event in events_of(undisturbed, "reference")), "it was retuned on the way"
    kills = 0
    for step in range(3, 400, stride):
        runs = tmp_path / str(step)
        runs.mkdir()
        if not run_and_die(lambda runs=runs: acquire_adjusted(runs), step, ("before", "after")[step % 2]):
            break
        kills += 1
        if not (runs / "night" / "manifest.json").exists():
            continue
        resume_adjusted(runs / "night")
        resumed = sum_passes(open_run(runs / "night"))
        np.testing.assert_array_equal(resumed.kspace, whole.kspace, err_msg=f"killed at step {step}")
        assert verify_run(runs / "night").damage == (), f"killed at step {step}"
    assert kills > 200 // stride
