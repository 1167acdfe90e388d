"""Any Pulseq file plays: 1.4 and 1.5, rotations, windows of any length, with or without nucleus and field."""

from __future__ import annotations

import numpy as np
import pypulseq as pp
import pytest

from knightshift.core.clock import VirtualClock
from knightshift.core.errors import ConfigError, ProtocolError
from knightshift.core.limits import ScannerLimits
from knightshift.core.yaml_files import read_config, validate
from knightshift.hardware.pulseq_extensions import rotation_matrix
from knightshift.hardware.pulseq_program import WhatPulseqLacks, program_from_file
from knightshift.hardware.pulseq_text import read_pulseq
from knightshift.hardware.simulated import SimulatedScanner, SimulatorSettings
from knightshift.hardware.simulated.signals import SignalLibrary

LARMOR = 11.262e6 * 9.3982
SODIUM = WhatPulseqLacks("23Na", 9.3982, 0.0)
QUIET = validate(SimulatorSettings, {"receiver": {"sensitivity": 1.0, "noise_density": 0.0}, "threads": 1}, "test")


def spin_echo(bench, samples=32):
    """A slice-selective, phase-cycled spin echo with a shaped gradient, as another group might write it."""
    pulse, slice_gradient, rewinder = pp.make_sinc_pulse(
        np.pi / 2, duration=1e-3, slice_thickness=0.8e-3, time_bw_product=4, system=bench.system, return_gz=True,
        use="excitation", delay=0.0, phase_offset=0.3,
    )  # fmt: skip
    wave = 2e4 * np.sin(np.linspace(0, np.pi, 60)) ** 2
    shaped = pp.make_arbitrary_grad("y", wave, system=bench.system, first=0, last=0)
    sequence = bench.sequence()
    sequence.add_block(pulse, slice_gradient)
    sequence.add_block(rewinder, shaped)
    sequence.add_block(bench.hard(150, 90, "refocusing"))
    sequence.add_block(bench.pause(0.7e-3))
    sequence.add_block(bench.adc(samples, 2e-5, phase_offset=0.3), bench.lobe("y", 40.0, samples * 2e-5))
    sequence.add_block(bench.pause(0.1))
    return sequence


def with_rotation(text: str, block: int, quaternion: str) -> str:
    """Add the rotation extension to one block, as MATLAB Pulseq 1.5 writes it."""
    lines = text.splitlines()
    row = lines.index("[BLOCKS]") + block
    lines[row] = " ".join([*lines[row].split()[:-1], "1"])
    at = lines.index("[SHAPES]") if "[SHAPES]" in lines else lines.index("[SIGNATURE]")
    extension = ["[EXTENSIONS]", "1 2 1 0", "", "extension ROTATIONS 2", f"1 {quaternion}", ""]
    return "\n".join([*lines[:at], *extension, *lines[at:]])


def test_a_quaternion_turns_right_handed() -> None:
    half = np.sqrt(0.5)
    np.testing.assert_allclose(rotation_matrix((half, 0, 0, half)) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation_matrix((half, half, 0, 0)) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    with pytest.raises(ProtocolError, match="unit quaternion"):
        rotation_matrix((1.0, 1.0, 0.0, 0.0))


def test_the_rotation_of_a_block_turns_its_gradients(bench) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation"))
    sequence.add_block(bench.lobe("x", 300.0, 1e-3), bench.lobe("z", 40.0, 0.8e-3))
    sequence.add_block(bench.adc(8))
    text = with_rotation(bench.program(sequence).pulseq, 2, "0.9238795 0 0 0.3826834")  # 45 degrees about z
    tables = read_pulseq(text, LARMOR)
    x, y, z = (tables.gradients[index].moment(1.0) for index in tables.blocks[1].gradients)
    assert (x, y, z) == pytest.approx((300 * np.sqrt(0.5), 300 * np.sqrt(0.5), 40.0), rel=1e-5)
    assert tables.blocks[0].gradients == (0, 0, 0)


def test_a_rotated_slice_gradient_selects_along_the_rotated_axis(bench, cube) -> None:
    pulse, slice_gradient, _ = pp.make_sinc_pulse(
        np.pi / 2, duration=2e-3, slice_thickness=0.8e-3, time_bw_product=4, system=bench.system, return_gz=True,
        use="excitation", delay=0.0,
    )  # fmt: skip
    sequence = bench.sequence()
    sequence.add_block(pulse, slice_gradient)
    sequence.add_block(bench.adc(8))
    program = bench.program(sequence)
    turned = with_rotation(program.pulseq, 1, "0.7071068 0.7071068 0 0")  # about x: z turns to -y
    box = {"kind": "box", "center_y": 0.0, "center_z": 0.0, "size_y": 1e-6, "size_z": 1e-6}
    strength = {}
    for axis in ("y", "z"):
        phantom = cube(shape=box | {f"center_{axis}": 1e-3}, thickness=1e-6, t1=10.0, t2=10.0)
        library = SignalLibrary(phantom, 9.3982, QUIET)
        strength[axis] = np.abs(library.signal(program, read_pulseq(turned, LARMOR), LARMOR).samples).max() / 1e-9
    assert strength["y"] < 0.1  # 1 mm off along y lies outside of the slice
    assert strength["z"] > 0.9


@pytest.mark.parametrize("older", [False, True], ids=["1.5", "1.4"])
def test_a_file_of_another_plays_from_disk_in_both_versions(bench, cube, tmp_path, older) -> None:
    path = tmp_path / "theirs.seq"
    spin_echo(bench).write(str(path), v141_compat=older)
    assert ("minor 4" in path.read_text()) is older
    program = program_from_file(path, SODIUM)
    limits = read_config(ScannerLimits, "limits", "microimaging_9t4")
    with SimulatedScanner(limits, QUIET, cube(), clock=VirtualClock(), seed=0) as scanner:
        scanner.prepare(program)
        scanner.start(0)
        (readout,) = scanner.readouts(1.0)
    expected = bench.play(spin_echo(bench), cube())[0]
    np.testing.assert_allclose(readout.samples[0], expected, atol=2e-5)


def test_windows_may_differ_in_length_and_dwell_time(bench, cube, tmp_path) -> None:
    path, sequence = tmp_path / "ragged.seq", bench.sequence()
    for samples, dwell in ((16, 2e-5), (64, 1e-5)):
        sequence.add_block(bench.hard(90, 0, "excitation"))
        sequence.add_block(bench.adc(samples, dwell))
        sequence.add_block(bench.pause(0.1))
    sequence.write(str(path))
    program = program_from_file(path, SODIUM)
    limits = read_config(ScannerLimits, "limits", "microimaging_9t4")
    noisy = QUIET.model_copy(update={"receiver": QUIET.receiver.model_copy(update={"noise_density": 1e-5})})
    with SimulatedScanner(limits, noisy, cube(t1=1e-2, t2=1e-2), clock=VirtualClock(), seed=0) as scanner:
        scanner.prepare(program)
        scanner.start(0)
        readouts = list(scanner.readouts(1.0))
    assert [readout.samples.shape for readout in readouts] == [(1, 16), (1, 64)]
    times = 10e-6 + (np.arange(64) + 0.5) * 1e-5
    np.testing.assert_allclose(np.abs(readouts[1].samples[0]), np.exp(-times / 1e-2), atol=0.02)


def test_nucleus_and_field_must_be_known_and_may_not_contradict(bench, tmp_path) -> None:
    path = tmp_path / "bare.seq"
    spin_echo(bench).write(str(path))
    with pytest.raises(ConfigError, match="--nucleus 23Na"):
        program_from_file(path, WhatPulseqLacks())
    with pytest.raises(ConfigError, match="--b0"):
        program_from_file(path, WhatPulseqLacks("23Na"))
    sequence = spin_echo(bench)
    sequence.set_definition("Nucleus", "23Na")
    sequence.set_definition("Gamma", 11.262e6)
    sequence.set_definition("B0", 9.3982)
    sequence.write(str(path))
    assert program_from_file(path, WhatPulseqLacks()).working_frequency == pytest.approx(LARMOR)
    shifted = program_from_file(path, WhatPulseqLacks(shift=1126e-6))
    assert shifted.working_frequency - LARMOR == pytest.approx(119.2e3, abs=100)
    with pytest.raises(ProtocolError, match="written for 23Na"):
        program_from_file(path, WhatPulseqLacks("7Li"))
    with pytest.raises(ProtocolError, match=r"9\.3982 T, not for 3 T"):
        program_from_file(path, WhatPulseqLacks(b0=3.0))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[VERSION]\nmajor 1\n", b"# nothing\n"])
def test_what_is_no_pulseq_is_refused(tmp_path, content) -> None:
    from knightshift.core.errors import KnightshiftError

    path = tmp_path / "no.seq"
    path.write_bytes(content)
    with pytest.raises(KnightshiftError):
        program_from_file(path, SODIUM)
    with pytest.raises(ConfigError, match="cannot be read"):
        program_from_file(tmp_path / "absent.seq", SODIUM)
