"""How SNR grows through a run, on synthetic passes of known signal and noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightshift.core.program import Encoding
from knightshift.core.run_folder import Run
from knightshift.reconstruction.pass_sum import sum_passes
from knightshift.reconstruction.running_snr import RunningSnr, running_snr

from .test_run_images import kspace_of_point, noise

STD = 2.0
"""Noise of one sample of one pass, beside a signal of 1."""
REGION = np.zeros((1, 8, 8), bool)
REGION[0, 6, 1] = True


def write(synthetic_run: Any, encoding: Encoding, folder: Path, n_passes: int, louder_from: int = 10**9) -> Run:
    """A point of amplitude 1 under white noise, four times louder from some pass on; one readout a line."""
    encoding = encoding.model_copy(update={"phase_cycle": 1})
    rng, point = np.random.default_rng(3), kspace_of_point(encoding, 6, 1)
    passes = {
        index: point + noise(rng, point.shape, STD * (4 if index >= louder_from else 1)) for index in range(n_passes)
    }
    flags = {4: ("overrange",), 9: ("residual",)}
    run: Run = synthetic_run(encoding, passes, flags=flags).write(folder)
    return run


def followed(run: Run, region: np.ndarray = REGION) -> RunningSnr:
    found = running_snr(run, sum_passes(run, correct_drift=False), region)
    assert found is not None
    return found


def test_snr_of_a_steady_run_grows_with_the_square_root(
    synthetic_run: Any, small_encoding: Encoding, tmp_path: Path
) -> None:
    """A voxel is the mean over n passes and 128 samples: signal 1, noise ``2 / sqrt(128 n)``."""
    found = followed(write(synthetic_run, small_encoding, tmp_path / "run", 400))
    law = np.sqrt(128 * found.n_passes) / STD
    np.testing.assert_allclose(found.expected, law, rtol=0.05)
    np.testing.assert_allclose(
        found.measured, law, rtol=0.35
    )  # 64 voxels know their noise to 9 %, the signal to 5 to 30 %
    assert found.measured.mean() / law.mean() == pytest.approx(1, abs=0.08)
    assert found.growth == pytest.approx(0.5, abs=0.08)
    assert found.echo_time == 4e-3


def test_the_last_point_is_that_of_all_good_passes_at_the_end_of_the_last(
    synthetic_run: Any, small_encoding: Encoding, tmp_path: Path
) -> None:
    found = followed(write(synthetic_run, small_encoding, tmp_path / "run", 60))
    assert found.n_passes[-1] == 28  # thirty passes of the first echo, of which 4 is flagged; an even number of them
    assert np.all(np.diff(found.n_passes) > 0)
    assert found.time[-1] == 24.0 * 57  # pass 56 is the 28th


def test_passes_that_grow_loud_make_the_measured_snr_fall_behind(
    synthetic_run: Any, small_encoding: Encoding, tmp_path: Path
) -> None:
    """Half of the passes with 16 times the power: at the end ``2 / sqrt(17)`` of what it was in the middle."""
    found = followed(write(synthetic_run, small_encoding, tmp_path / "run", 400, louder_from=200))
    middle = float(np.interp(99, found.n_passes, found.measured))
    assert found.measured[-1] / middle == pytest.approx(2 / np.sqrt(17), abs=0.15)


def test_it_is_not_told_where_it_cannot_be(synthetic_run: Any, small_encoding: Encoding, tmp_path: Path) -> None:
    short = write(synthetic_run, small_encoding, tmp_path / "short", 6)
    assert running_snr(short, sum_passes(short), REGION) is None
    run = write(synthetic_run, small_encoding, tmp_path / "run", 20)
    assert running_snr(run, sum_passes(run), np.zeros_like(REGION)) is None
