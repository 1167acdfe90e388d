"""MRD: what we write opens with the ismrmrd package and gives the same image; hostile files are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError, KnightshiftError, UnsupportedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.export.mrd import write_mrd
from knightshift.reconstruction.kspace import KSpaceScan, Partitions
from knightshift.reconstruction.readers.mrd import is_mrd, read_mrd
from knightshift.reconstruction.readers.paravision import read_paravision
from knightshift.reconstruction.reconstruct import images_of_run, images_of_scan
from knightshift.reconstruction.run_scan import scan_of_run

RawData = Callable[[str], Path]

_COUNTERS = (
    "kspace_encode_step_1",
    "kspace_encode_step_2",
    "average",
    "slice",
    "contrast",
    "phase",
    "repetition",
    "set",
    "segment",
)
_HEAD = np.dtype(
    [("version", "<u2"), ("flags", "<u8"), ("number_of_samples", "<u2"), ("active_channels", "<u2"),
     ("center_sample", "<u2"), ("sample_time_us", "<f4"), ("position", "<f4", (3,)), ("read_dir", "<f4", (3,)),
     ("phase_dir", "<f4", (3,)), ("slice_dir", "<f4", (3,)), ("discard_pre", "<u2"), ("discard_post", "<u2"),
     ("encoding_space_ref", "<u2"), ("idx", [(name, "<u2") for name in _COUNTERS])]
)  # fmt: skip
_ROW = np.dtype([("head", _HEAD), ("traj", h5py.vlen_dtype(np.float32)), ("data", h5py.vlen_dtype(np.float32))])
XML = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<experimentalConditions><H1resonanceFrequency_Hz>400000000</H1resonanceFrequency_Hz></experimentalConditions>
<encoding><trajectory>cartesian</trajectory>
<encodedSpace><matrixSize><x>16</x><y>4</y><z>1</z></matrixSize>
<fieldOfView_mm><x>32</x><y>8</y><z>1</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>8</x><y>4</y><z>1</z></matrixSize>
<fieldOfView_mm><x>16</x><y>8</y><z>1</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>3</maximum><center>2</center></kspace_encoding_step_1></encodingLimits>
</encoding><sequenceParameters><TE>5</TE><TE>10</TE></sequenceParameters>
<userParameters><userParameterString><name>nucleus</name><value>23Na</value></userParameterString></userParameters>
</ismrmrdHeader>"""


def acquisitions(n_averages: int = 2) -> Any:
    """Four lines of two contrasts, the average as imaginary part."""
    rows = np.zeros(4 * 2 * n_averages, _ROW)
    random = np.random.default_rng(7)
    for number, (line, contrast, average) in enumerate(np.ndindex(4, 2, n_averages)):
        head = rows["head"][number]
        head["idx"]["kspace_encode_step_1"], head["idx"]["contrast"], head["idx"]["average"] = line, contrast, average
        samples = random.normal(size=(1, 16)) + 1j * average
        rows["data"][number] = samples.astype(np.complex64).view(np.float32).ravel()
        rows["traj"][number] = np.zeros(0, np.float32)
    head = rows["head"]
    head["number_of_samples"], head["active_channels"], head["center_sample"] = 16, 1, 8
    head["sample_time_us"] = 8
    head["read_dir"], head["phase_dir"], head["slice_dir"] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    return rows


def write(path: Path, rows: Any, xml: str = XML) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("dataset")
        group.create_dataset("xml", data=np.array([xml.encode()], object), dtype=h5py.string_dtype())
        group.create_dataset("data", data=rows, maxshape=(None,), chunks=(4,))
    return path


def test_averages_are_averaged_and_oversampling_is_stated(tmp_path: Path) -> None:
    rows = acquisitions()
    path = write(tmp_path / "a.h5", rows)
    assert is_mrd(path)
    scan = read_mrd(path)
    assert scan.kspace.shape == (1, 2, 1, 1, 4, 16)
    assert (scan.grid, scan.matrix) == ((4, 16), (4, 8))
    np.testing.assert_allclose(scan.kspace.imag, 0.5, rtol=1e-6)
    np.testing.assert_allclose(scan.echo_times, [5e-3, 10e-3])
    assert scan.line_steps.tolist() == [-2, -1, 0, 1]
    assert scan.nucleus == "23Na"
    assert any("working frequency" in line for line in scan.missing)


def test_noise_and_dummy_scans_are_left_out(tmp_path: Path) -> None:
    rows = acquisitions()
    rows["head"]["flags"][1::2] |= np.uint64(1 << 18)  # the second average is a noise measurement
    np.testing.assert_allclose(read_mrd(write(tmp_path / "a.h5", rows)).kspace.imag, 0.0, atol=1e-7)


def test_gradient_echoes_that_ran_backwards_are_turned_round(tmp_path: Path) -> None:
    """K-space holds the number of its point; a backward readout stores it from the other end."""
    rows = acquisitions(1)
    back = rows["head"]["idx"]["contrast"] == 1
    forward = np.arange(16) - 8.0
    for number in range(len(rows)):
        k = -forward if back[number] else forward  # backwards from k = 8 to k = -7
        rows["data"][number] = (k + 0j).astype(np.complex64).view(np.float32)
    rows["head"]["flags"][back] |= np.uint64(1 << 21)
    scan = read_mrd(write(tmp_path / "a.h5", rows))
    np.testing.assert_array_equal(scan.kspace[0, 0, 0, 0, 0].real, forward)
    np.testing.assert_array_equal(scan.kspace[0, 1, 0, 0, 0].real, [8, *forward[1:]])  # k = 8 is k = -8 of the grid
    assert any("turned round" in line for line in scan.methods)


def test_samples_to_discard_are_left_out(tmp_path: Path) -> None:
    rows = acquisitions(1)
    rows["head"]["discard_pre"], rows["head"]["discard_post"] = 2, 4
    whole, scan = read_mrd(write(tmp_path / "b.h5", acquisitions(1))), read_mrd(write(tmp_path / "a.h5", rows))
    np.testing.assert_array_equal(scan.kspace, whole.kspace[..., 2:12])
    assert scan.center_sample == whole.center_sample - 2


@pytest.mark.parametrize("counter", ["phase", "set"])
def test_phases_and_sets_are_not_averaged(tmp_path: Path, counter: str) -> None:
    rows = acquisitions(2)
    rows["head"]["idx"][counter] = rows["head"]["idx"]["average"]
    scan = read_mrd(write(tmp_path / "a.h5", rows))
    assert scan.kspace.shape[0] == 2
    np.testing.assert_allclose(scan.kspace[1].imag, 1.0)
    assert counter in scan.repetitions_differ


def test_smaller_voxels_of_the_image_are_filled_with_zeros(tmp_path: Path) -> None:
    xml = XML.replace("<x>8</x><y>4</y>", "<x>8</x><y>6</y>")
    scan = read_mrd(write(tmp_path / "a.h5", acquisitions(), xml))
    assert (scan.grid, scan.matrix) == ((6, 16), (6, 8))
    assert scan.slice_geometries[0].voxel_size == pytest.approx((1e-3, 8e-3 / 6, 2e-3))


def test_larger_voxels_of_the_image_leave_those_encoded(tmp_path: Path) -> None:
    xml = XML.replace("<x>8</x><y>4</y>", "<x>4</x><y>4</y>")
    scan = read_mrd(write(tmp_path / "a.h5", acquisitions(), xml))
    assert (scan.grid, scan.matrix) == ((4, 16), (4, 8))


def test_acquisitions_of_another_encoding_are_placed_by_it(tmp_path: Path) -> None:
    begin, end = XML.index("<encoding>"), XML.index("</encoding>") + len("</encoding>")
    other = XML[begin:end].replace("<y>8</y>", "<y>80</y>")
    rows = acquisitions()
    rows["head"]["encoding_space_ref"] = 1
    scan = read_mrd(write(tmp_path / "a.h5", rows, XML[:end] + other + XML[end:]))
    assert scan.slice_geometries[0].voxel_size[1] == pytest.approx(20e-3)


def test_a_file_of_several_measurements_names_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", acquisitions())
    with h5py.File(path, "a") as file:
        file.copy("dataset", "dataset_2")
    with pytest.raises(UnsupportedDataError, match="dataset, dataset_2"):
        read_mrd(path)


def _no_trajectory(rows: Any) -> str:
    return XML.replace("cartesian", "radial")


def _entities(rows: Any) -> str:
    return XML.replace('<?xml version="1.0"?>', '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>')


def _huge_grid(rows: Any) -> str:
    return XML.replace("<x>16</x>", "<x>999999999999</x>", 1)


def _fewer_lines(rows: Any) -> str:
    rows["head"]["idx"]["kspace_encode_step_1"][0] = 0
    rows["head"]["idx"]["contrast"][:2] = 1
    return XML


def _reversed(rows: Any) -> str:
    rows["head"]["flags"] |= np.uint64(1 << 21)
    return XML


def _both_ways(rows: Any) -> str:
    rows["head"]["flags"][::4] |= np.uint64(1 << 21)
    return XML


def _every_second_line(rows: Any) -> str:
    rows["head"]["idx"]["kspace_encode_step_1"] *= 2
    return XML.replace("<y>4</y>", "<y>8</y>").replace("<center>2</center>", "<center>4</center>")


def _other_encoding(rows: Any) -> str:
    rows["head"]["encoding_space_ref"] = 1
    return XML


def _two_encodings(rows: Any) -> str:
    rows["head"]["encoding_space_ref"][::2] = 1
    return XML


def _all_discarded(rows: Any) -> str:
    rows["head"]["discard_pre"] = 16
    return XML


def _several_slabs(rows: Any) -> str:
    rows["head"]["idx"]["slice"] = rows["head"]["idx"]["contrast"]
    rows["head"]["idx"]["kspace_encode_step_2"] = rows["head"]["idx"]["average"]
    rows["head"]["idx"]["contrast"] = 0
    rows["head"]["idx"]["slice"][:2] = 1
    return XML


def _partitions_of_2d(rows: Any) -> str:
    rows["head"]["idx"]["kspace_encode_step_2"] = rows["head"]["idx"]["average"]
    return XML


def _lying_samples(rows: Any) -> str:
    rows["head"]["number_of_samples"] = 65535
    return XML


def _lines_outside(rows: Any) -> str:
    rows["head"]["idx"]["kspace_encode_step_1"] += 60000
    return XML


def _not_finite(rows: Any) -> str:
    rows["data"][0][0] = np.nan
    return XML


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_no_trajectory, UnsupportedDataError), (_entities, DamagedDataError), (_huge_grid, DamagedDataError),
        (_fewer_lines, DamagedDataError), (_reversed, UnsupportedDataError), (_both_ways, UnsupportedDataError),
        (_every_second_line, UnsupportedDataError), (_other_encoding, DamagedDataError),
        (_two_encodings, UnsupportedDataError), (_all_discarded, DamagedDataError), (_several_slabs, KnightshiftError),
        (_partitions_of_2d, DamagedDataError), (_lying_samples, DamagedDataError),
        (_lines_outside, DamagedDataError), (_not_finite, DamagedDataError),
    ],
)  # fmt: skip
def test_what_would_become_a_wrong_image_is_refused(
    tmp_path: Path, change: Callable[[Any], str], error: type[KnightshiftError]
) -> None:
    rows = acquisitions()
    xml = change(rows)
    with pytest.raises(error):
        read_mrd(write(tmp_path / "a.h5", rows, xml))


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", acquisitions())
    with h5py.File(tmp_path / "b.h5", "w") as file:
        group = file.create_group("dataset")
        group["data"] = h5py.ExternalLink("a.h5", "dataset/data")
        group["xml"] = h5py.ExternalLink("a.h5", "dataset/xml")
    with pytest.raises(DamagedDataError, match="no data set of this file"):
        read_mrd(tmp_path / "b.h5")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_file_is_damage(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "a.h5", acquisitions(8))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DamagedDataError):
        read_mrd(path)


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


def test_file_written_by_the_ismrmrd_package_reads(tmp_path: Path) -> None:
    """Two receivers, two averages, and a noise measurement of another length that is no image data."""
    ismrmrd = pytest.importorskip("ismrmrd", reason="the extra 'mrd' is not installed")
    random = np.random.default_rng(4)
    kspace = (random.normal(size=(2, 4, 16)) + 1j * random.normal(size=(2, 4, 16))).astype(np.complex64)
    with ismrmrd.Dataset(tmp_path / "a.h5", mode="w") as file:
        file.write_xml_header(XML.replace("<TE>10</TE>", "").encode())
        noise = ismrmrd.Acquisition.from_array(np.ones((2, 32), np.complex64))
        noise.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        file.append_acquisition(noise)
        for average, line in np.ndindex(2, 4):
            one = ismrmrd.Acquisition.from_array(kspace[:, line] * (1 + average))
            one.idx.kspace_encode_step_1, one.idx.average, one.center_sample = line, average, 8
            one.read_dir[:], one.phase_dir[:], one.slice_dir[:] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
            file.append_acquisition(one)
    scan = read_mrd(tmp_path / "a.h5")
    assert scan.kspace.shape == (1, 1, 1, 2, 4, 16)
    np.testing.assert_allclose(scan.kspace[0, 0, 0], 1.5 * kspace, rtol=1e-6)
    np.testing.assert_allclose(scan.echo_times, 5e-3)


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
