"""What the console wrote of its own reconstruction decides: sorting, cut, scale, place; what it did beyond is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError, InputError, UnsupportedDataError
from knightshift.reconstruction.reconstruct import Recipe, reconstruct, reconstruct_repetitions

from .test_paravision_variants import (
    N_LINES,
    N_PART,
    N_SAMPLES,
    by_numpy,
    moved_along_slices,
    random_kspace,
    three_dimensional,
    without,
)


def test_segments_of_a_gradient_echo_scan_lie_within_the_slices(synthetic_scan: Any, tmp_path: Path) -> None:
    """ACQ_phase_factor counts the lines in a row; a gradient-echo method has no RARE factor."""
    kspace = random_kspace(1, 3, 1, 8, 10)
    scan = synthetic_scan(kspace, rare_factor=4, acqp={"ACQ_phase_factor": "4", "ACQ_rare_factor": "1"})
    np.testing.assert_allclose(reconstruct(scan.write(tmp_path)).images[0], by_numpy(kspace[0, :, 0]), atol=1e-3)


def sorting(lines: list[int], objects: list[int], segment: int, grid: int) -> dict[str, str]:
    """RecoSort parameters of a 2D scan; `lines` are rows of the grid."""
    maps = " ".join(map(str, [*lines, *objects]))
    return {
        "RecoSortDim": "2", "RecoSortSize": f"( 2 )\n{len(lines)} {len(objects)}",
        "RecoSortRange": f"( 2 )\n{grid} {len(objects)}", "RecoSortSegment": f"( 2 )\n{segment} 0",
        "RecoSortMaps": f"( {len(lines) + len(objects)} )\n{maps}",
    }  # fmt: skip


def test_the_sorting_of_the_console_decides(synthetic_scan: Any, tmp_path: Path) -> None:
    """ParaVision 360 says ACQ_phase_factor 1 for every scan: RecoSortSegment tells the segment of four lines."""
    kspace = random_kspace(1, 3, 1, 8, 10)
    rows = [4, 5, 6, 7, 0, 1, 2, 3]
    scan = synthetic_scan(
        kspace[..., rows, :], rare_factor=4, object_order=[2, 0, 1],
        acqp={"ACQ_obj_order": "( 3 )\n0 1 2", "ACQ_rare_factor": "1"},
        reco=sorting(rows, [2, 0, 1], 4, 8),
    )  # fmt: skip
    np.testing.assert_allclose(reconstruct(scan.write(tmp_path)).images[0], by_numpy(kspace[0, :, 0]), atol=1e-3)


def test_receivers_are_weighted_as_the_console_weights_them(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 1, 2, 8, 10)
    scan = synthetic_scan(kspace, reco={"RecoScaleChan": "( 2 )\n0.5 2", "RecoCombineMode": "SumOfSquares"})
    expected = np.sqrt(np.sum(np.abs(by_numpy(kspace[0, 0]) * np.array([0.5, 2])[:, None, None]) ** 2, axis=0))
    series = reconstruct(scan.write(tmp_path))
    np.testing.assert_allclose(np.abs(series.images[0, 0]), expected, rtol=1e-4)
    assert series.missing == ()


def test_an_image_cut_off_centre_shows_and_places_the_points_that_were_kept(
    synthetic_scan: Any, tmp_path: Path
) -> None:
    kspace = random_kspace(1, 1, 1, 8, 10)
    full = by_numpy(kspace[0, 0, 0])
    scan = synthetic_scan(kspace, reco={"RECO_size": "( 2 )\n6 4", "RECO_offset": "( 2, 1 )\n3 0"})
    series = reconstruct(scan.write(tmp_path))
    np.testing.assert_allclose(series.images[0, 0], full[0:4, 3:9], atol=1e-3)
    whole = reconstruct(synthetic_scan(kspace).write(tmp_path / "whole"))
    np.testing.assert_allclose(series.geometry.affine @ [0, 0, 0, 1], whole.geometry.affine @ [0, 0, 3, 1])


def test_even_gradient_echoes_read_out_backwards_are_turned_round(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 4, 1, 8, 10)  # two slices x two echoes
    stored = kspace.copy()
    stored[:, 1::2] = kspace[:, 1::2, ..., ::-1]
    scan = synthetic_scan(stored, n_echoes=2, method={"EchoAcqMode": "allEchoes", "Method": "<Bruker:MGE>"})
    series = reconstruct(scan.write(tmp_path))
    expected = by_numpy(kspace[0, :, 0]).reshape(2, 2, 8, 10).swapaxes(0, 1)
    np.testing.assert_allclose(series.images, expected, atol=1e-3)
    assert any("backwards" in text for text in series.methods)
    assert series.refocused is False


def test_unexplained_reversal_is_refused(synthetic_scan: Any, tmp_path: Path) -> None:
    scan = synthetic_scan(random_kspace(1, 2, 1, 8, 10), reco={"RecoReverseSegment": "2"})
    with pytest.raises(UnsupportedDataError, match="RecoReverseSegment 2"):
        reconstruct(scan.write(tmp_path))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"method": {"PVM_DwNDiffExp": "2"}}, "diffusion"),
        ({"acqp": {"ACQ_repetition_time": "( 2 )\n100 3000"}}, "different times"),
        ({"method": {"PVM_NRepetitions": "1"}}, "PVM_NRepetitions"),
    ],
)
def test_repetitions_of_different_images_are_not_averaged(
    synthetic_scan: Any, tmp_path: Path, changed: dict[str, Any], why: str
) -> None:
    kspace = random_kspace(2, 1, 1, 8, 10)
    scan = synthetic_scan(kspace, **changed).write(tmp_path)
    with pytest.raises(InputError, match=why):
        reconstruct(scan)
    series = reconstruct_repetitions(scan, Recipe(repetitions="separate"))
    for one, samples in zip(series, kspace, strict=True):
        np.testing.assert_allclose(one.images[0, 0], by_numpy(samples[0, 0]), atol=1e-3)


VISU = {
    "VisuCoreOrientation": "( 1, 9 )\n1 0 0 0 0 -1 0 1 0",  # coronal
    "VisuCorePosition": "( 2, 3 )\n-5 3 2 -5 5 2",
}


def test_where_the_console_places_its_slices_it_is_believed(synthetic_scan: Any, tmp_path: Path) -> None:
    scan = synthetic_scan(random_kspace(1, 2, 1, 8, 10)).write(tmp_path)
    lines = [f"##${name}={value}" for name, value in VISU.items()]
    (scan / "pdata/1/visu_pars").write_text("\n".join(["##TITLE=Parameter List", *lines, "##END=", ""]))
    series = reconstruct(scan)
    corner = np.array([5e-3, -3e-3, 2e-3])  # left, posterior, head in mm -> right, anterior, head in m
    np.testing.assert_allclose(series.geometry.origin, corner)
    np.testing.assert_allclose(series.geometry.directions[1], [0, 0, -1])
    np.testing.assert_allclose(series.geometry.directions[2], [-1, 0, 0])
    assert any("VisuCorePosition" in text for text in series.missing)


@pytest.mark.parametrize("towards_feet", [False, True])
def test_a_volume_is_placed_by_the_corner_the_console_names(
    synthetic_scan: Any, tmp_path: Path, towards_feet: bool
) -> None:
    folder = three_dimensional(synthetic_scan, random_kspace(1, N_PART, N_LINES, N_SAMPLES), tmp_path / "scan")
    corner_z = 5.1 if towards_feet else -5.1  # of a slab 12 mm thick, centred at 0 or nearly so
    visu = {"VisuCoreOrientation": "( 1, 9 )\n1 0 0 0 1 0 0 0 1", "VisuCorePosition": f"( 1, 3 )\n-5 -2 {corner_z}"}
    lines = [f"##${name}={value}" for name, value in visu.items()]
    (folder / "pdata/1/visu_pars").write_text("\n".join(["##TITLE=Parameter List", *lines, "##END=", ""]))
    series = reconstruct(folder)
    last = (series.geometry.affine @ [N_PART - 1, 0, 0, 1])[:3]
    np.testing.assert_allclose(series.geometry.origin, [5e-3, 2e-3, corner_z * 1e-3])
    np.testing.assert_allclose(last, [5e-3, 2e-3, -4.9e-3 if towards_feet else 4.9e-3], atol=1e-12)


@pytest.mark.parametrize("applied", [False, True])
def test_sign_of_every_other_point_counts_where_it_was_applied(
    synthetic_scan: Any, tmp_path: Path, applied: bool
) -> None:
    """ParaVision 6 names the option and has no filter for it in its network; 5.1 has no network and applies it."""
    kspace = random_kspace(1, 1, 1, 8, 10)
    reco = {"RECO_qopts": "( 2 )\nCONJ_AND_QNEG NO_QOPTS"}
    if not applied:
        reco["RecoStageNodes"] = "( 1 )\n(<compute>, 0, <RecoFTFilter FT0{direction=0}>)"
    image = reconstruct(synthetic_scan(kspace, reco=reco).write(tmp_path)).images[0, 0]
    np.testing.assert_allclose(image, np.roll(by_numpy(kspace[0, 0, 0]), 5 if applied else 0, axis=1), atol=1e-3)


@pytest.mark.parametrize(
    ("options", "rotate", "forward"),
    [
        ("CONJ_AND_QNEG NO_QOPTS", "0 0.5", False),
        ("COMPLEX_CONJUGATE NO_QOPTS", "0.5 0.5", False),
        ("NO_QOPTS NO_QOPTS", "0.5 0.5", True),
        ("QUAD_NEGATION NO_QOPTS", "0 0.5", True),
        ("QUAD_NEGATION QUAD_NEGATION", "0 0", True),
    ],
)
def test_paravision_5_transforms_forward_what_it_does_not_conjugate(
    synthetic_scan: Any, tmp_path: Path, options: str, rotate: str, forward: bool
) -> None:
    """The console negates, conjugates and transforms forward: done here word by word, as its manual says."""
    kspace = random_kspace(1, 1, 1, 8, 10)
    reco = {
        "RECO_qopts": f"( 2 )\n{options}",
        "RECO_rotate": f"( 2, 1 )\n{rotate}",
        "RECO_ft_mode": "( 2 )\nCOMPLEX_FFT COMPLEX_FFT",
    }
    version = {"ACQ_sw_version": "( 65 )\n<PV 5.1>" if forward else "( 65 )\n<PV 4.0>"}
    series = reconstruct(synthetic_scan(kspace, acqp=version, reco=reco).write(tmp_path))
    samples = kspace[0, 0, 0].copy()
    for axis, option in zip((1, 0), options.split(), strict=True):
        shape = [1, 1]
        shape[axis] = -1
        if option in ("QUAD_NEGATION", "CONJ_AND_QNEG"):
            samples *= ((-1.0) ** np.arange(samples.shape[axis])).reshape(shape)
        if option in ("COMPLEX_CONJUGATE", "CONJ_AND_QNEG"):
            samples = samples.conj()
    image = np.fft.fft2(samples)
    for axis, turn in zip((1, 0), rotate.split(), strict=True):
        image = np.roll(image, round(float(turn) * image.shape[axis]), axis=axis)
    np.testing.assert_allclose(np.abs(series.images[0, 0]) * samples.size, np.abs(image), atol=1e-1)
    assert any("conjugated" in line for line in series.methods) == forward
    assert series.missing == ()


def test_old_reconstruction_files_without_quadrature_options_leave_the_shift_open(
    synthetic_scan: Any, tmp_path: Path
) -> None:
    kspace = random_kspace(1, 1, 1, 8, 10)
    scan = synthetic_scan(kspace, acqp={"ACQ_sw_version": "( 65 )\n<PV 5.1>"}).write(tmp_path)
    series = reconstruct(without(scan, "pdata/1/reco", "RECO_qopts"))
    np.testing.assert_allclose(series.images[0, 0], by_numpy(kspace[0, 0, 0]), atol=1e-3)
    assert any("RECO_qopts" in line for line in series.missing)


def test_a_network_of_paravision_5_applies_the_options_all_the_same(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 1, 1, 8, 10)
    reco = {"RECO_qopts": "( 2 )\nCONJ_AND_QNEG NO_QOPTS", "RECO_rotate": "( 2, 1 )\n0 0.5",
            "RecoStageNodes": "( 1 )\n(<compute>, 0, <RecoFTFilter FT0{direction=0}>)"}  # fmt: skip
    scan = synthetic_scan(kspace, acqp={"ACQ_sw_version": "( 65 )\n<PV 5.1>"}, reco=reco).write(tmp_path)
    np.testing.assert_allclose(reconstruct(scan).images[0, 0], by_numpy(kspace[0, 0, 0]), atol=1e-3)


def test_a_field_more_in_the_entry_of_a_job_changes_nothing(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 1, 1, 8, 128)
    jobs = "( 2 )\n(64, 8, 0, 8, 101, 5e4, 8, 1, <Navigator>, 0) (256, 8, 0, 8, 101, 5e4, 8, 1, <job0>, 0)"
    scan = synthetic_scan(kspace, acqp={"ACQ_sw_version": "<PV-360.3.9>", "ACQ_jobs": jobs}).write(tmp_path)
    (scan / "fid").rename(scan / "rawdata.job0")
    np.testing.assert_allclose(reconstruct(scan).images[0, 0], by_numpy(kspace[0, 0, 0]), atol=1e-2)


@pytest.mark.parametrize("partitions_inside", [False, True])
def test_encoding_tables_of_3d_scans_say_the_order_of_their_lines(
    synthetic_scan: Any, tmp_path: Path, partitions_inside: bool
) -> None:
    kspace = random_kspace(1, N_PART, N_LINES, N_SAMPLES)
    stored = kspace.swapaxes(1, 2).reshape(kspace.shape) if partitions_inside else kspace
    line, partition = np.arange(N_LINES) - N_LINES // 2, np.arange(N_PART) - N_PART // 2
    tables = np.tile(line, N_PART), np.repeat(partition, N_LINES)
    if partitions_inside:
        tables = np.repeat(line, N_PART), np.tile(partition, N_LINES)
    folder = three_dimensional(synthetic_scan, stored, tmp_path / "scan")
    text = "".join(
        f"##$PVM_EncGenSteps{axis}=( {len(table)} )\n{' '.join(map(str, table))}\n"
        for axis, table in enumerate(tables, start=1)
    )
    path = folder / "method"
    path.write_text(path.read_text().replace("##END=", text + "##END="))
    expected = by_numpy(moved_along_slices(kspace, -0.5), (-3, -2, -1))
    np.testing.assert_allclose(reconstruct(folder).images, expected, atol=1e-3)
    path.write_text(path.read_text().replace(text, text.replace(" 3", " 2", 1)))
    with pytest.raises(UnsupportedDataError, match="twice"):
        reconstruct(folder)


JOB = "( 1 )\n(20, 1, 0, 8, 101, 5e4, 8, 1, <job0>)"


def test_job_of_doubles(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 1, 1, 8, 10) * 0.25
    settings = "( 1 )\n(STORE_processed, STORE_64bit_float, DISPLAY_none, LOG_none)"
    scan = synthetic_scan(kspace, acqp={"ACQ_jobs": JOB, "ACQ_ScanPipeJobSettings": settings}).write(tmp_path)
    (scan / "fid").unlink()
    pairs = np.stack([kspace.real, kspace.imag], axis=-1)
    (scan / "rawdata.job0").write_bytes(pairs.astype("<f8").tobytes())
    np.testing.assert_allclose(reconstruct(scan).images[0, 0], by_numpy(kspace[0, 0, 0]), atol=1e-3)
    (scan / "acqp").write_text((scan / "acqp").read_text().replace("STORE_64bit_float", "STORE_80bit_float"))
    with pytest.raises(UnsupportedDataError, match="storageDataType"):
        reconstruct(scan)


def test_words_of_a_job_without_settings_have_the_size_that_acqp_says(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 1, 1, 8, 10)
    scan = synthetic_scan(kspace, acqp={"ACQ_jobs": JOB, "ACQ_word_size": "_16_BIT"}).write(tmp_path)
    (scan / "fid").unlink()
    pairs = np.stack([kspace.real, kspace.imag], axis=-1)
    (scan / "rawdata.job0").write_bytes(pairs.astype("<i2").tobytes())
    np.testing.assert_allclose(reconstruct(scan).images[0, 0], by_numpy(kspace[0, 0, 0]), atol=1e-3)


def test_jobs_of_paravision_6_have_eight_fields_and_no_name(synthetic_scan: Any, tmp_path: Path) -> None:
    """Stored scans come last; seventh is the scan shift, which may be negative."""
    kspace = random_kspace(1, 1, 1, 8, 128)
    scan = synthetic_scan(kspace, acqp={"ACQ_jobs": "( 1 )\n(256, 8, 0, 8, 101, 50000, -1, 8)"}).write(tmp_path)
    (scan / "fid").rename(scan / "rawdata.job0")
    np.testing.assert_allclose(reconstruct(scan).images[0, 0], by_numpy(kspace[0, 0, 0]), atol=1e-2)


NODES = "( 2 )\n(<compute>, 0, <RecoFTFilter FT0{{direction=0}}>) (<compute>, 1, <{} X{{}}>)"


@pytest.mark.parametrize(
    ("reco", "told"),
    [
        ({"RecoStageNodes": NODES.format("RecoUnwarpFilter")}, "RecoUnwarpFilter"),
        ({"RECO_wdw_mode": "( 2 )\nSINE NO_WDW"}, "SINE"),
        ({"RECO_bc_mode": "( 2 )\nCONST_BC NO_BC"}, "CONST_BC"),
        ({"RecoNnDenoising": "Yes"}, "denoising"),
        ({"RECO_image_type": "PHASE_IMAGE"}, "PHASE_IMAGE"),
        ({"RecoHalfFT": "( 2 )\nNo Yes"}, "RecoHalfFTAlgorithm"),
    ],
)
def test_what_the_console_did_beyond_ours_is_told(
    synthetic_scan: Any, tmp_path: Path, reco: dict[str, str], told: str
) -> None:
    series = reconstruct(synthetic_scan(random_kspace(1, 1, 1, 8, 10), reco=reco).write(tmp_path))
    assert any(told in text for text in series.missing)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"reco": {"RECO_ft_mode": "( 2 )\nCOMPLEX_FT NO_FT"}}, "RECO_ft_mode"),
        ({"reco": {"RecoStageNodes": NODES.format("RecoRegridFilter")}}, "RecoRegridFilter"),
        ({"reco": {"RecoStageNodes": "( 1 )\n(<c>, 0, <RecoFTFilter FT0{direction=0; exponent=-1}>)"}}, "exponent"),
        ({"reco": {"RecoGrappaAccelFactor": "2"}}, "RecoGrappaAccelFactor"),
        ({"reco": {"RECO_mode": "BP_MODE"}}, "projections"),
        ({"reco": {"RecoRegridN": "On"}}, "regridded"),
        ({"acqp": {"ACQ_scan_size": "ACQ_phase_factor_scans", "ACQ_phase_factor": "4"}}, "one sweep"),
        ({"acqp": {"AQ_mod": "qf"}}, "quadrature"),
        ({"method": {"PVM_EncGenEllipse": "Yes"}}, "elliptic"),
        ({"method": {"SelfGating": "Yes"}}, "gating"),
        ({"method": {"Method": "<Bruker:igFLASH>"}}, "gating"),
        ({"acqp": {"PULPROG": "( 32 )\n<IgFLASH.ppg>"}}, "gating"),
        ({"method": {"PVM_MbEncAccelFactor": "2"}}, "together"),
    ],
)
def test_what_would_be_another_image_is_refused(
    synthetic_scan: Any, tmp_path: Path, changed: dict[str, Any], word: str
) -> None:
    with pytest.raises(UnsupportedDataError, match=word):
        reconstruct(synthetic_scan(random_kspace(1, 1, 1, 8, 10), **changed).write(tmp_path))


@pytest.mark.parametrize(
    ("reco", "field"),
    [
        ({"RECO_offset": "( 2, 1 )\n9 9"}, "RECO_offset"),
        ({"RECO_offset": "( 1 )\n0"}, "RECO_offset"),
        ({"RecoScaleChan": "( 1 )\n-1"}, "RecoScaleChan"),
    ],
)
def test_lies_about_the_reconstruction_are_damage(
    synthetic_scan: Any, tmp_path: Path, reco: dict[str, str], field: str
) -> None:
    with pytest.raises(DamagedDataError) as caught:
        reconstruct(synthetic_scan(random_kspace(1, 1, 1, 8, 10), reco=reco).write(tmp_path))
    assert caught.value.field == field


def test_echo_off_centre_of_paravision_5_keeps_the_magnitude(synthetic_scan: Any, tmp_path: Path) -> None:
    """An echo at 30 % of a readout that is not zero-filled has no place on the grid: its phase is left open."""
    kspace = random_kspace(1, 1, 1, 8, 10)
    scan = synthetic_scan(kspace, method={"PVM_EchoPosition": "30"}).write(tmp_path)
    series = reconstruct(scan)
    np.testing.assert_allclose(np.abs(series.images[0, 0]), np.abs(by_numpy(kspace[0, 0, 0])), atol=1e-3)
    assert any("PVM_EchoPosition" in text for text in series.missing)


def test_spin_echoes_are_known_by_their_refocusing_pulse(synthetic_scan: Any, tmp_path: Path) -> None:
    scan = synthetic_scan(random_kspace(1, 1, 1, 8, 10), method={"RefPulse1": "(2, 2000, 180)"}).write(tmp_path)
    assert reconstruct(scan).refocused is True
    assert reconstruct(without(scan, "method", "RefPulse1")).refocused is None
