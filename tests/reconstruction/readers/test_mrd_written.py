"""MRD as we write it: it opens with the ismrmrd package and comes back to the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightshift.core.errors import KnightshiftError, UnsupportedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.export.mrd import write_mrd
from knightshift.reconstruction.kspace import KSpaceScan, Partitions
from knightshift.reconstruction.readers.mrd import read_mrd
from knightshift.reconstruction.readers.paravision import read_paravision
from knightshift.reconstruction.reconstruct import images_of_run, images_of_scan
from knightshift.reconstruction.run_scan import scan_of_run

RawData = Callable[[str], Path]


def oblique_scan() -> KSpaceScan:
    random = np.random.default_rng(11)
    tilt = np.radians(20)
    rows = np.array([[0, np.sin(tilt), np.cos(tilt)], [1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)]])
    geometries = tuple(
        ImageGeometry((2e-3, 1e-4, 2e-4), rows, np.array([1e-3, 2e-3, 3e-3]) + i * 2e-3 * rows[0]) for i in (0, 1)
    )
    kspace = random.normal(size=(1, 3, 2, 2, 8, 16)) + 1j * random.normal(size=(1, 3, 2, 2, 8, 16))
    return KSpaceScan(
        source=Path("synthetic"), format="synthetic", kspace=kspace.astype(np.complex64),
        line_steps=np.array([-1, 3, 0, -4, 2, -2, 1, -3]), center_sample=8, grid=(8, 16), matrix=(8, 8),
        shifts=np.array([[0.25, 0.0], [-1.5, 2.0]]), transposed=np.zeros(2, bool),
        echo_times=np.array([4e-3, 8e-3, 13e-3]),
        slice_geometries=geometries, dwell_time=8e-6, nucleus="23Na", working_frequency=105.9e6,
    )  # fmt: skip


def assert_same_images(first: KSpaceScan, second: KSpaceScan) -> None:
    one, two = images_of_scan(first), images_of_scan(second)
    np.testing.assert_allclose(two.images, one.images, atol=1e-5 * float(np.abs(one.images).max()))
    for left, right in zip(one.split(), two.split(), strict=True):
        np.testing.assert_allclose(right.geometry.affine, left.geometry.affine, atol=1e-8)


def test_written_file_reads_back_to_the_same_images(tmp_path: Path) -> None:
    pytest.importorskip("ismrmrd", reason="the extra 'mrd' is not installed")
    scan = oblique_scan()
    write_mrd(scan, tmp_path / "a.h5")
    back = read_mrd(tmp_path / "a.h5")
    assert_same_images(scan, back)
    assert (back.nucleus, back.working_frequency, back.missing) == ("23Na", 105.9e6, ())
    np.testing.assert_allclose(back.echo_times, scan.echo_times)


def volume_scan() -> KSpaceScan:
    scan = oblique_scan()
    random = np.random.default_rng(12)
    kspace = random.normal(size=(1, 3, 5, 2, 8, 16)) + 1j * random.normal(size=(1, 3, 5, 2, 8, 16))
    first = scan.slice_geometries[0]
    geometries = tuple(
        ImageGeometry(first.voxel_size, first.directions, first.origin + i * 2e-3 * first.directions[0])
        for i in range(4)
    )
    return replace(
        scan, kspace=kspace.astype(np.complex64), slice_geometries=geometries, shifts=np.tile([0.5, -1.25], (4, 1)),
        transposed=np.zeros(4, bool), partitions=Partitions(np.array([2, -3, 1, 0, -1]), 6, 4, 0.75),
    )  # fmt: skip


def test_written_volume_reads_back_to_the_same_images(tmp_path: Path) -> None:
    pytest.importorskip("ismrmrd", reason="the extra 'mrd' is not installed")
    scan = replace(volume_scan(), partitions=Partitions(np.array([-2, -1, 0, 1, 2]), 6, 4, 0.75))
    write_mrd(scan, tmp_path / "a.h5")
    back = read_mrd(tmp_path / "a.h5")
    assert back.partitions is not None
    assert (back.partitions.grid, back.partitions.matrix) == (6, 4)
    assert_same_images(scan, back)


def test_repetitions_of_different_images_stay_so(tmp_path: Path) -> None:
    pytest.importorskip("ismrmrd", reason="the extra 'mrd' is not installed")
    scan = oblique_scan()
    twice = replace(scan, kspace=np.concatenate([scan.kspace] * 2), repetitions_differ="they step tr")
    write_mrd(twice, tmp_path / "a.h5")
    assert read_mrd(tmp_path / "a.h5").repetitions_differ == "they step tr"


def test_partitions_with_gaps_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("ismrmrd", reason="the extra 'mrd' is not installed")
    write_mrd(volume_scan(), tmp_path / "a.h5")
    with pytest.raises(UnsupportedDataError, match="1 lines between 0 and 5 were not acquired"):
        read_mrd(tmp_path / "a.h5")


def test_written_file_opens_with_the_ismrmrd_package(tmp_path: Path) -> None:
    ismrmrd = pytest.importorskip("ismrmrd", reason="the extra 'mrd' is not installed")
    scan = oblique_scan()
    write_mrd(scan, tmp_path / "a.h5")
    with ismrmrd.Dataset(tmp_path / "a.h5", mode="r") as file:
        header = ismrmrd.xsd.CreateFromDocument(file.read_xml_header())
        rows = [file.read_acquisition(index) for index in range(file.number_of_acquisitions())]
    assert len(rows) == 3 * 2 * 8
    # the proton frequency in this field, not that of sodium
    assert header.experimentalConditions.H1resonanceFrequency_Hz == pytest.approx(
        105.9e6 * 42.577478 / 11.262, rel=1e-9
    )
    assert [(one.name, one.value) for one in header.userParameters.userParameterString] == [("nucleus", "23Na")]
    assert header.userParameters.userParameterDouble[0].value == 105.9e6
    np.testing.assert_allclose(header.sequenceParameters.TE, [4.0, 8.0, 13.0])
    grid = np.zeros((3, 2, 2, 8, 16), complex)
    for row in rows:
        grid[row.idx.contrast, row.idx.slice, :, row.idx.kspace_encode_step_1] = row.data
    # reconstructed from the file alone, with numpy
    axes = (-2, -1)
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(grid, axes), axes=axes), axes)[..., 4:12]
    ours = images_of_scan(scan).images
    np.testing.assert_allclose(np.sqrt((np.abs(images) ** 2).sum(axis=2)), np.abs(ours), atol=1e-5 * np.abs(ours).max())


@pytest.mark.parametrize("name", ["bruker_pv51_flash", "bruker_pv6_flash", "bruker_pv6_rare", "bruker_pv360/5"])
def test_console_scan_through_mrd_gives_the_same_images(raw_data: RawData, tmp_path: Path, name: str) -> None:
    pytest.importorskip("ismrmrd", reason="the extra 'mrd' is not installed")
    scan = read_paravision(raw_data(name))
    write_mrd(scan, tmp_path / "a.h5")
    assert_same_images(scan, read_mrd(tmp_path / "a.h5"))


def test_own_run_through_mrd_gives_the_same_images(synthetic_run: Any, small_encoding: Any, tmp_path: Path) -> None:
    pytest.importorskip("ismrmrd", reason="the extra 'mrd' is not installed")
    random = np.random.default_rng(3)
    passes = {index: random.normal(size=(8, 16)) + 1j * random.normal(size=(8, 16)) for index in range(4)}
    run = synthetic_run(small_encoding, passes).write(tmp_path / "run")
    write_mrd(scan_of_run(run), tmp_path / "a.h5")
    ours, theirs = images_of_run(run), images_of_scan(read_mrd(tmp_path / "a.h5"))
    np.testing.assert_allclose(theirs.images, ours.images, atol=1e-5 * float(np.abs(ours.images).max()))
    np.testing.assert_allclose(theirs.geometry.affine, ours.geometry.affine, atol=1e-9)
    assert theirs.nucleus == "23Na"


def test_writing_without_the_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ismrmrd", None)
    with pytest.raises(KnightshiftError, match=r"knightshift\[mrd\]"):
        write_mrd(oblique_scan(), tmp_path / "a.h5")
