"""What a report tells of a run is what its journal says."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from knightshift.core.journal import JournalWriter
from knightshift.core.manifest import Manifest, ProgramEntry, RunSetup, ScannerIdentity
from knightshift.core.program import Encoding
from knightshift.core.run_folder import JOURNAL, MANIFEST, Run, open_run
from knightshift.reconstruction.report.run_facts import run_facts

EVENING = 1767639600.0
PROGRAM_DIGEST = "b" * 64


def make_manifest() -> Manifest:
    encoding = Encoding(
        kind="image",
        echo_times=(4e-3,),
        matrix=(1, 8, 8),
        field_of_view=(5e-3, 1e-3, 1e-3),
        axes=("x", "z", "y"),
        samples=16,
        center_sample=8,
        dwell_time=8e-6,
        repetition_time=0.1,
    )
    program = ProgramEntry(
        name="quick_look",
        digest=PROGRAM_DIGEST,
        nucleus="23Na",
        gyromagnetic_ratio=11.262e6,
        b0=9.4,
        working_frequency=105.98e6,
        duration=24.0,
        n_readouts=8,
        samples=16,
    )
    return Manifest(
        run_id="run-1",
        created="2026-01-05T19:00:00.000000+00:00",
        protocol={"name": "quick_look", "repetition_time": 0.1},
        encoding=encoding,
        n_passes=5,
        programs=(program,),
        scanner=ScannerIdentity(backend="simulated", device="9.4 T", version="1"),
        setup=RunSetup(clock="virtual", seed=7, phantom_name="shorted"),
        versions={"knightshift": "0.1.0"},
    )


def commit(index: int, start: float, epoch: int = 0, flags: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "pass": index,
        "sha256": "c" * 64,
        "epoch": epoch,
        "started_s": EVENING + start,
        "finished_s": EVENING + start + 24.0,
        "frequency_Hz": 105.98e6,
        "flags": list(flags),
    }


@pytest.fixture
def run_of(tmp_path: Path) -> Any:
    def make(events: list[tuple[str, dict[str, Any]]]) -> Run:
        content = make_manifest().model_dump_json().encode()
        (tmp_path / MANIFEST).write_bytes(content)
        (tmp_path / JOURNAL).touch()
        with JournalWriter(tmp_path / JOURNAL) as journal:
            journal.append(EVENING, "created", manifest_sha256=hashlib.sha256(content).hexdigest())
            for event, payload in events:
                journal.append(EVENING, event, **payload)
        return open_run(tmp_path)

    return make


def test_an_interrupted_run_with_losses_is_told_with_its_costs(run_of: Any) -> None:
    facts = run_facts(
        run_of(
            [
                ("committed", commit(0, 0.0)),
                ("committed", commit(1, 24.0, flags=("overrange",))),
                ("committed", commit(2, 48.0)),
                ("quarantined", {"pass": 2, "reason": "checksum: differs", "kept_as": "p000002.h5"}),
                ("committed", commit(2, 3600.0, epoch=1)),
                ("adopted", commit(3, 3624.0, epoch=1)),
            ]
        )
    )
    assert (facts.passes_planned, facts.passes_used, facts.resumes) == (5, 3, 1)
    assert facts.duration == 3648.0
    assert facts.acquiring == 4 * 24.0
    assert [(lost.index, lost.reason, lost.cost) for lost in facts.rejected] == [
        (1, "overrange", 24.0),
        (2, "checksum: differs", 24.0),
    ]
    assert facts.protocol_name == "quick_look"
    assert facts.virtual_clock
    assert (facts.seed, facts.sample) == (7, "shorted")
    assert facts.digests["quick_look"] == PROGRAM_DIGEST
    manifest_digest = hashlib.sha256(make_manifest().model_dump_json().encode()).hexdigest()
    assert facts.digests[MANIFEST] == manifest_digest


def test_a_run_without_passes_has_no_times(run_of: Any) -> None:
    facts = run_facts(run_of([]))
    assert facts.started is None
    assert facts.duration is None
    assert facts.passes_used == 0
    assert facts.rejected == ()
