"""MRD files of others: what counters and flags mean, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError, KnightshiftError, UnsupportedDataError
from knightshift.reconstruction.readers.mrd import is_mrd, read_mrd

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


def test_stopped_scan_gives_the_repetitions_that_were_finished(tmp_path: Path) -> None:
    rows = acquisitions(3)
    rows["head"]["idx"]["repetition"] = rows["head"]["idx"]["average"]
    order = np.argsort(rows["head"]["idx"]["repetition"], kind="stable")
    scan = read_mrd(write(tmp_path / "a.h5", rows[order][:-3]))
    assert scan.kspace.shape[0] == 2
    np.testing.assert_allclose(scan.kspace[1].imag, 1.0)
    assert any("repetitions 3 to 3" in line for line in scan.missing)


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
