"""Stop rules as people write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knightshift.acquisition.stop_rules import SnrRule, T2StdRule, parse_rule, parse_rules, read_rules
from knightshift.cli.stop_options import StopChoices
from knightshift.core.errors import ConfigError, InputError

_METRES = st.floats(-5e-3, 5e-3).map(lambda value: round(value, 7))
_SIDES = st.tuples(_METRES, _METRES).filter(lambda pair: pair[0] < pair[1])


@settings(max_examples=30)
@given(
    sides=st.dictionaries(st.sampled_from("xyz"), _SIDES, min_size=1),
    echo=st.integers(1, 99),
    goal=st.floats(0.1, 1e4).map(lambda value: float(f"{value:.4g}")),
)
def test_a_rule_says_what_was_written(sides: dict[str, tuple[float, float]], echo: int, goal: float) -> None:
    box = ", ".join(f"{axis}=[{1e6 * low:g} um, {high:.9f} m]" for axis, (low, high) in sides.items())
    rule = parse_rule(f"snr of echo {echo} in box {box} >= {goal}")
    assert isinstance(rule, SnrRule)
    assert (rule.echo, rule.at_least) == (echo, goal)
    for axis, side in rule.region.sides.items():
        assert side == pytest.approx(sides[axis], abs=1e-9)
    again = parse_rule(str(rule))
    assert isinstance(again, SnrRule)
    assert (again.echo, again.at_least) == (rule.echo, pytest.approx(rule.at_least, rel=1e-5))
    for axis, side in again.region.sides.items():
        assert side == pytest.approx(sides[axis], abs=1e-8)


@pytest.mark.parametrize(
    ("text", "statistic"),
    [
        ("t2 std in box z=[0 mm, 1 mm] <= 0.5 ms", "median"),
        ("median T2 std in box z=[0 mm, 1 mm] <= 500 us", "median"),
        ("pooled t2 std in box z=[0 mm, 1 mm] ≤ 0.0005 s", "pooled"),
        ("sigma(T2) in box z=[0 mm, 1 mm] <= 0.5 ms", "median"),
    ],
)
def test_the_uncertainty_of_t2_has_a_unit(text: str, statistic: str) -> None:
    rule = parse_rule(text)
    assert isinstance(rule, T2StdRule)
    assert (rule.statistic, rule.at_most) == (statistic, pytest.approx(0.5e-3))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("snr of echo 5", "is not a stop rule"),
        ("snr of echo 5 in box z=[0 mm, 1 mm] <= 4", "met from the start"),
        ("t2 std in box z=[0 mm, 1 mm] >= 1 ms", "met from the start"),
        ("snr of echo 5 in box z=[0, 1 mm] >= 4", "needs a unit"),
        ("snr of echo 5 in box z=[1 mm, 0 mm] >= 4", "lower end first"),
        ("snr of echo 5 in box z=[0 mm, 1 mm], z=[0 mm, 2 mm] >= 4", "twice"),
        ("snr of echo 5 in box w=[0 mm, 1 mm] >= 4", "no box"),
        ("snr of echo 5 in box z=[0 mm, 1 mm] or so >= 4", "no box"),
        ("snr of echo 0 in box z=[0 mm, 1 mm] >= 4", "greater than 0"),
        ("snr of echo 5 in box z=[0 mm, 1 mm] >= 4 ms", "has no unit"),
        ("snr of echo 5 in box z=[0 mm, 1 mm] >= -4", "greater than 0"),
        ("snr of echo 5 in box z=[0 mm, 1 mm] >= nan", "finite|greater"),
        ("t2 std in box z=[0 mm, 1 mm] <= 1", "needs a unit"),
        ("contrast in box z=[0 mm, 1 mm] >= 1", "nothing that is measured"),
        ("snr of echo 5 in the dendrite >= 4", "no region"),
        ("snr of echo 5 in mask nowhere.nii.gz >= 4", "no such file"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_rule(text)


@settings(max_examples=30)
@given(st.text(max_size=80))
def test_any_other_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(InputError):
        parse_rule(text)


def test_a_file_of_rules_names_its_masks_from_its_own_folder(tmp_path: Path) -> None:
    np.save(tmp_path / "spot.npy", np.eye(4, dtype=bool)[np.newaxis])
    file = tmp_path / "stop.yaml"
    file.write_text("minimum_passes: 50\nstop_when:\n  - snr of echo 1 in mask spot.npy >= 4\n")
    rules = read_rules(file)
    assert rules.minimum_passes == 50
    (rule,) = rules.rules
    assert rule.region.kind == "mask"
    assert rule.region.voxels == (0, 5, 10, 15)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("stop_when: []", "at least 1 item"),
        ("stop_when: [snr of echo 1]\n", "is not a stop rule"),
        ("stop_when: [snr of echo 1]\nminimal_passes: 3\n", "unknown key"),
        ("- snr", "valid dictionary"),
    ],
)
def test_a_wrong_file_of_rules_names_the_mistake(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "stop.yaml").write_text(content)
    with pytest.raises(ConfigError, match=words) as caught:
        read_rules(tmp_path / "stop.yaml")
    assert "stop.yaml" in str(caught.value)


def test_rules_of_the_command_line_join_those_of_a_file(tmp_path: Path) -> None:
    text = "snr of echo 1 in box z=[0 mm, 1 mm] >= 4"
    (tmp_path / "stop.yaml").write_text(f"stop_when: ['{text}']\nminimum_passes: 7\n")
    more = "t2 std in box z=[0 mm, 1 mm] <= 1 ms"
    both = StopChoices([more], tmp_path / "stop.yaml").rules()
    assert both is not None
    assert both.rules == (*parse_rules([text]).rules, *parse_rules([more]).rules)
    assert both.minimum_passes == 7
    assert StopChoices().rules() is None
    with pytest.raises(InputError, match="--stop-when"):
        StopChoices(min_passes=5).rules()
