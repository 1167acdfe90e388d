"""Items of a batch, one by one and without a cluster: found, done once, and told clearly when broken."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knightshift.core.errors import HardwareError, InputError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.batch.cluster import open_cluster
from knightshift.reconstruction.batch.content_digest import content_digest
from knightshift.reconstruction.batch.discovery import find_items
from knightshift.reconstruction.batch.found_times import time_of_voxels
from knightshift.reconstruction.batch.item import check_place, process_item
from knightshift.reconstruction.batch.records import BatchOptions, BatchReport, ItemError, ItemRecord
from knightshift.reconstruction.batch.spectra import fit_with
from knightshift.reconstruction.export import load_images, save_images
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.pseudo_2d import Pseudo2DOptions
from knightshift.reconstruction.readers import read_raw
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import reconstruct
from knightshift.reconstruction.relaxometry import T2Options

WriteRun = Callable[[Path, int], Path]
Break = dict[str, Callable[[Path], None]]
PLAIN = BatchOptions().model_dump_json()


def do(source: Path, output: Path, options: str = PLAIN) -> ItemRecord:
    return ItemRecord.model_validate_json(process_item("item", str(source), str(output), options))


def test_scans_are_found_wherever_they_lie_and_nothing_else(
    tmp_path: Path, write_run: WriteRun, write_broken_scan: Callable[[Path, str], Path]
) -> None:
    archive = tmp_path / "archive"
    write_run(archive / "2026" / "night1", 1)
    write_run(archive / "2026" / "night2", 2)
    write_broken_scan(archive / "mouse.Ab1" / "5", "no method")
    write_run(archive / ".night3.part", 3)  # being created
    (archive / "2026" / "link").symlink_to(archive / "2026" / "night1")
    (archive / "notes.txt").write_text("")
    (archive / "paper").mkdir()
    write_run(archive / "results" / "night9", 9)
    items = find_items((archive,), archive / "results")
    assert [item.name for item in items] == ["archive/2026/night1", "archive/2026/night2", "archive/mouse.Ab1/5"]
    (one,) = find_items((archive / "2026" / "night1",), tmp_path / "out")
    assert one.name == "night1"


def test_names_that_clash_and_archives_without_a_scan_are_refused(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(tmp_path / "a" / "night", 1)
    write_run(tmp_path / "b" / "night", 2)
    with pytest.raises(InputError, match="both called night"):
        find_items((tmp_path / "a" / "night", tmp_path / "b" / "night"), tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no scan was found"):
        find_items((tmp_path / "empty",), tmp_path / "out")
    with pytest.raises(InputError, match="no such"):
        find_items((tmp_path / "none",), tmp_path / "out")


def test_a_run_is_fitted_once_and_again_when_content_or_options_change(tmp_path: Path, write_run: WriteRun) -> None:
    run, out = write_run(tmp_path / "run", 1), tmp_path / "out"
    first = do(run, out)
    assert (first.status, first.result, first.repeated) == ("done", "T2 map", True)
    assert first.times[0].value == pytest.approx(8e-3, rel=0.2)
    made = (out / "item" / "t2_map.nii.gz").stat().st_mtime_ns
    second = do(run, out)
    assert not second.repeated
    assert second.times == first.times
    assert (out / "item" / "t2_map.nii.gz").stat().st_mtime_ns == made
    gaussian = BatchOptions(fit=T2Options(estimator="gaussian", threads=1)).model_dump_json()
    assert do(run, out, gaussian).repeated
    with (run / "journal.jsonl").open("ab") as journal:
        journal.write(b"{")  # an event that is being written: it is no error, but the content is another
    assert do(run, out, gaussian).repeated
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("what", [
    "altered pass", "short pass", "missing pass", "altered manifest", "no manifest", "manifest of no run", "no journal",
    "altered journal",
])  # fmt: skip
def test_a_broken_run_is_one_clear_error_and_is_not_tried_again(
    tmp_path: Path, write_run: WriteRun, break_run: Break, what: str
) -> None:
    run, out = write_run(tmp_path / "run", 1), tmp_path / "out"
    break_run[what](run)
    (found,) = find_items((run,), out)
    record = do(found.source, out)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.kind in ("DamagedDataError", "ConfigError", "InputError", "UnsupportedDataError")
    assert str(run) in record.error.message
    assert not do(run, out).repeated
    assert [path.name for path in (out / "item").iterdir()] == ["item.json"]


def test_results_never_replace_what_no_batch_has_made(tmp_path: Path, write_run: WriteRun) -> None:
    run = write_run(tmp_path / "archive" / "run", 1)
    with pytest.raises(InputError, match="in the way"):
        check_place(run)
    with pytest.raises(InputError, match="in the way"):
        process_item("archive/run", str(run), str(tmp_path), PLAIN)
    assert (run / "passes" / "p000003.h5").is_file()


def test_the_digest_is_of_all_bytes_and_names_but_not_of_the_lock(tmp_path: Path, write_run: WriteRun) -> None:
    run = write_run(tmp_path / "run", 1)
    before = content_digest(run)
    (run / "run.lock").write_text("someone")
    (run / "derived").mkdir()
    (run / "derived" / "preview.png").write_bytes(b"1")
    assert content_digest(run) == before
    path = run / "passes" / "p000000.h5"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert content_digest(run) != before
    path.write_bytes(content)
    path.rename(run / "passes" / "q000000.h5")
    assert content_digest(run) != before


@pytest.mark.parametrize("address", ["tcp://cluster.example:8786", "tcp://10.0.0.1:8786", "cluster", "http://a:1"])
def test_a_scheduler_in_the_clear_over_a_network_is_refused(address: str) -> None:
    pytest.importorskip("distributed", reason="the extra 'batch' is not installed")
    with pytest.raises(InputError, match="tls://"), open_cluster(address, 1):
        pass


def test_without_dask_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(InputError, match=r"knightshift\[batch\]"), open_cluster(None, 1):
        pass


def test_numbers_of_the_record_are_those_of_the_map(tmp_path: Path, write_run: WriteRun) -> None:
    import nibabel as nib

    record = do(write_run(tmp_path / "run", 2), tmp_path / "out")
    t2 = np.asarray(nib.load(tmp_path / "out" / "item" / "t2_map.nii.gz").dataobj)
    (time,) = record.times
    assert (time.quantity, time.n_voxels) == ("T2", int(np.isfinite(t2).sum()))
    assert time.value == pytest.approx(float(np.nanmedian(t2)), rel=1e-6)
    assert time.quartiles == pytest.approx(np.nanquantile(t2, (0.25, 0.75)), rel=1e-6)


def test_the_error_of_a_median_is_how_much_medians_scatter() -> None:
    random = np.random.default_rng(5)
    found = [time_of_voxels("T2", random.normal(10e-3, 1e-3, 400))[0] for _ in range(1000)]
    scatter = np.std([one.value for one in found])
    assert np.mean([one.std for one in found]) == pytest.approx(scatter, rel=0.08)


def test_the_table_tells_quantity_value_error_and_unit_of_maps_and_of_every_peak(tmp_path: Path) -> None:
    given = BatchOptions(spectra=RECOVERY.model_copy(update={"delays": DELAYS})).model_dump_json()
    (tmp_path / "inversion").mkdir()
    items = (
        do(fids(tmp_path), tmp_path / "out", given),
        do(inversion_images(tmp_path / "inversion"), tmp_path / "out2"),
        ItemRecord(name="broken", source="x", status="failed", error=ItemError(kind="InputError", message="no")),
    )
    BatchReport(items=items).write(tmp_path)
    peak, t1, broken = csv.DictReader((tmp_path / "batch.csv").read_text().splitlines())
    assert (peak["quantity"], peak["unit"], peak["voxels"]) == ("T1", "ms", "")
    assert float(peak["value"]) == pytest.approx(800, rel=1e-3)
    assert "Hz" in peak["of"]
    assert (t1["result"], t1["quantity"], t1["of"], t1["unit"]) == ("T1 map", "T1", "median of voxels", "ms")
    assert float(t1["value"]) == pytest.approx(800, abs=4 * float(t1["std"]) + 4)
    assert float(t1["lower quartile"]) < float(t1["value"]) < float(t1["upper quartile"])
    assert int(t1["voxels"]) == 64
    assert [broken[name] for name in ("quantity", "value", "unit", "error", "message")] == [
        "",
        "",
        "",
        "InputError",
        "no",
    ]


def inversion_images(folder: Path) -> Path:
    """Images of a square that recovers from inversion with T1 = 0.8 s, as our own images file."""
    random, square = np.random.default_rng(2), np.zeros((1, 16, 16))
    square[0, 4:12, 4:12] = 100
    recovery = 1 - 1.9 * np.exp(-np.array(DELAYS) / 0.8)
    noise = random.normal(size=(2, len(DELAYS), 1, 16, 16))
    images = (recovery[:, None, None, None] * square + noise[0] + 1j * noise[1]).astype(np.complex64)
    geometry, times = ImageGeometry((1e-3,) * 3, np.eye(3), np.zeros(3)), np.array(DELAYS)
    save_images(
        ImageSeries(images, np.full(len(DELAYS), 10e-3), geometry, np.ones(len(DELAYS)), inversion_times=times), folder
    )
    return folder


def fids(folder: Path, *, delays: bool = False, steps: int = 7) -> Path:
    """FIDs of one line that recovers from inversion with T1 = 0.8 s; their description may hold the delays."""
    fid = np.exp((2j * np.pi * 50 - 10) * np.arange(256) * 1e-3)
    np.save(folder / "fids.npy", 1e3 * np.outer(1 - 1.9 * np.exp(-np.array(DELAYS[:steps]) / 0.8), fid))
    path = folder / "fids.yaml"
    path.write_text(
        "format: knightshift array 1\nfile: fids.npy\nholds: fids\naxes: [step, sample]\ndwell_time: 1 ms\n"
        + (f"delays: [{', '.join(f'{delay} s' for delay in DELAYS)}]\n" if delays else "")
    )
    return path


DELAYS = (0.01, 0.1, 0.3, 0.7, 1.5, 3.0, 6.0)
RECOVERY = Pseudo2DOptions(experiment="inversion recovery", loop_time=1.0)


def test_a_single_fid_is_drawn_and_needs_no_reason(tmp_path: Path) -> None:
    record = do(fids(tmp_path, steps=1), tmp_path / "out")
    assert (record.status, record.result, record.note) == ("done", "spectra", None)
    assert (tmp_path / "out/item/spectra.csv").stat().st_size > 1000


def test_spectra_without_delays_are_drawn_with_one_reason_and_fitted_once_they_are_given(tmp_path: Path) -> None:
    path = fids(tmp_path)
    record = do(path, tmp_path / "out", BatchOptions(spectra=RECOVERY).model_dump_json())
    assert (record.status, record.result) == ("done", "spectra")
    assert "no list of delays for their 7 steps" in (record.note or "")
    assert "--delays" in (record.note or "")
    assert {"spectra.csv", "item.json"} < {one.name for one in (tmp_path / "out/item").iterdir()}
    given = BatchOptions(spectra=RECOVERY.model_copy(update={"delays": DELAYS})).model_dump_json()
    record = do(path, tmp_path / "out", given)
    assert (record.result, record.note) == ("relaxation of spectra", None)
    fit = json.loads((tmp_path / "out/item/fit.json").read_text())
    assert fit["peaks"][0]["time_s"] == pytest.approx(0.8, rel=1e-3)


def test_what_a_scan_says_itself_holds_against_the_options_of_the_batch(tmp_path: Path) -> None:
    wrong = RECOVERY.model_copy(update={"delays": (1.0, 2.0, 3.0)})
    series = read_raw(fids(tmp_path, delays=True))
    assert isinstance(series, FidSeries)
    result = fit_with(series, BatchOptions(spectra=wrong, echo_train=(7, 1e-3)))
    assert float(result.peaks[0].fit.time) == pytest.approx(0.8, rel=1e-3)


def test_images_that_cannot_be_fitted_are_kept_and_the_reason_is_told(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    decay = 50 * np.exp(-np.arange(1, 6) * 5e-3 / 12e-3)
    np.save(tmp_path / "images.npy", np.abs(decay[:, None, None] + random.normal(size=(5, 12, 10))))
    path = tmp_path / "images.yaml"
    path.write_text(
        "format: knightshift array 1\nfile: images.npy\nholds: images\naxes: [echo, phase_encode, readout]\n"
        "echo_times: {first: 5 ms, spacing: 5 ms}\n"
    )
    record = do(path, tmp_path / "out")
    assert (record.status, record.result, record.times) == ("done", "images", ())
    assert "--estimator rician" in (record.note or "")
    assert (tmp_path / "out/item/images.nii.gz").is_file()
    options = BatchOptions(fit=T2Options(estimator="rician", threads=1), noise=1.0).model_dump_json()
    record = do(path, tmp_path / "out", options)
    assert (record.result, record.note) == ("T2 map", None)
    assert record.times[0].value == pytest.approx(12e-3, rel=0.05)


@pytest.mark.parametrize("holds", ["images", "kspace"])
def test_delays_are_the_echo_times_of_images_that_do_not_say_theirs(tmp_path: Path, holds: str) -> None:
    random = np.random.default_rng(4)
    decay, square = 50 * np.exp(-np.arange(1, 6) * 5e-3 / 12e-3), np.zeros((16, 12))
    square[4:12, 3:9] = 1
    images = decay[:, None, None] * square + random.normal(size=(5, 16, 12)) + 1j * random.normal(size=(5, 16, 12))
    values = images if holds == "images" else np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images)), axes=(1, 2))
    np.save(tmp_path / "mine.npy", values)
    (tmp_path / "mine.yaml").write_text(
        f"format: knightshift array 1\nfile: mine.npy\nholds: {holds}\naxes: [echo, phase_encode, readout]\n"
    )
    record = do(tmp_path / "mine.yaml", tmp_path / "out")
    assert record.result == "images"
    assert "--delays" in (record.note or "")
    for delays, found in (((1.0, 2.0), ()), (tuple(5e-3 * np.arange(1, 6)), ("T2",))):
        options = BatchOptions(spectra=Pseudo2DOptions(delays=delays)).model_dump_json()
        record = do(tmp_path / "mine.yaml", tmp_path / "out", options)
        assert tuple(time.quantity for time in record.times) == found
    np.testing.assert_allclose(load_images(tmp_path / "out/item").echo_times, 5e-3 * np.arange(1, 6))


def test_images_of_other_programs_are_denoised_in_a_batch_as_alone(tmp_path: Path) -> None:
    square = np.zeros((64, 64))
    square[24:40, 24:40] = 20
    noise = np.random.default_rng(5).normal(size=(2, 5, 64, 64))
    images = np.hypot(square * np.exp(-np.arange(1, 6) / 3)[:, None, None] + noise[0], noise[1])
    np.save(tmp_path / "mine.npy", images)
    (tmp_path / "mine.yaml").write_text(
        "format: knightshift array 1\nfile: mine.npy\nholds: images\naxes: [echo, phase_encode, readout]\n"
        "echo_times: {first: 5 ms, spacing: 5 ms}\n"
    )
    recipe = Recipe(denoise=True)
    do(tmp_path / "mine.yaml", tmp_path / "out", BatchOptions(recipe=recipe).model_dump_json())
    alone = reconstruct(tmp_path / "mine.yaml", recipe)
    found = load_images(tmp_path / "out/item")
    assert np.abs(alone.images[:, 0] - images).max() > 0.1
    np.testing.assert_array_equal(found.images, alone.images)
    assert found.methods == alone.methods


def test_nobody_at_the_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra 'batch' is not installed")

    def nobody(*_: object, **__: object) -> None:
        raise OSError("timed out")

    monkeypatch.setattr(distributed, "Client", nobody)
    with pytest.raises(HardwareError, match="no scheduler answers"), open_cluster("tcp://127.0.0.1:9", 1):
        pass
