"""The sum that grows is the sum of the run, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from uniform_cell import acquire_uniform

from knightshift.core.errors import InputError
from knightshift.core.run_folder import open_run
from knightshift.reconstruction.live import RunningSum
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import images_of_run


def test_the_running_sum_is_the_sum_of_the_run_to_the_bit(tmp_path: Path) -> None:
    run = open_run(acquire_uniform(tmp_path, 12, None, overrange=frozenset({4, 9})).path)
    growing = RunningSum(run)
    with pytest.raises(InputError, match="not every echo"):
        growing.images()
    for record in run.passes():
        growing.add(record)
    whole = images_of_run(run, Recipe(correct_drift=False))
    np.testing.assert_array_equal(growing.images().images, whole.images)
    np.testing.assert_array_equal(growing.images().noise_std, whole.noise_std)
    assert growing.n_passes.tolist() == [5, 5]
    assert growing.images().provenance == whole.provenance
