"""ParaVision layouts that the real scans do not show, and headers that lie, on small scans of our own making."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knightshift.core.errors import DamagedDataError, InputError, KnightshiftError, UnsupportedDataError
from knightshift.reconstruction.readers import RawKind, detect, read_raw
from knightshift.reconstruction.reconstruct import reconstruct


def random_kspace(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.integers(-10000, 10000, shape) + 1j * rng.integers(-10000, 10000, shape)


def by_numpy(kspace: np.ndarray) -> np.ndarray:
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=(-2, -1))), axes=(-2, -1))


@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
def test_multi_echo_scan_keeps_echoes_and_slices_apart(synthetic_scan: Any, tmp_path: Path, big_endian: bool) -> None:
    kspace = random_kspace(1, 6, 1, 8, 10)  # object = slice * 3 + echo
    order = [3, 4, 5, 0, 1, 2]
    scan = synthetic_scan(kspace, n_echoes=3, object_order=order, big_endian=big_endian).write(tmp_path / "scan")
    series = reconstruct(scan)
    assert series.images.shape == (3, 2, 8, 10)
    for echo in range(3):
        for index in range(2):
            expected = by_numpy(kspace[0, 3 * index + echo, 0])
            np.testing.assert_allclose(series.images[echo, index], expected, atol=1e-3)
    np.testing.assert_allclose(series.echo_times, [0.01, 0.02, 0.03])
    assert series.nucleus == "23Na"
    assert series.working_frequency == pytest.approx(105.84e6)
    assert series.geometry.voxel_size == pytest.approx((2e-3, 0.5e-3, 1e-3))


def test_rare_lines_are_sorted_by_their_steps(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 2, 1, 8, 6)
    steps = [-2, 0, 2, -4, -1, 1, 3, -3]
    scan = synthetic_scan(kspace, rare_factor=4, steps=steps, object_order=[1, 0]).write(tmp_path / "scan")
    sorted_lines = np.zeros_like(kspace)
    sorted_lines[..., np.array(steps) + 4, :] = kspace
    np.testing.assert_allclose(reconstruct(scan).images[0], by_numpy(sorted_lines[0, :, 0]), atol=1e-3)


def test_receivers_are_combined_and_repetitions_averaged(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(2, 1, 3, 8, 8)
    scan = synthetic_scan(kspace).write(tmp_path / "scan")
    expected = np.sqrt(np.sum(np.abs(by_numpy(kspace.mean(axis=0))) ** 2, axis=1))
    series = reconstruct(scan)
    np.testing.assert_allclose(np.abs(series.images[0]), expected, atol=1e-2)
    assert any("3 receivers" in sentence for sentence in series.methods)
    assert any("2 repetitions" in sentence for sentence in series.methods)


def test_point_object_off_centre_is_found_at_its_place(synthetic_scan: Any, tmp_path: Path) -> None:
    n_lines, n_samples, row, column = 12, 16, 9, 3
    k_phase, k_read = np.arange(n_lines) - n_lines // 2, np.arange(n_samples) - n_samples // 2
    turns = np.add.outer(k_phase * (row - n_lines // 2) / n_lines, k_read * (column - n_samples // 2) / n_samples)
    kspace = 10000 * np.exp(-2j * np.pi * turns)[np.newaxis, np.newaxis, np.newaxis]
    image = np.abs(reconstruct(synthetic_scan(kspace).write(tmp_path / "scan")).images[0, 0])
    assert np.unravel_index(image.argmax(), image.shape) == (row, column)
    assert image.max() == pytest.approx(10000, rel=1e-3)


def test_transposed_slices_are_shown_as_the_console_does(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 1, 1, 8, 6)
    plain = reconstruct(synthetic_scan(kspace).write(tmp_path / "plain"))
    swapped = reconstruct(synthetic_scan(kspace, reco={"RECO_transposition": "( 1 )\n1"}).write(tmp_path / "swapped"))
    np.testing.assert_array_equal(swapped.images[0, 0], plain.images[0, 0].T)
    here, there = plain.geometry.affine @ [0, 5, 2, 1], swapped.geometry.affine @ [0, 2, 5, 1]
    np.testing.assert_allclose(here, there)


@pytest.mark.parametrize("kept", [0, 1, 1000, -4], ids=["empty", "one byte", "1000 bytes", "last word gone"])
def test_truncated_raw_file_is_an_error_with_its_name(synthetic_scan: Any, tmp_path: Path, kept: int) -> None:
    scan = synthetic_scan(random_kspace(1, 2, 1, 8, 8)).write(tmp_path / "scan")
    content = (scan / "fid").read_bytes()
    (scan / "fid").write_bytes(content[:kept])
    with pytest.raises(DamagedDataError) as caught:
        reconstruct(scan)
    assert caught.value.path == scan / "fid"
    assert caught.value.field == "file size"


@pytest.mark.parametrize("name", ["acqp", "method", "fid"])
def test_missing_file_is_named(synthetic_scan: Any, tmp_path: Path, name: str) -> None:
    scan = synthetic_scan(random_kspace(1, 1, 1, 8, 8)).write(tmp_path / "scan")
    (scan / name).unlink()
    with pytest.raises((DamagedDataError, UnsupportedDataError), match=name):
        reconstruct(scan)


LIES = [
    ("acqp", "NR", "1000000"), ("acqp", "NI", "1000000000000"), ("acqp", "NI", "-1"), ("acqp", "NI", "nan"),
    ("acqp", "ACQ_size", "( 2 )\n1000000000000 8"), ("acqp", "ACQ_obj_order", "( 2 )\n0 0"),
    ("acqp", "ACQ_obj_order", "( 2 )\n0 5"), ("method", "PVM_EncMatrix", "( 2 )\n8 1000000000"),
    ("method", "PVM_EncSteps1", "( 8 )\n-4 -3 -2 -1 0 1 2 400"), ("method", "PVM_EncSteps1", "@100000000*(1)"),
    ("method", "PVM_EncNReceivers", "1000"), ("method", "PVM_Fov", "( 2 )\n0 0"),
    ("method", "PVM_SPackArrGradOrient", "( 1, 3, 3 )\n1 0 0 1 0 0 0 0 1"),
    ("method", "PVM_SPackArrNSlices", "( 1 )\n7"), ("reco", "RECO_ft_size", "( 2 )\n60000 60000"),
    ("reco", "RECO_size", "( 2 )\n0 8"), ("reco", "RECO_rotate", "( 2, 1 )\n0.5 0.5"),
    ("reco", "RECO_transposition", "( 1 )\n0"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "field", "value"), LIES, ids=lambda text: str(text)[:30])
def test_lying_header_is_an_error_and_takes_neither_time_nor_memory(
    synthetic_scan: Any, tmp_path: Path, file: str, field: str, value: str
) -> None:
    scan = synthetic_scan(random_kspace(1, 2, 1, 8, 8), **{file: {field: value}}).write(tmp_path / "scan")
    start = time.perf_counter()
    with pytest.raises(DamagedDataError):
        reconstruct(scan)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("file", "field", "value", "word"),
    [
        ("acqp", "PULPROG", "( 32 )\n<EPI.ppg>", "EPI"),
        ("method", "Method", "<User:myspiral>", "spiral"),
        ("acqp", "ACQ_dim", "4", "4-dimensional"),
        ("acqp", "ACQ_dim_desc", "( 1 )\nSpectroscopic", "spectroscopy"),
        ("method", "PVM_EncPpi", "( 2 )\n1 2", "parallel"),
        ("acqp", "NSLICES", "1", "objects"),
    ],
)
def test_what_an_fft_cannot_do_is_refused(
    synthetic_scan: Any, tmp_path: Path, file: str, field: str, value: str, word: str
) -> None:
    scan = synthetic_scan(random_kspace(1, 2, 1, 8, 8), **{file: {field: value}}).write(tmp_path / "scan")
    with pytest.raises(UnsupportedDataError, match=word):
        reconstruct(scan)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=2000)
@given(data=st.data())
def test_mutated_headers_give_an_image_or_a_typed_error(
    synthetic_scan: Any, tmp_path: Path, data: st.DataObject
) -> None:
    scan = tmp_path / "scan"
    if not scan.exists():
        synthetic_scan(random_kspace(1, 2, 1, 8, 8)).write(scan)
    name = data.draw(st.sampled_from(["acqp", "method", "pdata/1/reco"]))
    original = (scan / name).read_bytes()
    place = data.draw(st.integers(0, len(original) - 1))
    length = data.draw(st.integers(0, 12))
    mutation = data.draw(st.one_of(st.binary(max_size=8), st.sampled_from([b"9" * 9, b"-1", b"nan", b"@9999999*(1)"])))
    try:
        (scan / name).write_bytes(original[:place] + mutation + original[place + length :])
        images = reconstruct(scan).images
        assert images.size < 1e7
    except KnightshiftError:
        pass
    finally:
        (scan / name).write_bytes(original)


def test_detection_goes_by_content(synthetic_scan: Any, tmp_path: Path) -> None:
    scan = synthetic_scan(random_kspace(1, 1, 1, 8, 8)).write(tmp_path / "any name.txt")
    for path in (scan, scan / "fid", scan / "pdata" / "1"):
        assert detect(path) is RawKind.PARAVISION
        assert read_raw(path).kspace.shape == (1, 1, 1, 1, 8, 8)


def test_nothing_to_read_is_said_clearly(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="no such"):
        detect(tmp_path / "absent")
    with pytest.raises(InputError, match="empty"):
        detect(tmp_path / "empty")
    with pytest.raises(UnsupportedDataError, match=r"notes\.txt"):
        detect(tmp_path / "other")
    with pytest.raises(UnsupportedDataError, match="no raw data"):
        detect(tmp_path / "other" / "notes.txt")


def test_scan_without_pdata_is_reconstructed(synthetic_scan: Any, tmp_path: Path) -> None:
    kspace = random_kspace(1, 1, 1, 8, 8)
    scan = synthetic_scan(kspace, reco=None).write(tmp_path / "scan")
    series = reconstruct(scan)
    np.testing.assert_allclose(series.images[0, 0], by_numpy(kspace[0, 0, 0]), atol=1e-3)
    assert any("reco" in text for text in series.missing)
