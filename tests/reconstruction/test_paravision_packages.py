"""Slice packages in several directions, several slices each: every slice where the console says it is.

Layout and order are those of real scouts of ParaVision 5.1 and 360 (three orthogonal packages in one scan, slices of
all packages interlaced); the places follow from the console's own definition of VisuCoreOrientation and Position.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from knightshift.reconstruction.export.nifti import write_nifti
from knightshift.reconstruction.reconstruct import reconstruct

N_LINES, N_SAMPLES = 8, 10
FIELD_READ, FIELD_PHASE = 10.0, 4.0  # [mm], as the writer of scans has them
PER_PACKAGE = (2, 3, 2)
ORDER = [0, 2, 4, 6, 1, 3, 5]
AXIAL, SAGITTAL = np.eye(3), np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
OBLIQUE = np.linalg.qr(np.array([[1.0, 0.3, 0.2], [-0.2, 1.0, 0.4], [0.1, -0.5, 1.0]]))[0]
GRADIENTS = np.stack([AXIAL, SAGITTAL, OBLIQUE])  # rows read, phase, slice of each package
READ, PHASE = np.array([0.0, 1.5, -2.0]), np.array([0.5, 0.0, -1.0])  # offsets of the packages [mm]
ALONG = np.array([-1.0, 1.0, -2.0, 0.5, 3.0, 4.0, 6.0])  # offset of each slice [mm]
PACKAGE = np.repeat(np.arange(3), PER_PACKAGE)
POINT_READ, POINT_PHASE = 2.0, -1.5  # from the middle of the field of view [mm]
TO_DICOM = np.array([-1.0, -1.0, 1.0])


def words(values: Any) -> str:
    return " ".join(f"{value:.12g}" for value in np.ravel(values))


def one_point_in_each_slice() -> np.ndarray:
    """K-space of a point; the receiver follows the read offset, the phase offset is left to the reconstruction."""
    kspace = np.empty((1, 7, 1, N_LINES, N_SAMPLES), complex)
    for index, package in enumerate(PACKAGE):
        along_read = (np.arange(N_SAMPLES) - N_SAMPLES // 2) * POINT_READ / FIELD_READ
        along_phase = (np.arange(N_LINES) - N_LINES // 2) * (POINT_PHASE + PHASE[package]) / FIELD_PHASE
        kspace[0, index, 0] = (10_000 + 1000 * index) * np.exp(2j * np.pi * np.add.outer(along_phase, along_read))
    return kspace


def scout(synthetic_scan: Any, folder: Path, *, transposed: bool, visu: bool, version: str) -> Path:
    """Write a scan of three packages; `visu` tells whether the console describes its images."""
    rotate = [0.5] * 7 + [0.5 + PHASE[package] / FIELD_PHASE for package in PACKAGE]
    scan = synthetic_scan(
        one_point_in_each_slice(), object_order=ORDER,
        acqp={"ACQ_sw_version": f"<{version}>", "ACQ_slice_offset": f"( 7 )\n{words(ALONG)}"},
        method={"PVM_SPackArrNSlices": f"( 3 )\n{words(PER_PACKAGE)}",
                "PVM_SPackArrGradOrient": f"( 3, 3, 3 )\n{words(GRADIENTS)}",
                "PVM_SPackArrReadOffset": f"( 3 )\n{words(READ)}", "PVM_SPackArrPhase1Offset": f"( 3 )\n{words(PHASE)}",
                "PVM_SPackArrSliceDistance": "( 3 )\n2 2.5 2"},
        reco={"RECO_rotate": f"( 2, 7 )\n{words(rotate)}", "RECO_qopts": "( 2 )\nCOMPLEX_CONJUGATE NO_QOPTS",
              "RECO_transposition": f"( 7 )\n{words([int(transposed)] * 7)}"},
    )  # fmt: skip
    written: Path = scan.write(folder)
    if visu:
        orientation, corner = zip(*(console_frame(n, swapped=transposed) for n in range(7)), strict=True)
        lines = [
            f"##$VisuCoreOrientation=( 7, 9 )\n{words(orientation)}",
            f"##$VisuCorePosition=( 7, 3 )\n{words(corner)}",
        ]
        (written / "pdata/1/visu_pars").write_text("\n".join(["##TITLE=Parameter List", *lines, "##END=", ""]))
    return written


def console_frame(index: int, *, swapped: bool) -> tuple[np.ndarray, np.ndarray]:
    """VisuCoreOrientation and VisuCorePosition [mm] of a slice, by their definition, in the frame of DICOM."""
    package = PACKAGE[index]
    read, phase, normal = GRADIENTS[package] * TO_DICOM
    middle = READ[package] * read + PHASE[package] * phase + ALONG[index] * normal
    columns, rows = (-phase, -read) if swapped else (-read, -phase)
    return np.stack([columns, rows, np.cross(columns, rows)]), middle + FIELD_READ / 2 * read + FIELD_PHASE / 2 * phase


def place_of_point(index: int) -> np.ndarray:
    """Where the point of a slice is, in the frame (right, anterior, head) [mm]."""
    package = PACKAGE[index]
    along = [READ[package] + POINT_READ, PHASE[package] + POINT_PHASE, ALONG[index]]
    return np.asarray(along @ GRADIENTS[package])


@pytest.mark.parametrize("version", ["PV 5.1", "PV 6.0.1", "PV-7.0.0"])
@pytest.mark.parametrize("transposed", [False, True], ids=["as acquired", "transposed"])
@pytest.mark.parametrize("visu", [False, True], ids=["by the gradients", "with visu_pars"])
def test_every_slice_of_every_package_lies_where_the_console_says(
    synthetic_scan: Any, tmp_path: Path, visu: bool, transposed: bool, version: str
) -> None:
    series = reconstruct(scout(synthetic_scan, tmp_path, transposed=transposed, visu=visu, version=version))
    assert series.missing == ()
    assert [stack.slices for stack in series.stacks] == [(0, 1), (2, 3, 4), (5, 6)]
    for stack in series.stacks:
        for within, index in enumerate(stack.slices):
            image = np.abs(series.images[0, index])
            assert image.max() == pytest.approx(10_000 + 1000 * index, rel=1e-4)
            peak = np.unravel_index(image.argmax(), image.shape)
            place, corner = (stack.geometry.affine @ [[within] * 2, [peak[0], 0], [peak[1], 0], [1, 1]])[:3].T
            np.testing.assert_allclose(place, place_of_point(index) * 1e-3, atol=1e-8)
            expected = console_frame(index, swapped=transposed)[1] * TO_DICOM * 1e-3
            np.testing.assert_allclose(corner, expected, atol=1e-8)


def test_each_package_becomes_a_nifti_file_with_its_own_affine(synthetic_scan: Any, tmp_path: Path) -> None:
    series = reconstruct(scout(synthetic_scan, tmp_path / "scan", transposed=False, visu=True, version="PV 6.0.1"))
    files = write_nifti(series, tmp_path)
    assert [path.name for path in files] == [f"images_stack{number}.nii.gz" for number in (1, 2, 3)]
    for path, first in zip(files, (0, 2, 5), strict=True):
        volume: Any = nibabel.load(path)
        image = np.asarray(volume.dataobj)
        image = image.reshape(image.shape[:3])
        peak = np.unravel_index(image.argmax(), image.shape)  # of the last slice, which is the brightest
        last = first + PER_PACKAGE[PACKAGE[first]] - 1
        np.testing.assert_allclose((volume.affine @ [*peak, 1])[:3], place_of_point(last), atol=1e-4)
