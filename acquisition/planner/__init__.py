"""Tell a night before it is played: passes, time, duty, disk, SNR, uncertainty of T2, better echo times."""

from knightshift.acquisition.planner.echo_times import EchoTimeAdvice, optimise_echo_times
from knightshift.acquisition.planner.expectation import (
    Expectation,
    RegionSignal,
    SignalReference,
    expect,
    expected_t2_std,
)
from knightshift.acquisition.planner.pass_count import TimeWish, measurement_for
from knightshift.acquisition.planner.plan import NightPlan, check_room_on_disk, plan_night, with_expectations
from knightshift.acquisition.planner.reference import (
    reference_of_images,
    reference_of_rehearsal,
    reference_of_run,
    rehearse,
)

__all__ = [
    "EchoTimeAdvice",
    "Expectation",
    "NightPlan",
    "RegionSignal",
    "SignalReference",
    "TimeWish",
    "check_room_on_disk",
    "expect",
    "expected_t2_std",
    "measurement_for",
    "optimise_echo_times",
    "plan_night",
    "reference_of_images",
    "reference_of_rehearsal",
    "reference_of_run",
    "rehearse",
    "with_expectations",
]
