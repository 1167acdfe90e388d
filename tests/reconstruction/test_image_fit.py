"""Fits of images with masks, maps of B1 and T1 and richer decays: alone, as items of a batch, and exported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest

from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.batch.item import process_item
from knightshift.reconstruction.batch.records import BatchOptions, BatchReport, ItemRecord
from knightshift.reconstruction.export.analysis import analyse_series
from knightshift.reconstruction.export.formats import ExportFormat, export
from knightshift.reconstruction.image_fit import T2Request, fit_images
from knightshift.reconstruction.images import ECHO_FORMATION, GRADIENT_ECHO
from knightshift.reconstruction.relaxometry import T2Options, T2Status
from knightshift.reconstruction.report.train_summary import train_summary

from .images_of_known_t2 import (
    MAGNITUDES,
    OBJECT,
    SHAPE,
    T1,
    T2,
    TRAIN,
    b1_map,
    corner,
    nifti_of,
    stored,
    t1_map,
    train_series,
    two_pools,
)


def test_b1_and_t1_of_every_voxel_give_back_its_t2(tmp_path: Path) -> None:
    """Without the maps the same echoes read 3 to 20 % off."""
    series = train_series(t1_map())
    b1 = nifti_of(b1_map(), series, tmp_path / "b1.nii.gz")
    np.save(tmp_path / "t1.npy", t1_map())
    found = fit_images(series, T2Request(b1=b1, t1=tmp_path / "t1.npy"))
    ok = found.fit.ok
    assert ok[OBJECT].all()
    np.testing.assert_allclose(np.median(found.fit.t2[ok]), T2, rtol=2e-3)
    pulls = (found.fit.t2[ok] - T2) / found.fit.t2_std[ok]
    assert 0.8 < np.std(pulls) < 1.2
    assert np.ptp(fit_images(series, T2Request(t1=T1)).fit.t2[ok]) > 0.05 * T2
    told = " ".join(found.told.methods)
    assert "B1 of the pulses was taken from a map (b1.nii.gz)" in told
    assert "T1 was taken from a map (t1.npy)" in told
    assert found.told.provenance["b1"] == str(b1)
    assert "B1 given: median 0.799" in found.fit.methods_sentence()


def test_fitted_b1_is_the_true_one_and_its_price_is_in_the_error() -> None:
    found = fit_images(train_series(), T2Request(b1="fit", t1=T1)).fit
    assert found.trains is not None
    assert found.trains.b1 is not None
    inside = found.ok[OBJECT]
    assert inside.mean() > 0.99
    assert np.median(np.abs(found.trains.b1 - b1_map())[OBJECT][inside]) < 0.02
    pulls = (found.t2[OBJECT] - T2)[inside] / found.t2_std[OBJECT][inside]
    assert 0.8 < np.std(pulls) < 1.25
    given = fit_images(train_series(), T2Request(b1=1.0, t1=T1)).fit
    assert np.median(found.t2_std[found.ok]) > 1.05 * np.median(given.t2_std[found.ok])


def test_b1_is_fitted_beside_a_map_of_t1_too(tmp_path: Path) -> None:
    """T1 of 0.14 to 0.15 s; the mask keeps a few voxels of each."""
    np.save(tmp_path / "t1.npy", t1_map())
    np.save(tmp_path / "mask.npy", corner())
    request = T2Request(b1="fit", t1=tmp_path / "t1.npy", mask=tmp_path / "mask.npy", fit=MAGNITUDES)
    found = fit_images(train_series(t1_map()), request).fit
    assert found.trains is not None
    assert found.trains.b1 is not None
    assert np.median(np.abs(found.trains.b1 - b1_map())[found.ok]) < 0.02
    assert np.median(found.t2[found.ok]) == pytest.approx(T2, rel=0.01)
    told = train_summary(found)
    assert told is not None
    assert (told.b1_source, told.t1_source, told.field) == ("fitted", "map", "uniform")
    assert told.b1[0] < told.b1[1] < told.b1[2] <= 1
    np.testing.assert_allclose(told.t1_s, np.quantile(t1_map()[found.ok], [0, 0.5, 1]))


@pytest.mark.parametrize("kind", ["npy", "h5", "nii", "number"])
def test_one_b1_everywhere_is_the_same_in_every_form(tmp_path: Path, kind: str) -> None:
    series, values = train_series(), np.full(SHAPE, 0.8)
    expected = fit_images(series, T2Request(b1=0.8, t1=T1)).fit
    if kind == "number":
        assert expected.options.train is not None
        assert expected.options.train.refocusing == pytest.approx(0.8 * np.pi)
        return
    path = tmp_path / f"b1.{kind}"
    if kind == "npy":
        np.save(path, values)
    elif kind == "nii":
        nifti_of(values, series, path)
    else:
        with h5py.File(path, "w") as file:
            file["b1"] = values
    found = fit_images(series, T2Request(b1=path, t1=T1)).fit
    np.testing.assert_array_equal(found.t2, expected.t2)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"b1": "percent"}, "B1 lies between 69.13 and 91.41 in 288 of the 288 voxels to be fitted"),
        ({"b1": "zero"}, "B1 is 0 in 48 of the 288 voxels"),
        ({"t1": "negative"}, "T1 is -1 in 288"),
        ({"b1": "turned"}, r"B1 map has shape \(12, 10, 6\), the images \(6, 10, 12\)"),
        ({"b1": "moved"}, "B1 map lies elsewhere than the images.*0.3 mm apart"),
        ({"t1": "absent"}, "there is no such T1 map"),
        ({"b1": "complex"}, "a B1 map is made of real numbers"),
    ],
)
def test_maps_that_cannot_be_are_refused_with_numbers(tmp_path: Path, request_: dict[str, str], words: str) -> None:
    series, path = train_series(), tmp_path / "map.npy"
    ((choice, what),) = request_.items()
    values = {
        "percent": 100 * b1_map(),
        "zero": np.where(np.arange(SHAPE[0])[:, None, None] == 2, 0, b1_map()),
        "negative": np.full(SHAPE, -1.0),
        "turned": b1_map().T,
        "complex": b1_map() * 1j,
    }
    if what == "moved":
        path = tmp_path / "map.nii"
        shifted = replace(series.geometry, origin=series.geometry.origin + np.array([3e-4, 0, 0]))
        nifti_of(b1_map(), replace(series, geometry=shifted), path)
    elif what != "absent":
        np.save(path, values[what])
    with pytest.raises((InputError, ShapeError), match=words):
        fit_images(series, T2Request(**{"t1": T1, choice: path}))


def test_voxels_without_a_b1_are_not_fitted(tmp_path: Path) -> None:
    values = b1_map()
    values[:, :, :5] = np.nan
    np.save(tmp_path / "b1.npy", values)
    fit = fit_images(train_series(), T2Request(b1=tmp_path / "b1.npy", t1=T1)).fit
    assert (fit.status[:, :, :5] == T2Status.MASKED).all()
    assert fit.ok[:, 2:8, 5:10].all()


@pytest.mark.parametrize(
    ("changes", "request_", "words"),
    [
        ({"train": None, "provenance": {"run_id": "r"}}, {"t1": T1}, "an excitation of their own each"),
        ({"train": None, "provenance": {ECHO_FORMATION: GRADIENT_ECHO}}, {"t1": T1}, "these are gradient echoes"),
        ({"echo_times": 1e-3 + TRAIN.echo_times, "train": None}, {"t1": T1}, "these are at 7, 13, 19"),
        ({}, {"b1": 0.9}, "give --t1 '120 ms'"),
        ({}, {"t1": T1, "fit": T2Options(estimator="gaussian", offset="free")}, "without an offset"),
        ({}, {"t1": T1, "model": "bi"}, "separate echoes"),
        ({"noise_std": np.full(10, np.nan)}, {"t1": T1, "b1": "fit", "fit": MAGNITUDES}, "the noise must be known"),
    ],
)
def test_what_has_no_meaning_for_these_images_is_refused(
    changes: dict[str, Any], request_: dict[str, Any], words: str
) -> None:
    series = replace(train_series(), **changes)
    if "noise_std" in changes:
        series = replace(series, images=series.images[:, :, 2:8, 2:10])
    with pytest.raises(InputError, match=words):
        fit_images(series, T2Request(**request_))


def test_nominal_angles_that_nobody_tells_are_assumed_and_said() -> None:
    found = fit_images(replace(train_series(), train=None), T2Request(b1="fit", t1=T1))
    assert "90 and 180 degrees were taken" in " ".join(found.told.methods)
    assert np.median(found.fit.t2[found.fit.ok]) == pytest.approx(T2, rel=0.01)


def do(source: Path, output: Path, options: BatchOptions, name: str = "scan") -> ItemRecord:
    return ItemRecord.model_validate_json(process_item(name, str(source), str(output), options.model_dump_json()))


def test_a_batch_takes_the_mask_of_each_scan_from_a_folder(tmp_path: Path) -> None:
    images = stored(two_pools(), tmp_path / "in")
    masks = tmp_path / "masks"
    (masks / "archive").mkdir(parents=True)
    np.save(masks / "archive/5.npy", corner())
    options = BatchOptions(fit=MAGNITUDES, mask=masks, model="bi")
    record = do(images, tmp_path / "out", options, "archive/5")
    assert (record.result, record.times[0].n_voxels, record.note) == ("T2 map", corner().sum(), None)
    assert (tmp_path / "out/archive/5/richer_verdict.nii.gz").is_file()
    assert not do(images, tmp_path / "out", options, "archive/5").repeated
    smaller = corner()
    smaller[1] = 0
    np.save(masks / "archive/5.npy", smaller)  # another mask is another treatment
    again = do(images, tmp_path / "out", options, "archive/5")
    assert (again.repeated, again.times[0].n_voxels) == (True, smaller.sum())
    other = do(images, tmp_path / "out", options, "archive/6")
    assert (other.status, other.result) == ("done", "images")
    assert "archive/6.nii.gz: there is no such mask" in (other.note or "")


def test_a_batch_takes_for_each_scan_what_it_has_a_use_for(tmp_path: Path) -> None:
    """B1 and T1 for the train, the richer decay for separate echoes, and neither for a single echo."""
    options = BatchOptions(fit=MAGNITUDES, model="bi", b1=0.9, t1=T1)
    separate = replace(two_pools(), provenance={"run_id": "a run of ours"})
    one = {name: getattr(separate, name)[:1] for name in ("images", "echo_times", "noise_std")}
    single = replace(separate, **one)
    made = {}
    for name, series in {"train": train_series(), "separate": separate, "single": single}.items():
        record = do(stored(series, tmp_path / name), tmp_path / "out", options, name)
        assert (record.status, record.note) == ("done", None)
        made[name] = record.result, (tmp_path / f"out/{name}/richer_t2.nii.gz").is_file()
    assert made == {"train": ("T2 map", False), "separate": ("T2 map", True), "single": ("images", False)}
    methods = json.loads((tmp_path / "out/train/images.json").read_text())["Methods"]
    assert "B1 of the pulses was taken as 0.9 of the nominal one." in methods


def test_a_status_map_of_ours_is_no_mask_the_wrong_way_round(tmp_path: Path) -> None:
    """Zero is a voxel with a T2 there, and outside in every other mask."""
    export(stored(two_pools(), tmp_path / "in"), (ExportFormat.NIFTI,), tmp_path / "out")
    first = fit_images(two_pools(), T2Request()).fit.ok
    again = fit_images(two_pools(), T2Request(mask=tmp_path / "out/t2_status.nii.gz")).fit.ok
    np.testing.assert_array_equal(again, first)


def test_gradient_echoes_are_called_t2_star_in_every_export(tmp_path: Path) -> None:
    """File names and keys stay; headings, descriptions and tables say what it is."""
    series = replace(two_pools(), provenance={ECHO_FORMATION: GRADIENT_ECHO})
    request = T2Request(fit=MAGNITUDES, model="bi")
    source = stored(series, tmp_path / "in")
    formats = (ExportFormat.NIFTI, ExportFormat.CSV, ExportFormat.NUMPY, ExportFormat.BIDS)
    export(source, formats, tmp_path / "out", request=request)
    texts = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".json", ".csv")]
    assert len(texts) > 20
    for path in texts:
        words = path.read_text()
        assert "T2" not in words.replace("T2*", "").replace("T2star", ""), path
    header: Any = nib.load(tmp_path / "out/nifti/t2_map.nii.gz").header
    assert header["descrip"].item().decode() == "t2_map (T2*), units: s"
    assert json.loads((tmp_path / "out/nifti/t2_std.json").read_text())["Quantity"] == "T2*"
    assert "T2* median (ms)" in (tmp_path / "out/csv/regions.csv").read_text().splitlines()[0]
    record = do(source, tmp_path / "batch", BatchOptions(fit=MAGNITUDES))
    assert record.result == "T2* map"
    BatchReport(items=(record,)).write(tmp_path)
    assert "T2* map" in (tmp_path / "batch.csv").read_text()


def test_spin_echoes_keep_their_name(tmp_path: Path) -> None:
    analysis = analyse_series(two_pools(), Path("x"), T2Request(fit=MAGNITUDES))
    assert analysis.fit is not None
    export(
        stored(two_pools(), tmp_path / "in"), (ExportFormat.CSV,), tmp_path / "out", request=T2Request(fit=MAGNITUDES)
    )
    assert "T2*" not in (tmp_path / "out/voxels.csv").read_text()
