"""`reconstruct`, `fit` and `report`, from our runs and from those of other consoles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from .conftest import Cli


def test_run_becomes_a_report_with_maps_in_seconds(cli: Cli, finished_run: Path, tmp_path: Path) -> None:
    result = cli("report", finished_run, "-o", tmp_path)
    assert result.returncode == 0, result.stderr
    for name in ("report.html", "summary.json", "t2_map.nii.gz", "t2_std.nii.gz", "t2_map.png", "images.nii.gz"):
        assert (tmp_path / name).stat().st_size > 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["run"]["passes_used"] == 12
    t2 = np.asarray(nib.load(tmp_path / "t2_map.nii.gz").dataobj)
    good = t2[np.isfinite(t2)]
    assert good.size >= 5
    assert 2e-3 < np.median(good) < 30e-3
    assert json.loads((tmp_path / "t2_map.json").read_text())["Units"] == "s"


@pytest.mark.slow
def test_images_reconstructed_first_fit_to_the_same_map(cli: Cli, finished_run: Path, tmp_path: Path) -> None:
    assert cli("reconstruct", finished_run, "-o", tmp_path / "images").returncode == 0
    assert cli("fit", tmp_path / "images", "-o", tmp_path / "a").returncode == 0
    assert cli("fit", finished_run, "-o", tmp_path / "b").returncode == 0
    assert (tmp_path / "a/t2_map.nii.gz").read_bytes() == (tmp_path / "b/t2_map.nii.gz").read_bytes()


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    ("estimator", "offset"),
    [
        pytest.param("gaussian", "noise", marks=pytest.mark.slow),
        ("gaussian", "free"),
        pytest.param("rician", "none", marks=pytest.mark.slow),
    ],
)
def test_other_estimators_can_be_chosen(
    cli: Cli, finished_run: Path, tmp_path: Path, estimator: str, offset: str
) -> None:
    result = cli("fit", finished_run, "-o", tmp_path, "--estimator", estimator, "--offset", offset)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "t2_map.nii.gz").exists()


@pytest.mark.parametrize(("estimator", "offset"), [("complex", "noise"), ("magic", "none"), ("gaussian", "much")])
def test_senseless_choice_of_estimator_is_refused(
    cli: Cli, finished_run: Path, tmp_path: Path, estimator: str, offset: str
) -> None:
    result = cli("fit", finished_run, "-o", tmp_path / "out", "--estimator", estimator, "--offset", offset)
    assert result.returncode == 2
    wrong = f"--offset {offset}: is not known" if offset == "much" else f"--estimator {estimator}"
    assert wrong in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_single_echo_scan_of_another_console_reports_without_t2(
    cli: Cli, raw_data: Callable[[str], Path], tmp_path: Path
) -> None:
    source = raw_data("bruker_pv51_flash")
    result = cli("report", source, "-o", tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "report.html").exists()
    assert not (tmp_path / "t2_map.nii.gz").exists()
    assert cli("fit", source, "-o", tmp_path).returncode == 2


@pytest.mark.parametrize(("what", "exit_code"), [("missing", 2), ("truncated", 4), ("empty", 4)])
def test_broken_raw_file_is_told_from_bad_input(
    cli: Cli, raw_data: Callable[[str], Path], tmp_path: Path, what: str, exit_code: int
) -> None:
    scan = tmp_path / "scan"
    shutil.copytree(raw_data("bruker_pv51_flash"), scan, copy_function=shutil.copyfile)
    scan.chmod(0o700)  # the data may lie where nobody may write
    if what == "missing":
        (scan / "fid").unlink()
    else:
        content = (scan / "fid").read_bytes()
        (scan / "fid").write_bytes(content[: len(content) // 2] if what == "truncated" else b"")
    result = cli("reconstruct", scan, "-o", tmp_path / "out")
    assert result.returncode in (exit_code, 4)
    assert "fid" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out" / "images.h5").exists()


def test_folder_without_raw_data_says_what_it_found(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").write_text("")
    result = cli("reconstruct", tmp_path, "-o", tmp_path / "out")
    assert result.returncode == 2
    assert "holiday.txt" in result.stderr


@pytest.mark.parametrize("command", [["reconstruct"], ["fit"], ["report"], ["export", "--to", "nifti"], ["batch"]])
def test_no_command_writes_its_results_into_the_folder_of_a_run(
    cli: Cli, finished_run: Path, command: list[str]
) -> None:
    before = sorted(finished_run.rglob("*"))
    for place in (finished_run, finished_run / "passes"):
        result = cli(*command, finished_run, "-o", place)
        assert result.returncode == 2
        assert f"give results a folder of their own, such as -o {finished_run.name}-results" in result.stderr
    added = cli("queue", "add", "report", "--source", finished_run, "-o", finished_run)
    assert added.returncode == 2
    assert "folder of a run" in added.stderr
    assert sorted(finished_run.rglob("*")) == before


def test_output_that_is_a_file_is_bad_input(cli: Cli, finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    result = cli("reconstruct", finished_run, "-o", tmp_path / "out")
    assert result.returncode in (2, 3)
    assert "Traceback" not in result.stderr
    assert str(tmp_path / "out") in result.stderr
