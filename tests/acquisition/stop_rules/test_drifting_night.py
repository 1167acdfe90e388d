"""Rules see the images as the reconstruction corrects them by reference FIDs, and a run that goes on sees the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from adjusted_night import drifting_night, events_of, resume_adjusted

from knightshift.acquisition import StopRequest
from knightshift.acquisition.stop_rules import RuleObserver, parse_rules
from knightshift.acquisition.stop_rules.referenced_sum import ReferencedSum
from knightshift.core.arrays import ComplexArray
from knightshift.core.run_folder import JOURNAL, Run, open_run
from knightshift.reconstruction.live import snr_of_region, voxels_in_box
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import images_of_run

EDGE = {"y": (0.35e-3, 0.65e-3), "z": (-0.3e-3, 0.3e-3)}
IN_THE_EDGE = "snr of echo 1 in box y=[0.35 mm, 0.65 mm], z=[-0.3 mm, 0.3 mm]"
BLOCK = 2


def seen_live(drifted: Run, folder: Path) -> dict[int, ComplexArray]:
    """Images after each block, by passes so far, from a journal that grows as it did in the night."""
    growing = Path(shutil.copytree(drifted.path, folder / "run"))
    lines = (drifted.path / JOURNAL).read_bytes().splitlines(keepends=True)
    written = 1
    (growing / JOURNAL).write_bytes(lines[0])
    live, images = ReferencedSum(open_run(growing)), {}
    for commit in drifted.commits().values():
        while f'"pass":{commit.index},'.encode() not in lines[written] or b'"committed"' not in lines[written]:
            written += 1
        (growing / JOURNAL).write_bytes(b"".join(lines[: written + 1]))
        live.add(drifted.read_committed(commit))
        if live.n_seen >= 2 * BLOCK and live.n_seen % BLOCK == 0:
            images[live.n_seen] = live.images().images
    return images


@pytest.mark.parametrize("n_before", [0, 3, 11, 18])
def test_a_run_that_goes_on_sees_the_same_images_to_the_bit(drifted: Run, tmp_path: Path, n_before: int) -> None:
    live, commits = seen_live(drifted, tmp_path), list(drifted.commits().values())
    resumed = ReferencedSum(drifted)
    resumed.add_committed(commits[:n_before])
    compared = 0
    for commit in commits[n_before:]:
        resumed.add(drifted.read_committed(commit))
        if resumed.n_seen in live:
            np.testing.assert_array_equal(resumed.images().images, live[resumed.n_seen])
            compared += 1
    assert compared >= (len(commits) - n_before) // BLOCK - 1


def test_the_snr_that_a_rule_sees_is_that_of_the_corrected_images(drifted: Run) -> None:
    observer = RuleObserver(parse_rules([f"{IN_THE_EDGE} >= 1e6"]))
    observer.began(drifted, lambda time, event, **payload: None, 0.0)
    (progress,) = observer.progress
    series, blurred = images_of_run(drifted), images_of_run(drifted, Recipe(correct_drift=False))
    voxels = voxels_in_box(series.geometry, series.images.shape[1:], EDGE)
    of_report, of_blurred = (snr_of_region(images, 0, voxels).value for images in (series, blurred))
    assert progress.value == pytest.approx(of_report, rel=0.02)
    assert of_blurred < 0.5 * of_report, "passes that differ are noise to a sum without correction"


def test_a_run_that_was_stopped_in_a_drifting_field_ends_with_the_same_passes(tmp_path: Path) -> None:
    rules = parse_rules([f"{IN_THE_EDGE} >= 165"])
    whole = drifting_night(tmp_path / "whole", observers=(RuleObserver(rules),))
    assert 8 < len(whole.committed()) < whole.manifest.n_passes
    for n_before in (5, len(whole.committed()) - 2):
        stop = StopRequest()
        begun = drifting_night(
            tmp_path / f"{n_before}", observers=(RuleObserver(rules),), stop=stop,
            on_progress=lambda event, stop=stop, n=n_before: stop.request("test") if event.n_committed == n else None,
        )  # fmt: skip
        assert len(begun.committed()) < len(whole.committed())
        resume_adjusted(begun.path, observers=(RuleObserver(rules),))
        assert begun.committed() == whole.committed()
        assert met(begun) == met(whole) != set()


def met(run: Run) -> set[tuple[int, str]]:
    """Decisive pass and reason; a run that goes on after the decision tells it once more."""
    return {(event["pass"], event["reason"]) for event in events_of(run.path, "rule_met")}
