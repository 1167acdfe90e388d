"""Passes, time, duty and disk of a night."""

from __future__ import annotations

import json
from collections import namedtuple
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from knightshift.acquisition.local_time import parse_moment
from knightshift.acquisition.planner import TimeWish, check_room_on_disk, measurement_for, plan_night
from knightshift.acquisition.planner import plan as plan_module
from knightshift.core.errors import InputError, StorageError
from knightshift.core.run_folder import open_run
from knightshift.hardware.adjustment_rules import (
    AdjustmentsConfig,
    CentreFrequencyConfig,
    ReceiverGainConfig,
    ReferencesConfig,
)
from knightshift.hardware.site import load_site
from knightshift.sequences import build, load_protocol

from .conftest import coarse_protocol

LONDON = ZoneInfo("Europe/London")
EVENING = parse_moment("2026-03-28 19:00", 0, LONDON)  # the clock goes forward in this night


def plan(limits, **wish):
    measurement = measurement_for(load_protocol("overnight_t2"), limits, TimeWish(start=EVENING, **wish), LONDON)
    return plan_night(measurement, limits, start=EVENING, zone=LONDON)


def test_deadline_is_kept_and_filled_in_a_night_with_a_clock_change(limits) -> None:
    night = plan(limits, until=parse_moment("08:30", EVENING, LONDON))
    assert night.summary.passes == 12.5 * 3600 // 120 * 5
    assert night.local(night.finish).isoformat() == "2026-03-29T08:30:00+01:00"


@pytest.mark.parametrize(
    ("wish", "passes"), [({"averages": 7}, 35), ({"duration": 3600.0}, 150), ({"duration": 3599.0}, 145), ({}, 1725)]
)
def test_passes_are_whole_averages(limits, wish, passes) -> None:
    night = plan(limits, **wish)
    assert night.summary.passes == passes
    assert night.summary.duration_s == pytest.approx(24.0 * passes)


@pytest.mark.parametrize(("gap", "averages"), [(0.0, 345), (0.01, 344), (1.2, 328)])
def test_the_gaps_that_an_earlier_run_had_count_before_a_deadline(limits, gap: float, averages: int) -> None:
    night = plan(limits, until=EVENING + 41400.0, host_gap=gap)
    assert night.summary.passes == 5 * averages
    assert night.finish == pytest.approx(EVENING + 5 * averages * (24.0 + gap))
    assert night.finish <= EVENING + 41400.0 < night.finish + 5 * (24.0 + gap)
    assert night.as_json()["host_gap_s"] == gap


def test_overridden_plan_is_the_one_that_the_protocol_itself_would_give(limits) -> None:
    protocol = coarse_protocol(averages=5)
    changed = measurement_for(coarse_protocol(averages=2), limits, TimeWish(start=0, averages=5), LONDON)
    assert changed == build(protocol, limits)


def test_what_does_not_fit_is_refused_with_what_would(limits) -> None:
    with pytest.raises(InputError, match=r"one average takes 120 s.*19:02:00 GMT.*--averages 1"):
        plan(limits, until=EVENING + 60)
    with pytest.raises(InputError, match="duration 119 s is too short"):
        plan(limits, duration=119.0)


def test_run_lasts_as_long_as_planned_to_a_thousandth(limits, play) -> None:
    measurement, path = play(coarse_protocol(averages=2), seed=1)
    commits = open_run(path).commits().values()
    lasted = max(commit.finished for commit in commits) - min(commit.started for commit in commits)
    night = plan_night(measurement, limits, start=EVENING, zone=LONDON)
    assert lasted == pytest.approx(night.summary.duration_s, rel=1e-3)
    on_disk = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert on_disk < 1.1 * night.disk_bytes + 200_000  # the programs themselves are not reckoned


def test_duty_of_the_night_is_the_mean_over_its_passes(limits) -> None:
    night = plan(limits)
    assert night.duty.rf_on_s == pytest.approx(1725 * 200 * 150e-6)
    assert night.duty.rf_share == pytest.approx(night.duty.rf_duty / limits.max_rf_duty)
    for axis, rms in night.duty.rms_gradient_t_per_m.items():
        assert 0 < rms <= night.summary.rms_gradient_t_per_m[axis] * (1 + 1e-9)
        assert night.duty.gradient_share[axis] < 1


def test_plan_is_json_with_its_old_names(limits) -> None:
    plain = json.loads(json.dumps(plan(limits).as_json(), allow_nan=False))
    assert (plain["passes"], plain["duration_s"]) == (1725, pytest.approx(41400))
    assert plain["finish_time"] == "2026-03-29T07:30:00+01:00"
    assert plain["night_duty"]["duration_s"] == plain["duration_s"]


def test_disk_too_small_proposes_the_averages_that_fit(limits, tmp_path: Path, monkeypatch) -> None:
    night = plan(limits)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(plan_module.shutil, "disk_usage", lambda _: usage(0, 0, night.disk_bytes // 2 + 64_000_000))
    with pytest.raises(StorageError, match=r"--averages 17[12] would fit"):
        check_room_on_disk(night, tmp_path / "not there yet", 64_000_000)
    check_room_on_disk(night, tmp_path, -night.disk_bytes)


def test_a_plan_leaves_time_for_adjustments_and_references() -> None:
    site = load_site("simulated").model_copy(
        update={
            "adjustments": AdjustmentsConfig(
                centre_frequency=CentreFrequencyConfig(), receiver_gain=ReceiverGainConfig()
            ),
            "references": ReferencesConfig(interval=20, tolerance=100.0),
        }
    )
    wish = TimeWish(start=EVENING, duration=41_400.0)
    protocol = load_protocol("overnight_t2")
    alone = measurement_for(protocol, site.limits, wish, LONDON)
    with_fids = measurement_for(protocol, site.limits, wish, LONDON, site)
    fids = 2 + 86 + 1  # tuning, before every 20 of 1720 passes, before the last
    assert alone.n_passes == 1725
    assert with_fids.n_passes == 1720, "53 s of FIDs and 48 s for the gain take one cycle of five passes"
    assert with_fids.duration == pytest.approx(1720 * 24 + fids * 0.6 + 2 * 24)
    assert with_fids.duration <= 41_400 < with_fids.duration + 120
    assert with_fids.protocol["averages"] == 344
