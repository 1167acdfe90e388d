"""The example backend keeps the contract, is found by its entry point, and can be acquired with."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_console import open_scanner as open_bench
from contract_suite import ScannerContract

from knightshift.acquisition import acquire
from knightshift.core.clock import SystemClock
from knightshift.core.errors import ConfigError, InterlockFault
from knightshift.core.manifest import RunSetup
from knightshift.core.run_folder import open_run
from knightshift.core.yaml_files import validate
from knightshift.hardware.backends import backend_names, open_scanner
from knightshift.hardware.contract import ScannerState
from knightshift.hardware.site import SiteConfig, load_site
from knightshift.sequences import PulseAcquire, build

_PACKAGE = Path(__file__).resolve().parents[2] / "examples" / "own_backend"


@pytest.fixture(scope="module")
def site() -> SiteConfig:
    return load_site(_PACKAGE / "bench_console.yaml")


@pytest.fixture(scope="module")
def measurement(site: SiteConfig) -> Any:
    """Three passes of four FIDs each, 20 ms long: the console plays in real time."""
    protocol = {
        "kind": "pulse_acquire", "name": "quick", "nucleus": "23Na", "shift": 1126e-6, "n_samples": 64,
        "dwell_time": 8e-6, "acquisition_delay": 0.0, "excitation_flip_angle": np.pi / 2,
        "excitation_pulse_length": 10e-6, "repetition_time": 5e-3, "averages": 3, "phase_cycle": 4, "dummy_scans": 0,
    }  # fmt: skip
    return build(validate(PulseAcquire, protocol, "test"), site.limits)


class TestExampleBackendKeepsTheContract(ScannerContract):
    @pytest.fixture
    def scanner(self, site):
        return open_bench(site, clock=SystemClock())

    @pytest.fixture
    def program(self, measurement):
        return measurement.programs[0]

    @pytest.fixture
    def force(self):
        def force(scanner: Any, state: ScannerState) -> None:
            if state is ScannerState.FAULT:
                scanner._console.trip("the coil is too warm")
            else:
                scanner._states.lose_link()

        return force

    @pytest.fixture(params=["followed by others", "the last one"])
    def losing_scanner(self, site, request, program):
        scanner = open_bench(site, clock=SystemClock())
        last = {(0, number) for number in range(1, program.n_readouts)}
        scanner._console.lost_windows = {(0, 1)} if request.param == "followed by others" else last
        return scanner


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Register what pyproject.toml of the example declares, as an installer does."""
    project = tomllib.loads((_PACKAGE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "bench_console-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("installed")
def test_once_installed_it_is_found_by_name_and_acquired_with(site, measurement, tmp_path) -> None:
    assert "bench_console" in backend_names()
    scanner, clock = open_scanner(site, clock=SystemClock()), SystemClock()
    run = open_run(acquire(measurement, scanner, tmp_path / "runs", setup=RunSetup(), clock=clock).path)
    assert run.manifest.scanner.device == "Bench console 0042"
    records = list(run.passes())
    assert len(records) == measurement.n_passes
    times = (np.arange(64) + 0.5) * 8e-6
    expected = 0.5 * np.exp((2j * np.pi * 5e3 - 1e3) * times)
    for record in records:
        np.testing.assert_allclose(record.samples, np.broadcast_to(expected, record.samples.shape), atol=1e-6)


def test_without_being_installed_it_is_not_there(site) -> None:
    with pytest.raises(ConfigError, match="bench_console"):
        open_scanner(site, clock=SystemClock())


def test_its_settings_are_checked(site) -> None:
    for wrong in ({"tone": 5000.0}, {"serial_nunber": "1"}):
        changed = site.model_copy(update={"settings": site.settings | wrong})
        with pytest.raises(ConfigError):
            open_bench(changed, clock=SystemClock())


def test_an_alarm_of_the_console_reaches_whoever_waits_for_readouts(site, measurement) -> None:
    with open_bench(site, clock=SystemClock()) as scanner:
        scanner.prepare(measurement.programs[0])
        scanner.start(0)
        readouts = scanner.readouts(1.0)
        next(readouts)
        scanner._console.trip("RF amplifier over temperature")
        with pytest.raises(InterlockFault, match="over temperature"):
            list(readouts)
        assert scanner.status().state is ScannerState.FAULT
