"""The night as its journal tells it: closed forms of what it cost, every event in its place, hostile texts harmless."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.core.clock import iso_time
from knightshift.core.errors import DamagedDataError
from knightshift.core.journal import JournalEvent, encode_event
from knightshift.core.run_folder import JOURNAL, MANIFEST, PASSES, Run, open_run
from knightshift.reconstruction.report import ComparedRun, ReportInputs, write_report
from knightshift.reconstruction.report.comparison_figure import comparison_figure
from knightshift.reconstruction.report.comparison_section import range_of_both, shown_runs
from knightshift.reconstruction.report.losses import losses_of, snr_cost
from knightshift.reconstruction.report.night import night_of
from knightshift.reconstruction.report.night_section import how_it_ended, night_sentence
from knightshift.reconstruction.report.run_facts import run_facts

from .test_run_facts import commit, make_manifest

EVENING = 1767639600.0
HOSTILE = '<script>alert("1")</script><img src=x onerror=alert(1)>'
COMMAND = "knightshift resume '/runs/my night'"

RunOf = Callable[[list[tuple[str, dict[str, Any]]]], Run]


def build_run(folder: Path, events: list[tuple[str, dict[str, Any]]]) -> Run:
    """Write a run folder of five passes with these events after `created`."""
    content = make_manifest().model_dump_json().encode()
    (folder / MANIFEST).write_bytes(content)
    (folder / PASSES).mkdir(exist_ok=True)
    digest = hashlib.sha256(content).hexdigest()
    lines, crc = b"", 0
    for number, (name, payload) in enumerate([("created", {"manifest_sha256": digest}), *events]):
        line, crc = encode_event(JournalEvent(number, iso_time(_time(payload)), name, payload), crc)
        lines += line
    (folder / JOURNAL).write_bytes(lines)
    return open_run(folder)


@pytest.fixture
def run_of(tmp_path: Path) -> RunOf:
    return partial(build_run, tmp_path)


def _time(payload: dict[str, Any]) -> float:
    return float(payload.get("time_s", payload.get("finished_s", EVENING)))


def began(epoch: int, seconds: float) -> tuple[str, dict[str, Any]]:
    return ("epoch_began", {"epoch": epoch, "time_s": EVENING + seconds, "remaining": 5, "host": "lab", "pid": 1})


def ended(epoch: int, status: str, reason: str, seconds: float) -> tuple[str, dict[str, Any]]:
    return ("ended", {"epoch": epoch, "status": status, "reason": reason, "time_s": EVENING + seconds})


def measured(index: int, seconds: float, flags: tuple[str, ...] = (), **more: Any) -> tuple[str, dict[str, Any]]:
    return ("committed", {**commit(index, seconds, flags=flags), **more})


def reading(value: float | None, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "measured_s": EVENING, "severity": "ok", "stale": False, "problem": ""}


ROUGH = [
    began(0, 0.0),
    measured(0, 0.0, readings={"probe.temperature": reading(296.15, "K"), "cryostat.helium": reading(0.62, "1")}),
    (
        "pass_repeated",
        {"pass": 1, "attempt": 1, "time_s": EVENING + 34.0, "device": "scanner", "kind": "ReadoutTimeoutError",
         "fault": "late"},
    ),
    measured(1, 34.0, flags=("overrange",), readings={"cryostat.helium": reading(0.19, "1")}),
    ("suspended", {"pass": 2, "time_s": EVENING + 58.0, "reason": "helium_low: 19 %", "readings": {}}),
    ("resumed", {"pass": 2, "time_s": EVENING + 658.0, "suspended_s": 600.0, "reason": "helium_low", "readings": {}}),
    measured(2, 658.0, readings={"cryostat.helium": reading(None, "1")}),
    ended(0, "stopped", "SIGTERM", 682.0),
    began(1, 782.0),
    measured(3, 782.0),
]  # fmt: skip


def test_every_suspension_repetition_and_epoch_is_told_with_its_times(run_of: RunOf) -> None:
    night = night_of(run_of(ROUGH))
    (pause,), (again,) = night.suspensions, night.repetitions
    assert (pause.index, pause.began - EVENING, pause.duration, pause.reason) == (2, 58.0, 600.0, "helium_low: 19 %")
    assert (again.index, again.attempt, again.kind, again.fault) == (1, 1, "ReadoutTimeoutError", "scanner: late")
    assert again.cost == 10.0  # pass 0 ended at 24 s, the fault came at 34 s
    first, second = night.epochs
    assert (first.n_committed, first.status, first.reason, first.ended - EVENING) == (3, "stopped", "SIGTERM", 682.0)
    assert (second.n_committed, second.status, second.ended - EVENING) == (1, "", 806.0)


def test_a_commit_record_that_comes_after_the_fault_of_the_next_pass_changes_no_cost(run_of: RunOf) -> None:
    """The pass before is committed while the next one plays, so their records may change places."""
    turned = [ROUGH[0], ROUGH[2], ROUGH[1], *ROUGH[3:]]
    assert night_of(run_of(turned)).repetitions[0].cost == 10.0


def test_curves_hold_readings_and_references_without_gaps_made_up(run_of: RunOf) -> None:
    reference = {
        "time_s": EVENING + 700.0, "frequency_Hz": 1.0e8, "amplitude": 0.5, "linewidth_Hz": 800.0,
        "noise_density": 1e-5, "phase_rad": 0.1, "problem": "",
    }  # fmt: skip
    lost = {**dict.fromkeys(reference), "time_s": EVENING + 701.0, "problem": "no line"}
    curves = {
        (c.name, c.sort): c for c in night_of(run_of([*ROUGH, ("reference", reference), ("reference", lost)])).curves
    }
    helium = curves["cryostat.helium", "level"]
    assert helium.value.tolist() == [0.62, 0.19]  # a reading that is none is no point
    assert (helium.time - EVENING).tolist() == [24.0, 58.0]
    assert curves["probe.temperature", "temperature"].unit == "K"
    assert curves["receiver", "frequency"].value.size == 4
    for sort, value in (("amplitude", 0.5), ("linewidth", 800.0), ("noise", 1e-5), ("phase", 0.1), ("frequency", 1e8)):
        assert curves["reference FID", sort].value.tolist() == [value]


def test_passes_without_weight_cost_snr_and_all_else_time_only(run_of: RunOf) -> None:
    """Three good passes, one flagged, one of five not there: 1 - sqrt(3/4) each; a spoilt attempt only its 10 s."""
    facts = run_facts(run_of(ROUGH), COMMAND)
    losses = {loss.cause.partition(":")[0]: loss for loss in losses_of(facts)}
    third = 1 - math.sqrt(3 / 4)
    assert losses["passes without weight"].snr == pytest.approx(third)
    assert losses["passes of the plan that are not there"].snr == pytest.approx(third)
    again = losses["passes spoilt by a fault and played again"]
    assert (again.n, again.time, again.snr) == (1, 10.0, 0.0)
    assert losses["suspensions by interlocks"].time == 600.0
    assert losses["interruptions, from the last word of an epoch to the next"].time == 100.0


def test_a_damaged_pass_that_was_acquired_again_cost_no_snr(run_of: RunOf) -> None:
    damaged = ("quarantined", {"pass": 0, "reason": "checksum", "kept_as": "x", "time_s": EVENING + 800.0})
    facts = run_facts(run_of([*ROUGH, damaged, measured(0, 806.0)]))
    (loss,) = [loss for loss in losses_of(facts) if "checksum" in loss.cause]
    assert (loss.n, loss.time, loss.snr) == (1, 24.0, 0.0)
    assert [one.replaced for one in facts.rejected if one.reason == "checksum"] == [True]


@given(used=st.integers(1, 10_000), lost=st.integers(0, 10_000))
def test_the_cost_undoes_the_growth_with_the_square_root(used: int, lost: int) -> None:
    assert (1 - snr_cost(used, lost)) * math.sqrt(used + lost) == pytest.approx(math.sqrt(used))


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ([], "No last word"),
        ([ended(1, "stopped", "SIGTERM", 900.0)], "Stopped by: SIGTERM."),
        ([ended(1, "failed", "the disk is full", 900.0)], "Failed: the disk is full."),
        ([measured(4, 806.0), ended(1, "completed", "", 900.0)], "Complete."),
    ],
)
def test_how_it_ended_is_the_last_epochs_word(run_of: RunOf, last: list[Any], words: str) -> None:
    facts = run_facts(run_of([*ROUGH, *last]), COMMAND)
    assert how_it_ended(facts).startswith(words)
    assert (facts.resume_command == COMMAND) == (words != "Complete.")


def test_the_sentence_at_the_top_tells_passes_local_times_and_cost(
    run_of: RunOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = night_sentence(run_facts(run_of(ROUGH)))
    local = datetime.fromtimestamp(EVENING, tz=UTC).astimezone()
    assert f"4 of 5 passes, {local:%a} {local.day} {local:%b %Y, %H:%M} to" in sentence
    assert "1 without weight, which cost 13 % of the SNR" in sentence


def test_what_the_pre_flight_did_not_like_and_what_was_adjusted_is_told(run_of: RunOf) -> None:
    found = {"name": "disk", "subject": "/runs", "value": "1 MB free", "limit": "343 MB", "remedy": "free some"}
    checks = [{**found, "verdict": "warning"}, {**found, "verdict": "ok"}, {**found, "verdict": "not made"}]
    tuned = {"kind": "centre_frequency", "time_s": EVENING + 1.0, "receiver_frequency_Hz": 1e8, "values": {}}
    night = night_of(run_of([("preflight", {"stage": "dry", "checks": checks}), *ROUGH, ("adjusted", tuned)]))
    assert [one.event for one in night.happenings] == ["preflight", "adjusted"]
    assert night.happenings[0].words == "warning: disk, /runs: 1 MB free, wanted 343 MB"
    assert night.happenings[1].words == "kind centre_frequency, receiver frequency Hz 100000000.0"


@pytest.mark.parametrize("key", ["time_s", "device", "attempt"])
def test_an_event_that_lacks_a_fact_is_damage_with_its_line(run_of: RunOf, key: str) -> None:
    payload = {name: value for name, value in ROUGH[2][1].items() if name != key}
    with pytest.raises(DamagedDataError, match=r"line 4.*pass_repeated"):
        night_of(run_of([*ROUGH[:2], ("pass_repeated", payload)]))


def test_an_empty_run_is_told_too(run_of: RunOf) -> None:
    facts = run_facts(run_of([]), COMMAND)
    assert how_it_ended(facts) == "Nothing was played yet."
    assert losses_of(facts)[0].n == 5


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(key.startswith("on") for key, _ in attrs)
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory, both_cells: dict[str, ReportInputs]) -> Path:
    """Write a report of all there is, with hostile texts wherever a journal or a title has words."""
    hostile = [
        (name, {key: HOSTILE if isinstance(value, str) else value for key, value in payload.items()})
        for name, payload in ROUGH
    ]
    hostile[1] = measured(0, 0.0, readings={HOSTILE: reading(296.15, "K")})
    hostile[3] = measured(1, 34.0, flags=(HOSTILE,))
    hostile += [
        ("file_quarantined", {"file": HOSTILE, "kept_as": HOSTILE, "reason": HOSTILE}),
        ("notification_failed", {"message": HOSTILE, "service": HOSTILE, "problem": HOSTILE}),
    ]
    facts = run_facts(build_run(tmp_path_factory.mktemp("run"), hostile), HOSTILE)
    other = _other(both_cells["pristine"], HOSTILE)
    inputs = replace(
        both_cells["shorted"], run=facts, title=HOSTILE, compared=other, with_distributions=True, t2_range=None
    )
    return write_report(inputs, tmp_path_factory.mktemp("report"))


def test_hostile_journal_texts_stay_text(hostile_report: Path) -> None:
    page = _Tags(hostile_report.read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert page.words.count(HOSTILE) >= 14
    summary = json.loads((hostile_report.parent / "summary.json").read_text())
    assert summary["night"]["suspensions"][0]["reason"] == HOSTILE
    assert summary["night"]["resume_command"] == HOSTILE


def _other(inputs: ReportInputs, title: str) -> Any:
    assert inputs.fit is not None
    assert inputs.populations is not None
    return ComparedRun(title, inputs.series, inputs.fit, inputs.populations)


def test_the_page_gives_the_command_that_continues_quoted(
    run_of: RunOf, both_cells: dict[str, ReportInputs], tmp_path: Path
) -> None:
    facts = run_facts(run_of(ROUGH), COMMAND)
    bare = replace(both_cells["pristine"], fit=None, populations=None, run=facts)
    page = _Tags(write_report(bare, tmp_path / "out").read_text(encoding="utf-8"))
    for words in (COMMAND, "No last word", "helium_low: 19 %", "10 min", "ReadoutTimeoutError", "Not measured"):
        assert words in page.words
    assert "reference FIDs" in page.words.partition("Not measured")[2]
    assert (tmp_path / "out" / "night.pdf").read_bytes().startswith(b"%PDF")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["night"]
    assert summary["suspended_s"] == 600.0
    assert summary["repeated"][0]["cost_s"] == 10.0
    assert [curve["name"] for curve in summary["curves"]] == ["probe.temperature", "cryostat.helium", "receiver"]


def test_two_runs_are_compared_with_errors_in_quadrature(
    both_cells: dict[str, ReportInputs], hostile_report: Path
) -> None:
    found = json.loads((hostile_report.parent / "summary.json").read_text())["comparison"]
    rows = {(row["region"], row["quantity"]): row for row in found["differences"]}
    median, bulk = rows["electrodes", "median_t2_s"], both_cells["shorted"].populations
    assert bulk is not None
    assert median["this"] == pytest.approx(bulk.bulk.t2_median)
    assert median["difference"] == pytest.approx(median["this"] - median["other"])
    assert median["difference_std"] == pytest.approx(math.hypot(median["this_std"], median["other_std"]))
    assert rows["dendrite", "voxels"]["other"] == 0
    assert rows["dendrite", "median_t2_s"]["difference"] is None
    assert "Compared with another run" in hostile_report.read_text(encoding="utf-8")


def test_two_runs_share_one_colour_scale(both_cells: dict[str, ReportInputs]) -> None:
    shorted, pristine = both_cells["shorted"], both_cells["pristine"]
    inputs = replace(shorted, compared=_other(pristine, "other"), t2_range=None)
    this, other = shown_runs(inputs)
    figure = comparison_figure(this, other, range_of_both(inputs))
    limits = [axes.images[0].get_clim() for axes in figure.axes if axes.images][2:]
    assert len(limits) == 2
    assert limits[0] == limits[1]
    assert limits[0][1] >= 16  # ms: the dendrite of one of them


def test_every_figure_is_there_as_vectors_too(hostile_report: Path) -> None:
    for name in ("overview", "comparison", "comparison_histogram", "t2_distribution", "night"):
        assert (hostile_report.parent / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (hostile_report.parent / f"{name}.png").exists()


def test_a_comparison_needs_regions_on_both_sides(both_cells: dict[str, ReportInputs]) -> None:
    with pytest.raises(ValueError, match="several echo times"):
        replace(both_cells["shorted"], populations=None, compared=_other(both_cells["pristine"], "other"))
