"""Phantoms: what is shipped, how it is cut into isochromats, how mistakes are told."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.core.errors import ConfigError
from knightshift.core.yaml_files import validate
from knightshift.hardware.simulated import Phantom, load_phantom
from knightshift.hardware.simulated.isochromats import Surroundings, cut, spins_along_x
from knightshift.hardware.simulated.settings import IsochromatSettings
from knightshift.hardware.simulated.shapes import Box, Ellipse, Polygon, smooth_field
from knightshift.hardware.simulated.timeline import build_timeline

PIXEL_Z, PIXEL_Y = 23e-6, 100e-6


@pytest.fixture
def timeline(bench):
    from knightshift.hardware.pulseq_text import read_pulseq

    sequence = bench.sequence()
    sequence.add_block(bench.hard(90, 0, "excitation"))
    sequence.add_block(bench.lobe("x", 1e3, 1e-3))
    sequence.add_block(bench.adc(16))
    return build_timeline(read_pulseq(bench.program(sequence).pulseq, 105e6))


def cut_up(phantom, timeline, **settings):
    return cut(phantom, timeline, Surroundings(1e8, 1e8, "23Na"), IsochromatSettings(**settings))


def test_the_shorted_cell_differs_from_the_pristine_one_by_its_dendrite_and_the_spread_of_t2() -> None:
    pristine, shorted = load_phantom("pristine"), load_phantom("shorted")
    names = {region.name for region in pristine.regions()}
    grown = {region.name: region for region in shorted.regions() if region.name not in names}
    assert [name for name, region in grown.items() if region.t2 > 12e-3] == ["dendrite"]
    for name in ("electrode_top", "electrode_bottom"):
        before, after = (next(b for b in p.compartments if b.name == name).t2 for p in (pristine, shorted))
        assert before.mean == after.mean
        assert before.fwhm < after.fwhm
        assert (before.lowest, before.highest, after.lowest, after.highest) == (5e-3, 10e-3, 5e-3, 12e-3)


def test_the_dendrite_is_where_the_paper_has_it() -> None:
    regions = {region.name: region for region in load_phantom("shorted").regions()}
    dendrite = regions["dendrite"]
    assert 23e-6 <= dendrite.extent[1] <= 46e-6
    assert 0.8e-3 <= dendrite.extent[0] <= 1.0e-3
    assert dendrite.t2 == pytest.approx(16.2e-3)
    assert dendrite.center[0] + dendrite.extent[0] / 2 > 0.9 * regions["electrode_top"].extent[0] / 2  # at the edge
    for name in ("electrode_top", "electrode_bottom"):
        electrode = regions[name]
        gap = abs(electrode.center[1] - dendrite.center[1]) - electrode.extent[1] / 2 - dendrite.extent[1] / 2
        assert gap > 10 * PIXEL_Z
    assert dendrite.contains(np.array([1.5e-3]), np.array([0.1955e-3])).all()


def test_the_whole_cell_lies_inside_the_field_of_view() -> None:
    for region in load_phantom("shorted").regions():
        assert abs(region.center[0]) + region.extent[0] / 2 < 2.4e-3
        assert abs(region.center[1]) + region.extent[1] / 2 < 1.104e-3


def test_a_plate_is_seen_to_its_skin_depth_from_both_faces(cube, timeline) -> None:
    phantom = cube(metal={"skin_depth": 10.8e-6}, spacing=1e-4)
    sites = cut_up(phantom, timeline, depth_nodes=24, depth=9.0)
    z = np.concatenate([part.z for part in sites])
    weight = np.concatenate([part.receive for part in sites])
    assert np.min(0.5e-3 - np.abs(z)) > 0
    assert np.max(0.5e-3 - np.abs(z)) < 9.01 * 10.8e-6
    assert np.sum(weight.real[z > 0]) == pytest.approx(np.sum(weight.real[z < 0]))
    expected = 2 * 1e-6 * 10.8e-6 / (1 + 1j) * 1e9  # two faces, integral of exp(-(1+i) d / delta) [mm³]
    assert np.sum(weight) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    "shape",
    [
        {"kind": "ellipse", "center_y": 0.0, "center_z": 0.0, "size_y": 1e-3, "size_z": 1e-3},
        {"kind": "polygon", "corners": [[-0.5e-3, -0.5e-3], [0.5e-3, -0.5e-3], [0.5e-3, 0.5e-3], [-0.5e-3, 0.5e-3]]},
    ],
)
def test_round_and_angular_bodies_have_their_volume_and_their_skin(cube, timeline, shape) -> None:
    area = np.pi / 4 if shape["kind"] == "ellipse" else 1.0
    edge = np.pi if shape["kind"] == "ellipse" else 4.0
    plain = cut_up(cube(shape=shape, spacing=20e-6), timeline)
    assert sum(part.receive.real.sum() for part in plain) == pytest.approx(area, rel=0.02)
    metal = cut_up(cube(shape=shape, metal={"skin_depth": 10.8e-6}), timeline, depth=8.0)
    skin = abs(sum(part.receive.sum() for part in metal))
    assert skin == pytest.approx(edge * 10.8e-3 / np.sqrt(2), rel=0.1)


def test_the_metal_displaces_the_electrolyte(cube, timeline) -> None:
    box = {"kind": "box", "center_y": 0.0, "center_z": 0.0, "size_y": 0.5e-3, "size_z": 1e-3}
    body = cube(spacing=50e-6).compartments[0].model_dump()
    wire = body | {"name": "wire", "shape": box, "metal": {"skin_depth": 1e-5}, "density": 1e-9}
    phantom = validate(Phantom, {"name": "two", "compartments": [body, wire]}, "test")
    assert sum(part.receive.real.sum() for part in cut_up(phantom, timeline)) == pytest.approx(0.5, rel=0.05)


def test_t2_of_an_electrode_has_the_spread_it_was_given_and_is_smooth(timeline) -> None:
    plate = load_phantom("shorted").model_copy(update={"compartments": load_phantom("shorted").compartments[:1]})
    t2 = np.concatenate([1 / part.r2 for part in cut_up(plate, timeline)])
    assert t2.mean() == pytest.approx(7.5e-3, rel=0.03)
    assert t2.std() * 2.355 == pytest.approx(3.2e-3, rel=0.15)
    along = t2[::8][: t2.size // 16]
    assert np.abs(np.diff(along)).max() < 1.5e-3


def test_a_smooth_field_has_its_correlation_length() -> None:
    position = np.linspace(0, 0.2, 20001)
    field = smooth_field(position, 1e-3, (1,))
    lag = 100  # 1 mm
    assert np.mean(field[:-lag] * field[lag:]) == pytest.approx(np.exp(-0.5), abs=0.1)


@pytest.mark.parametrize("cycles", [1.0, 4.0, 22.0, 23.0, 46.0, 69.3])
def test_no_crusher_is_aliased_into_a_false_echo(cycles) -> None:
    count = spins_along_x([cycles], 23)
    x = (np.arange(count) + 0.5) / count
    for order in (1, 2):
        left = abs(np.mean(np.exp(2j * np.pi * order * cycles * x)))
        assert left < 0.06  # of the magnetisation; without care it would be 1
    assert count >= 23
    assert all(count % divisor for divisor in range(2, count))


def test_another_nucleus_gives_no_signal(cube, timeline) -> None:
    assert cut_up(cube(nucleus="7Li"), timeline) == []


@pytest.mark.parametrize(
    ("line", "replacement", "told"),
    [
        ('t1: "17 ms"', "t1: 17", "needs a unit"),
        ('t2: "7 ms"', 't2: "70 ms"', "exceeds 2 T1"),
        ('shift: "1126 ppm"', 'shift: "1126 ppm"\n    colour: grey', "unknown key"),
        ("kind: box", "kind: sphere", "sphere"),
    ],
)
def test_a_mistake_in_a_phantom_is_told_with_its_place(phantom_file, line, replacement, told) -> None:
    from pathlib import Path

    path = Path(phantom_file)
    path.write_text(path.read_text().replace(line, replacement))
    with pytest.raises(ConfigError, match=told) as caught:
        load_phantom(phantom_file)
    assert "compartments.0" in str(caught.value)


def test_shapes_know_their_inside_and_their_depth() -> None:
    box = Box(kind="box", center_y=0.0, center_z=0.0, size_y=2.0, size_z=1.0)
    ellipse = Ellipse(kind="ellipse", center_y=0.0, center_z=0.0, size_y=2.0, size_z=2.0)
    polygon = Polygon(kind="polygon", corners=((-1.0, -0.5), (1.0, -0.5), (1.0, 0.5), (-1.0, 0.5)))
    y, z = np.array([0.9, 0.0, 0.99]), np.array([0.0, 0.4, 0.99])
    np.testing.assert_array_equal(box.contains(y, z), [True, True, False])
    np.testing.assert_array_equal(polygon.contains(y, z), [True, True, False])
    np.testing.assert_array_equal(ellipse.contains(y, z), [True, True, False])
    np.testing.assert_allclose(box.depth(y, z)[:2], [0.1, 0.1])
    np.testing.assert_allclose(polygon.depth(y, z)[:2], [0.1, 0.1])
    np.testing.assert_allclose(ellipse.depth(y, z)[:2], [0.1, 0.6], atol=1e-4)
