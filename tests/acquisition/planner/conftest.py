"""A block of sodium that fills its voxels, and runs of it on the simulated scanner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from knightshift.acquisition import acquire
from knightshift.core.clock import VirtualClock
from knightshift.core.limits import ScannerLimits
from knightshift.core.manifest import RunSetup
from knightshift.core.program import Measurement
from knightshift.core.yaml_files import as_plain
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.simulated import Phantom
from knightshift.hardware.site import SiteConfig, load_site
from knightshift.sequences import SpinEchoSeries, build, load_protocol

BLOCK_T2 = 9e-3
NOISE_DENSITY = 0.4e-4


@pytest.fixture(scope="session")
def limits() -> ScannerLimits:
    return load_site("simulated").limits


@pytest.fixture(scope="session")
def block() -> Phantom:
    body = {
        "name": "block", "shape": {"kind": "box", "center_y": 0, "center_z": 0, "size_y": 3.9e-3, "size_z": 1.794e-3},
        "thickness": 0.8e-3, "t1": 17.1e-3, "t2": BLOCK_T2, "shift": 1126e-6,
    }  # fmt: skip
    return Phantom.model_validate({"name": "block", "compartments": [body]})


def noisy_site(noise_density: float = NOISE_DENSITY) -> SiteConfig:
    site = load_site("simulated")
    receiver = site.settings["receiver"] | {"noise_density": noise_density}
    isochromats = site.settings["isochromats"] | {"spacing": "60 um", "frequencies": 1}
    changed = {"receiver": receiver, "isochromats": isochromats, "field_drift": "0 Hz/s"}
    return site.model_copy(update={"settings": site.settings | changed})


def coarse_protocol(**changes: Any) -> SpinEchoSeries:
    base = load_protocol("quick_look")
    assert isinstance(base, SpinEchoSeries)
    fields = base.model_dump() | {
        "matrix": {"y": 16, "z": 16}, "echo_times": (4e-3, 10e-3, 20e-3), "averages": 8, "duration": None,
        "dummy_scans": 1,
    }  # fmt: skip
    return SpinEchoSeries.model_validate(fields | changes)


@pytest.fixture(scope="session")
def play(block: Phantom, limits: ScannerLimits, tmp_path_factory: pytest.TempPathFactory):
    """Acquire a protocol of the block; returns what was planned and the run folder."""

    def run(protocol: SpinEchoSeries, seed: int, noise_density: float = NOISE_DENSITY) -> tuple[Measurement, Path]:
        measurement, clock = build(protocol, limits), VirtualClock()
        site = noisy_site(noise_density)
        device = open_scanner(site, clock=clock, phantom=as_plain(block), seed=seed)
        folder = tmp_path_factory.mktemp("runs")
        return measurement, acquire(measurement, device, folder, setup=RunSetup(clock="virtual"), clock=clock).path

    return run
