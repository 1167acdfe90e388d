"""A check with RF that fails leaves a run without a pass: everything says why, and once mended it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adjusted_night import SEED, acquire_adjusted, body, events_of, full_site, measurement, phantom

from knightshift.acquisition import AcquisitionOptions, RunStatus, resume
from knightshift.acquisition.dashboard.run_watch import RunWatch
from knightshift.acquisition.preview import RunFollower, RunState, take_snapshot
from knightshift.cli.previewing import preview_run
from knightshift.cli.scanning import verify_run_folder
from knightshift.core.clock import VirtualClock, from_iso_time
from knightshift.core.errors import AdjustmentError, InputError
from knightshift.core.run_folder import open_run
from knightshift.core.run_verification import verify_run
from knightshift.core.run_without_passes import one_line, why_no_pass
from knightshift.hardware.backends import open_scanner
from knightshift.reconstruction.reconstruct import images_of_run

SITE = full_site(preflight={"with_rf": {"frequency": 300.0}})
MENDED: dict[str, Any] = phantom()
WRONG: dict[str, Any] = phantom(body(shift=1118e-6))
"""Almost 850 Hz away."""


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdjustmentError]:
    runs = tmp_path_factory.mktemp("refused")
    with pytest.raises(AdjustmentError) as caught:
        acquire_adjusted(runs, SITE, WRONG, what=measurement(2))
    return runs / "night", caught.value


def test_the_error_says_that_no_pass_was_played_and_what_to_do(refused: tuple[Path, AdjustmentError]) -> None:
    path, error = refused
    assert "pre-flight failed, no pass was played:\n  frequency (line)" in str(error)
    (note,) = error.__notes__
    assert note.startswith("no pass was begun; what was played before is kept in")
    assert f"`knightshift resume {path}` begins it" in note
    assert "passes are kept" not in note


def test_whoever_asks_for_the_run_is_told_why_it_has_no_pass(
    refused: tuple[Path, AdjustmentError], capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = refused
    why = why_no_pass(open_run(path).events())
    assert "frequency (line)" in why
    assert "wanted within 300 Hz" in why
    assert "\n" not in why
    report = verify_run(path)
    assert (report.intact, report.notes, report.without_passes) == (True, (), why)
    verify_run_folder(path)
    assert capsys.readouterr().out == f"{why}\n"
    with pytest.raises(InputError, match=r"no pass was begun; .*frequency \(line\)"):
        images_of_run(open_run(path))
    preview_run(path, None, follow=False, every="1 s")
    assert f"no images yet: {why}" in capsys.readouterr().out
    follower = RunFollower(open_run(path))
    follower.catch_up()
    assert (follower.state(), take_snapshot(follower).facts(0.0)["without_passes"]) == (RunState.FAILED, why)
    watch = RunWatch(path)
    watch.refresh()
    assert (watch.state()["state"], watch.state()["words"]) == ("failed", why)


def test_once_mended_it_begins_anew_and_is_equal_to_a_run_that_was_never_refused(tmp_path: Path) -> None:
    with pytest.raises(AdjustmentError):
        acquire_adjusted(tmp_path / "refused", SITE, WRONG, what=measurement(2))
    path = tmp_path / "refused" / "night"
    clock = VirtualClock(from_iso_time(open_run(path).manifest.created))
    scanner = open_scanner(SITE, clock=clock, phantom=MENDED | {"name": "tiny"}, seed=SEED)
    result = resume(path, scanner, clock=clock, options=AcquisitionOptions(disk_margin=0))
    assert result.status is RunStatus.COMPLETED
    assert verify_run(path).without_passes == ""
    assert [event["epoch"] for event in events_of(path, "epoch_began")] == [0]
    never = open_run(acquire_adjusted(tmp_path / "never", SITE, MENDED, what=measurement(2)).path)
    for mended, other in zip(open_run(path).passes(), never.passes(), strict=True):
        np.testing.assert_array_equal(mended.samples, other.samples)
        assert (mended.frequency, mended.receiver_gain) == (other.frequency, other.receiver_gain)
        assert mended.started == pytest.approx(other.started, abs=1e-3)
    np.testing.assert_array_equal(images_of_run(open_run(path)).images, images_of_run(never).images)


def test_a_message_of_several_lines_is_one_in_the_list_of_jobs() -> None:
    assert one_line("pre-flight failed:\n  frequency: far off\nin order are: noise") == (
        "pre-flight failed: frequency: far off; in order are: noise"
    )
