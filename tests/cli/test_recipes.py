"""`reconstruct --recipe`."""

from __future__ import annotations

from pathlib import Path

from knightshift.reconstruction.export import load_images

from .conftest import Cli


def test_recipe_interpolates_and_is_told(cli: Cli, finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "fine.yaml").write_text("zero_fill: 2\napodisation: hamming\n")
    plain = cli("reconstruct", finished_run, "-o", tmp_path / "plain", "--recipe", "plain")
    fine = cli("reconstruct", finished_run, "-o", tmp_path / "fine", "--recipe", tmp_path / "fine.yaml")
    assert (plain.returncode, fine.returncode) == (0, 0), plain.stderr + fine.stderr
    before, after = load_images(tmp_path / "plain"), load_images(tmp_path / "fine")
    assert after.images.shape[-1] == 2 * before.images.shape[-1]
    assert any("hamming" in sentence for sentence in after.methods)


def test_a_wrong_recipe_is_told_with_its_key(cli: Cli, finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("zero_filling: 2\n")
    result = cli("reconstruct", finished_run, "-o", tmp_path / "out", "--recipe", tmp_path / "bad.yaml")
    assert result.returncode == 2
    assert "zero_filling: unknown key" in result.stderr
    assert not (tmp_path / "out").exists()
