"""Prospa: FIDs, echo trains, plots, spectra, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.pseudo_2d import fit_pseudo_2d
from knightshift.reconstruction.readers import inspect_raw
from knightshift.reconstruction.readers.prospa import is_prospa, read_prospa

from .conftest import DELAYS, DWELL, inversion_recovery, line_fids, write_prospa, write_prospa_plot

RawData = Callable[[str], Path]
ECHO_TIME = 3.5e-3
SPINSOLVE = 'b1Freq = 80.4878494\nbandwidth = 1\nlowestFrequency = -113.5\nnucleus = "1H"\n'


def test_prospa_fids_come_back_with_spread_delays(tmp_path: Path) -> None:
    fids = line_fids(np.ones(3), 10.0, 32)
    steps = 'experiment = "T1-IR-FID"\nnrSteps = 3\nminDelay = 10\nmaxDelay = 1000\ndelaySpacing = "log"\n'
    series = read_prospa(write_prospa(tmp_path, fids, steps))
    np.testing.assert_allclose(series.values, fids, rtol=1e-6)
    assert series.delays is not None
    np.testing.assert_allclose(series.delays, [0.01, 0.1, 1.0])
    assert series.working_frequency == pytest.approx(14.855e6)
    assert "the nucleus" in series.missing


def test_prospa_folder_gives_the_file_that_holds_most(tmp_path: Path) -> None:
    write_prospa(tmp_path, line_fids(np.ones(1), 10.0, 32), name="data.1d")
    write_prospa(tmp_path, line_fids(np.ones(4), 10.0, 32), name="renamed")
    assert read_prospa(tmp_path).source.name == "renamed"


@pytest.mark.parametrize("sizes", [(10**9, 4, 1, 1), (-1, 4, 1, 1), (0, 1, 1, 1), (32, 3, 1, 1), (32, 5, 1, 1)])
def test_prospa_sizes_that_lie_are_damage(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    path = write_prospa(tmp_path, line_fids(np.ones(4), 10.0, 32))
    content = path.read_bytes()
    path.write_bytes(content[:16] + np.array(sizes, "<i4").tobytes() + content[32:])
    with pytest.raises(DamagedDataError):
        read_prospa(path)


def test_train_of_echoes_gives_its_t2(tmp_path: Path) -> None:
    times = ECHO_TIME * np.arange(1, 41)
    echo = np.exp(-(((np.arange(32) - 16) / 5) ** 2)) * np.exp(0.7j)
    echoes = np.exp(-times / 0.05)[:, np.newaxis] * echo
    series = read_prospa(
        write_prospa(tmp_path, echoes, f'experiment = "CPMG"\nnrEchoes = 40\nechoTime = {ECHO_TIME * 1e6}')
    )
    assert series.experiment == "T2"
    np.testing.assert_allclose(series.delays, times)
    assert float(fit_pseudo_2d(series).peaks[0].fit.time) == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("unit", [None, 1e-6, 1e-3, 1.0], ids=["no axis", "us", "ms", "s"])
def test_tops_of_echoes_give_their_t2(tmp_path: Path, unit: float | None) -> None:
    times = ECHO_TIME * np.arange(1, 41)
    axis = None if unit is None else times / unit
    words = f'experiment = "T2Bulk"\nnrEchoes = 40\nechoTime = {ECHO_TIME * 1e6}\n'
    path = write_prospa(tmp_path, np.exp(-times / 0.05 + 0.4j)[np.newaxis], words, "data.1d", axis)
    (tmp_path / "acqu.par").write_text((tmp_path / "acqu.par").read_text().replace("nrPnts = 40", "nrPnts = 128"))
    series = read_prospa(path)
    assert series.values.shape == (40, 1)
    assert ("FIDs", "40, the top of an echo each") in inspect_raw(path).rows
    result = fit_pseudo_2d(series)
    assert [peak.name for peak in result.peaks] == ["all signal"]
    assert float(result.peaks[0].fit.time) == pytest.approx(0.05, rel=1e-3)


def test_axis_of_time_belongs_to_a_fid(tmp_path: Path) -> None:
    fids = line_fids(np.ones(1), 10.0, 32)
    series = read_prospa(write_prospa(tmp_path, fids, name="data.1d", axis=np.arange(32) * DWELL * 1e6))
    np.testing.assert_allclose(series.values, fids, rtol=1e-5)


def test_axis_that_is_none_of_the_known_is_refused(tmp_path: Path) -> None:
    fids = line_fids(np.ones(1), 10.0, 32)
    with pytest.raises(UnsupportedDataError, match="neither the time of FIDs"):
        read_prospa(write_prospa(tmp_path, fids, name="data.1d", axis=np.linspace(0, 1, 32) ** 2))


def test_zero_shift_is_at_b1freq_and_the_receiver_in_the_middle_of_the_band(tmp_path: Path) -> None:
    """Line 40 Hz above the receiver, which is -113.5 + 500 Hz off zero shift."""
    series = read_prospa(write_prospa(tmp_path, line_fids(np.ones(1), 40.0, 256), SPINSOLVE, "data.1d"))
    assert series.nucleus == "1H"
    shifts = series.shifts
    assert shifts is not None
    peak = shifts[np.argmax(np.abs(series.spectra[0]))]
    assert peak * 80.4878494e6 == pytest.approx(386.5 + 40, abs=4)


def test_spectrum_of_the_console_lies_at_the_same_shifts(tmp_path: Path) -> None:
    fids = line_fids(np.ones(1), 40.0, 256)
    write_prospa(tmp_path, fids, SPINSOLVE, "data.1d")
    shifts = (-113.5 + np.arange(256) * 1000 / 256) / 80.4878494
    spectrum = np.fft.fftshift(np.fft.fft(fids, axis=1), axes=1)
    series = read_prospa(write_prospa(tmp_path, spectrum.conj(), SPINSOLVE, "spectrum.1d", shifts))
    fid = read_prospa(tmp_path / "data.1d")
    assert series.frequencies is not None
    np.testing.assert_allclose(series.shifts, fid.shifts, atol=1e-10)
    assert np.argmax(np.abs(series.spectra)) == np.argmax(np.abs(fid.spectra))
    assert read_prospa(tmp_path).source.name == "data.1d"  # as large, but what spectrum.1d is made of


def test_recovery_of_spinsolve_has_its_delays(tmp_path: Path) -> None:
    steps = 'experiment = "T1"\nnrSteps = 10\nminDelay = 1\nmaxDelay = 5000\ndelaySpacing = "lin"\n'
    series = read_prospa(write_prospa(tmp_path, line_fids(np.ones(10), 10.0, 32), steps))
    assert series.experiment == "inversion recovery"
    np.testing.assert_allclose(series.delays, np.linspace(1e-3, 5, 10))


def test_decay_of_spinsolve_steps_by_so_many_echoes(tmp_path: Path) -> None:
    steps = 'experiment = "T2"\nnrSteps = 4\ntecho = 500\nechoesperstep = 128\n'
    series = read_prospa(write_prospa(tmp_path, line_fids(np.ones(4), 10.0, 32), steps))
    np.testing.assert_allclose(series.delays, [0, 0.064, 0.128, 0.192])


def test_delays_beside_the_data_count(tmp_path: Path) -> None:
    path = write_prospa(tmp_path, line_fids(inversion_recovery(0.7), 10.0, 64), 'experiment = "T1"\n')
    (tmp_path / "delayTimes.txt").write_text("\n".join(f"{delay}".replace(".", ",") for delay in DELAYS))
    series = read_prospa(path)
    assert float(fit_pseudo_2d(series).peaks[0].fit.time) == pytest.approx(0.7, rel=1e-3)
    (tmp_path / "delayTimes.txt").write_text("0.1\n0.2")
    with pytest.raises(DamagedDataError, match="2 delays for 8 rows"):
        read_prospa(path)


def test_correlated_relaxation_is_not_taken_for_a_recovery(tmp_path: Path) -> None:
    words = 'experiment = "T1IRT2"\nnrSteps = 3\nminDelay = 1\nmaxDelay = 5\n'
    series = read_prospa(write_prospa(tmp_path, line_fids(np.ones(3), 10.0, 32), words))
    assert (series.experiment, series.delays) == ("unknown", None)
    assert any("what the 3 rows are" in line for line in series.missing)


def test_plot_gives_its_fids_and_not_its_spectrum(tmp_path: Path) -> None:
    fids = line_fids(np.array([1.0, 2.0]), 40.0, 64)
    write_prospa(tmp_path, fids)
    times, band = np.linspace(0, 64, 64), np.linspace(-0.5, 0.49, 64)
    path = write_prospa_plot(
        tmp_path / "data.pt1",
        [
            ("Frequency (kHz)", band, fids[0]),
            ("Time (ms)", times, fids[0].conj()),
            ("Time (ms)", times, fids[1].conj()),
        ],
    )
    assert is_prospa(path)
    np.testing.assert_allclose(read_prospa(path).values, fids, rtol=1e-6)


def test_plot_of_spectra_only_gives_these(tmp_path: Path) -> None:
    fids = line_fids(np.ones(1), 40.0, 64)
    write_prospa(tmp_path, fids)
    spectrum = np.fft.fftshift(np.fft.fft(fids[0]))
    band = np.fft.fftshift(np.fft.fftfreq(64, DWELL)) * 1e-3
    series = read_prospa(write_prospa_plot(tmp_path / "a.pt1", [("Frequency (kHz)", band, spectrum)]))
    np.testing.assert_allclose(series.offsets, band * 1e3, rtol=1e-6)
    assert any("the FIDs" in line for line in series.missing)


@pytest.mark.parametrize("start", [b"SORPD2LP", b"SORPD3LP", b"SORPD1LP"])
def test_plots_that_are_not_understood_name_the_data_file(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "a.pt2").write_bytes(start + bytes(2000))
    assert is_prospa(tmp_path / "a.pt2")
    with pytest.raises(UnsupportedDataError, match=r"data\.2d"):
        read_prospa(tmp_path / "a.pt2")


def test_cut_plot_is_damage(tmp_path: Path) -> None:
    fids = line_fids(np.ones(1), 40.0, 64)
    write_prospa(tmp_path, fids)
    path = write_prospa_plot(tmp_path / "a.pt1", [("Time (ms)", np.linspace(0, 64, 64), fids[0])])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedDataError, match="truncated"):
        read_prospa(path)


def test_real_files_read(raw_data: RawData) -> None:
    folder = raw_data("prospa")
    assert read_prospa(folder / "data.1d").values.shape == (1, 1024)
    series = read_prospa(folder / "data.2d")
    assert series.values.shape == (4, 1024)
    assert series.dwell_time == pytest.approx(20e-6)
    plot = read_prospa(folder / "data.pt1")
    np.testing.assert_allclose(plot.values, 4 * read_prospa(folder / "data.1d").values, rtol=1e-5)  # a sum of 4 scans


def test_spectrum_that_the_console_made_is_that_of_the_fid(raw_data: RawData, tmp_path: Path) -> None:
    """The plot holds the FID and, over a frequency axis, the spectrum of it that the operator saw."""
    from knightshift.reconstruction.readers._prospa_files import _TRACE, _trace

    path = raw_data("prospa") / "data.pt1"
    content = path.read_bytes()
    found = [_trace(path, content, match.start()) for match in _TRACE.finditer(content)]
    unit, axis, spectrum = [trace for trace in found if trace is not None][-1]
    assert unit == "kHz"
    series = read_prospa(path)
    ours = np.abs(np.fft.fftshift(np.fft.fft(series.values[0])))
    assert np.corrcoef(ours, np.abs(spectrum))[0, 1] > 0.998
    assert series.offsets[np.argmax(ours)] == pytest.approx(1e3 * axis[np.argmax(np.abs(spectrum))], abs=50)
