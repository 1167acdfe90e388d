"""Little sequences, little phantoms, and the backends on which the contract is tested."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pypulseq as pp
import pytest

from knightshift.core.clock import Clock, VirtualClock
from knightshift.core.nuclei import nucleus_named
from knightshift.core.program import PassProgram
from knightshift.core.yaml_files import validate
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.contract import Scanner
from knightshift.hardware.pulseq_text import read_pulseq
from knightshift.hardware.simulated import Phantom, SimulatorSettings
from knightshift.hardware.simulated.signals import SignalLibrary
from knightshift.hardware.site import SiteConfig

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: the contract suite lies beside this file
pytest.register_assert_rewrite("contract_refusals", "contract_steps", "contract_suite")

B0 = 9.3982
SODIUM = nucleus_named("23Na")
SETTINGS: dict[str, Any] = {
    "nuclei": ["23Na"],
    "receiver": {"sensitivity": 1.0, "noise_density": 0.0},
    "threads": 1,
}
BACKENDS = ["simulated"]


class Bench:
    """Builds sequences by pypulseq and plays them on phantoms, without noise."""

    def __init__(self) -> None:
        self.system = pp.Opts(
            gamma=SODIUM.gyromagnetic_ratio, B0=B0, max_grad=1.5e3, grad_unit="mT/m", max_slew=1e4, slew_unit="T/m/s",
            rf_raster_time=1e-6, grad_raster_time=1e-5, adc_raster_time=1e-7, block_duration_raster=1e-6,
            rf_dead_time=0.0, rf_ringdown_time=0.0, adc_dead_time=0.0,
        )  # fmt: skip

    def sequence(self) -> Any:
        return pp.Sequence(self.system)

    def hard(self, angle_deg: float, phase_deg: float, use: str, duration: float = 20e-6) -> Any:
        return pp.make_block_pulse(
            np.deg2rad(angle_deg), duration=duration, delay=0.0, phase_offset=np.deg2rad(phase_deg), system=self.system,
            use=use,
        )  # fmt: skip

    def adc(self, samples: int = 1, dwell: float = 20e-6, **options: Any) -> Any:
        return pp.make_adc(samples, dwell=dwell, system=self.system, **options)

    def pause(self, duration: float) -> Any:
        return pp.make_delay(round(duration, 7))

    def lobe(self, axis: str, area: float, duration: float) -> Any:
        return pp.make_trapezoid(axis, area=area, duration=duration, system=self.system)

    def program(self, sequence: Any, shift: float = 0.0, name: str = "test") -> PassProgram:
        sequence.set_definition("Gamma", SODIUM.gyromagnetic_ratio)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "test.seq"
            sequence.write(str(path))
            text = path.read_text()
        tables = read_pulseq(text, SODIUM.frequency(B0))
        windows = [tables.adc[block.adc] for block in tables.blocks if block.adc]
        return PassProgram(
            name, text, "23Na", SODIUM.gyromagnetic_ratio, B0, SODIUM.frequency(B0, shift), tables.duration,
            len(windows), windows[0].samples if windows else 0,
        )  # fmt: skip

    def play(self, sequence: Any, phantom: Phantom, shift: float = 0.0, **settings: Any) -> np.ndarray:
        """Noise-free signal, shape (readout, sample)."""
        program = self.program(sequence, shift)
        model = validate(SimulatorSettings, SETTINGS | settings, "test")
        library = SignalLibrary(phantom, B0, model)
        tables = read_pulseq(program.pulseq, SODIUM.frequency(B0))
        return library.signal(program, tables, program.working_frequency).samples


def tiny_phantom(**changes: Any) -> Phantom:
    """One site of 1 mm³ at the isocentre, unless told otherwise."""
    body: dict[str, Any] = {
        "name": "cube", "thickness": 1e-3, "t1": 1.0, "t2": 1.0, "shift": 0.0, "spacing": 1e-3,
        "shape": {"kind": "box", "center_y": 0.0, "center_z": 0.0, "size_y": 1e-3, "size_z": 1e-3},
    }  # fmt: skip
    return validate(Phantom, {"name": "tiny", "compartments": [body | changes]}, "test")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def cube() -> Callable[..., Phantom]:
    return tiny_phantom


@pytest.fixture
def phantom_file(tmp_path: Path) -> str:
    """A YAML phantom of one site, quick to play."""
    path = tmp_path / "point.yaml"
    path.write_text(
        'name: point\ncompartments:\n  - name: cube\n    thickness: "1 mm"\n    t1: "17 ms"\n    t2: "7 ms"\n'
        '    shift: "1126 ppm"\n    spacing: "1 mm"\n'
        '    shape: {kind: box, center_y: "0 mm", center_z: "0 mm", size_y: "1 mm", size_z: "1 mm"}\n'
    )
    return str(path)


@pytest.fixture
def make_scanner(phantom_file: str) -> Callable[..., Scanner]:
    """Open the simulated scanner on a quick phantom; keyword arguments change its settings."""

    def make(clock: Clock | None = None, seed: int = 1, limits: str = "microimaging_9t4", **settings: Any) -> Scanner:
        faults = settings.pop("faults", {})
        receiver = {"sensitivity": 0.1, "noise_density": 1e-6, **settings.pop("receiver", {})}
        settings = SETTINGS | {"receiver": receiver} | settings
        site = SiteConfig(backend="simulated", limits=limits, settings=settings, faults=faults)
        return open_scanner(site, clock=clock or VirtualClock(), phantom=phantom_file, seed=seed)

    return make


@pytest.fixture
def fid_program(bench: Bench) -> Callable[..., PassProgram]:
    """A few FIDs, 10 ms apart."""

    def build(n_readouts: int = 3, dwell: float = 8e-6, samples: int = 16, spacing: float = 10e-3) -> PassProgram:
        sequence = bench.sequence()
        for line in range(n_readouts):
            sequence.add_block(bench.hard(90, 0, "excitation"))
            label = pp.make_label(type="SET", label="LIN", value=line)
            sequence.add_block(bench.adc(samples, dwell), label)
            sequence.add_block(bench.pause(spacing - 20e-6 - samples * dwell))
        return bench.program(sequence, 1126e-6, "fids")

    return build
