"""`knightshift export`: one block at a known place of the magnet is found there by whoever opens the files."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from knightshift.cli.exporting import ExportChoices, export_to
from knightshift.core.errors import InputError

from .conftest import SMALL_PROTOCOL, Cli

CENTRE_MM = {"y": 0.9, "z": -0.4}
PHANTOM = f"""\
name: block
compartments:
  - name: block
    shape: {{kind: box, center_y: "{CENTRE_MM["y"]} mm", center_z: "{CENTRE_MM["z"]} mm", size_y: "1.2 mm", size_z: "0.5 mm"}}
    thickness: "4 mm"
    density: 4
    t1: "20 ms"
    t2: "12 ms"
    shift: "1126 ppm"
"""  # noqa: E501 - YAML


@pytest.fixture(scope="module")
def block(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Acquire a block that lies off the isocentre along y and z."""
    folder = tmp_path_factory.mktemp("block")
    (folder / "small.yaml").write_text(SMALL_PROTOCOL.replace("averages: 4", "averages: 2"))
    (folder / "block.yaml").write_text(PHANTOM)
    acquired = cli(
        "acquire", folder / "small.yaml", "--phantom", folder / "block.yaml", "--runs", folder / "runs",
        "--virtual-clock", "--seed", 3,
    )  # fmt: skip
    assert acquired.returncode == 0, acquired.stderr
    (run,) = (folder / "runs").iterdir()
    return run


def test_nifti_shows_the_block_where_the_phantom_has_it(cli: Cli, block: Path, tmp_path: Path) -> None:
    result = cli("export", block, "--to", "nifti", "--to", "numpy", "-o", tmp_path)
    assert result.returncode == 0, result.stderr
    images = nib.load(tmp_path / "nifti" / "images.nii.gz")
    first = np.asarray(images.dataobj)[..., 0]
    bright = np.argwhere(first > 0.5 * first.max())
    _, y, z = nib.affines.apply_affine(images.affine, bright).mean(axis=0)
    step_y, step_z = 0.3, 0.138  # voxels [mm]
    assert y == pytest.approx(CENTRE_MM["y"], abs=0.4 * step_y)
    assert z == pytest.approx(CENTRE_MM["z"], abs=0.4 * step_z)
    mask = nib.load(tmp_path / "nifti" / "mask_analysed.nii.gz")
    np.testing.assert_array_equal(mask.affine, images.affine)
    assert np.asarray(mask.dataobj)[tuple(bright.T)].mean() > 0.9
    assert json.loads((tmp_path / "numpy" / "arrays.json").read_text())["laboratory_axes"] == ["x", "z", "y"]


def test_mrd_of_a_run_opens_with_the_ismrmrd_package(block: Path, tmp_path: Path) -> None:
    ismrmrd = pytest.importorskip("ismrmrd", reason="the extra 'mrd' is not installed")
    export_to(block, ["mrd"], tmp_path, ExportChoices())
    with ismrmrd.Dataset(tmp_path / "kspace.mrd", mode="r") as file:
        header = ismrmrd.xsd.CreateFromDocument(file.read_xml_header())
        assert file.number_of_acquisitions() == 3 * 16
    texts = {one.name: one.value for one in header.userParameters.userParameterString}
    numbers = {one.name: one.value for one in header.userParameters.userParameterDouble}
    assert texts["nucleus"] == "23Na"
    (sodium,) = numbers.values()
    b0 = json.loads((block / "manifest.json").read_text())["programs"][0]["b0"]
    assert sodium == pytest.approx(11.262e6 * b0 * (1 + 1126e-6), rel=2e-4)  # tuned to the metal
    assert header.experimentalConditions.H1resonanceFrequency_Hz == round(42.577478e6 * b0)  # unshifted protons


@pytest.mark.parametrize(("options", "words"), [
    ((["dicom"], "01", None), "bids, mrd, nifti, csv, numpy"),
    ((["bids"], "../me", None), "letters and digits"),
    ((["bids"], "01", "night 1"), "letters and digits"),
])  # fmt: skip
def test_what_cannot_be_exported_is_told(
    tmp_path: Path, options: tuple[list[str], str, str | None], words: str
) -> None:
    formats, subject, session = options
    with pytest.raises(InputError, match=words):
        export_to(tmp_path, formats, tmp_path / "out", ExportChoices(subject, session))
    assert not (tmp_path / "out").exists()
