"""Echo trains read in both directions, movies, partial echoes and jobs, with headers as consoles write them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError, InputError, UnsupportedDataError
from knightshift.reconstruction.reconstruct import Recipe, reconstruct, reconstruct_repetitions

from .test_paravision_console import sorting
from .test_paravision_variants import N_LINES, N_PART, N_SAMPLES, by_numpy, random_kspace, three_dimensional, without

INTERLACED = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7]
"""Objects of three slices x four echoes, slices in the order 0, 2, 1."""
TURNED = {"RECO_inp_order": "REV_ALT_ROWS", "RecoReverseSegment": "0"}


def train_turned_round(kspace: np.ndarray) -> np.ndarray:
    """Turn the even echoes of three slices x four echoes round, as a bipolar readout acquires them."""
    stored = kspace.copy()
    stored[:, 1::2] = kspace[:, 1::2, ..., ::-1]
    return stored


@pytest.mark.parametrize("method", [{"EchoAcqMode": "allEchoes"}, {}], ids=["the method says so too", "reco alone"])
def test_every_second_readout_turned_round_is_every_even_echo(
    synthetic_scan: Any, tmp_path: Path, method: dict[str, str]
) -> None:
    """ParaVision 6, 7 and 360 say REV_ALT_ROWS for MGE, the word that they use for EPI; two receivers stay in order."""
    kspace = random_kspace(1, 12, 2, 8, 10)
    scan = synthetic_scan(
        train_turned_round(kspace), n_echoes=4, object_order=INTERLACED, method={"Method": "<Bruker:MGE>", **method},
        acqp={"ACQ_scan_size": "One_scan", "ACQ_phase_factor": "1"},
        reco=TURNED | sorting(list(range(8)), INTERLACED, 1, 8),
    )  # fmt: skip
    series = reconstruct(scan.write(tmp_path))
    squares = np.sum(np.abs(by_numpy(kspace[0])) ** 2, axis=1)
    expected = np.sqrt(squares).reshape(3, 4, 8, 10).swapaxes(0, 1)
    np.testing.assert_allclose(np.abs(series.images), expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("n_echoes", "order"),
    [(1, [0, 1, 2, 3]), (3, [0, 1, 2]), (4, [0, 2, 1, 3])],
    ids=["no train", "an odd train", "echoes out of order"],
)
def test_readouts_turned_round_that_are_no_even_echoes_are_refused(
    synthetic_scan: Any, tmp_path: Path, n_echoes: int, order: list[int]
) -> None:
    scan = synthetic_scan(random_kspace(1, len(order), 1, 8, 10), n_echoes=n_echoes, object_order=order, reco=TURNED)
    with pytest.raises(UnsupportedDataError, match="REV_ALT_ROWS"):
        reconstruct(scan.write(tmp_path))


@pytest.mark.parametrize("called_echoes", [False, True], ids=["frames", "frames called echoes"])
def test_frames_of_a_movie_are_images_of_their_own(synthetic_scan: Any, tmp_path: Path, called_echoes: bool) -> None:
    """FLASH declares its frames as echo images, FISP does not; all of a slice come before the next slice."""
    kspace = random_kspace(2, 6, 1, 8, 10)  # two slices x three frames, twice
    acqp = {"NSLICES": "2", "ACQ_n_echo_images": "3" if called_echoes else "1", "ACQ_echo_time": "( 1 )\n4",
            "ACQ_slice_offset": "( 2 )\n0 2"}  # fmt: skip
    scan = synthetic_scan(kspace, acqp=acqp, object_order=[0, 1, 2, 3, 4, 5],
                          method={"PVM_NMovieFrames": "3", "PVM_SPackArrNSlices": "( 1 )\n2"})  # fmt: skip
    folder = scan.write(tmp_path)
    with pytest.raises(InputError, match="movie"):
        reconstruct(folder)
    series = reconstruct_repetitions(folder, Recipe(repetitions="separate"))
    assert len(series) == 6
    for number, one in enumerate(series):
        repetition, frame = divmod(number, 3)
        np.testing.assert_allclose(one.images[0], by_numpy(kspace[repetition, frame::3, 0]), atol=1e-3)


def test_images_of_one_echo_time_are_no_echoes(synthetic_scan: Any, tmp_path: Path) -> None:
    """Flow maps and scans of two repetition times call their images echo images."""
    kspace = random_kspace(1, 4, 1, 8, 10)  # two slices x two flow encodings
    scan = synthetic_scan(kspace, n_echoes=2, acqp={"ACQ_echo_time": "( 1 )\n4"}).write(tmp_path)
    with pytest.raises(InputError, match="2 images with one echo time"):
        reconstruct(scan)
    for number, one in enumerate(reconstruct_repetitions(scan, Recipe(repetitions="separate"))):
        np.testing.assert_allclose(one.images[0], by_numpy(kspace[0, number::2, 0]), atol=1e-3)
        assert one.echo_times.tolist() == [4e-3]


def test_echoes_that_only_the_method_counts(synthetic_scan: Any, tmp_path: Path) -> None:
    """Field maps of ParaVision call themselves one echo image in acqp."""
    kspace = random_kspace(1, 4, 1, 8, 10)
    acqp = {"NSLICES": "2", "ACQ_n_echo_images": "1"}
    scan = synthetic_scan(kspace, n_echoes=2, acqp=acqp, method={"PVM_NEchoImages": "2"}).write(tmp_path)
    expected = by_numpy(kspace[0, :, 0]).reshape(2, 2, 8, 10).swapaxes(0, 1)
    np.testing.assert_allclose(reconstruct(scan).images, expected, atol=1e-3)


@pytest.mark.parametrize(
    "word",
    ["VisuAcqKSpaceTraversal=SpiralTraversal", "VisuAcqKSpaceTraversal=RadialTraversal", "VisuAcqIsEpiSequence=Yes"],
)
def test_a_method_of_a_user_that_the_console_shows_as_not_cartesian_is_refused(
    synthetic_scan: Any, tmp_path: Path, word: str
) -> None:
    scan = synthetic_scan(random_kspace(1, 1, 1, 8, 10), method={"Method": "<User:nes_IDEAL>"}).write(tmp_path)
    visu = scan / "pdata/1/visu_pars"
    visu.write_text("##TITLE=Parameter List\n##$VisuAcqKSpaceTraversal=RectilinearTraversal\n##END=\n")
    assert reconstruct(scan).images.shape == (1, 1, 8, 10)
    visu.write_text(f"##TITLE=Parameter List\n##${word}\n##END=\n")
    with pytest.raises(UnsupportedDataError, match="more than an FFT"):
        reconstruct(scan)


@pytest.mark.parametrize(("word", "refocused"), [("SpinEcho", True), ("GradientEcho", False), ("Both", None)])
def test_what_the_method_of_a_user_does_not_say_of_its_echoes_the_console_does(
    synthetic_scan: Any, tmp_path: Path, word: str, refocused: bool | None
) -> None:
    acqp = {"ACQ_echo_time": "( 1 )\n4"}
    scan = synthetic_scan(random_kspace(1, 2, 1, 8, 10), n_echoes=2, acqp=acqp, method={"Method": "<User:mine>"})
    folder = scan.write(tmp_path)
    visu = ["##TITLE=Parameter List", f"##$VisuAcqEchoSequenceType={word}", "##$VisuAcqEchoTime=( 2 )\n4 9.5", "##END="]
    (folder / "pdata/1/visu_pars").write_text("\n".join(visu) + "\n")
    series = reconstruct(folder)
    assert series.refocused is refocused
    np.testing.assert_allclose(series.echo_times, [4e-3, 9.5e-3])


def test_old_scans_that_do_not_say_the_order_of_their_lines_are_refused(synthetic_scan: Any, tmp_path: Path) -> None:
    acqp = {"ACQ_phase_encoding_mode": "( 2 )\nRead Centred"}
    scan = synthetic_scan(random_kspace(1, 1, 1, 8, 10), acqp=acqp).write(tmp_path)
    with pytest.raises(UnsupportedDataError, match="Centred"):
        reconstruct(without(scan, "method", "PVM_EncSteps1"))


def test_other_cycles_are_refused(synthetic_scan: Any, tmp_path: Path) -> None:
    scan = synthetic_scan(random_kspace(1, 6, 1, 8, 10), acqp={"NSLICES": "2"}).write(tmp_path)
    with pytest.raises(UnsupportedDataError, match="cycles"):
        reconstruct(scan)


@pytest.mark.parametrize("per", ["image and repetition", "slice"])
def test_reconstruction_parameters_counted_in_other_ways(synthetic_scan: Any, tmp_path: Path, per: str) -> None:
    """Three slices x two echoes, twice: the console may count all twelve images, or only the slices."""
    kspace = random_kspace(2, 6, 1, 8, 10)
    shifts = np.array([0.5, 0.75, 0.25])  # of the phase encoding: 0, 2, -2 voxels
    values = np.tile(np.repeat(shifts, 2), 2) if per == "image and repetition" else shifts
    rotate = " ".join(str(v) for v in [*[0.5] * len(values), *values])
    counts = len(values)
    reco = {"RECO_rotate": f"( 2, {counts} )\n{rotate}", "RECO_transposition": f"( {counts} )\n@{counts}*(0)",
            "RECO_offset": f"( 2, {counts} )\n@{2 * counts}*(0)"}  # fmt: skip
    series = reconstruct(synthetic_scan(kspace, n_echoes=2, reco=reco).write(tmp_path))
    mean = by_numpy(kspace.mean(axis=0)[:, 0]).reshape(3, 2, 8, 10)
    for index, voxels in enumerate((0, 2, -2)):
        np.testing.assert_allclose(series.images[:, index], np.roll(mean[index], voxels, axis=1), atol=1e-3)


def test_reconstruction_parameters_of_another_scan_are_damage(synthetic_scan: Any, tmp_path: Path) -> None:
    scan = synthetic_scan(random_kspace(1, 6, 1, 8, 10), n_echoes=2, reco={"RECO_rotate": "( 2, 4 )\n@8*(0.5)"})
    with pytest.raises(DamagedDataError, match="RECO_rotate"):
        reconstruct(scan.write(tmp_path))


@pytest.mark.parametrize(
    ("matrix", "factor", "acquired", "echo"), [(128, 1.34, 69, 21), (384, 1.34, 200, 56), (256, 2, 96, 32)]
)
@pytest.mark.parametrize("told", [False, True], ids=["computed", "told"])
def test_echo_of_an_interpolated_partial_readout_lies_on_the_grid(
    synthetic_scan: Any, tmp_path: Path, matrix: int, factor: float, acquired: int, echo: int, told: bool
) -> None:
    """An even count of zeros is left out: of 384 points interpolated from 288, the last 200 hold k = 0 at 56."""
    kspace = np.zeros((1, 1, 1, 8, acquired), complex)
    kspace[..., 4, echo] = 1e6  # a flat image without phase
    overscans = {"PVM_EncPftOverscans": f"( 2 )\n{echo} 4"} if told else {}
    scan = synthetic_scan(
        kspace, reco=None,
        method={"PVM_Matrix": f"( 2 )\n{matrix} 8", "PVM_EncZf": f"( 2 )\n{factor} 1",
                "PVM_EncPft": "( 2 )\n1.5 1", "PVM_Fov": "( 2 )\n20 4", **overscans},
    )  # fmt: skip
    image = reconstruct(scan.write(tmp_path), Recipe.model_validate({"partial_fourier": {"method": "zero_filling"}}))
    assert image.images.shape[-1] == matrix
    np.testing.assert_allclose(image.images, image.images[0, 0, 0, 0].real, rtol=1e-5)


def test_an_odd_set_of_lines_may_start_one_below_its_half(synthetic_scan: Any, tmp_path: Path) -> None:
    """Of nine lines, -5 to 3 are as good as -4 to 4: the step -5 is the step 4 on a grid of nine."""
    kspace = random_kspace(1, 1, 1, 9, 10)
    scan = synthetic_scan(kspace, steps=range(-5, 4), reco=None).write(tmp_path)
    expected = by_numpy(np.roll(kspace[0, 0, 0], -1, axis=0))
    np.testing.assert_allclose(reconstruct(scan).images[0, 0], expected, atol=1e-3)


def test_lines_in_a_row_of_a_paravision_6_job(synthetic_scan: Any, tmp_path: Path) -> None:
    """ACQ_phase_factor counts in a job of ParaVision 6 as it does in its fid; only 360 sets it to 1."""
    kspace = random_kspace(1, 3, 1, 8, 128)
    acqp = {"ACQ_jobs": "( 1 )\n(256, 8, 0, 24, 101, 50000, -1, 24)", "ACQ_phase_factor": "4", "ACQ_rare_factor": "1"}
    scan = synthetic_scan(kspace, rare_factor=4, acqp=acqp, reco=None).write(tmp_path)
    (scan / "fid").rename(scan / "rawdata.job0")
    np.testing.assert_allclose(reconstruct(scan).images[0], by_numpy(kspace[0, :, 0]), atol=1e-2)


def test_first_job_of_paravision_360_in_a_file_called_fid(synthetic_scan: Any, tmp_path: Path) -> None:
    """Without GO parameters, and with an ACQ_size that means nothing."""
    kspace = random_kspace(1, 2, 1, 8, 128)
    acqp = {"ACQ_sw_version": "( 65 )\n<PV-360.1.1>", "ACQ_size": "( 2 )\n1024 1",
            "ACQ_jobs": "( 1 )\n(256, 8, 0, 16, 101, 5e4, 16, 1, <job0>)"}  # fmt: skip
    scan = synthetic_scan(kspace, acqp=acqp).write(tmp_path)
    scan = without(scan, "acqp", "GO_block_size", "GO_raw_data_format")
    np.testing.assert_allclose(reconstruct(scan).images[0], by_numpy(kspace[0, :, 0]), atol=1e-2)


def test_gradients_scaled_by_hand_are_told(synthetic_scan: Any, tmp_path: Path) -> None:
    scan = synthetic_scan(random_kspace(1, 1, 1, 8, 10), acqp={"ACQ_scaling_read": "1", "ACQ_scaling_phase": "-1"})
    assert [text for text in reconstruct(scan.write(tmp_path)).missing if "ACQ_scaling_phase -1" in text]


def test_volume_whose_slices_are_counted_in_reverse(synthetic_scan: Any, tmp_path: Path) -> None:
    """The corner is then that of the last slice; it agrees, so nothing is left open."""
    folder = three_dimensional(synthetic_scan, random_kspace(1, N_PART, N_LINES, N_SAMPLES), tmp_path / "scan")
    far = reconstruct(folder).geometry.affine @ [N_PART - 1, 0, 0, 1] * [-1e3, -1e3, 1e3, 1]
    visu = ["##TITLE=Parameter List", "##$VisuCoreOrientation=( 1, 9 )\n1 0 0 0 1 0 0 0 1",
            f"##$VisuCorePosition=( 1, 3 )\n{far[0]} {far[1]} {far[2]}",
            "##$VisuCoreDiskSliceOrder=( 1 )\ndisk_reverse_slice_order", "##END=", ""]  # fmt: skip
    (folder / "pdata/1/visu_pars").write_text("\n".join(visu))
    assert reconstruct(folder).missing == ()


def test_exported_studies_are_to_be_unpacked_first(tmp_path: Path) -> None:
    path = tmp_path / "mouse.PvDatasets"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mouse/1/acqp", "##TITLE=Parameter List")
    with pytest.raises(UnsupportedDataError, match="unpack"):
        reconstruct(path)
