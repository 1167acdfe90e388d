"""`import knightshift as ks`: the names it has, and arrays that say what they are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import knightshift as ks
from knightshift.reconstruction.reconstruct import images_of_run

pytest.importorskip("xarray", reason="the extra 'xarray' is not installed")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, synthetic_run: Any, small_encoding: Any) -> Path:
    """Ten passes of a point at z = +46 um, y = -200 um with T2 = 8 ms, written without a scanner."""
    rng = np.random.default_rng(5)
    lines, samples = np.arange(8) - 4, np.arange(16) - 8
    point = np.exp(-2j * np.pi * (2 * lines[:, None] / 8 - 2 * samples / 8 / 2))
    passes = {}
    for index in range(10):
        noise = rng.normal(size=(8, 16)) + 1j * rng.normal(size=(8, 16))
        passes[index] = point * np.exp(-(4e-3, 8e-3)[index % 2] / 8e-3) + 0.01 * noise
    folder = tmp_path_factory.mktemp("api") / "run"
    synthetic_run(small_encoding, passes, flags={3: ("overrange",)}).write(folder)
    return folder


def test_exported_names_are_these_and_all_exist() -> None:
    assert ks.__all__ == [
        "KnightshiftError", "Recipe", "RunData", "ScanData", "T2Fit", "T2Options", "T2Status", "__version__",
        "centered_ifft", "centered_ifft_magnitude", "fit_t2", "open_run", "open_scan", "t2_interval",
    ]  # fmt: skip
    for name in ks.__all__:
        assert getattr(ks, name) is not None
        assert name in dir(ks)
    with pytest.raises(AttributeError, match="no attribute 'open_runs'"):
        ks.open_runs  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import knightshift, sys; print(sorted({'numpy', 'xarray', 'scipy', 'pydantic', 'dask'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_images_of_a_run_know_where_they_are(run_folder: Path) -> None:
    run = ks.open_run(run_folder)
    images = run.images
    assert images.dims == ("echo_time", "x", "z", "y")
    np.testing.assert_array_equal(images.values, images_of_run(run.run).images)
    np.testing.assert_allclose(images.echo_time, [4e-3, 8e-3])
    assert images.echo_time.attrs["units"] == "s"
    first = abs(images).isel(echo_time=0, x=0)
    place = first.isel(first.argmax(dim=("z", "y")))
    assert float(place.z) == pytest.approx(2 * 23e-6)
    assert float(place.y) == pytest.approx(-2 * 100e-6)
    assert place.z.attrs["units"] == "m"
    assert images.attrs["nucleus"] == "23Na"
    assert images.noise_std.dims == ("echo_time",)


def test_t2_map_is_in_seconds_and_tells_why_there_is_none(run_folder: Path) -> None:
    run = ks.open_run(run_folder)
    maps = run.t2_map()
    point = maps.sel(x=maps.x[0], z=46e-6, y=-200e-6, method="nearest")
    assert float(point.t2) == pytest.approx(8e-3, rel=0.05)
    assert abs(float(point.t2) - 8e-3) < 5 * float(point.t2_std)
    assert maps.t2.attrs["units"] == maps.t2_std.attrs["units"] == "s"
    meanings = dict(zip(maps.status.attrs["flag_values"], maps.status.attrs["flag_meanings"].split(), strict=True))
    assert meanings[int(point.status)] == "ok"
    assert np.isnan(maps.t2.where(maps.status != 0)).all()
    rician = run.t2_map(ks.T2Options(estimator="rician"))
    assert "Rician" in rician.attrs["methods"]


def test_masks_and_richer_decays_are_labelled_too(run_folder: Path, tmp_path: Path) -> None:
    run = ks.open_run(run_folder)
    mask = np.zeros(run.series.images.shape[1:], dtype=bool)
    point = np.unravel_index(np.argmax(np.abs(run.series.images[0])), mask.shape)
    mask[point] = True
    np.save(tmp_path / "mask.npy", mask)
    for given in (mask, tmp_path / "mask.npy"):
        assert int((run.t2_map(mask=given).status == 0).sum()) == 1
    times = np.array([2e-3, 4e-3, 8e-3, 13e-3, 20e-3, 30e-3])
    decay = 0.6 * np.exp(-times / 3e-3) + 0.4 * np.exp(-times / 16e-3)
    images = np.zeros((6, *mask.shape), dtype=np.complex64)
    images[(slice(None), *point)] = 1e4j * decay
    two = ks.open_run(run_folder)
    two.__dict__["series"] = replace(two.series, images=images, echo_times=times, noise_std=np.ones(6))
    found = two.richer_map("bi", mask=mask)
    assert found.verdict.values[point] == 0
    assert found.verdict.attrs["flag_meanings"].split()[0] == "preferred"
    assert found.t2.values[point] == pytest.approx(16e-3, rel=0.02)
    assert found.t2.dims == ("x", "z", "y")
    assert found.fast_share.values[point] == pytest.approx(0.6, abs=0.02)


def test_passes_are_a_table_and_single_ones_can_be_read(run_folder: Path) -> None:
    run = ks.open_run(run_folder)
    passes = run.passes
    assert passes.sizes == {"pass": 10}
    assert passes.flags.values.tolist() == ["", "", "", "overrange", *[""] * 6]
    assert np.all(np.diff(passes.started.values) == np.timedelta64(24, "s"))
    assert passes.frequency.attrs["units"] == "Hz"
    samples = run.read_pass(4)
    assert samples.dims == ("readout", "channel", "time")
    assert float(samples.time[8]) == 0.0  # the echo
    assert "10 of 10 passes" in repr(run)
    with pytest.raises(ks.KnightshiftError, match="no pass 99"):
        run.read_pass(99)


def test_recipes_are_taken_by_name_or_as_such(run_folder: Path) -> None:
    finer = ks.open_run(run_folder, ks.Recipe(zero_fill=2)).images
    assert finer.sizes["z"] == 16
    assert float(finer.z.diff("z")[0]) == pytest.approx(11.5e-6)
    assert ks.open_run(run_folder, "plain").images.sizes["z"] == 8


def test_kspace_of_a_run_is_the_sum_of_its_passes(run_folder: Path) -> None:
    scan = ks.open_scan(run_folder)
    assert scan.kspace.dims == ("repetition", "echo", "slice", "channel", "line", "sample")
    assert float(scan.kspace.time[8]) == 0.0
    np.testing.assert_allclose(scan.images.values, ks.open_run(run_folder).images.values, atol=1e-6)


def test_export_writes_what_the_command_writes(run_folder: Path, tmp_path: Path) -> None:
    written = ks.open_run(run_folder).export(tmp_path, "numpy")
    assert (tmp_path / "t2.npy") in written
    with pytest.raises(ks.KnightshiftError, match="bids, mrd"):
        ks.open_run(run_folder).export(tmp_path, "dicom")


def test_fids_of_a_console_carry_time_delay_and_shift(tmp_path: Path) -> None:
    fid = np.exp((2j * np.pi * 50 - 10) * np.arange(256) * 1e-3)
    np.save(tmp_path / "fids.npy", np.outer([1.0, 0.5], fid))
    (tmp_path / "fids.yaml").write_text(
        "format: knightshift array 1\nfile: fids.npy\nholds: fids\naxes: [step, sample]\ndwell_time: 1 ms\n"
        "delays: [10 ms, 20 ms]\nnucleus: 23Na\nworking_frequency: 105.84 MHz\nreference_frequency: 105.84 MHz\n"
    )
    scan = ks.open_scan(tmp_path / "fids.yaml")
    assert scan.fids.dims == ("step", "time")
    np.testing.assert_allclose(scan.fids.delay, [10e-3, 20e-3])
    assert float(scan.fids.time[1]) == 1e-3
    spectra = scan.spectra
    peak = abs(spectra).isel(step=0).argmax("frequency")
    assert float(spectra.frequency[peak]) == pytest.approx(50, abs=4)  # [Hz]
    assert float(spectra["shift"][peak]) == pytest.approx(50 / 105.84, abs=0.04)  # [ppm]
    for wrong in ("images", "kspace"):
        with pytest.raises(ks.KnightshiftError):
            getattr(scan, wrong)


@pytest.mark.parametrize("name", ["bruker_pv6_rare", "bruker_pv360/5"])
def test_scans_of_consoles_are_labelled_too(name: str, raw_data: Callable[[str], Path]) -> None:
    scan = ks.open_scan(raw_data(name))
    parts = scan.stacks
    assert sum(part.sizes[part.dims[1]] for part in parts) == scan.series.images.shape[1]
    for part in parts:
        assert part[part.dims[2]].attrs["units"] == "m"


def test_without_xarray_the_message_names_the_extra(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    run = ks.open_run(run_folder)
    with pytest.raises(ks.KnightshiftError, match=r"knightshift\[xarray\]"):
        _ = run.images
    assert run.series.images.shape == (2, 1, 8, 8)
    assert run.fit().t2.shape == (1, 8, 8)
