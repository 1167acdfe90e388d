"""Agilent and Varian: order of the loops, slices by position, inversion times, arrayed spectra."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.readers.agilent import read_agilent
from knightshift.reconstruction.reconstruct import images_of_scan
from knightshift.reconstruction.relaxometry.recovery import fit_inversion_series, fit_relaxation, object_mask

from .conftest import AGILENT_IMAGE, Agilent

RawData = Callable[[str], Path]


def labelled(*shape: int) -> np.ndarray:
    """Samples that say which loop they belong to: one decimal digit an axis, the outermost first."""
    digits = np.indices(shape).astype(float)
    return sum(digit * 10.0 ** (len(shape) - 1 - axis) for axis, digit in enumerate(digits)) + 0j


def read_scan(folder: Path) -> KSpaceScan:
    scan = read_agilent(folder)
    assert isinstance(scan, KSpaceScan)
    return scan


def test_arrayed_inversion_times_lie_within_the_phase_encoding(tmp_path: Path) -> None:
    traces = labelled(8, 3, 2, 4)  # line, inversion time, slice, sample
    parameters = AGILENT_IMAGE | {"array": ["ti"], "ti": [0.01, 0.1, 1.0]}
    scan = read_scan(Agilent(traces.reshape(24, 2, 4), parameters).write(tmp_path))
    assert scan.kspace.shape == (1, 3, 2, 1, 8, 4)
    assert scan.inversion_times is not None
    np.testing.assert_allclose(scan.inversion_times, [0.01, 0.1, 1.0])
    np.testing.assert_allclose(scan.echo_times, 0.01)
    # pss is 0.1, -0.1: the second slice acquired is the lower one
    np.testing.assert_array_equal(scan.kspace[0, :, :, 0], traces.transpose(1, 2, 0, 3)[:, ::-1])
    assert scan.slice_geometries[0].origin[0] == pytest.approx(-1e-3)


def test_echoes_are_the_innermost_of_compressed_loops(tmp_path: Path) -> None:
    traces = labelled(8, 2, 3, 4)  # line, slice, echo, sample
    parameters = AGILENT_IMAGE | {"seqcon": ["ccsnn"], "seqfil": ["mems"], "ne": [3], "pss": [-0.1, 0.1]}
    scan = read_scan(Agilent(traces.reshape(8, 6, 4), parameters).write(tmp_path))
    np.testing.assert_array_equal(scan.kspace[0, :, :, 0], traces.transpose(2, 1, 0, 3))
    np.testing.assert_allclose(scan.echo_times, [0.01, 0.02, 0.03])


def test_compressed_phase_encoding_is_outside_the_slices(tmp_path: Path) -> None:
    traces = labelled(8, 2, 4)  # line, slice, sample
    parameters = AGILENT_IMAGE | {"seqcon": ["nccnn"], "seqfil": ["gems"], "pss": [-0.1, 0.1]}
    scan = read_scan(Agilent(traces.reshape(1, 16, 4), parameters).write(tmp_path))
    np.testing.assert_array_equal(scan.kspace[0, 0, :, 0], traces.transpose(1, 0, 2))


def test_image_has_the_field_of_view_of_procpar(tmp_path: Path) -> None:
    series = images_of_scan(read_scan(Agilent(labelled(8, 2, 16), AGILENT_IMAGE).write(tmp_path)))
    assert series.geometry.voxel_size == pytest.approx((2e-3, 2e-3, 2e-3))  # pss 2 mm apart, 16 mm / 8, 32 mm / 16
    assert series.nucleus == "23Na"
    assert series.working_frequency == pytest.approx(105.84e6)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"seqfil": ["epi"]}, "more than an FFT"),
        ({"etl": [8]}, "more than an FFT"),
        ({"seqcon": ["nccsn"]}, "no 2D image"),
        ({"rcvrs": ["yy"]}, "several"),
        ({"array": ["tr"]}, "array of tr"),
        ({"seqcon": ["nssnn"]}, "blocks of their own"),
    ],
)
def test_what_would_become_a_wrong_image_is_refused(
    tmp_path: Path, changed: dict[str, list[str | float]], match: str
) -> None:
    folder = Agilent(labelled(8, 2, 16), AGILENT_IMAGE | changed).write(tmp_path)
    with pytest.raises(UnsupportedDataError, match=match):
        read_agilent(folder)


@pytest.mark.parametrize("changed", [{"nv": [16]}, {"ns": [3]}, {"pss": [0.1]}, {"lro": [0.0]}, {"sw": [-1]}])
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


def test_arrayed_spectra_have_their_delays(tmp_path: Path) -> None:
    traces = labelled(4, 1, 16)
    parameters: dict[str, list[str | float]] = {
        "seqfil": ["s2pul"], "array": ["d2"], "d2": [0.1, 0.2, 0.4, 0.8], "sw": [5000],
        "sfrq": [105.84], "tn": ["Na23"],
    }  # fmt: skip
    series = read_agilent(Agilent(traces, parameters).write(tmp_path))
    assert isinstance(series, FidSeries)
    np.testing.assert_array_equal(series.values, traces[:, 0])
    assert series.delays is not None
    assert series.delays.tolist() == [0.1, 0.2, 0.4, 0.8]
    assert series.experiment == "inversion recovery"


def test_t1_of_the_fixed_specimen_agrees_with_the_published_value(raw_data: RawData) -> None:
    scan = read_scan(raw_data("agilent_sems") / "sems_20190407_07.fid")
    assert scan.kspace.shape == (1, 12, 2, 1, 128, 128)
    series = images_of_scan(scan)
    fit = fit_inversion_series(series)
    assert np.median(fit.time[fit.ok]) == pytest.approx(1.26, rel=0.03)
    magnitude = fit_relaxation(np.abs(series.images), fit.delays, "recovery", mask=object_mask(series.images))
    assert np.median(magnitude.time[magnitude.ok]) == pytest.approx(1.26, rel=0.03)


def test_scan_without_its_raw_file_says_so(raw_data: RawData) -> None:
    with pytest.raises(DamagedDataError, match="cannot be read"):
        read_agilent(raw_data("agilent_sems") / "mems_20190519_01.fid")


def test_proton_spectrum_reads(raw_data: RawData) -> None:
    series = read_agilent(raw_data("varian_proton") / "PROTON_01.fid")
    assert isinstance(series, FidSeries)
    assert series.values.shape == (1, 2048)
    assert series.nucleus == "1H"
