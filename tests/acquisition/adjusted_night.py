"""A short night of the simulated scanner on a sample of few spins, with adjustments, checks and references."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from knightshift.acquisition import AcquisitionOptions, RunResult, acquire, resume
from knightshift.core.clock import VirtualClock, from_iso_time
from knightshift.core.limits import ScannerLimits
from knightshift.core.manifest import RunSetup
from knightshift.core.program import Measurement
from knightshift.core.run_folder import Run, open_run
from knightshift.core.yaml_files import as_plain, read_config, validate
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.contract import Scanner
from knightshift.hardware.simulated import Phantom
from knightshift.hardware.site import SiteConfig
from knightshift.sequences import build
from knightshift.sequences.protocols import Protocol

LIMITS: ScannerLimits = read_config(ScannerLimits, "limits", "microimaging_9t4")
SEED = 3
PROTOCOL: dict[str, Any] = {
    "kind": "spin_echo_series", "name": "short", "nucleus": "23Na", "shift": 1126e-6, "readout_axis": "y",
    "field_of_view": {"y": 4.8e-3, "z": 2.2e-3}, "matrix": {"y": 16, "z": 4}, "echo_times": [4e-3, 8e-3],
    "repetition_time": 0.12, "averages": 5, "dwell_time": 8e-6, "phase_cycle": 2, "dummy_scans": 1,
}  # fmt: skip
ALL_ADJUSTMENTS: dict[str, Any] = {
    "centre_frequency": {},
    "receiver_gain": {},
    "rf_calibration": {"sample": "uniform", "n_points": 6},
    "fid": {"n_samples": 512},
}
METAL: dict[str, Any] = {"metal": {"skin_depth": 10.8e-6}}


def body(**changes: Any) -> dict[str, Any]:
    """One compartment of a sample: a cube of 1 mm, in few sites."""
    size = changes.pop("size", 1e-3)
    return {
        "name": "cube", "thickness": 1e-3, "t1": 17e-3, "t2": 7e-3, "shift": 1126e-6, "spacing": size,
        "shape": {"kind": "box", "center_y": 0.0, "center_z": 0.0, "size_y": size, "size_z": size},
    } | changes  # fmt: skip


def phantom(*bodies: dict[str, Any]) -> dict[str, Any]:
    """Plain data of a sample."""
    return as_plain(validate(Phantom, {"name": "tiny", "compartments": list(bodies) or [body()]}, "test"))


def site(**sections: Any) -> SiteConfig:
    """A site with a simulated scanner; settings of the scanner by `settings`."""
    settings = {
        "nuclei": ["23Na"], "threads": 1, "receiver": {"sensitivity": 0.01, "noise_density": 2e-6},
        "field_drift": "2000 Hz/h",
    } | sections.pop("settings", {})  # fmt: skip
    content = {"backend": "simulated", "limits": as_plain(LIMITS), "settings": settings, **sections}
    found: SiteConfig = validate(SiteConfig, content, "test")
    return found


def full_site(**sections: Any) -> SiteConfig:
    """Everything is adjusted, checked and referenced."""
    everything = {
        "adjustments": ALL_ADJUSTMENTS,
        "references": {"interval": 3, "tolerance": 2.0},
        "preflight": {"with_rf": {}},
    }
    return site(**(everything | sections))


@cache
def _measurement(averages: int) -> Measurement:
    return build(validate(Protocol, PROTOCOL | {"averages": averages}, "test"), LIMITS)


def measurement(averages: int = 5, **protocol: Any) -> Measurement:
    if not protocol:
        return _measurement(averages)
    return build(validate(Protocol, PROTOCOL | {"averages": averages} | protocol, "test"), LIMITS)


def setup(where: SiteConfig, sample: dict[str, Any], seed: int = SEED) -> RunSetup:
    return RunSetup(
        clock="virtual", seed=seed, site=as_plain(where), limits=as_plain(LIMITS), phantom_name="tiny", phantom=sample
    )


def acquire_adjusted(
    runs: Path,
    where: SiteConfig | None = None,
    sample: dict[str, Any] | None = None,
    *,
    scanner: Scanner | None = None,
    what: Measurement | None = None,
    **options: Any,
) -> RunResult:
    """A whole run on the virtual clock."""
    where, sample, clock = where or full_site(), sample or phantom(), options.pop("clock", None) or VirtualClock()
    on_progress = {"on_progress": options.pop("on_progress")} if "on_progress" in options else {}
    device = scanner or open_scanner(where, clock=clock, phantom=sample, seed=SEED)
    chosen = AcquisitionOptions(disk_margin=0, **({"run_name": "night"} | options))
    return acquire(
        what or measurement(), device, runs, setup=setup(where, sample), clock=clock, options=chosen, **on_progress
    )


def resume_adjusted(path: Path, **options: Any) -> RunResult:
    """Go on with it, as a new process would."""
    manifest = open_run(path).manifest
    clock = VirtualClock(from_iso_time(manifest.created))
    where: SiteConfig = validate(SiteConfig, manifest.setup.site, "test")
    device = open_scanner(where, clock=clock, phantom=manifest.setup.phantom, seed=manifest.setup.seed)
    return resume(path, device, clock=clock, options=AcquisitionOptions(disk_margin=0, **options))


def drifting_night(runs: Path, drift: str = "20000 Hz/h", **options: Any) -> Run:
    """24 passes in half a minute, in which the field drifts by a pixel and the receiver follows late."""
    where = site(
        adjustments={"fid": {"n_samples": 512}}, references={"interval": 5, "tolerance": 60.0},
        settings={"field_drift": drift, "receiver": {"sensitivity": 0.01, "noise_density": 3e-7}},
    )  # fmt: skip
    slow = measurement(12, dwell_time=200e-6, echo_times=[16e-3, 20e-3], repetition_time=0.12)
    return open_run(acquire_adjusted(runs, where, what=slow, **options).path)


def events_of(path: Path, name: str) -> list[dict[str, Any]]:
    """Payloads of all events of one name."""
    return [dict(event.payload) for event in open_run(path).events() if event.event == name]


def shifted(what: Measurement, offset: float) -> Measurement:
    """The same programs at another working frequency, off by `offset` [Hz]."""
    programs = tuple(replace(entry, working_frequency=entry.working_frequency + offset) for entry in what.programs)
    return replace(what, programs=programs)
