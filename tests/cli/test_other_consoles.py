"""`inspect`, `fit` and `export` on raw data of other consoles, as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from knightshift.cli.batching import BatchChoices, batch_options
from knightshift.cli.fit_request import FitRequest
from knightshift.reconstruction.batch import BatchOptions
from knightshift.reconstruction.export import load_images
from knightshift.reconstruction.relaxometry.recovery import fit_inversion_series

from .conftest import Cli

RawData = Callable[[str], Path]


def array_of_recoveries(folder: Path, t1: float) -> Path:
    """FIDs of one line that recovers from inversion, as an exported array."""
    delays = [0.01, 0.1, 0.3, 0.7, 1.5, 3.0, 6.0]
    fid = np.exp((2j * np.pi * 50 - 10) * np.arange(256) * 1e-3)
    np.save(folder / "fids.npy", 1e3 * np.outer(1 - 1.9 * np.exp(-np.array(delays) / t1), fid))
    path = folder / "fids.yaml"
    path.write_text(
        "format: knightshift array 1\nfile: fids.npy\nholds: fids\naxes: [step, sample]\ndwell_time: 1 ms\n"
        f"delays: [{', '.join(f'{delay} s' for delay in delays)}]\n"
        "nucleus: 23Na\nworking_frequency: 105.84 MHz\nreference_frequency: 105.84 MHz\n"
    )
    return path


def test_spectra_become_a_table_a_figure_and_json(cli: Cli, tmp_path: Path) -> None:
    path = array_of_recoveries(tmp_path, t1=0.8)
    result = cli("fit", path, "-o", tmp_path / "out")
    assert result.returncode == 2
    assert "give the experiment" in result.stderr
    result = cli("fit", path, "--experiment", "inversion recovery", "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    fit = json.loads((tmp_path / "out/fit.json").read_text())
    assert fit["quantity"] == "T1"
    assert fit["peaks"][0]["time_s"] == pytest.approx(0.8, rel=1e-3)
    assert (tmp_path / "out/fit.csv").read_text().startswith("peak,time_s,time_std_s")
    assert (tmp_path / "out/relaxation.png").stat().st_size > 1000
    assert "800" in result.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--region", "1 ppm"), "0.8 to 0.9 ppm"),
        (("--loop-time", "4"), "needs a unit"),
        (("--estimator", "rician"), "--estimator is for images"),
        (("--experiment", "guess"), "experiment"),
        (("--experiment", "T2", "--delays", "1, 2"), "needs a unit"),
        (("--experiment", "T2", "--delays", "1 ms, 2 ms"), "2 delays for 7 steps"),
        (("--echo-train", "40"), "128 x 300 us"),
        (("--echo-train", "40 x 1"), "needs a unit"),
        (("--echo-train", "40 x 1 ms"), "are not 40 echoes"),
        (("--echo-train", "7 x 1 ms"), "do not fit between echoes"),
        (("--noise", "1"), "--noise is for images"),
    ],
)
def test_options_that_make_no_sense_are_explained(
    cli: Cli, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    result = cli("fit", array_of_recoveries(tmp_path, 0.8), *options, "-o", tmp_path / "out")
    assert result.returncode == 2
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def train_in_one_fid(folder: Path, t2: float) -> Path:
    """Echoes of one train, 40 of 64 samples, as one long FID."""
    echo = np.exp(-(((np.arange(64) - 32) / 9) ** 2)) * np.exp(2j * np.pi * 2e3 * np.arange(64) * 1e-5)
    np.save(folder / "train.npy", 1e3 * np.outer(np.exp(-1e-3 * np.arange(1, 41) / t2), echo).reshape(1, -1))
    path = folder / "train.yaml"
    path.write_text(
        "format: knightshift array 1\nfile: train.npy\nholds: fids\naxes: [step, sample]\ndwell_time: 10 us\n"
        "nucleus: 23Na\nworking_frequency: 105.84 MHz\n"
    )
    return path


def test_one_fid_of_many_echoes_is_fitted_as_a_train(cli: Cli, tmp_path: Path) -> None:
    result = cli("fit", train_in_one_fid(tmp_path, 0.012), "--echo-train", "40 x 1 ms", "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    fit = json.loads((tmp_path / "out/fit.json").read_text())
    assert fit["quantity"] == "T2"
    assert fit["peaks"][0]["time_s"] == pytest.approx(0.012, rel=1e-3)


def test_delays_are_taken_from_a_file(cli: Cli, tmp_path: Path) -> None:
    path = array_of_recoveries(tmp_path, t1=0.8)
    text = path.read_text()
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith("delays")))
    delays = ["10 ms", "100 ms", "300 ms", "0.7 s", "1.5 s", "3 s", "6 s"]
    (tmp_path / "delays.txt").write_text("\n".join(delays))
    how = ("--experiment", "inversion recovery", "--delays", tmp_path / "delays.txt", "-o", tmp_path / "out")
    result = cli("fit", path, *how)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "out/fit.json").read_text())["peaks"][0]["time_s"] == pytest.approx(0.8, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--offset", "some"), "--offset some"),
        (("--delays", "1, 2"), "needs a unit"),
        (("--echo-train", "40"), "128 x 300 us"),
        (("--noise", "0"), "above zero"),
        (("--estimator", "complex", "--offset", "noise"), "belongs to magnitudes"),
    ],
)
def test_batch_explains_options_before_it_looks_for_scans(
    cli: Cli, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    result = cli("batch", tmp_path / "no archive", *options, "-o", tmp_path / "out")
    assert result.returncode == 2
    assert words in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("offset", "of_images", "of_spectra"),
    [(None, "none", "auto"), ("auto", "none", "auto"), ("free", "free", "free"), ("noise", "noise", "auto")],
)
def test_offset_of_a_batch_is_taken_where_it_has_a_meaning(offset: str | None, of_images: str, of_spectra: str) -> None:
    fit = FitRequest(estimator="gaussian", offset=offset, delays="1 ms, 2 ms", echo_train="2 x 1 ms")
    options = batch_options(BatchChoices(None, 1, None, fit))
    assert (options.fit.offset, options.spectra.offset) == (of_images, of_spectra)
    assert options.spectra.delays == (1e-3, 2e-3)
    assert options.echo_train == (2, 1e-3)
    assert BatchOptions.model_validate_json(options.model_dump_json()) == options  # as it travels to the workers


def test_fids_become_spectra_with_their_line_where_it_is(cli: Cli, tmp_path: Path) -> None:
    path = array_of_recoveries(tmp_path, 0.8)
    result = cli("reconstruct", path, "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "7 spectra of 256 points" in result.stdout
    table = np.genfromtxt(tmp_path / "out/spectra.csv", delimiter=",", names=True)
    assert len(table.dtype.names) == 2 + 2 * 7
    line = np.argmax(table["real_7"])
    assert table["offset_Hz"][line] == pytest.approx(50, abs=2)
    assert table["shift_ppm"][line] == pytest.approx(50 / 105.84, abs=0.02)
    assert table["real_1"][line] < 0 < table["real_7"][line]
    assert (tmp_path / "out/spectra.png").stat().st_size > 1000
    refused = cli("reconstruct", path, "--recipe", "plain", "-o", tmp_path / "out")
    assert (refused.returncode, "recipe is for images" in refused.stderr) == (2, True)
    refused = cli("report", path, "-o", tmp_path / "report")
    assert refused.returncode == 2
    assert "`fit` finds their times" in refused.stderr


def test_inspect_says_what_it_holds_and_what_not(cli: Cli, tmp_path: Path) -> None:
    result = cli("inspect", array_of_recoveries(tmp_path, 0.8))
    assert result.returncode == 0, result.stderr
    assert "7 of 256 complex points" in result.stdout
    assert "105.840000 MHz" in result.stdout


def test_inspect_ends_with_0_for_what_it_understands_2_for_no_data_and_4_for_damage(
    cli: Cli, raw_data: RawData, tmp_path: Path
) -> None:
    echo_planar = cli("inspect", raw_data("bruker_pv360") / "7")
    assert (echo_planar.returncode, echo_planar.stderr) == (0, "")
    assert "not read: " in echo_planar.stdout
    assert cli("fit", raw_data("bruker_pv360") / "7", "-o", tmp_path / "out").returncode == 2
    aborted = cli("inspect", raw_data("bruker_pv360") / "2")
    assert aborted.returncode == 4
    assert "aborted before its first readout" in aborted.stderr
    (tmp_path / "notes.txt").write_text("no data")
    assert cli("inspect", tmp_path / "notes.txt").returncode == 2
    assert cli("inspect", tmp_path / "nothing").returncode == 2


def test_export_of_spectra_as_mrd_is_refused(cli: Cli, tmp_path: Path) -> None:
    result = cli("export", array_of_recoveries(tmp_path, 0.8), "--to", "mrd", "-o", tmp_path / "out")
    assert result.returncode == 2
    assert "no k-space of images" in result.stderr


def kspace_of_recoveries(folder: Path, t1: float) -> Path:
    """K-space of a block of 8 x 6 voxels at four inversion times, as an exported array."""
    times = np.array([0.05, 0.5, 1.5, 6.0])
    images = np.zeros((len(times), 16, 16))
    images[:, 4:12, 5:11] = 100 * (1 - 1.9 * np.exp(-times / t1))[:, None, None]
    noise = np.random.default_rng(3).normal(size=(2, *images.shape))
    axes = (1, 2)
    noisy = np.fft.ifftshift(images + noise[0] + 1j * noise[1], axes=axes)
    np.save(folder / "kspace.npy", np.fft.fftshift(np.fft.fft2(noisy, axes=axes), axes=axes))
    path = folder / "kspace.yaml"
    path.write_text(
        "format: knightshift array 1\nfile: kspace.npy\nholds: kspace\naxes: [echo, phase_encode, readout]\n"
        f"inversion_times: [{', '.join(f'{time} s' for time in times)}]\n"
    )
    return path


def test_inversion_recovery_images_become_a_t1_map(cli: Cli, tmp_path: Path) -> None:
    result = cli("fit", kspace_of_recoveries(tmp_path, t1=1.26), "-o", tmp_path)
    assert result.returncode == 0, result.stderr
    t1 = np.asarray(nib.load(tmp_path / "t1_map.nii.gz").dataobj)
    assert np.count_nonzero(np.isfinite(t1)) == pytest.approx(48, abs=3)
    assert np.nanmedian(t1) == pytest.approx(1.26, rel=0.03)
    refused = cli("fit", tmp_path, "--offset", "free", "-o", tmp_path / "again")
    assert (refused.returncode, "here the inversion time steps" in refused.stderr) == (2, True)
    again = fit_inversion_series(load_images(tmp_path / "images.h5"))  # the images that were kept give the same map
    np.testing.assert_allclose(np.nanmedian(again.time), np.nanmedian(t1), rtol=1e-6)


def array_of_echoes(folder: Path, images: np.ndarray) -> Path:
    """Images at five echo times, shape ``(echo, phase_encode, readout)``, as an exported array."""
    np.save(folder / "images.npy", images)
    path = folder / "images.yaml"
    path.write_text(
        "format: knightshift array 1\nfile: images.npy\nholds: images\naxes: [echo, phase_encode, readout]\n"
        "echo_times: {first: 5 ms, spacing: 5 ms}\nnucleus: 1H\n"
    )
    return path


def test_steps_without_delays_are_fitted_with_those_given(cli: Cli, tmp_path: Path) -> None:
    path = array_of_recoveries(tmp_path, t1=0.8)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("delays")]
    path.write_text("\n".join(lines) + "\n")
    how = ("fit", path, "--experiment", "inversion recovery", "-o", tmp_path / "out")
    refused = cli(*how)
    assert refused.returncode == 2
    assert "--delays" in refused.stderr
    result = cli(*how, "--delays", "10 ms, 100 ms, 300 ms, 700 ms, 1.5 s, 3 s, 6 s")
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "out/fit.json").read_text())["peaks"][0]["time_s"] == pytest.approx(0.8, rel=1e-3)


def object_that_fills_the_image(t2: float, *, turns: float = 0.0) -> np.ndarray:
    """Five echoes at SNR 50 without any background; the phase turns by `turns` an echo, differently from row to row."""
    random = np.random.default_rng(3)
    echoes = np.arange(1, 6)[:, None, None]
    phase = 2 * np.pi * turns * echoes * np.linspace(-1, 1, 24)[:, None]
    noise = random.normal(size=(2, 5, 24, 20))
    return 50 * np.exp(-5e-3 * echoes / t2 + 1j * phase) + noise[0] + 1j * noise[1]


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def test_magnitudes_without_a_background_get_their_noise_from_the_residuals_or_the_user(
    cli: Cli, tmp_path: Path
) -> None:
    path = array_of_echoes(tmp_path, np.abs(object_that_fills_the_image(12e-3)))
    refused = cli("fit", path, "-o", tmp_path / "out")
    assert refused.returncode == 2
    assert "magnitudes" in refused.stderr
    assert "--estimator rician" in refused.stderr
    refused = cli("fit", path, "--estimator", "rician", "-o", tmp_path / "out")
    assert refused.returncode == 2
    assert "--noise" in refused.stderr
    assert not list((tmp_path / "out").glob("*.h5"))
    done = cli("export", path, "--to", "numpy", "--to", "nifti", "--estimator", "gaussian", "-o", tmp_path / "gaussian")
    assert done.returncode == 0, done.stderr
    t2 = np.load(tmp_path / "gaussian/numpy/t2.npy")
    assert np.nanmedian(t2) == pytest.approx(12e-3, rel=0.02)
    # the noise that the residuals tell is right: T2 scatters as its standard deviation says
    assert np.nanmedian(np.load(tmp_path / "gaussian/numpy/t2_std.npy")) == pytest.approx(np.nanstd(t2), rel=0.1)
    given = ("--estimator", "rician", "--noise", "1")
    done = cli("export", path, "--to", "numpy", *given, "-o", tmp_path / "rician")
    assert done.returncode == 0, done.stderr
    assert np.nanmedian(np.load(tmp_path / "rician/t2.npy")) == pytest.approx(12e-3, rel=0.02)
    json.loads((tmp_path / "gaussian/nifti/images.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.usefixtures("no_pictures")
def test_gradient_echoes_are_refused_by_the_real_part_and_the_remedy_works(cli: Cli, tmp_path: Path) -> None:
    path = array_of_echoes(tmp_path, object_that_fills_the_image(12e-3, turns=0.1))
    refused = cli("fit", path, "-o", tmp_path / "out")
    assert refused.returncode == 2
    assert "changes from echo to echo" in refused.stderr
    path.write_text(path.read_text() + "echoes: gradient echo\n")
    done = cli("fit", path, "--estimator", "rician", "--noise", "1", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert summary_of(tmp_path / "out")["regions"][0]["median_t2_s"] == pytest.approx(12e-3, rel=0.02)
    page = (tmp_path / "out/report.html").read_text()
    assert "complex estimator is left out" in page
    assert "T2*" in page
    done = cli("export", path, "--to", "nifti", "--estimator", "rician", "--noise", "1", "-o", tmp_path / "nifti")
    assert done.returncode == 0, done.stderr
    t2 = nib.load(tmp_path / "nifti/t2_map.nii.gz").get_fdata()
    assert np.median(t2[np.isfinite(t2)]) == pytest.approx(12e-3, rel=0.02)


def test_folders_that_hold_several_measurements_or_an_array_say_what_to_give(tmp_path: Path, cli: Cli) -> None:
    array_of_recoveries(tmp_path, 0.8)
    assert "give one of these files" in cli("inspect", tmp_path).stderr
    (tmp_path / "fids.yaml").unlink()
    assert "YAML description" in cli("inspect", tmp_path).stderr
