"""What the page is told: the run as its journal has it, the queue in order, alarms; hostile names stay words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from dashboard_visit import scan
from fake_scanner import acquire_tiny
from starlette.testclient import TestClient

from knightshift.acquisition.dashboard.run_watch import RunWatch
from knightshift.acquisition.dashboard.runs_index import RunsIndex
from knightshift.acquisition.queue.store import QueueStore
from knightshift.acquisition.run_lock import LockHolder
from knightshift.core.errors import InputError
from knightshift.core.journal import JournalWriter
from knightshift.core.run_folder import JOURNAL, LOCK, open_run


def only_run(runs: Path) -> Path:
    (path,) = runs.iterdir()
    return path


def state_of(visitor: TestClient, runs: Path) -> dict[str, object]:
    state: dict[str, object] = visitor.get(f"/api/runs/{only_run(runs).name}").json()
    return state


def test_a_finished_run_is_told_as_its_journal_has_it(visitor: TestClient, runs: Path) -> None:
    state, run = state_of(visitor, runs), open_run(only_run(runs))
    assert state["state"] == "completed"
    assert (state["n_committed"], state["n_passes"]) == (6, 6)
    assert [line["sequence"] for line in reversed(state["journal"])] == [event.sequence for event in run.events()]
    curves = visitor.get(f"/api/runs/{run.path.name}/curves").json()
    (frequency,) = [curve for curve in curves if curve["name"] == "receiver"]
    assert frequency["value"] == [commit.frequency for commit in run.commits().values()]


def test_what_is_written_later_is_seen_later(runs: Path) -> None:
    path = only_run(runs)
    watch = RunWatch(path)
    watch.refresh()
    before = watch.state()
    with JournalWriter(path / JOURNAL) as journal:
        now = open_run(path).commits()[5].finished
        suspended = {"pass": 6, "time_s": now, "reason": "helium low", "readings": {}}
        journal.append(now, "suspended", **suspended)
        repeated = {"pass": 6, "attempt": 1, "time_s": now, "device": "console", "kind": "X", "fault": "lost"}
        journal.append(now, "pass_repeated", **repeated)
    watch.refresh()
    after = watch.state()
    assert len(after["alarms"]) == len(before["alarms"]) + 2
    assert "helium low" in json.dumps(after["alarms"])
    assert before["n_committed"] == after["n_committed"]


def test_a_living_holder_of_the_lock_means_acquiring(runs: Path) -> None:
    path = only_run(runs)
    watch = RunWatch(path)
    watch.refresh()
    parent = LockHolder.this_process().model_copy(update={"host": "another-computer"})
    (path / LOCK).write_text(parent.model_dump_json())
    assert watch.state()["state"] == "acquiring"
    (path / LOCK).unlink()
    assert watch.state()["state"] == "completed"


def test_damage_is_shown_and_the_rest_stays(visitor: TestClient, runs: Path) -> None:
    path = only_run(runs)
    watch = RunWatch(path)
    watch.refresh()
    content = (path / JOURNAL).read_bytes()
    (path / JOURNAL).write_bytes(content + b'{"seq":1,"nonsense":1,"crc":"00000000"}\n')
    watch.refresh()
    assert "line 11" in watch.state()["damage"]
    assert watch.state()["n_committed"] == 6


@pytest.mark.parametrize("name", ["..", "../runs", ".", "", "none", "a/b", "%2e%2e", "x\0y"])
def test_a_name_from_outside_counts_only_if_the_folder_holds_it(runs: Path, name: str) -> None:
    with pytest.raises(InputError):
        RunsIndex(runs).path(name)


def test_links_out_of_the_folder_are_not_followed(runs: Path, tmp_path: Path) -> None:
    acquire_tiny(tmp_path / "elsewhere")
    (runs / "link").symlink_to(only_run(tmp_path / "elsewhere"))
    assert "link" not in [entry.name for entry in RunsIndex(runs).entries()]


def test_hostile_names_stay_words(visitor: TestClient, runs: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    shutil.copytree(only_run(runs), runs / hostile)
    answer = visitor.get("/api/overview")
    assert answer.headers["content-type"] == "application/json"
    assert hostile in [entry["name"] for entry in answer.json()["runs"]]


def test_the_queue_is_laid_out_one_job_behind_the_other(visitor: TestClient, runs: Path) -> None:
    with QueueStore(runs.parent / "queue", lambda: 1.8e9) as store:
        store.add(scan("first"), scan("second"))
    queue = visitor.get("/api/overview").json()["queue"]
    first, second = queue["jobs"]
    assert first["ends"] - first["begins"] == pytest.approx(600)
    assert second["begins"] == pytest.approx(first["ends"])
    assert queue["service"] == "never"
