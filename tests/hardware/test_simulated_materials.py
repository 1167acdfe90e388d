"""What a sample may be made of: shifts, relaxation of I = 3/2, voxels from array files; and drift of the gain."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from knightshift.core.clock import VirtualClock
from knightshift.core.errors import ConfigError, DamagedDataError
from knightshift.core.yaml_files import as_plain, validate
from knightshift.hardware.pulseq_text import read_pulseq
from knightshift.hardware.simulated import Phantom, load_phantom
from knightshift.hardware.simulated.isochromats import Surroundings, cut
from knightshift.hardware.simulated.settings import IsochromatSettings
from knightshift.hardware.simulated.timeline import build_timeline
from knightshift.hardware.simulated.voxel_map import read_voxels

GAMMA_B0 = 11.262e6 * 9.3982


def test_growth_along_the_field_is_shifted_by_5_ppm_which_is_529_hz(bench, cube) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation"))
    sequence.add_block(bench.adc(64, 20e-6))
    box = {"kind": "box", "center_y": 0.0, "center_z": 0.0, "size_y": 1e-3, "size_z": 1e-3}
    grown = cube(shape=box, shift=1131e-6, t1=10.0, t2=10.0)
    signal = bench.play(sequence, grown, shift=1126e-6)[0]
    slope = np.polyfit((np.arange(64) + 0.5) * 20e-6, np.unwrap(np.angle(signal)), 1)[0]
    assert -slope / (2 * np.pi) == pytest.approx(5e-6 * GAMMA_B0, rel=1e-3)
    assert -slope / (2 * np.pi) == pytest.approx(529, abs=1)


def test_satellites_and_central_line_decay_60_to_40(bench, cube) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation"))
    sequence.add_block(bench.adc(100, 100e-6))
    signal = bench.play(sequence, cube(t1=1.0, t2={"fast": 1e-3, "slow": 8e-3}))
    times = 10e-6 + (np.arange(100) + 0.5) * 100e-6
    expected = 0.6 * np.exp(-times / 1e-3) + 0.4 * np.exp(-times / 8e-3)
    np.testing.assert_allclose(np.abs(signal[0]), expected, atol=2e-3)


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.0])
def test_a_central_line_nutates_up_to_twice_as_fast(bench, cube, factor) -> None:
    signals = []
    for flip in range(15, 181, 15):
        sequence = bench.sequence()
        sequence.add_block(bench.hard(flip, 0, "excitation"))
        sequence.add_block(bench.adc(1, 1e-6))
        signals.append(bench.play(sequence, cube(nutation_factor=factor))[0, 0].imag)
    expected = np.sin(factor * np.deg2rad(np.arange(15, 181, 15)))
    np.testing.assert_allclose(np.array(signals) / signals[0] * expected[0], expected, atol=1e-3)


def test_gain_drifts_through_the_night_by_the_clock_alone(make_scanner, fid_program) -> None:
    program, hours = fid_program(1), 6 * 3600.0
    found = []
    for clock, drift in ((VirtualClock(), "1 %/h"), (VirtualClock(VirtualClock.EVENING + hours), "1 %/h")):
        with make_scanner(clock, gain_drift=drift, receiver={"noise_density": 0.0}) as scanner:
            scanner.prepare(program)
            scanner.start(0)
            found.append(np.abs(next(iter(scanner.readouts(1.0))).samples[0, 0]))
    assert found[1] / found[0] == pytest.approx(1 + 0.01 * 24 / (2 * np.pi), rel=1e-4)  # the sine is at its top


def test_every_pixel_loses_the_share_of_the_lorentzian_that_lies_outside_of_it(bench) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation"))
    sequence.add_block(bench.adc(16))
    timeline = build_timeline(read_pulseq(bench.program(sequence).pulseq, GAMMA_B0))
    shorted = load_phantom("shorted")
    dendrite = shorted.model_copy(update={"compartments": [c for c in shorted.compartments if c.name == "dendrite"]})
    settings = IsochromatSettings(spacing=33.3e-6, depth_nodes=8, frequencies=5)
    parts = cut(dendrite, timeline, Surroundings(GAMMA_B0, GAMMA_B0 * (1 + 1126e-6), "23Na"), settings)
    y = np.concatenate([part.y for part in parts])
    weight = np.concatenate([np.abs(part.receive * part.transmit) for part in parts])
    outside = np.concatenate([part.share @ (np.abs(part.detuning) > 651) for part in parts])  # half of 1302 Hz a pixel
    pixel = np.floor(y / 100e-6)
    lost = np.array([np.average(outside[pixel == n], weights=weight[pixel == n]) for n in np.unique(pixel)])
    expected = 2 / np.pi * np.arctan(1 / (2 * np.pi * 8e-3) / 651)
    assert lost.mean() == pytest.approx(expected, rel=0.25)
    assert lost.std() < 0.012


MAPS = """
name: from files
voxel_maps:
  - name: slab
    density: {{file: density{ending}}}
    t1: "20 ms"
    t2: {{file: t2{ending}, unit: ms{array}}}
    shift: {{file: shift{ending}, unit: ppm}}
    voxel_size: {{x: "1 mm", y: "100 um", z: "50 um"}}
    {extra}
"""


@pytest.fixture
def maps_on_disk(tmp_path):
    """Three maps of 6 x 4 voxels (z, y), in all formats; the phantom file refers to them by relative paths."""
    arrays = {
        "density": np.zeros((6, 4)), "t2": np.full((6, 4), 5.0), "shift": np.full((6, 4), 1126.0),
    }  # fmt: skip
    arrays["density"][4, 1], arrays["density"][2, 3] = 1.0, 0.5
    arrays["t2"][2, 3] = 16.0
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
        np.savez(tmp_path / f"{name}.npz", values=array)
        nib.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / f"{name}.nii.gz")

    def write(ending=".npy", extra="", array="", text=MAPS):
        path = tmp_path / "phantom.yaml"
        path.write_text(text.format(ending=ending, extra=extra, array=array))
        return path

    return write


@pytest.mark.parametrize("ending", [".npy", ".nii.gz"])
def test_voxels_lie_where_their_index_says(maps_on_disk, ending) -> None:
    (plane,) = read_voxels(load_phantom(maps_on_disk(ending)).voxel_maps[0])
    order = np.argsort(plane.density)
    np.testing.assert_allclose(plane.y[order], [1 * 100e-6, -1 * 100e-6], atol=1e-12)  # index n at (n - N/2)
    np.testing.assert_allclose(plane.z[order], [-1 * 50e-6, 1 * 50e-6], atol=1e-12)
    np.testing.assert_allclose(plane.t2[order], [16e-3, 5e-3])
    np.testing.assert_allclose(plane.shift, 1126e-6)
    assert plane.volume == pytest.approx(1e-3 * 100e-6 * 50e-6)


def test_an_archive_names_its_array(maps_on_disk) -> None:
    text = MAPS.replace("{{file: density{ending}}}", "{{file: density{ending}, array: values}}")
    text = text.replace("unit: ppm", "unit: ppm, array: values")
    path = maps_on_disk(".npz", array=", array: values", text=text)
    assert read_voxels(load_phantom(path).voxel_maps[0])[0].y.size == 2
    with pytest.raises(ConfigError, match="name its array, one of \\['values'\\]"):
        read_voxels(load_phantom(maps_on_disk(".npz")).voxel_maps[0])


def test_voxels_may_hold_several_sites_and_keep_their_volume(maps_on_disk) -> None:
    (plane,) = read_voxels(load_phantom(maps_on_disk(extra="sites_per_voxel: 3")).voxel_maps[0])
    assert plane.y.size == 18
    assert plane.volume * 9 == pytest.approx(1e-3 * 100e-6 * 50e-6)
    assert plane.y[plane.density == 1.0].mean() == pytest.approx(-100e-6)


def test_three_dimensional_maps_lie_along_x(tmp_path, maps_on_disk) -> None:
    path = maps_on_disk(extra="axes: [x, z, y]")
    for name in ("density", "t2", "shift"):
        flat = np.load(tmp_path / f"{name}.npy")
        np.save(tmp_path / f"{name}.npy", np.stack([flat, flat, flat]))
    planes = read_voxels(load_phantom(path).voxel_maps[0])
    assert [plane.center_x for plane in planes] == pytest.approx([-1e-3, 0.0, 1e-3])


def test_voxels_play_like_a_compartment_of_the_same_material(bench, cube, maps_on_disk) -> None:
    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation"))
    sequence.add_block(bench.lobe("x", 1e3, 1e-3))
    sequence.add_block(bench.lobe("x", -1e3, 1e-3))
    sequence.add_block(bench.adc(16, 100e-6))
    voxels = bench.play(sequence, load_phantom(maps_on_disk()), shift=1126e-6)
    weights = {5e-3: 5e-3, 16e-3: 2.5e-3}  # [mm³ of unit density]
    expected = sum(
        weight * bench.play(sequence, cube(t1=20e-3, t2=t2, shift=1126e-6), shift=1126e-6)
        for t2, weight in weights.items()
    )
    np.testing.assert_allclose(voxels, expected, rtol=1e-4)


def test_a_manifest_holds_the_maps_and_a_changed_file_is_noticed(tmp_path, maps_on_disk) -> None:
    phantom = load_phantom(maps_on_disk())
    again = validate(Phantom, as_plain(phantom), "manifest")
    assert again == phantom
    assert read_voxels(again.voxel_maps[0])[0].y.size == 2
    np.save(tmp_path / "t2.npy", np.full((6, 4), 6.0))
    with pytest.raises(DamagedDataError, match="has changed"):
        read_voxels(again.voxel_maps[0])


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.full((6, 5), 5.0), "different shapes"),
        (np.full((2, 6, 4), 5.0), "3 axes, 2 are named"),
        (np.full((6, 4), 50.0), "exceeds 2 T1"),
        (np.full((6, 4), -5.0), "not possible"),
        (np.full((6, 4), np.nan), "not possible"),
        (np.full((6, 4), "a"), "real numbers"),
        (np.full((6, 4), None), "cannot be read"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, maps_on_disk, array, told) -> None:
    np.save(tmp_path / "t2.npy", array, allow_pickle=True)
    with pytest.raises(ConfigError, match=told):
        read_voxels(load_phantom(maps_on_disk()).voxel_maps[0])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (", unit: ms", "", "needs a unit"),
        ('z: "50 um"', "", "voxel_size lacks"),
        ("shift{ending}", "nowhere{ending}", "cannot be read"),
        ("name: slab", "name: slab\n    axes: [x, y]", "must hold y and z"),
    ],
)
def test_mistakes_about_files_are_told(maps_on_disk, old, new, told) -> None:
    assert old in MAPS
    with pytest.raises(ConfigError, match=told):
        load_phantom(maps_on_disk(text=MAPS.replace(old, new)))


def test_a_damaged_file_is_refused(tmp_path, maps_on_disk) -> None:
    for ending in (".npy", ".nii.gz"):
        path = maps_on_disk(ending)
        (tmp_path / f"t2{ending}").write_bytes(b"\x93NUMPY nothing of the kind")
        with pytest.raises(ConfigError, match="t2"):
            read_voxels(load_phantom(path).voxel_maps[0])
