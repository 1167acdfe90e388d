"""Stop rules from the command line to the end of the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from knightshift.cli.app import app
from knightshift.core.errors import InputError
from knightshift.core.run_folder import open_run

RULE = "snr of echo 1 in box z=[-1 mm, 1 mm] >= 0.5"
WRONG = "snr of echo 7 in box z=[-1 mm, 1 mm] >= 4"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_run_stops_by_its_rule_and_a_person_may_go_on_with_it(protocol: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    common = ("--virtual-clock", "--seed", 1, "--runs", runs)
    ended = run("acquire", protocol, *common, "--stop-when", RULE, "--min-passes", 8)
    assert ended.exit_code == 0, ended.output
    assert "stopped: 10 of 12 passes kept" in ended.output  # the block that ends with pass 9, and one more
    assert "stop rule met: SNR" in ended.output
    (folder,) = runs.iterdir()
    assert "to continue: knightshift resume" in ended.output
    assert run("resume", folder).exit_code == 0
    assert len(open_run(folder).committed()) == 12


def test_a_rule_that_does_not_fit_the_protocol_is_refused_before_anything_is_written(
    protocol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNIGHTSHIFT_QUEUE", str(tmp_path / "queue"))
    for command in (("acquire", protocol, "--virtual-clock"), ("queue", "add", protocol)):
        refused = run(*command, "--runs", tmp_path / "runs", "--stop-when", WRONG)
        assert isinstance(refused.exception, InputError)
        assert "echoes are numbered 1 to 3" in str(refused.exception)
    assert not (tmp_path / "runs").exists()


def test_a_job_carries_its_rule_to_the_scanner(protocol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNIGHTSHIFT_QUEUE", str(tmp_path / "queue"))
    added = run("queue", "add", protocol, "--runs", tmp_path / "runs", "--seed", 1, "--stop-when", RULE)
    assert added.exit_code == 0, added.output
    assert "until snr of echo 1 in box z=[-1 mm, 1 mm] >= 0.5" in added.output
    assert run("run-queue", "--virtual-clock", "--until-idle").exit_code == 0
    (job,) = json.loads(run("queue", "list", "--all", "--json").output)
    assert (job["state"], job["n_committed"]) == ("truncated", 7)
    assert "its goal was reached" in run("queue", "log", 1).output
