"""What `inspect` says of raw data, and how their kind is told by content alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightshift.core.errors import UnsupportedDataError
from knightshift.reconstruction.readers import RawKind, detect, inspect_raw

from .conftest import AGILENT_IMAGE, Agilent, Writer, labelled, line_fids, write_tecmag

KINDS = {
    "topspin": RawKind.TOPSPIN, "topspin processed": RawKind.TOPSPIN, "agilent": RawKind.AGILENT,
    "tecmag": RawKind.TECMAG, "prospa": RawKind.PROSPA, "npy": RawKind.ARRAY, "mat": RawKind.ARRAY,
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_kind_is_told_by_content(valid_raw_data: dict[str, Writer], tmp_path: Path, name: str) -> None:
    path = valid_raw_data[name](tmp_path)
    assert detect(path) is KINDS[name]
    if path.is_file() and name != "prospa":  # its parameters lie beside it
        renamed = path.with_name("renamed.dat")
        shutil.copy(path, renamed)
        assert detect(renamed) is KINDS[name]


def test_rows_tell_times_frequencies_and_what_is_missing(valid_raw_data: dict[str, Writer], tmp_path: Path) -> None:
    inspection = inspect_raw(valid_raw_data["topspin"](tmp_path))
    rows = dict(inspection.rows)
    assert rows["delays"] == "10 ms, 100 ms, 250 ms, 500 ms, 1 s, 2 s, 4 s, 8 s"
    assert rows["nucleus"] == "23Na"
    assert rows["working frequency"] == "500.000100 MHz"
    assert rows["measures"] == "inversion recovery"
    assert inspection.missing == ()


def test_rows_of_images_tell_sizes_and_orientation(tmp_path: Path) -> None:
    inspection = inspect_raw(Agilent(labelled(8, 2, 16), AGILENT_IMAGE).write(tmp_path))
    rows = dict(inspection.rows)
    assert rows["k-space"] == "1 repetition, 1 echo, 2 slices, 1 receiver, 8 lines, 16 samples"
    assert rows["voxel"] == "2 mm x 2 mm, slices 2 mm apart"
    assert rows["field of view"] == "16 mm x 32 mm (phase encode x readout)"
    assert any("psi, phi and theta" in line for line in inspection.missing)


@pytest.mark.parametrize("holds", ["images", "kspace"])
def test_images_of_several_inversion_times_are_no_echoes_and_share_one_echo_time(tmp_path: Path, holds: str) -> None:
    np.save(tmp_path / "mine.npy", np.ones((3, 8, 16), complex))
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"format: knightshift array 1\nfile: mine.npy\nholds: {holds}\naxes: [echo, phase_encode, readout]\n"
        "echo_times: [10 ms, 10 ms, 10 ms]\ninversion_times: [20 ms, 200 ms, 2 s]\n"
    )
    rows = dict(inspect_raw(path).rows)
    assert "3 images, 1 slice" in rows["k-space" if holds == "kspace" else "images"]
    assert rows["echo time"] == "10 ms, of every image"
    assert rows["inversion times"] == "20 ms, 200 ms, 2 s"
    assert not any("echoes" in value or name == "echo times" for name, value in rows.items())


def test_rows_of_a_scan_tell_what_was_asked_of_it(synthetic_scan: Any, tmp_path: Path) -> None:
    acqp = {"ACQ_scan_name": "( 64 )\n<T2 of cell 3 (E5)>", "ACQ_repetition_time": "( 2 )\n2500 800",
            "ACQ_flip_angle": "180", "NA": "2", "ACQ_slice_thick": "0.7"}  # fmt: skip
    method = {"PVM_NAverages": "4", "ExcPulse1": "(2, 3000, 90, Yes, 4, 6000, 0.16, <$ExcPulse1Shape>)"}
    scan = synthetic_scan(labelled(1, 3, 1, 8, 16), acqp=acqp, method=method).write(tmp_path)
    rows = dict(inspect_raw(scan).rows)
    assert rows["protocol"] == "T2 of cell 3 (E5)"
    assert rows["repetition time"] == "800 ms, 2500 ms"
    assert (rows["flip angle"], rows["averages"]) == ("90 deg", "4")
    assert rows["excited slice or slab"] == "0.7 mm"
    assert rows["slices at"] == "0, 2, 4 mm along (+0.000, +0.000, +1.000)"
    assert rows["readout direction"] == "(-1.000, +0.000, +0.000)"


def test_slices_of_each_direction_are_listed(synthetic_scan: Any, tmp_path: Path) -> None:
    method = {"PVM_SPackArrNSlices": "( 2 )\n2 1", "PVM_SPackArrSliceDistance": "( 2 )\n2 2",
              "PVM_SPackArrGradOrient": "( 2, 3, 3 )\n1 0 0 0 1 0 0 0 1 0 0 1 0 1 0 1 0 0",
              "PVM_SPackArrReadOffset": "( 2 )\n0 0", "PVM_SPackArrPhase1Offset": "( 2 )\n0 0"}  # fmt: skip
    rows = dict(inspect_raw(synthetic_scan(labelled(1, 3, 1, 8, 16), method=method).write(tmp_path)).rows)
    assert rows["slices 1 to 2 at"] == "0, 2 mm along (+0.000, +0.000, +1.000)"
    assert rows["voxel"].endswith("slices 2 mm apart")
    assert rows["slice 3 at"] == "4 mm along (+1.000, +0.000, +0.000)"


def test_a_single_slice_has_a_thickness_and_no_distance(synthetic_scan: Any, tmp_path: Path) -> None:
    rows = dict(inspect_raw(synthetic_scan(labelled(1, 1, 1, 8, 16)).write(tmp_path)).rows)
    assert rows["voxel"] == "500 um x 1 mm, slices 1 mm thick"
    assert rows["slice at"] == "0 mm along (+0.000, +0.000, +1.000)"


def test_what_is_refused_is_said_and_not_raised(tmp_path: Path) -> None:
    inspection = inspect_raw(Agilent(labelled(8, 2, 16), AGILENT_IMAGE | {"seqfil": ["epi"]}).write(tmp_path))
    assert "more than an FFT" in inspection.refused


def test_own_run_tells_its_passes(synthetic_run: Any, small_encoding: Any, tmp_path: Path) -> None:
    passes = {index: labelled(8, 16) for index in range(3)}
    run = synthetic_run(small_encoding, passes).write(tmp_path / "run")
    rows = dict(inspect_raw(run.path).rows)
    assert rows["passes"] == "3 of 3, 0 flagged"
    assert rows["echo times"] == "4 ms, 8 ms"


def test_folder_of_experiments_lists_them(valid_raw_data: dict[str, Writer], tmp_path: Path) -> None:
    valid_raw_data["topspin"](tmp_path)
    with pytest.raises(UnsupportedDataError, match=r"in the folder below: give .*topspin"):
        detect(tmp_path)


def test_array_without_description_says_what_it_needs(valid_raw_data: dict[str, Writer], tmp_path: Path) -> None:
    valid_raw_data["mat"](tmp_path)
    with pytest.raises(UnsupportedDataError, match="needs a YAML description"):
        detect(tmp_path / "k.mat")


def test_tecmag_says_what_it_does_not_know(tmp_path: Path) -> None:
    inspection = inspect_raw(write_tecmag(tmp_path / "a.tnt", line_fids(labelled(3).real, 1.0, 16)))
    assert "the frequency of zero shift" in inspection.missing
