"""`play`, and `export-seq --pulseq-version`: Pulseq both ways, through the command line."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pypulseq as pp
import pytest

from knightshift.cli.planning import write_sequences
from knightshift.cli.playing import PlayChoices, play_file
from knightshift.core.errors import InputError, StorageError

from .conftest import Cli

PHANTOM = """
name: water tube
compartments:
  - name: water
    nucleus: 1H
    shape: {kind: ellipse, center_y: "0 mm", center_z: "0 mm", size_y: "2 mm", size_z: "2 mm"}
    thickness: "2 mm"
    t1: "2 s"
    t2: "80 ms"
    shift: "0 ppm"
    spacing: "200 um"
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A proton CPMG train of another group: no definitions of ours, 3 T, sinc pulse, spoilers."""
    system = pp.Opts(max_grad=40, grad_unit="mT/m", max_slew=150, slew_unit="T/m/s")
    pulse, slice_gradient, rewinder = pp.make_sinc_pulse(
        np.pi / 2, duration=2e-3, slice_thickness=4e-3, system=system, return_gz=True, use="excitation", delay=1e-4
    )
    refocus = pp.make_block_pulse(np.pi, duration=1e-3, phase_offset=np.pi / 2, system=system, use="refocusing")
    sequence = pp.Sequence(system)
    sequence.add_block(pulse, slice_gradient)
    sequence.add_block(rewinder)
    sequence.add_block(pp.make_delay(10e-3 - 3.1e-3 / 2 - 0.5e-3))
    for _ in range(3):
        sequence.add_block(refocus)
        sequence.add_block(pp.make_delay(8e-3))
        sequence.add_block(pp.make_adc(64, dwell=46e-6), pp.make_delay(3e-3))
        sequence.add_block(pp.make_delay(8e-3))
    sequence.add_block(pp.make_delay(0.2))
    path = tmp_path / "theirs.seq"
    sequence.write(str(path))
    return path


def test_a_file_of_another_plays_once_nucleus_and_field_are_given(cli: Cli, theirs: Path, tmp_path: Path) -> None:
    phantom = tmp_path / "water.yaml"
    phantom.write_text(PHANTOM)
    refused = cli("play", theirs, "--phantom", phantom, "-o", tmp_path / "out")
    assert refused.returncode == 2
    assert "--nucleus" in refused.stderr
    result = cli(
        "play", theirs, "--phantom", phantom, "--nucleus", "1H", "--b0", "3 T", "--no-noise", "-o", tmp_path / "out"
    )
    assert result.returncode == 0, result.stderr
    with h5py.File(tmp_path / "out" / "theirs.h5") as file:
        samples = file["samples"][:]
        assert samples.shape == (3, 1, 64)
        assert file.attrs["nucleus"] == "1H"
        assert file.attrs["working_frequency_hz"] == pytest.approx(127.73e6, rel=1e-3)
        assert np.diff(file["start_s"][:]) == pytest.approx(20e-3)
        np.testing.assert_allclose(file["dwell_time_s"][:], 46e-6)
    centers = np.abs(samples[:, 0, 26:38]).mean(axis=1)
    assert centers[2] / centers[1] == pytest.approx(np.exp(-20 / 80), rel=0.05)
    assert (tmp_path / "out" / "theirs.png").stat().st_size > 10_000


def test_the_older_form_of_an_export_is_1_4_and_plays_the_same(cli: Cli, protocol: Path, tmp_path: Path) -> None:
    for version in ("1.4", "1.5"):
        folder = tmp_path / version
        folder.mkdir()
        assert cli("export-seq", protocol, "-o", folder / "x.seq", "--pulseq-version", version).returncode == 0
        path = folder / "x_te12ms.seq"
        assert f"minor {version[-1]}\n" in path.read_text()
        played = cli("play", path, "--phantom", "shorted", "--no-noise", "-o", folder)
        assert played.returncode == 0, played.stderr
    samples = [h5py.File(tmp_path / version / "x_te12ms.h5")["samples"][:] for version in ("1.4", "1.5")]
    np.testing.assert_allclose(samples[0], samples[1], atol=1e-4 * np.abs(samples[1]).max())


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        (PlayChoices(nucleus="1H", b0="3"), "unit"),
        (PlayChoices(nucleus="1H", b0="3 T", scanner="nowhere"), "nowhere"),
        (PlayChoices(nucleus="4He", b0="3 T"), "4He"),
        (PlayChoices(nucleus="1H", b0="3 T", shift="5 mm"), "--shift"),
    ],
)
def test_a_mistake_is_told(theirs: Path, tmp_path: Path, choices: PlayChoices, told: str) -> None:
    with pytest.raises(InputError, match=told):
        play_file(theirs, tmp_path / "out", choices)


def test_a_folder_that_cannot_be_made_is_told(theirs: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match="choose another folder"):
        play_file(theirs, tmp_path / "out", PlayChoices(nucleus="1H", b0="3 T"))


def test_an_unknown_version_is_refused(protocol: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1\.4, 1\.5"):
        write_sequences(str(protocol), "simulated", tmp_path / "x.seq", "1.3")
