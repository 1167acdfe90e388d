"""`knightshift adjust` and a site file that asks for adjustments."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Cli

SITE = """
backend: simulated
limits: microimaging_9t4
settings:
  nuclei: ["23Na"]
  threads: 1
  receiver: {sensitivity: 0.01, noise_density: 2.0e-6}
adjustments:
  centre_frequency: {search_range: "10 kHz"}
  receiver_gain: {largest_sample: "40 %", lowest: "-10 dB", step: "3 dB"}
  fid: {n_samples: 512}
references: {interval: "2 passes", tolerance: "50 Hz"}
preflight:
  with_rf: {frequency: "500 Hz", noise: "30 %", dummy_pass: "40 %"}
"""
PROTOCOL = """
kind: spin_echo_series
name: short
nucleus: 23Na
shift: "1126 ppm"
readout_axis: y
field_of_view: {y: "4.8 mm", z: "2.2 mm"}
matrix: {y: 16, z: 4}
echo_times: ["4 ms", "8 ms"]
repetition_time: "120 ms"
averages: 2
dwell_time: "8 us"
phase_cycle: 2
"""
CELL = """
name: point
compartments:
  - name: cube
    thickness: "1 mm"
    t1: "17 ms"
    t2: "7 ms"
    shift: "{shift}"
    spacing: "1 mm"
    shape: {{kind: box, center_y: "0 mm", center_z: "0 mm", size_y: "1 mm", size_z: "1 mm"}}
"""


@pytest.fixture
def choices(tmp_path: Path) -> list[str]:
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "short.yaml").write_text(PROTOCOL)
    (tmp_path / "cell.yaml").write_text(CELL.format(shift="1126 ppm"))
    (tmp_path / "electrolyte.yaml").write_text(CELL.format(shift="0 ppm"))
    return [
        str(tmp_path / "short.yaml"), "--scanner", str(tmp_path / "site.yaml"), "--runs", str(tmp_path / "runs"),
        "--virtual-clock", "--seed", "1", "--phantom",
    ]  # fmt: skip


def test_adjust_tells_what_it_found_and_acquire_follows_it(cli: Cli, choices: list[str], tmp_path: Path) -> None:
    adjusted = cli("adjust", *choices, str(tmp_path / "cell.yaml"), "--baseline")
    assert adjusted.returncode == 0, adjusted.stdout
    words = " ".join(adjusted.stdout.split())
    assert "tuned to it" in words
    assert "30 dB" in words, "steps of 3 dB below 40 %"
    assert "no reference yet: this one is remembered for the next run" in words
    assert not [path for path in (tmp_path / "runs").iterdir() if path.name != ".site"], "no run is made"
    acquired = cli("acquire", *choices, str(tmp_path / "cell.yaml"))
    assert acquired.returncode == 0, acquired.stdout
    assert "dummy_pass" in acquired.stdout
    assert "warning" not in acquired.stdout, "noise and signal are those that were remembered"


def test_the_wrong_sample_is_a_failure_of_hardware(cli: Cli, choices: list[str], tmp_path: Path) -> None:
    failed = cli("adjust", *choices, str(tmp_path / "electrolyte.yaml"))
    assert failed.returncode == 3
    assert "no line within ±10 kHz of the receiver" in " ".join(failed.stderr.split())
