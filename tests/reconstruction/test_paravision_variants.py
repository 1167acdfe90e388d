"""ParaVision scans of other versions and kinds than the real ones at hand: 3D, ser, jobs, old headers, orientations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.reconstruct import reconstruct

N_PART, N_LINES, N_SAMPLES = 6, 8, 10


def random_kspace(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    return rng.integers(-10000, 10000, shape) + 1j * rng.integers(-10000, 10000, shape)


def by_numpy(kspace: np.ndarray, axes: tuple[int, ...] = (-2, -1)) -> np.ndarray:
    return np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(kspace, axes=axes), axes=axes), axes=axes)


def without(scan: Path, file: str, *names: str) -> Path:
    """Take parameters out of a file."""
    path = scan / file
    kept, dropping = [], False
    for line in path.read_text().splitlines():
        if line.startswith("##"):
            dropping = any(line.startswith(f"##${name}=") for name in names)
        if not dropping:
            kept.append(line)
    path.write_text("\n".join(kept) + "\n")
    return scan


def three_dimensional(
    synthetic_scan: Any, kspace: np.ndarray, folder: Path, *, reco: bool = True, slab_offset: float = 0.0,
    version: str = "PV 6.0.1", first_kept: int | None = None,
) -> Path:  # fmt: skip
    """Write k-space of shape ``(echo, partition, line, sample)`` as a 3D scan: partitions outside lines.

    ParaVision 5.1 brings the middle of the slab to slice N / 2, later ones half a slice of 2 mm before it.
    """
    n_echoes = len(kspace)
    flat = kspace.reshape(1, n_echoes, 1, N_PART * N_LINES, N_SAMPLES)
    steps = " ".join(str(n - N_LINES // 2) for n in range(N_LINES))
    steps2 = " ".join(str(n - N_PART // 2) for n in range(N_PART))
    sizes = f"( 3 )\n{N_SAMPLES} {N_LINES} {N_PART}"
    half_slice = 0.0 if version.startswith("PV 5") else 1.0
    rotate = [0.5] * 2 * n_echoes + [0.5 - (slab_offset + half_slice) / 12] * n_echoes
    cut = (
        {}
        if first_kept is None
        else {"RECO_size": f"( 3 )\n{N_SAMPLES} {N_LINES} {N_PART - 2}", "RECO_offset": f"( 3, 1 )\n0 0 {first_kept}"}
    )
    scan = synthetic_scan(
        flat, n_echoes=n_echoes,
        acqp={"ACQ_sw_version": f"<{version}>", "ACQ_dim": "3", "ACQ_dim_desc": "( 3 )\nSpatial Spatial Spatial",
              "ACQ_size": f"( 3 )\n{2 * N_SAMPLES} {N_LINES} {N_PART}", "ACQ_slice_offset": f"( 1 )\n{slab_offset}",
              "ACQ_slice_thick": "12"},
        method={"PVM_Matrix": sizes, "PVM_EncMatrix": sizes, "PVM_Fov": f"( 3 )\n{N_SAMPLES} 4 12",
                "PVM_EncSteps1": f"( {N_LINES} )\n{steps}", "PVM_EncSteps2": f"( {N_PART} )\n{steps2}",
                "PVM_SpatDimEnum": "<3D>", "PVM_SPackArrSliceOffset": f"( 1 )\n{slab_offset}"},
        reco={"RECO_ft_size": sizes, "RECO_size": sizes, "RECO_qopts": "( 3 )\nCOMPLEX_CONJUGATE NO_QOPTS NO_QOPTS",
              "RECO_rotate": f"( 3, {n_echoes} )\n{' '.join(map(str, rotate))}", **cut} if reco else None,
    )  # fmt: skip
    written: Path = scan.write(folder)
    return written


def moved_along_slices(kspace: np.ndarray, slices: float) -> np.ndarray:
    """Move the volume of k-space ``(…, partition, line, sample)`` by the shift theorem."""
    k = np.arange(N_PART) - N_PART // 2
    return np.asarray(kspace * np.exp(-2j * np.pi * k * slices / N_PART)[:, None, None])


@pytest.mark.parametrize("reco", [True, False], ids=["with reco", "without reco"])
@pytest.mark.parametrize(("version", "middle"), [("PV 5.1", 0.0), ("PV-7.0.0", 1e-3)])
def test_three_dimensional_scan_is_a_3d_transform(
    synthetic_scan: Any, tmp_path: Path, reco: bool, version: str, middle: float
) -> None:
    """The middle of the slab is slice N / 2 in ParaVision 5, between two slices of 2 mm later."""
    kspace = random_kspace(2, N_PART, N_LINES, N_SAMPLES)
    series = reconstruct(three_dimensional(synthetic_scan, kspace, tmp_path / "scan", reco=reco, version=version))
    assert series.images.shape == (2, N_PART, N_LINES, N_SAMPLES)
    moved = moved_along_slices(kspace, 0.0 if version == "PV 5.1" else -0.5)
    np.testing.assert_allclose(series.images, by_numpy(moved, (-3, -2, -1)), atol=1e-3)
    assert series.geometry.voxel_size == pytest.approx((2e-3, 0.5e-3, 1e-3))
    centre = series.geometry.affine @ [N_PART // 2, N_LINES // 2, N_SAMPLES // 2, 1]
    np.testing.assert_allclose(centre[:3], [0, 0, middle], atol=1e-12)


@pytest.mark.parametrize("reco", [True, False], ids=["with reco", "without reco"])
def test_a_slab_off_centre_is_shifted_to_the_middle_of_its_slices(
    synthetic_scan: Any, tmp_path: Path, reco: bool
) -> None:
    kspace = random_kspace(1, N_PART, N_LINES, N_SAMPLES)
    scan = three_dimensional(synthetic_scan, kspace, tmp_path / "scan", reco=reco, slab_offset=4.0)
    series = reconstruct(scan)
    moved = moved_along_slices(kspace, -2.5)  # 4 mm are two slices, and half a slice more
    np.testing.assert_allclose(series.images, by_numpy(moved, (-3, -2, -1)), atol=1e-3)
    centre = series.geometry.affine @ [N_PART // 2, N_LINES // 2, N_SAMPLES // 2, 1]
    np.testing.assert_allclose(centre[:3], [0, 0, 5e-3], atol=1e-12)  # half a slice beyond the middle of the slab


@pytest.mark.parametrize("version", ["PV 5.1", "PV-360.3.6"])
@pytest.mark.parametrize("reco", [True, False], ids=["with reco", "without reco"])
def test_a_point_of_a_slab_off_centre_is_found_where_it_is(
    synthetic_scan: Any, tmp_path: Path, version: str, reco: bool
) -> None:
    """Along the slices, the signal of a point at z is exp(-2 pi i k z / FOV): images are inverse transforms."""
    offset, z = -2.0, -3.0 if version == "PV 5.1" else -2.0
    k = np.arange(N_PART) - N_PART // 2
    kspace = np.ones((1, N_PART, N_LINES, N_SAMPLES)) * (1e4 * np.exp(-2j * np.pi * k * z / 12))[:, None, None]
    folder = three_dimensional(
        synthetic_scan, kspace, tmp_path / "scan", reco=reco, slab_offset=offset, version=version.replace("-360", "-7")
    )
    series = reconstruct(folder)
    profile = np.abs(series.images[0, :, N_LINES // 2, N_SAMPLES // 2])
    places = np.array([(series.geometry.affine @ [n, 0, 0, 1])[2] for n in range(N_PART)])
    phase = np.sum(profile**2 * np.exp(2j * np.pi * places / 12e-3))  # centre of mass on a circle
    np.testing.assert_allclose(np.angle(phase) / (2 * np.pi) * 12, z, atol=1e-3)


def test_slices_of_a_slab_that_are_kept_off_centre(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, N_PART, N_LINES, N_SAMPLES)
    whole = reconstruct(three_dimensional(synthetic_scan, kspace, tmp_path / "whole"))
    part = reconstruct(three_dimensional(synthetic_scan, kspace, tmp_path / "part", first_kept=2))
    np.testing.assert_allclose(part.images, whole.images[:, 2:], atol=1e-3)
    np.testing.assert_allclose(part.geometry.affine @ [0, 0, 0, 1], whole.geometry.affine @ [2, 0, 0, 1], atol=1e-12)


def test_lying_partitions_are_damage(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, N_PART, N_LINES, N_SAMPLES)
    scan = three_dimensional(synthetic_scan, kspace, tmp_path / "scan")
    text = (scan / "method").read_text()
    (scan / "method").write_text(text.replace("-3 -2 -1 0 1 2", "-3 -2 -1 0 1 1"))
    with pytest.raises(DamagedDataError, match="partitions"):
        reconstruct(scan)


@pytest.mark.parametrize("name", ["ser", "rawdata.job0"])
def test_raw_file_by_another_name(synthetic_scan: Any, tmp_path: Path, name: str) -> None:
    kspace = random_kspace(1, 2, 1, 8, 128)  # 1024 bytes a line: no padding, as in a job
    jobs = "( 2 )\n(256, 1, 0, 1, 101, 1, 1, 1, <job1>) (256, 1, 0, 16, 101, 5e4, 16, 1, <job0>)"
    scan = synthetic_scan(kspace, acqp={"ACQ_jobs": jobs}).write(tmp_path / "scan")
    (scan / "fid").rename(scan / name)
    np.testing.assert_allclose(reconstruct(scan).images[0], by_numpy(kspace[0, :, 0]), atol=1e-2)
    np.testing.assert_array_equal(reconstruct(scan / name).images, reconstruct(scan).images)


def test_an_empty_fid_beside_a_job_is_passed_over(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 1, 1, 8, 128)
    jobs = {"ACQ_jobs": "( 1 )\n(256, 1, 0, 8, 101, 5e4, 8, 1, <job0>)"}
    scan = synthetic_scan(kspace, acqp=jobs).write(tmp_path / "scan")
    (scan / "fid").rename(scan / "rawdata.job0")
    (scan / "fid").touch()
    np.testing.assert_allclose(reconstruct(scan).images[0, 0], by_numpy(kspace[0, 0, 0]), atol=1e-2)


def test_old_scan_without_steps_and_matrix(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 1, 1, 8, 10)
    phases = " ".join(str(-1 + 0.25 * n) for n in (1, 0, 2, 3, 5, 4, 6, 7))
    scan = synthetic_scan(kspace, acqp={"ACQ_spatial_phase_1": f"( 8 )\n{phases}"}, reco=None).write(tmp_path / "a")
    expected = by_numpy(kspace[0, 0, 0][[1, 0, 2, 3, 5, 4, 6, 7]])
    series = reconstruct(without(scan, "method", "PVM_EncSteps1", "PVM_EncMatrix", "PVM_EncNReceivers"))
    np.testing.assert_allclose(series.images[0, 0], expected, atol=1e-3)
    plain = synthetic_scan(kspace).write(tmp_path / "b")
    series = reconstruct(without(plain, "method", "PVM_EncSteps1"))
    np.testing.assert_allclose(series.images[0, 0], by_numpy(kspace[0, 0, 0]), atol=1e-3)


def test_echo_train_without_steps_is_refused(synthetic_scan: Any, tmp_path: Path) -> None:
    scan = synthetic_scan(random_kspace(1, 1, 1, 8, 10), rare_factor=4).write(tmp_path / "scan")
    with pytest.raises(UnsupportedDataError, match="in which order"):
        reconstruct(without(scan, "method", "PVM_EncSteps1"))


@pytest.mark.parametrize(
    "names",
    [("GO_block_size",), ("BYTORDA", "GO_raw_data_format"), ("NR",), ("ACQ_obj_order",), ("ACQ_dim_desc",),
     ("ACQ_dim",), ("ACQ_n_echo_images",), ("ACQ_sw_version", "PULPROG")],
)  # fmt: skip
def test_headers_that_some_versions_leave_out(synthetic_scan: Any, tmp_path: Path, names: tuple[str, ...]) -> None:
    kspace = random_kspace(1, 3, 1, 8, 10)
    scan = synthetic_scan(kspace, method={"PVM_SpatDimEnum": "2D"}).write(tmp_path / "scan")
    np.testing.assert_allclose(
        reconstruct(without(scan, "acqp", *names)).images[0], by_numpy(kspace[0, :, 0]), atol=1e-3
    )


def test_receivers_counted_by_their_switches(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 1, 2, 8, 10)
    scan = synthetic_scan(kspace, acqp={"ACQ_ReceiverSelect": "( 4 )\nYes No Yes No"}).write(tmp_path / "scan")
    expected = np.sqrt(np.sum(np.abs(by_numpy(kspace[0, 0])) ** 2, axis=0))
    series = reconstruct(without(scan, "method", "PVM_EncNReceivers"))
    np.testing.assert_allclose(np.abs(series.images[0, 0]), expected, atol=1e-2)


def test_phase_offset_is_applied_without_reco(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 1, 1, 8, 10)
    scan = synthetic_scan(kspace, reco=None, method={"PVM_SPackArrPhase1Offset": "( 1 )\n1.5"}).write(tmp_path / "scan")
    series = reconstruct(scan)
    np.testing.assert_allclose(series.images[0, 0], np.roll(by_numpy(kspace[0, 0, 0]), 3, axis=0), atol=1e-3)
    centre = series.geometry.affine @ [0, 4, 5, 1]
    np.testing.assert_allclose(centre[:3], [0, 1.5e-3, 0], atol=1e-12)


OBLIQUE = np.linalg.qr(np.array([[1.0, 0.3, 0.2], [-0.2, 1.0, 0.4], [0.1, -0.5, 1.0]]))[0]


@pytest.mark.parametrize("transposed", [False, True], ids=["as acquired", "transposed"])
@pytest.mark.parametrize(
    "rows",
    [np.eye(3), np.eye(3)[[0, 2, 1]], np.eye(3)[[1, 2, 0]], OBLIQUE],
    ids=["axial", "coronal", "sagittal", "oblique"],
)
def test_a_point_is_found_where_it_is_in_every_orientation(
    synthetic_scan: Any, tmp_path: Path, rows: np.ndarray, transposed: bool
) -> None:
    """A point at +read, +phase offsets precesses as s = exp(+i 2 pi k r) along gradients that run against the index."""
    read, phase, slice_index = 3e-3, -1.5e-3, 1
    turns = np.add.outer((np.arange(8) - 4) * phase / 4e-3, (np.arange(10) - 5) * read / 10e-3)
    kspace = np.zeros((1, 2, 1, 8, 10), complex)
    kspace[0, slice_index] = 10000 * np.exp(2j * np.pi * turns)
    orientation = " ".join(str(value) for value in rows.ravel())
    scan = synthetic_scan(
        kspace,
        method={"PVM_SPackArrGradOrient": f"( 1, 3, 3 )\n{orientation}"},
        reco={"RECO_transposition": f"( 2 )\n@2*({int(transposed)})"},
    )
    series = reconstruct(scan.write(tmp_path / "scan"))
    index = np.unravel_index(np.abs(series.images[0]).argmax(), series.images.shape[1:])
    place = series.geometry.affine @ [*index, 1]
    expected = np.array([read, phase, 2e-3 * slice_index]) @ rows
    np.testing.assert_allclose(place[:3], expected, atol=1e-9)


@pytest.mark.parametrize("cut", [0, 4000], ids=["between repetitions", "within one"])
def test_a_scan_that_was_stopped_gives_the_repetitions_it_finished(
    synthetic_scan: Any, tmp_path: Path, cut: int
) -> None:
    kspace = random_kspace(4, 2, 1, 8, 10)
    scan = synthetic_scan(kspace, acqp={"ACQ_completed": "No"}, method={"PVM_NRepetitions": "4"}).write(tmp_path)
    whole = (scan / "fid").read_bytes()
    (scan / "fid").write_bytes(whole[: len(whole) * 3 // 4 - cut])
    series = reconstruct(scan)
    finished = kspace[: 3 if cut == 0 else 2, :, 0].mean(axis=0)
    np.testing.assert_allclose(series.images[0], by_numpy(finished), atol=1e-2)
    assert any("to 4: the scan was stopped" in line for line in series.missing)
    acqp = scan / "acqp"
    acqp.write_text(acqp.read_text().replace("ACQ_completed=No", "ACQ_completed=Yes"))
    with pytest.raises(DamagedDataError, match="truncated"):
        reconstruct(scan)


def test_the_pointer_of_a_file_that_was_never_fetched_is_called_so(synthetic_scan: Any, tmp_path: Path) -> None:
    scan = synthetic_scan(random_kspace(1, 1, 1, 8, 10)).write(tmp_path)
    (scan / "fid").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 8192\n")
    with pytest.raises(DamagedDataError, match="git lfs pull"):
        reconstruct(scan)


def test_a_scan_of_which_only_the_images_are_left_is_called_so(synthetic_scan: Any, tmp_path: Path) -> None:
    scan = synthetic_scan(random_kspace(1, 1, 1, 8, 10)).write(tmp_path)
    (scan / "fid").rename(scan / "pdata/1/2dseq")
    with pytest.raises(DamagedDataError, match="only images of the console are left"):
        reconstruct(scan)


def test_without_the_order_of_objects_the_order_of_slices_counts(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 6, 1, 8, 10)  # three slices x two echoes
    order = [0, 1, 4, 5, 2, 3]
    scan = synthetic_scan(
        kspace, n_echoes=2, object_order=order, method={"PVM_ObjOrderList": "( 3 )\n0 2 1"}
    ).write(tmp_path)  # fmt: skip
    images = reconstruct(without(scan, "acqp", "ACQ_obj_order")).images
    np.testing.assert_allclose(images, by_numpy(kspace[0, :, 0]).reshape(3, 2, 8, 10).swapaxes(0, 1), atol=1e-3)


def test_slices_whose_gradients_are_not_there_keep_their_thickness(synthetic_scan: Any, tmp_path: Path) -> None:
    scan = synthetic_scan(random_kspace(1, 2, 1, 8, 10), acqp={"ACQ_slice_thick": "0.7"}).write(tmp_path)
    without(scan, "method", "PVM_SPackArrGradOrient")
    series = reconstruct(scan)
    assert series.geometry.voxel_size[0] == pytest.approx(0.7e-3)
    assert len(series.split()) == 1
    assert any("PVM_SPackArrGradOrient" in line for line in series.missing)
    visu = ["##TITLE=Parameter List", "##$VisuCoreOrientation=( 2, 9 )\n1 0 0 0 1 0 0 0 1 1 0 0 0 1 0 0 0 1",
            "##$VisuCorePosition=( 2, 3 )\n-5 -2 0 -5 -2 2", "##END=", ""]  # fmt: skip
    (scan / "pdata/1/visu_pars").write_text("\n".join(visu))
    assert any("distance between slices" in line for line in reconstruct(scan).missing)
