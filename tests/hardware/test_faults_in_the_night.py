"""One script with every kind of fault, through whole runs: scanner, link, monitors and disk act on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightshift.acquisition import AcquisitionOptions, RunStatus, acquire, resume
from knightshift.core.clock import VirtualClock, from_iso_time
from knightshift.core.errors import ConfigError, InterlockFault, ScannerFault, StorageError
from knightshift.core.manifest import RunSetup
from knightshift.core.program import Encoding, Measurement
from knightshift.core.run_folder import Run, open_run
from knightshift.core.run_verification import verify_run
from knightshift.core.yaml_files import as_plain, validate
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.faults import LINK_FAULTS, MONITOR_FAULTS, SCANNER_FAULTS, STORAGE_FAULTS
from knightshift.hardware.monitors.emulated import unplug_all
from knightshift.hardware.site import SiteConfig, load_site

N_PASSES = 34
KINDS = (*SCANNER_FAULTS, *LINK_FAULTS, *MONITOR_FAULTS, *STORAGE_FAULTS)


@pytest.fixture(autouse=True)
def _devices_of_its_own() -> Iterator[None]:
    yield
    unplug_all()


@pytest.fixture
def measurement(fid_program) -> Measurement:
    """Passes of 30 s, three FIDs each."""
    program = fid_program(3, spacing=10.0)
    encoding = Encoding(
        kind="spectrum", echo_times=(0.0,), matrix=(1, 1, 1), field_of_view=(1.0, 1.0, 1.0), axes=("x", "z", "y"),
        samples=16, center_sample=0.0, dwell_time=8e-6, repetition_time=10.0,
    )  # fmt: skip
    return Measurement({"name": "fids"}, (program,), encoding, N_PASSES)


def quick(name: str, **changes: Any) -> SiteConfig:
    site = load_site(name)
    receiver = {"sensitivity": 0.1, "noise_density": 1e-5}
    return site.model_copy(update={"settings": {"receiver": receiver, "threads": 1}, **changes})


def setup_of(site: SiteConfig) -> RunSetup:
    return RunSetup(clock="virtual", seed=1, site=as_plain(site))


def night(measurement: Measurement, site: SiteConfig, phantom: str, folder: Path) -> tuple[Run, list[type[Exception]]]:
    """Acquire, and resume as often as it takes; gives the run and what ended its epochs."""
    clock, ended = VirtualClock(), []
    scanner = open_scanner(site, clock=clock, phantom=phantom, seed=1)
    try:
        result = acquire(measurement, scanner, folder, setup=setup_of(site), clock=clock)
    except (InterlockFault, StorageError) as fault:
        ended.append(type(fault))
    (path,) = [found.parent for found in folder.glob("*/manifest.json")]
    while ended and len(open_run(path).commits()) < N_PASSES:
        run = open_run(path)
        again: SiteConfig = validate(SiteConfig, run.manifest.setup.site, "manifest")
        clock = VirtualClock(from_iso_time(run.manifest.created))
        scanner = open_scanner(again, clock=clock, phantom=phantom, seed=1)
        try:
            result = resume(path, scanner, clock=clock)
        except (InterlockFault, StorageError) as fault:
            ended.append(type(fault))
    assert result.status is RunStatus.COMPLETED
    return open_run(path), ended


def test_a_night_with_every_kind_of_fault_is_complete_and_the_same_a_second_time(
    measurement, phantom_file, tmp_path
) -> None:
    site = quick("rehearsal")
    assert {fault.kind for fault in site.faults.faults} == {kind.model_fields["kind"].default for kind in KINDS}
    run, ended = night(measurement, site, phantom_file, tmp_path / "one")
    assert ended == [InterlockFault, StorageError, InterlockFault]
    assert verify_run(run.path).intact
    each_fault_has_left_its_trace(run)

    quiet = quick("simulated", monitoring=site.monitoring)
    undisturbed, _ = night(measurement, quiet, phantom_file, tmp_path / "quiet")
    for index in set(range(N_PASSES)) - {3, 4}:  # overrange and spikes are in the samples themselves
        np.testing.assert_array_equal(run.read_pass(index).samples, undisturbed.read_pass(index).samples)

    other, _ = night(measurement, site, phantom_file, tmp_path / "other")
    for first, second in zip(run.passes(), other.passes(), strict=True):
        np.testing.assert_array_equal(first.samples, second.samples)
        assert (first.started, first.finished, first.epoch) == (second.started, second.finished, second.epoch)
        assert first.flags == second.flags


def each_fault_has_left_its_trace(run: Run) -> None:
    journal = [(event.event, dict(event.payload)) for event in run.events()]
    repeated = {(facts["pass"], facts["kind"]) for event, facts in journal if event == "pass_repeated"}
    assert repeated == {(1, "ReadoutTimeoutError"), (6, "LinkFault"), (9, "LinkFault")}
    failed = [facts["reason"] for event, facts in journal if event == "ended" and facts["status"] == "failed"]
    for words, reason in zip(["RF amplifier", "No space left on device", "too hot"], failed, strict=True):
        assert words in reason
    flags = {index: commit.flags for index, commit in run.commits().items()}
    assert (flags[2], flags[3]) == ((), ("overrange",))
    assert flags[10] == ("interlock probe_temperature",)
    suspended = [facts for event, facts in journal if event == "suspended"]
    assert suspended
    assert all("helium_low" in facts["reason"] for facts in suspended)
    assert [record.epoch for record in run.passes()] == [0] * 14 + [1] * 2 + [2] * 2 + [3] * (N_PASSES - 18)


def test_a_disk_that_is_full_once_leaves_nothing_half_written(measurement, phantom_file, tmp_path) -> None:
    faults = {"faults": [{"kind": "disk_full", "passes": [2], "epochs": [0]}]}
    site = SiteConfig.model_validate({**as_plain(quick("simulated")), "faults": faults})
    clock = VirtualClock()
    scanner = open_scanner(site, clock=clock, phantom=phantom_file, seed=1)
    with pytest.raises(StorageError, match="No space left on device"):
        acquire(measurement, scanner, tmp_path, setup=setup_of(site), clock=clock)
    (path,) = tmp_path.glob("*/")
    assert sorted(file.name for file in (path / "passes").iterdir()) == ["p000000.h5", "p000001.h5"]
    ends = [json.loads(line) for line in (path / "journal.jsonl").read_text().splitlines()]
    assert "failed" in json.dumps(ends[-1])


@pytest.mark.parametrize(
    ("base", "changes", "told"),
    [
        ("simulated", {"faults": "every_kind"}, "cryostat|probe"),
        ("simulated", {"faults": "every_kind", "monitoring": "emulated"}, "nothing acts on link_garble, link_mute"),
        ("remote", {"faults": "rough_night"}, "nothing acts on late_readout, lost_readout, overrange, spike_noise"),
        ("remote", {"loopback": {}}, "has a link of its own"),
        ("simulated", {"faults": "gremlins"}, "gremlins"),
    ],
)
def test_a_site_where_nothing_acts_on_a_fault_is_refused_and_the_fault_named(base, changes, told, monkeypatch) -> None:
    monkeypatch.setenv("KNIGHTSHIFT_SCANNER_TOKEN", "a token for the tests of faults")
    with pytest.raises(ConfigError, match=told):
        open_scanner(validate(SiteConfig, {**as_plain(load_site(base)), **changes}, "site"), clock=VirtualClock())


def test_a_link_whose_plug_stays_out_ends_the_run_in_bounded_time(measurement, phantom_file, tmp_path) -> None:
    faults = {"faults": [{"kind": "link_unplug", "passes": [1]}]}
    loopback = {"heartbeat": 0.02, "link_timeout": 0.2, "resend_interval": 0.02}
    plain = as_plain(quick("simulated")) | {"faults": faults, "loopback": loopback}
    site, clock = SiteConfig.model_validate(plain), VirtualClock()
    scanner = open_scanner(site, clock=clock, phantom=phantom_file, seed=1)
    with pytest.raises(ScannerFault, match=r"scripted: unplugged|link is lost"):
        acquire(
            measurement, scanner, tmp_path, setup=setup_of(site), clock=clock, options=AcquisitionOptions(max_repeats=2)
        )
    (path,) = tmp_path.glob("*/")
    assert sorted(open_run(path).commits()) == [0]
