"""Exported arrays: the description decides, sizes are checked, MATLAB's two formats give the same numbers."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from knightshift.core.errors import ConfigError, DamagedDataError, InputError, KnightshiftError, ShapeError
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.readers.exported_arrays import is_array_description, read_exported
from knightshift.reconstruction.reconstruct import images_of_scan
from knightshift.reconstruction.relaxometry import T2Options, fit_t2_maps

RawData = Callable[[str], Path]
KSPACE = np.random.default_rng(5).normal(size=(6, 2, 8, 2))  # line, echo, sample, part


def describe(folder: Path, text: str, holds: str = "kspace") -> Path:
    path = folder / "description.yaml"
    path.write_text(f"format: knightshift array 1\nholds: {holds}\n{text}\n")
    return path


def write(folder: Path, kind: str) -> str:
    if kind == "npy":
        np.save(folder / "k.npy", KSPACE)
    elif kind == "mat 7.3":
        with h5py.File(folder / "k.mat", "w", userblock_size=512) as file:
            file.create_dataset("k", data=KSPACE.T, compression="gzip")
        content = (folder / "k.mat").read_bytes()
        (folder / "k.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + content[512:])
    else:
        savemat(folder / "k.mat", {"k": KSPACE}, do_compression=kind == "mat 5 compressed")
    return "k.npy" if kind == "npy" else "k.mat"


@pytest.mark.parametrize("kind", ["npy", "mat 5", "mat 5 compressed", "mat 7.3"])
def test_every_container_gives_the_same_kspace(tmp_path: Path, kind: str) -> None:
    text = f"file: {write(tmp_path, kind)}\naxes: [phase_encode, echo, readout, part]\necho_times: [2 ms, 4 ms]"
    path = describe(tmp_path, text)
    assert is_array_description(path)
    scan = read_exported(path)
    assert isinstance(scan, KSpaceScan)
    expected = (KSPACE[..., 0] + 1j * KSPACE[..., 1]).transpose(1, 0, 2)
    np.testing.assert_allclose(scan.kspace[0, :, 0, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(scan.echo_times, [2e-3, 4e-3])


def test_flat_array_takes_the_shape_that_is_described(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", KSPACE.ravel())
    text = "file: k.npy\naxes: [phase_encode, echo, readout, part]\nshape: [6, 2, 8, 2]"
    scan = read_exported(describe(tmp_path, text))
    assert isinstance(scan, KSpaceScan)
    assert scan.kspace.shape == (1, 2, 1, 1, 6, 8)
    assert any("echo times" in line for line in scan.missing)


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("file: k.npy\naxes: [phase_encode, echo, readout]", ShapeError, "does not have the axes"),
        ("file: k.npy\naxes: [phase_encode, part, readout, echo]", ShapeError, None),
        ("file: k.npy\naxes: [phase_encode, echo, readout, part]\nshape: [6, 2, 8, 3]", ShapeError, "numbers cannot"),
        ("file: k.npy\naxes: [phase_encode, echo, readout, part]\necho_times: [1 ms]", ShapeError, "1 echo_times"),
        ("file: k.npy\naxes: [phase_encode, echo, readout, part]\necho_times: [1, 2]", ConfigError, "needs a unit"),
        ("file: k.npy\naxes: [echo, readout]", ConfigError, "phase_encode"),
        ("file: k.npy\naxes: [phase_encode, readout, readout, part]", ConfigError, "once each"),
        ("file: none.npy\naxes: [phase_encode, readout]", DamagedDataError, "cannot be read"),
        ("file: k.npy\naxes: [phase_encode, readout]\nturn: 3", ConfigError, "unknown key"),
        ("file: k.npy\naxes: [phase_encode, readout]\nnucleus: 1X", ConfigError, "unknown nucleus '1X'"),
    ],
)  # fmt: skip
def test_descriptions_that_do_not_fit_are_refused(
    tmp_path: Path, text: str, error: type[KnightshiftError], match: str | None
) -> None:
    np.save(tmp_path / "k.npy", KSPACE)
    path = describe(tmp_path, text)
    if match is None:  # part and echo have both length 2: only the axes tell them apart
        assert read_exported(path).kspace.shape == (1, 2, 1, 1, 6, 8)  # type: ignore[union-attr]
        return
    with pytest.raises(error, match=match):
        read_exported(path)


def test_objects_in_npy_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DamagedDataError, match="npy header"):
        read_exported(describe(tmp_path, "file: k.npy\naxes: [phase_encode, readout]"))


def test_npy_that_claims_more_than_it_holds_is_damage(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    (tmp_path / "k.npy").write_bytes(header.getvalue() + bytes(800))
    with pytest.raises(DamagedDataError):
        read_exported(describe(tmp_path, "file: k.npy\naxes: [phase_encode, readout]"))


def test_mat_that_inflates_beyond_belief_is_damage(tmp_path: Path) -> None:
    savemat(tmp_path / "k.mat", {"k": np.zeros((4000, 4000))}, do_compression=True)
    assert (tmp_path / "k.mat").stat().st_size < 1_000_000
    with pytest.raises(DamagedDataError, match="not believable"):
        read_exported(describe(tmp_path, "file: k.mat\naxes: [phase_encode, readout]"))


def test_mat_with_a_broken_stream_is_damage(tmp_path: Path) -> None:
    savemat(tmp_path / "k.mat", {"k": KSPACE}, do_compression=True)
    content = bytearray((tmp_path / "k.mat").read_bytes())
    content[200:260] = zlib.compress(b"nothing")[:8].ljust(60)
    (tmp_path / "k.mat").write_bytes(bytes(content))
    with pytest.raises(DamagedDataError):
        read_exported(describe(tmp_path, "file: k.mat\naxes: [phase_encode, echo, readout, part]"))


def test_hdf5_links_out_of_the_file_are_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["k"] = KSPACE
    with h5py.File(tmp_path / "k.mat", "w") as file:
        file["k"] = h5py.ExternalLink("other.h5", "k")
    with pytest.raises(InputError, match="it holds nothing"):
        read_exported(describe(tmp_path, "file: k.mat\naxes: [phase_encode, echo, readout, part]"))


def test_several_variables_need_a_name(tmp_path: Path) -> None:
    savemat(tmp_path / "k.mat", {"a": KSPACE, "b": KSPACE})
    text = "file: k.mat\naxes: [phase_encode, echo, readout, part]"
    with pytest.raises(InputError, match="it holds a, b"):
        read_exported(describe(tmp_path, text))
    assert isinstance(read_exported(describe(tmp_path, f"{text}\nvariable: b")), KSpaceScan)


def test_fids_have_their_delays(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.ones((3, 16), complex))
    text = "file: f.npy\naxes: [step, sample]\ndelays: [1 ms, 2 ms, 4 ms]\ndwell_time: 10 us\nexperiment: T2"
    series = read_exported(describe(tmp_path, text, "fids"))
    assert isinstance(series, FidSeries)
    assert series.delays is not None
    assert series.delays.tolist() == [1e-3, 2e-3, 4e-3]


def test_t2_star_of_rat_cortex_is_30_to_40_ms(raw_data: RawData, tmp_path: Path) -> None:
    file = raw_data("bruker_mge_mat") / "Fid_rat_6week_mge.mat"
    text = (
        f"file: {file.resolve()}\naxes: [phase_encode, echo, readout, part]\nshape: [256, 15, 256, 2]\n"
        "echo_times: {first: 2.7 ms, spacing: 3.4 ms}\nnucleus: 1H"
    )
    scan = read_exported(describe(tmp_path, text))
    assert isinstance(scan, KSpaceScan)
    series = images_of_scan(scan)
    fit = fit_t2_maps(series.images, series.echo_times, T2Options(estimator="rician"), noise_std=series.noise_std)
    left, right = fit.t2[0, 90:130, 48:62], fit.t2[0, 90:130, 176:192]
    for cortex in (left, right):  # the fluid around has several times that, the thalamus 27 ms
        assert 30e-3 < np.nanmedian(cortex) < 40e-3


def test_exported_magnitudes_of_a_spinal_cord_read(raw_data: RawData, tmp_path: Path) -> None:
    file = raw_data("mese_cord") / "MET2data.mat"
    times = "echo_times: {first: 10 ms, spacing: 10 ms}"
    text = f"file: {file.resolve()}\naxes: [phase_encode, readout, slice, echo]\n{times}"
    series = read_exported(describe(tmp_path, text, "images"))
    assert isinstance(series, ImageSeries)
    assert series.images.shape == (32, 1, 64, 64)
    assert any("magnitudes" in line for line in series.missing)
