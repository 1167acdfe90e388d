"""A preview is corrected by the reference FIDs as the reconstruction is, while it grows too."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from adjusted_night import drifting_night

from knightshift.acquisition.preview import RunFollower, take_snapshot
from knightshift.core.references import middle_of, references_of
from knightshift.core.run_folder import JOURNAL, Run, open_run
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.pass_sum import PassAccumulator, PassSum, sample_times, sorted_passes
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import images_of_run, images_of_sum
from knightshift.reconstruction.reference_drift import drift_of_references


def corrected_by_references(run: Run) -> ImageSeries:
    """What the reconstruction gives by its references alone, without the check on the images."""
    good = [commit for commit in run.commits().values() if not commit.flags]
    middles = np.array([middle_of(commit.started, commit.finished) for commit in good])
    references = references_of(run.events(), run.path / JOURNAL)
    drift = drift_of_references(references, middles, np.array([commit.frequency for commit in good]))
    assert drift is not None
    assert drift.significant
    sums = None
    for row, (_, pieces) in enumerate(sorted_passes(run, good)):
        for echo, kspace in pieces.items():
            sums = sums or PassAccumulator((2, *kspace.shape))
            sums.add(echo, kspace * drift.correction(row, sample_times(run.manifest.encoding)))
    assert sums is not None
    noise = sums.pass_noise / np.sqrt(sums.count)
    return images_of_sum(run, PassSum(sums.mean, noise, sums.count, (), drift, good[0].frequency), Recipe())


def test_a_preview_of_a_drifting_night_is_that_of_the_reconstruction_to_the_bit(drifted: Run, tmp_path: Path) -> None:
    """However the journal grows: at first no drift is known, then all passes are corrected from the beginning."""
    growing = Path(shutil.copytree(drifted.path, tmp_path / "run"))
    whole = (drifted.path / JOURNAL).read_bytes()
    (growing / JOURNAL).write_bytes(whole[: whole.index(b"\n") + 1])
    follower = RunFollower(open_run(growing))
    for n_bytes in range(2000, len(whole) + 1499, 1499):
        (growing / JOURNAL).write_bytes(whole[:n_bytes])
        follower.catch_up()
        if follower.sum.n_good > 1:
            take_snapshot(follower)
    expected = corrected_by_references(drifted)
    np.testing.assert_array_equal(follower.sum.images().images, expected.images)
    np.testing.assert_array_equal(follower.sum.images().noise_std, expected.noise_std)
    facts = take_snapshot(follower).facts(0.0)
    assert "reference FIDs between the passes: the line moved by" in facts["correction"]
    assert facts["passes_per_echo"] == [12, 12]


def test_a_drifting_field_blurs_the_preview_no_more_than_the_report(drifted: Run, tmp_path: Path) -> None:
    follower = RunFollower(drifted)
    follower.catch_up()
    shown, still = follower.sum.images().images, images_of_run(drifting_night(tmp_path, "0 Hz/h")).images
    blurred = images_of_run(drifted, Recipe(correct_drift=False)).images
    off_shown, off_blurred = (float(np.abs(np.abs(one[0]) - np.abs(still[0])).max()) for one in (shown, blurred))
    peak = float(np.abs(still[0]).max())
    assert off_shown < 0.03 * peak
    assert off_blurred > 0.1 * peak
