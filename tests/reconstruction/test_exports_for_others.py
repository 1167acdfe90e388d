"""Exports open in other programs, with the right numbers in the right units at the right places."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from knightshift.core.errors import InputError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.export.analysis import AcquisitionFacts, Analysis, analyse_series
from knightshift.reconstruction.export.bids import BidsLabels, write_bids
from knightshift.reconstruction.export.formats import write_volumes
from knightshift.reconstruction.export.nifti import nifti_affine
from knightshift.reconstruction.export.numpy_arrays import write_numpy
from knightshift.reconstruction.export.regions_table import write_region_tables
from knightshift.reconstruction.image_fit import T2Request
from knightshift.reconstruction.images import ECHO_FORMATION, GRADIENT_ECHO, ImageSeries, SliceStack
from knightshift.reconstruction.relaxometry import T2Options

ECHO_TIMES = np.array([4e-3, 8e-3, 13e-3, 20e-3, 30e-3])
ELECTRODES, DENDRITE = (slice(4, 8), slice(3, 29)), (slice(14, 16), slice(20, 24))
T2 = {"electrode": 8e-3, "dendrite": 16e-3}


def geometry() -> ImageGeometry:
    """Of a projection along x onto (z, y), oblique by 0.3 rad, off the isocentre."""
    cos, sin = np.cos(0.3), np.sin(0.3)
    directions = np.array([[1.0, 0, 0], [0, -sin, cos], [0, cos, sin]])
    return ImageGeometry((2e-3, 23e-6, 100e-6), directions, np.array([1e-3, -2e-3, 3e-3]))


def cell(n_slices: int = 1) -> ImageSeries:
    """Two bodies of known T2; the faint one must not count as bulk."""
    rng = np.random.default_rng(8)
    decays = {name: np.exp(-ECHO_TIMES / t2) for name, t2 in T2.items()}
    images = np.zeros((5, n_slices, 24, 32), complex)
    images[:, :, *ELECTRODES] = decays["electrode"][:, None, None, None]
    images[:, :, *DENDRITE] = 0.5 * decays["dendrite"][:, None, None, None]
    images += 0.01 * (rng.normal(size=images.shape) + 1j * rng.normal(size=images.shape))
    return ImageSeries(
        images=images.astype(np.complex64), echo_times=ECHO_TIMES, geometry=geometry(), noise_std=np.full(5, 0.01),
        nucleus="23Na", working_frequency=105.96e6, methods=("Made up.",), provenance={"frame": "laboratory"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    facts = AcquisitionFacts(0.12, 9.4, "a device", "overnight_t2", "spin_echo_series", np.pi / 2, 8e-6)
    return replace(analyse_series(cell(), Path("cell")), acquisition=facts)


def test_mese_side_cars_are_in_the_units_of_bids(analysis: Analysis, tmp_path: Path) -> None:
    written = write_bids(analysis, tmp_path, BidsLabels("01", "night2"))
    echoes = [path for path in written if path.name.endswith("MESE.nii.gz")]
    assert [path.name for path in echoes] == [f"sub-01_ses-night2_echo-{n}_MESE.nii.gz" for n in range(1, 6)]
    for echo, path in enumerate(echoes):
        assert path.parent == tmp_path / "sub-01" / "ses-night2" / "anat"
        image = nib.load(path)
        np.testing.assert_allclose(np.asarray(image.dataobj), np.abs(analysis.series.images[echo]).T, rtol=1e-6)
        np.testing.assert_allclose(image.affine, nifti_affine(analysis.series.geometry), atol=1e-5)
        fields = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        assert fields["EchoTime"] == pytest.approx(ECHO_TIMES[echo])  # [s]
        assert fields["ImagingFrequency"] == pytest.approx(105.96)  # [MHz]
        assert fields["FlipAngle"] == pytest.approx(90)  # [degree]
        assert fields["RepetitionTimeExcitation"] == 0.12  # [s]
        assert fields["MagneticFieldStrength"] == 9.4  # [T]
        assert fields["ResonantNucleus"] == "23Na"


def test_t2map_of_bids_is_in_seconds(analysis: Analysis, tmp_path: Path) -> None:
    write_bids(analysis, tmp_path, BidsLabels())
    place = tmp_path / "derivatives" / "knightshift" / "sub-01" / "anat"
    t2 = np.asarray(nib.load(place / "sub-01_T2map.nii.gz").dataobj).T[0]
    assert np.nanmedian(t2[ELECTRODES]) == pytest.approx(T2["electrode"], rel=0.01)
    assert np.nanmedian(t2[DENDRITE]) == pytest.approx(T2["dendrite"], rel=0.03)
    fields = json.loads((place / "sub-01_T2map.json").read_text())
    assert fields["Units"] == "s"
    assert fields["Sources"][0] == "bids:raw:sub-01/anat/sub-01_echo-1_MESE.nii.gz"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "Golub and Pereyra[^;]*"),
        ({"estimator": "rician"}, "Sijbers[^;]*"),
        ({"estimator": "gaussian", "offset": "noise"}, "Golub and Pereyra[^;]*; .*anie.202013066"),
        ({"estimator": "gaussian", "offset": "noise-quadrature"}, None),
        (
            {"train": {"echo_spacing": 5e-3, "n_echoes": 5, "t1": 0.1, "refocusing": 2.6}},
            "Golub and Pereyra[^;]*; Weigel[^;]*",
        ),
    ],
    ids=str,
)
def test_the_t2map_of_bids_cites_what_its_estimator_is_based_on(
    options: dict[str, object], named: str | None, tmp_path: Path
) -> None:
    request = T2Request(fit=T2Options.model_validate(options))
    series = replace(cell(), echo_times=5e-3 * np.arange(1, 6))
    write_bids(analyse_series(series, Path("cell"), request), tmp_path, BidsLabels())
    path = tmp_path / "derivatives" / "knightshift" / "sub-01" / "anat" / "sub-01_T2map.json"
    cited = json.loads(path.read_text()).get("EstimationReference")
    assert cited is None if named is None else re.fullmatch(named, cited), cited


def _of_gradient_echoes(analysis: Analysis) -> Analysis:
    provenance = {**analysis.series.provenance, ECHO_FORMATION: GRADIENT_ECHO}
    return replace(analysis, series=replace(analysis.series, provenance=provenance))


def test_gradient_echoes_are_megre_and_their_map_is_of_t2_star(analysis: Analysis, tmp_path: Path) -> None:
    written = write_bids(_of_gradient_echoes(analysis), tmp_path, BidsLabels())
    names = [path.name for path in written]
    assert [name for name in names if "echo-" in name] == [f"sub-01_echo-{n}_MEGRE.nii.gz" for n in range(1, 6)]
    assert {"sub-01_T2starmap.nii.gz", "sub-01_desc-std_T2starmap.nii.gz"} <= set(names)
    assert not [name for name in names if "T2map" in name]


def _validator() -> str | None:
    return shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent)) or shutil.which("bids-validator")


@pytest.mark.skipif(_validator() is None, reason="the BIDS validator is not installed")
@pytest.mark.parametrize("session", [None, "night1"])
def test_the_bids_validator_finds_no_error(analysis: Analysis, tmp_path: Path, session: str | None) -> None:
    write_bids(analysis, tmp_path, BidsLabels("cell1", session))
    write_bids(_of_gradient_echoes(analysis), tmp_path, BidsLabels("cell2", session))
    for root in (tmp_path, tmp_path / "derivatives" / "knightshift"):
        command = [str(_validator()), str(root), "--json", "--ignoreWarnings"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        found = json.loads(result.stdout)
        assert found["issues"]["issues"] == []
        assert sorted(found["summary"]["subjects"]) == ["cell1", "cell2"]


def test_bids_names_stacks_and_refuses_what_is_no_mese(analysis: Analysis, tmp_path: Path) -> None:
    parts = tuple(SliceStack((i,), replace(geometry(), origin=np.array([i * 1e-3, 0, 0]))) for i in range(2))
    stacks = analyse_series(replace(cell(2), stacks=parts), Path("cell"))
    names = [path.name for path in write_bids(stacks, tmp_path, BidsLabels("7"))]
    assert {"sub-7_acq-stack2_echo-3_MESE.nii.gz", "sub-7_acq-stack2_T2map.nii.gz"} <= set(names)
    for label in ("../x", "", "a b", "sub-1"):
        with pytest.raises(InputError, match="letters and digits"):
            BidsLabels(label)
    single = replace(cell(), images=cell().images[:1], echo_times=ECHO_TIMES[:1], noise_std=np.array([0.01]))
    with pytest.raises(InputError, match="two or more"):
        write_bids(analyse_series(single, Path("cell")), tmp_path, BidsLabels())


def test_masks_are_bytes_at_the_places_of_the_bodies_in_millimetres(analysis: Analysis, tmp_path: Path) -> None:
    write_volumes(analysis, tmp_path)
    for name, (rows, columns) in {"electrodes": ELECTRODES, "dendrites": DENDRITE}.items():
        mask = nib.load(tmp_path / f"mask_{name}.nii.gz")
        assert mask.get_data_dtype() == np.uint8
        assert int(mask.header["qform_code"]) == int(mask.header["sform_code"]) == 1
        assert mask.header.get_xyzt_units()[0] == "mm"
        np.testing.assert_allclose(mask.get_qform(), mask.get_sform(), atol=1e-4)  # a viewer may use either
        inside = np.argwhere(np.asarray(mask.dataobj))
        np.testing.assert_allclose(len(inside), (rows.stop - rows.start) * (columns.stop - columns.start), rtol=0.05)
        middle = [0, (rows.start + rows.stop - 1) / 2, (columns.start + columns.stop - 1) / 2, 1]
        place = nib.affines.apply_affine(mask.affine, inside.mean(axis=0))
        np.testing.assert_allclose(place, 1e3 * (geometry().affine @ middle)[:3], atol=0.02)


def test_the_maps_say_which_codes_of_the_status_have_a_t2(tmp_path: Path) -> None:
    """Two codes have: weak magnitudes may say only how long T2 is at most."""
    random = np.random.default_rng(6)
    images = np.zeros((5, 1, 40, 40), complex)
    images[:, :, :, 4:] = 5 * np.exp(-ECHO_TIMES / 6e-3)[:, None, None, None]
    images = np.abs(images + random.normal(size=images.shape) + 1j * random.normal(size=images.shape))
    series = replace(cell(), images=images.astype(np.complex64), noise_std=np.ones(5))
    request = T2Request(fit=T2Options(estimator="rician"))
    write_volumes(analyse_series(series, Path("weak"), request), tmp_path)
    t2, status = (np.asarray(nib.load(tmp_path / f"t2_{name}.nii.gz").dataobj) for name in ("map", "status"))
    told = json.loads((tmp_path / "t2_map.json").read_text())["Description"]
    codes = re.fullmatch(r"T2 of each voxel; NaN where the status is neither (\d+) nor (\d+)", told)
    assert codes is not None
    assert set(np.unique(status[np.isfinite(t2)])) == {int(code) for code in codes.groups()}
    np.testing.assert_array_equal(np.isfinite(t2), np.isin(status, [int(code) for code in codes.groups()]))


@pytest.mark.parametrize("nucleus", ["1H", None])
def test_what_is_no_cell_has_no_electrodes_in_any_export(nucleus: str | None, tmp_path: Path) -> None:
    analysis = analyse_series(replace(cell(), nucleus=nucleus), Path("rat"))
    written = [
        *write_bids(analysis, tmp_path / "bids", BidsLabels()), *write_volumes(analysis, tmp_path),
        *write_numpy(analysis, tmp_path / "numpy"), *write_region_tables(analysis, tmp_path / "csv"),
    ]  # fmt: skip
    assert {"sub-01_desc-parts_mask.nii.gz", "mask_isolated.nii.gz", "mask_parts.npy"} <= {one.name for one in written}
    rows = [row["region"] for row in csv.DictReader((tmp_path / "csv" / "regions.csv").read_text().splitlines())]
    assert rows == ["bulk", "part 1", "isolated region"]
    for path in tmp_path.rglob("*"):
        told = path.name + (path.read_text() if path.suffix in (".json", ".csv") else "")
        assert not re.search("electrode|dendrite", told), path


def test_regions_have_a_heading_with_the_unit_and_intervals_around_the_truth(
    analysis: Analysis, tmp_path: Path
) -> None:
    regions, voxels = write_region_tables(analysis, tmp_path)
    rows = {row["region"]: row for row in csv.DictReader(regions.read_text().splitlines())}
    for name, truth in (("electrode 1", T2["electrode"]), ("dendrite", T2["dendrite"])):
        row = rows[name]
        low, high = float(row["T2 pooled 95% low (ms)"]), float(row["T2 pooled 95% high (ms)"])
        assert low < 1e3 * truth < high
        assert float(row["T2 median (ms)"]) == pytest.approx(1e3 * truth, rel=0.02)
    assert float(rows["dendrite"]["significance (sigma)"]) > 5
    assert rows["electrodes"]["significance (sigma)"] == ""
    table = list(csv.DictReader(voxels.read_text().splitlines()))
    assert len(table) == int(np.count_nonzero(analysis.fit.status != 1))
    lows, t2, highs = (np.array([float(row[f"T2{what} (ms)"]) for row in table if row["status"] == "ok"])
                       for what in (" 95% low", "", " 95% high"))  # fmt: skip
    assert ((lows < t2) & (t2 < highs)).all()


def test_tables_of_images_without_t2_are_refused(tmp_path: Path) -> None:
    single = replace(cell(), images=cell().images[:1], echo_times=ECHO_TIMES[:1], noise_std=np.array([0.01]))
    with pytest.raises(InputError, match="one echo time"):
        write_region_tables(analyse_series(single, Path("cell")), tmp_path)


def test_arrays_open_in_numpy_alone_and_are_described(analysis: Analysis, tmp_path: Path) -> None:
    write_numpy(analysis, tmp_path)
    page = json.loads((tmp_path / "arrays.json").read_text())
    for name, told in page["arrays"].items():
        values = np.load(tmp_path / f"{name}.npy", allow_pickle=False)
        assert list(values.shape) == told["shape"]
        assert len(told["axes"]) == values.ndim
        assert str(values.dtype) == told["dtype"]
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), analysis.series.images)
    np.testing.assert_array_equal(np.load(tmp_path / "t2.npy"), analysis.fit.t2)
    assert page["arrays"]["t2"]["units"] == "s"
    np.testing.assert_allclose(page["stacks"][0]["affine_m"], geometry().affine)
    np.testing.assert_allclose(page["echo_times_s"], ECHO_TIMES)
