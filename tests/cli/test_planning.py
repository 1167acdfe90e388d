"""`plan` and `export-seq`: told before it is played."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from knightshift.cli.planning import PlanChoices, make_plan
from knightshift.core.errors import InputError

from .conftest import Cli


def test_overnight_plan_is_a_night_of_11_5_hours(cli: Cli) -> None:
    result = cli("plan", "overnight_t2", "--json")
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["duration_s"] == pytest.approx(11.5 * 3600, rel=0.01)
    assert plan["passes"] == plan["passes_per_image"] * len(plan["echo_times_s"])
    assert plan["voxel_size_m"][plan["axes"].index("z")] == pytest.approx(23e-6, rel=0.01)
    assert max(plan["peak_gradient_t_per_m"].values()) < 1.5


def test_plan_for_people_says_passes_duration_and_finish_time(cli: Cli) -> None:
    result = cli("plan", "overnight_t2_train")
    assert result.returncode == 0
    for word in ("passes", "duration", "finish", "peak gradient", "disk", "11.5"):
        assert word in result.stdout


def test_exported_sequence_carries_what_pulseq_does_not(cli: Cli, protocol: Path, tmp_path: Path) -> None:
    result = cli("export-seq", protocol, "-o", tmp_path / "out.seq")
    assert result.returncode == 0, result.stderr
    files = sorted(tmp_path.glob("out_te*.seq"))
    assert [path.name for path in files] == ["out_te12ms.seq", "out_te24ms.seq", "out_te4ms.seq"]
    for path in files:
        text = path.read_text()
        for word in ("Gamma ", "B0 ", "Nucleus 23Na", "WorkingFrequency "):
            assert word in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("averages: 4", "averages: 4\necho_tmie: 3", "unknown key"),
        ('"120 ms"', "120", "120 needs a unit: write e.g. '12 ms'"),
        ('"4 ms", ', '"0.5 ms", ', "too short"),
        ("nucleus: 23Na", "nucleus: 24Na", "known are"),
        ('dwell_time: "8 us"', 'dwell_time: "1 us"', "use 0.002 ms"),
        ("z: 16", "z: 1600000", ""),
        ("averages: 4", "averages: -4", "averages"),
        ('"120 ms"', '"12 ms"', "repetition_time"),
    ],
)
def test_impossible_protocol_is_refused_in_words(cli: Cli, protocol: Path, old: str, new: str, message: str) -> None:
    text = protocol.read_text()
    assert old in text
    protocol.write_text(text.replace(old, new))
    result = cli("plan", protocol)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert message in result.stderr


def test_unknown_protocol_lists_the_shipped_ones(process: Cli) -> None:
    result = process("plan", "overnight_t3")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "overnight_t2_train" in result.stderr


def test_deadline_and_echo_times_are_told(cli: Cli, protocol: Path) -> None:
    result = cli(
        "plan", protocol, "--json", "--start", "2026-03-28 19:00", "--until", "08:30", "--zone", "Europe/London",
        "--optimise-echo-times", "5ms:17ms",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["start_time"] == "2026-03-28T19:00:00+00:00"
    assert "2026-03-29T08:29:00+01:00" < plan["finish_time"] <= "2026-03-29T08:30:00+01:00"
    assert plan["duration_s"] <= 12.5 * 3600
    advice = plan["echo_time_advice"]
    assert advice["gain"] > 1
    assert advice["echo_times_s"][0] >= advice["minimum_echo_time_s"]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (PlanChoices(duration="1 s"), "one average takes"),
        (PlanChoices(duration="1"), "needs a unit"),
        (PlanChoices(duration="1h", averages=3), "give one of them"),
        (PlanChoices(t2=["16ms"]), "--from-run"),
        (PlanChoices(optimise="17ms:5ms"), "shorter one first"),
        (PlanChoices(start="2026-01-01 19:00", until="2026-01-01 18:00"), "lies before --start"),
        (PlanChoices(from_run=Path("nowhere")), "no such folder"),
        (PlanChoices(zone="Mars/Olympus"), "Europe/London"),
    ],
)
def test_plan_refuses_what_cannot_be_and_says_what_could(protocol: Path, choices: PlanChoices, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(str(protocol), "simulated", choices)


def test_a_terminal_that_lacks_a_character_gets_its_number(
    process: Cli, protocol: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    result = process("plan", protocol)
    assert result.returncode == 0, result.stderr
    assert r"\u00b5m" in result.stdout
