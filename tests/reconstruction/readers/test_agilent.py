"""Agilent and Varian images: order of the loops, slices by position, inversion times, stopped and damaged scans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers._agilent_geometry import gradient_directions
from knightshift.reconstruction.readers.agilent import is_agilent, read_agilent
from knightshift.reconstruction.reconstruct import images_of_scan
from knightshift.reconstruction.relaxometry.recovery import fit_inversion_series, fit_relaxation, object_mask

from .conftest import AGILENT_IMAGE, Agilent, labelled, read_agilent_scan, set_scans

RawData = Callable[[str], Path]


def test_arrayed_inversion_times_lie_within_the_phase_encoding(tmp_path: Path) -> None:
    traces = labelled(8, 3, 2, 4)  # line, inversion time, slice, sample
    parameters = AGILENT_IMAGE | {"array": ["ti"], "ti": [0.01, 0.1, 1.0]}
    scan = read_agilent_scan(Agilent(traces.reshape(24, 2, 4), parameters).write(tmp_path))
    assert scan.kspace.shape == (1, 3, 2, 1, 8, 4)
    assert scan.inversion_times is not None
    np.testing.assert_allclose(scan.inversion_times, [0.01, 0.1, 1.0])
    np.testing.assert_allclose(scan.echo_times, 0.01)
    # pss is 0.1, -0.1: the second slice acquired is the lower one
    np.testing.assert_array_equal(scan.kspace[0, :, :, 0], traces.transpose(1, 2, 0, 3)[:, ::-1])
    assert scan.slice_geometries[0].origin[2] == pytest.approx(-1e-3)  # slices along Z where all angles are zero


def test_echoes_are_the_innermost_of_compressed_loops(tmp_path: Path) -> None:
    traces = labelled(8, 2, 3, 4)  # line, slice, echo, sample
    parameters = AGILENT_IMAGE | {"seqcon": ["ccsnn"], "seqfil": ["mems"], "ne": [3], "pss": [-0.1, 0.1]}
    scan = read_agilent_scan(Agilent(traces.reshape(8, 6, 4), parameters).write(tmp_path))
    np.testing.assert_array_equal(scan.kspace[0, :, :, 0], traces.transpose(2, 1, 0, 3))
    np.testing.assert_allclose(scan.echo_times, [0.01, 0.02, 0.03])


def test_compressed_phase_encoding_is_outside_the_slices(tmp_path: Path) -> None:
    traces = labelled(8, 2, 4)  # line, slice, sample
    parameters = AGILENT_IMAGE | {"seqcon": ["nccnn"], "seqfil": ["gems"], "pss": [-0.1, 0.1]}
    scan = read_agilent_scan(Agilent(traces.reshape(1, 16, 4), parameters).write(tmp_path))
    np.testing.assert_array_equal(scan.kspace[0, 0, :, 0], traces.transpose(1, 0, 2))


def test_receivers_are_the_innermost_of_blocks(tmp_path: Path) -> None:
    traces = labelled(8, 3, 2, 2, 4)  # line, inversion time, receiver, slice, sample
    parameters = AGILENT_IMAGE | {"array": ["ti"], "ti": [0.01, 0.1, 1.0], "rcvrs": ["ynyn"], "pss": [-0.1, 0.1]}
    scan = read_agilent_scan(Agilent(traces.reshape(48, 2, 4), parameters).write(tmp_path))
    np.testing.assert_array_equal(scan.kspace[0], traces.transpose(1, 3, 2, 0, 4))


@pytest.mark.parametrize(("array", "order"), [("pss,ti", (2, 1, 0, 3)), ("ti,pss", (1, 2, 0, 3))])
def test_slices_in_blocks_of_their_own_lie_where_the_array_has_them(
    tmp_path: Path, array: str, order: tuple[int, ...]
) -> None:
    shape = (8, 2, 3, 4) if array == "pss,ti" else (8, 3, 2, 4)  # line outside, the last of the array fastest
    traces = labelled(*shape)
    parameters = AGILENT_IMAGE | {"seqcon": ["nssnn"], "array": [array], "ti": [0.01, 0.1, 1.0], "pss": [-0.1, 0.1]}
    scan = read_agilent_scan(Agilent(traces.reshape(48, 1, 4), parameters).write(tmp_path))
    np.testing.assert_array_equal(scan.kspace[0, :, :, 0], traces.transpose(order))


@pytest.mark.parametrize(("seqcon", "blocks"), [("ncccn", 1), ("nccsn", 6), ("ncscn", 8), ("ncssn", 48)], ids=str)
def test_volume_is_read_whatever_is_in_a_block(tmp_path: Path, seqcon: str, blocks: int) -> None:
    lines_outside = seqcon == "ncscn"
    traces = labelled(8, 6, 4) if lines_outside else labelled(6, 8, 4)
    parameters = AGILENT_IMAGE | {
        "seqcon": [seqcon], "seqfil": ["ge3d"], "ns": [1], "pss": [0.0], "nv2": [6], "lpe2": [1.2],
    }  # fmt: skip
    scan = read_agilent_scan(Agilent(traces.reshape(blocks, -1, 4), parameters).write(tmp_path))
    expected = traces.swapaxes(0, 1) if lines_outside else traces
    np.testing.assert_array_equal(scan.kspace[0, 0, :, 0], expected)
    series = images_of_scan(scan)
    by_numpy = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(expected)))
    np.testing.assert_allclose(series.images[0], by_numpy, atol=1e-3)
    assert series.geometry.voxel_size[0] == pytest.approx(2e-3)
    assert series.refocused is False


def test_lines_are_sorted_by_their_list(tmp_path: Path) -> None:
    traces = labelled(8, 2, 4)
    order = [0, -1, 1, -2, 2, -3, 3, 4]
    parameters = AGILENT_IMAGE | {"pelist": order, "petable": ["centric"], "pss": [-0.1, 0.1]}
    scan = read_agilent_scan(Agilent(traces, parameters).write(tmp_path))
    np.testing.assert_array_equal(scan.line_steps, np.array(order) - 1)


def test_scan_stopped_before_one_image_was_finished_is_damage(tmp_path: Path) -> None:
    folder = Agilent(labelled(8, 2, 16), AGILENT_IMAGE).write(tmp_path)
    set_scans(folder, [4] * 5 + [0] * 3)
    with pytest.raises(DamagedDataError, match="3 of 8 blocks hold no scan"):
        read_agilent(folder)


@pytest.mark.parametrize("cut", [False, True], ids=["no scans in the last blocks", "last blocks not in the file"])
def test_stopped_array_gives_the_images_that_were_finished(tmp_path: Path, cut: bool) -> None:
    traces = labelled(5, 16, 4)  # inversion time, line and slice in one block
    parameters = AGILENT_IMAGE | {"seqcon": ["nccnn"], "array": ["ti"], "ti": [0.1, 0.2, 0.4, 0.8, 1.6], "pss": [0, 1]}
    folder = Agilent(traces, parameters).write(tmp_path)
    set_scans(folder, [1, 1, 1, 0, 0])
    if cut:
        content = (folder / "fid").read_bytes()
        (folder / "fid").write_bytes(content[: 32 + 3 * (len(content) - 32) // 5])
    scan = read_agilent_scan(folder)
    assert scan.inversion_times is not None
    np.testing.assert_allclose(scan.inversion_times, [0.1, 0.2, 0.4])
    assert scan.echo_times.shape == (3,)
    np.testing.assert_array_equal(scan.kspace[0, :, :, 0], traces[:3].reshape(3, 8, 2, 4).swapaxes(1, 2))
    assert any("images 4 to 5" in line for line in scan.missing)


@pytest.mark.parametrize("word", [">f4", ">i4", ">i2"])
def test_numbers_of_every_kind_are_read(tmp_path: Path, word: str) -> None:
    traces = np.random.default_rng(2).integers(-30000, 30000, (8, 2, 4)) * (1 - 0.5j)
    traces = np.trunc(traces.real) + 1j * np.trunc(traces.imag)
    scan = read_agilent_scan(Agilent(traces, AGILENT_IMAGE, word).write(tmp_path))
    np.testing.assert_array_equal(np.asarray(scan.kspace)[0, 0, ::-1, 0], traces.swapaxes(0, 1))


def test_spectra_in_the_place_of_samples_are_refused(tmp_path: Path) -> None:
    folder = Agilent(labelled(8, 2, 16), AGILENT_IMAGE).write(tmp_path)
    content = bytearray((folder / "fid").read_bytes())
    content[27] |= 0b10  # S_SPEC
    (folder / "fid").write_bytes(bytes(content))
    with pytest.raises(UnsupportedDataError, match="spectra"):
        read_agilent(folder)


def test_a_file_that_is_cut_after_it_was_opened_is_damaged(tmp_path: Path) -> None:
    scan = read_agilent_scan(Agilent(labelled(8, 2, 4), AGILENT_IMAGE).write(tmp_path))
    (tmp_path / "fid").write_bytes((tmp_path / "fid").read_bytes()[:100])
    with pytest.raises(DamagedDataError, match="changed while it was read"):
        images_of_scan(scan)


def test_blocks_are_divided_by_their_scans(tmp_path: Path) -> None:
    traces = labelled(8, 2, 4)
    folder = Agilent(traces * np.array([4, 4, 4, 4, 4, 4, 4, 2])[:, None, None], AGILENT_IMAGE).write(tmp_path)
    set_scans(folder, [4] * 7 + [2])
    scan = read_agilent_scan(folder)
    np.testing.assert_allclose(scan.kspace[0, 0, :, 0], traces.swapaxes(0, 1)[::-1], rtol=1e-6)
    assert any("2 to 4 scans" in line for line in scan.missing)


@pytest.mark.parametrize(
    ("angles", "readout", "phase", "normal"),
    [((0, 0, 0), (0, -1, 0), (-1, 0, 0), (0, 0, 1)), ((90, 0, 0), (-1, 0, 0), (0, 1, 0), (0, 0, 1)),
     ((0, 0, 90), (0, -1, 0), (0, 0, 1), (1, 0, 0)), ((0, 90, 90), (1, 0, 0), (0, 0, 1), (0, 1, 0))],
)  # fmt: skip
def test_euler_angles_turn_the_gradients_of_transverse_sagittal_and_coronal_slices(
    angles: tuple[float, ...], readout: tuple[float, ...], phase: tuple[float, ...], normal: tuple[float, ...]
) -> None:
    np.testing.assert_allclose(gradient_directions(*angles), [readout, phase, normal], atol=1e-12)


@given(st.tuples(*[st.floats(-360, 360)] * 3))
def test_gradients_stay_at_right_angles(angles: tuple[float, float, float]) -> None:
    rows = gradient_directions(*angles)
    np.testing.assert_allclose(rows @ rows.T, np.eye(3), atol=1e-12)


def test_offsets_put_the_centre_of_the_image_where_they_say(tmp_path: Path) -> None:
    parameters = AGILENT_IMAGE | {"psi": [30.0], "phi": [200.0], "theta": [70.0], "pro": [0.4], "ppe": [-0.3]}
    scan = read_agilent_scan(Agilent(labelled(8, 2, 16), parameters).write(tmp_path))
    geometry = scan.slice_geometries[0]
    centre = (geometry.affine @ [0, 4, 8, 1])[:3]
    np.testing.assert_allclose(centre, np.array([4e-3, -3e-3, -1e-3]) @ gradient_directions(30, 200, 70), atol=1e-12)
    np.testing.assert_allclose(scan.shifts[:, 0], -0.3 / 1.6 * 8)


def test_real_specimen_lies_in_the_middle_once_its_offset_is_taken_off(raw_data: RawData) -> None:
    """The console was told ppe to centre the field of view on the specimen."""
    series = images_of_scan(read_agilent_scan(raw_data("agilent_sems") / "sems_20190407_07.fid"))
    along_lines = np.abs(series.images).sum(axis=(0, 1, 3))
    turns = np.angle(np.sum((along_lines - np.median(along_lines)) * np.exp(2j * np.pi * np.arange(128) / 128)))
    assert turns / (2 * np.pi) * 128 % 128 == pytest.approx(64, abs=2)


def test_image_has_the_field_of_view_of_procpar(tmp_path: Path) -> None:
    series = images_of_scan(read_agilent_scan(Agilent(labelled(8, 2, 16), AGILENT_IMAGE).write(tmp_path)))
    assert series.geometry.voxel_size == pytest.approx((2e-3, 2e-3, 2e-3))  # pss 2 mm apart, 16 mm / 8, 32 mm / 16
    assert series.nucleus == "23Na"
    assert series.working_frequency == pytest.approx(105.84e6)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"seqfil": ["epi"]}, "more than an FFT"),
        ({"seqfil": ["mine"], "apptype": ["im2D"], "etl": [8]}, "more than an FFT"),
        ({"petable": ["fse64_8_1"]}, "copy the file tablib/fse64_8_1"),
        ({"apptype": ["im2Dfse"], "etl": [4]}, "order of lines is not in procpar"),
        ({"apptype": ["im2Dfse"], "etl": [3]}, "no whole number of trains"),
        ({"seqcon": ["nccnc"]}, "no 2D or 3D image"),
        ({"array": ["te,,ti"]}, "not understood"),
        ({"array": ["(te,ti"]}, "not understood"),
        ({"array": ["te,te"]}, "cannot be told"),
        ({"array": ["(pss,ti)"]}, "cannot be told"),
        ({"seqfil": ["gecine"], "ne": [2], "seqcon": ["ccsnn"]}, "frames of a cine"),
        ({"seqcon": ["nssnn"]}, "blocks of their own"),
        ({"seqcon": ["scsnn"], "ne": [2]}, "blocks of their own"),
        ({"seqcon": ["nccsn"], "nv2": [4]}, "2 slabs"),
        ({"navigator": ["y"]}, "navigator"),
        ({"profile": ["y"]}, "without phase encoding"),
        ({"nv": [1]}, "without phase encoding"),
        ({"recontype": ["LookLocker"]}, "LookLocker"),
        ({"seqcon": ["nccsn"], "ns": [1], "nv2": [4], "fract_kz": [1]}, "which partitions"),
        ({"skiptab": ["y"]}, "skipped"),
    ],
)
def test_what_would_become_a_wrong_image_is_refused(
    tmp_path: Path, changed: dict[str, list[str | float]], match: str
) -> None:
    folder = Agilent(labelled(8, 2, 16), AGILENT_IMAGE | changed).write(tmp_path)
    with pytest.raises(UnsupportedDataError, match=match):
        read_agilent(folder)


@pytest.mark.parametrize(
    "changed",
    [{"nv": [16]}, {"ns": [3]}, {"pss": [0.1]}, {"lro": [0.0]}, {"sw": [-1]}, {"rcvrs": ["yy"]}, {"ppe": [1e9]},
     {"fract_kx": [-1]}, {"fract_ky": [1.5]}, {"nv": [16], "fract_ky": [1]},
     {"pelist": [1, 1, 2, 3, 4, 5, 6, 7]}, {"array": ["tr"]}, {"array": ["(te,ti)"], "te": [1, 2], "ti": [1, 2, 3]},
     {"seqfil": ["mems"], "seqcon": ["ccsnn"], "ne": [2], "ns": [1], "pss": [0], "TE": [20, 30]}],
)  # fmt: skip
def test_parameters_that_contradict_the_samples_are_damage(
    tmp_path: Path, changed: dict[str, list[str | float]]
) -> None:
    folder = Agilent(labelled(8, 2, 16), AGILENT_IMAGE | changed).write(tmp_path)
    with pytest.raises(DamagedDataError):
        read_agilent(folder)


@pytest.mark.parametrize("blocks", [0, -1, 9, 2**31 - 1])
def test_header_that_claims_other_blocks_is_damage(tmp_path: Path, blocks: int) -> None:
    folder = Agilent(labelled(8, 2, 16), AGILENT_IMAGE).write(tmp_path)
    content = (folder / "fid").read_bytes()
    (folder / "fid").write_bytes(np.array([blocks], ">i4").tobytes() + content[4:])
    with pytest.raises(DamagedDataError):
        read_agilent(folder)


@pytest.mark.parametrize(
    "first",
    ["awc1 1 1 10000 -10000 1e-06 3 1 1 0 64", "ident 2 2 8 0 0 3 1 0 1 64", "gss3 1 1 9.9e+17 -9.9e+17 0 2 1 0 1 64"],
)
def test_procpar_is_known_by_any_first_parameter(tmp_path: Path, first: str) -> None:
    (tmp_path / "procpar").write_text(f"{first}\n1 0 \n0 \n")
    assert is_agilent(tmp_path)


def test_t1_of_the_fixed_specimen_agrees_with_the_published_value(raw_data: RawData) -> None:
    scan = read_agilent_scan(raw_data("agilent_sems") / "sems_20190407_07.fid")
    assert scan.kspace.shape == (1, 12, 2, 1, 128, 128)
    series = images_of_scan(scan)
    fit = fit_inversion_series(series)
    assert np.median(fit.time[fit.ok]) == pytest.approx(1.26, rel=0.03)
    magnitude = fit_relaxation(np.abs(series.images), fit.delays, "recovery", mask=object_mask(series.images))
    assert np.median(magnitude.time[magnitude.ok]) == pytest.approx(1.26, rel=0.03)


def test_scan_without_its_raw_file_says_so(raw_data: RawData) -> None:
    with pytest.raises(DamagedDataError, match="cannot be read"):
        read_agilent(raw_data("agilent_sems") / "mems_20190519_01.fid")
