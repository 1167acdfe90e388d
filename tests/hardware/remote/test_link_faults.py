"""Link faults by the thousand: each ends in a successful retry or a typed fault in time, none in a wrong value."""

from __future__ import annotations

import sys

import pytest


def campaign(n_faults, seed, limits, program, n_workers):
    made = sys.modules["remote_campaign"].Campaign(n_faults, seed, limits, program, n_workers)
    made.run()
    sys.stdout.write(f"\n{n_faults} link faults, seed {seed}\n{made.table()}\n")
    assert not made.problems, made.problems
    assert sum(made.outcomes.values()) == n_faults
    names = {outcome for _, outcome in made.outcomes}
    assert names <= {"retry succeeded", "LinkFault", "IllegalTransitionError"}, names
    repaired = ("drop", "garble", "duplicate", "late echo", "reorder")
    harmless = [made.outcomes[kind, "retry succeeded"] for kind in repaired]
    lost = [made.outcomes[kind, "LinkFault"] for kind in ("long mute", "unplug")]
    assert sum(harmless) > 0.98 * 5 * n_faults / 11, "single damaged frames must be repaired by sending again"
    assert sum(lost) > 0.98 * 2 * n_faults / 11, "a dead link must be told"


def test_three_hundred_link_faults(limits, plain_program) -> None:
    campaign(330, 1, limits, plain_program, 12)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_thousand_link_faults(limits, plain_program) -> None:
    campaign(10_010, 2026, limits, plain_program, 24)
