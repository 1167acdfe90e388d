"""TopSpin: byte orders, lists, stopped acquisitions, processed spectra, and the published relaxation times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError, InputError, UnsupportedDataError
from knightshift.reconstruction.pseudo_2d import Pseudo2DOptions, fit_pseudo_2d
from knightshift.reconstruction.readers.topspin import read_topspin

from .conftest import DELAYS, DWELL, TopSpin, inversion_recovery, line_fids, write_processed

RawData = Callable[[str], Path]


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("doubles", [False, True])
@pytest.mark.parametrize("n_samples", [100, 128, 200])
def test_rows_come_back_without_their_padding(tmp_path: Path, big_endian: bool, doubles: bool, n_samples: int) -> None:
    numbers = np.random.default_rng(3).integers(-(2**30), 2**30, size=(2, 3, n_samples))
    fids = numbers[0] + 1j * numbers[1]
    series = read_topspin(TopSpin(fids, big_endian, doubles).write(tmp_path))
    np.testing.assert_array_equal(series.values, fids)
    assert (series.nucleus, series.dwell_time, series.format) == ("23Na", DWELL, "TopSpin 3.2")


def test_line_above_the_receiver_has_a_higher_shift(tmp_path: Path) -> None:
    series = read_topspin(TopSpin(line_fids(np.full(2, 1e6), offset=150.0)).write(tmp_path))
    assert series.shifts is not None
    shift = series.shifts[np.abs(series.spectra[0]).argmax()]
    assert shift == pytest.approx((100 + 150) / 500e6, abs=2 / 500e6)


@pytest.mark.parametrize(
    ("name", "text", "delays"),
    [
        ("vdlist", "1\n0.5s\n20m\n300u\n", [1, 0.5, 0.02, 3e-4, 1]),
        ("vplist", "10\n20\n", [1e-5, 2e-5, 1e-5, 2e-5, 1e-5]),
        ("vplist", "0.01s\n20m\n", [0.01, 0.02, 0.01, 0.02, 0.01]),
    ],
)
def test_a_list_starts_again_at_its_end(tmp_path: Path, name: str, text: str, delays: list[float]) -> None:
    series = read_topspin(TopSpin(line_fids(np.full(5, 1e6), 0.0), lists={name: text}).write(tmp_path))
    assert series.delays is not None
    np.testing.assert_allclose(series.delays, delays, rtol=1e-12)


def test_of_several_lists_the_pulse_program_tells_which(tmp_path: Path) -> None:
    lists = {
        "vdlist": "1s\n2s\n",
        "vclist": "4\n8\n",
        "pulseprogram": "1 ze\n2 d1\nvc ; not vd\nlo to 2 times c\nivc\n",
    }
    series = read_topspin(TopSpin(line_fids(np.full(2, 1e6), 0.0), lists=lists, program="cpmg").write(tmp_path))
    assert series.delays is None
    assert series.counts is not None
    assert series.counts.tolist() == [4, 8]
    assert series.experiment == "T2"


@pytest.mark.parametrize(
    ("name", "text", "delays"),
    [
        ("vdlist", "# made by hand\n1 ; the longest\n20 m\n\n", [1, 0.02]),
        ("vplist", "10\n20u\n", [1e-5, 2e-5]),
        ("lists/vd/mine", "1s\n2s\n", [1, 2]),
    ],
    ids=["comments", "one without a unit", "folder of lists"],
)
def test_lists_are_read_as_the_console_does(tmp_path: Path, name: str, text: str, delays: list[float]) -> None:
    (tmp_path / "lists/vd").mkdir(parents=True)
    series = read_topspin(TopSpin(line_fids(np.full(2, 1e6), 0.0), lists={name: text}).write(tmp_path))
    assert series.delays is not None
    np.testing.assert_allclose(series.delays, delays, rtol=1e-12)


CPMG = """1 ze
2 d1
3 p1 ph1
4 d20
  {pulse} ph2
  d20
  lo to 4 times vc
go=2 ph31
d11 wr #0 if #0 ivc
lo to 3 times td1
exit
"""
TIMES = {"D": "(0..63)\n" + "0 1 " + "0 " * 18 + "0.001 " + "0 " * 43, "P": "(0..63)\n10 11 40 " + "0 " * 61}


@pytest.mark.parametrize(
    ("code", "loop"),
    [
        (CPMG.format(pulse="p2"), 2 * 1e-3 + 40e-6),
        (CPMG.format(pulse="(p2:sp1"), 2 * 1e-3 + 40e-6),
        ('"p2=p1*2"\n"DELTA=d20-p2/2"\n' + CPMG.format(pulse="p2").replace("d20", "DELTA"), 2 * (1e-3 - 11e-6) + 22e-6),
        (CPMG.format(pulse="p2").replace("d20\n  p2", "d20*2\n  p2"), 3 * 1e-3 + 40e-6),
        (CPMG.format(pulse="p2").replace("times vc", "times c"), 2 * 1e-3 + 40e-6),
        (CPMG.format(pulse="(p2 ph2):f1 (p4 ph3):f2"), None),
        (CPMG.format(pulse="p2 p16:gp1 something"), None),
        (CPMG.format(pulse="p2").replace("d20", "d99"), None),
        (CPMG.format(pulse="p2").replace("times vc", "times l4") + "vc\n", None),
    ],
)  # fmt: skip
def test_echo_times_are_loop_counts_times_what_one_loop_lasts(tmp_path: Path, code: str, loop: float | None) -> None:
    lists = {"vclist": "2\n4\n100\n", "pulseprogram": code.replace("sp1 ph2", "sp1 ph2)")}
    series = read_topspin(
        TopSpin(line_fids(np.full(3, 1e6), 0.0), lists=lists, program="cpmg", extra=TIMES).write(tmp_path)
    )
    assert series.counts is not None
    assert series.counts.tolist() == [2, 4, 100]
    if loop is None:
        assert series.delays is None
        assert any("duration of one loop" in line for line in series.missing)
        return
    np.testing.assert_allclose(series.delays, loop * np.array([2, 4, 100]), rtol=1e-12)
    assert any(f"{loop * 1e3:.6g} ms of one loop" in line for line in series.methods)


@pytest.mark.parametrize(
    ("code", "factor"),
    [
        ("1 ze\n2 d1\n p1 ph1\n vd\n p2 ph2\n vd\n go=2\n wr #0 ivd\nexit\n", 2.0),
        ("define list<delay> vd=<$VDLIST>\n2 d1\n vd*0.5\n p2 ph2\n vd*0.5\n go=2\n vd.inc\nexit\n", 1.0),
        ("2 d1\n vd\n go=2\n ivd\nexit\n", 1.0),
        ('"DELTA=vd/2"\n2 d1\n DELTA\n p2\n DELTA\n ivd\n', None),
        (None, None),
    ],
)
def test_echo_time_is_as_many_delays_as_are_played(tmp_path: Path, code: str | None, factor: float | None) -> None:
    lists = {"vdlist": "1m\n2m\n"} | ({} if code is None else {"pulseprogram": code})
    series = read_topspin(TopSpin(line_fids(np.full(2, 1e6), 0.0), lists=lists, program="hahn_t2").write(tmp_path))
    assert series.experiment == "T2"
    np.testing.assert_allclose(series.delays, np.array([1e-3, 2e-3]) * (factor or 1.0))
    assert any("plays vd before the echo" in line for line in series.missing) == (factor is None)


def test_loops_of_a_mixing_are_not_taken_for_echoes(tmp_path: Path) -> None:
    code = "1 ze\n3 p1 ph1\n4 p6*3.5 ph2\n  p6*4.5 ph3\n  lo to 4 times c\ngo=3\nivc\nexit\n"
    lists = {"vclist": "3\n6\n", "pulseprogram": code}
    series = read_topspin(
        TopSpin(line_fids(np.full(2, 1e6), 0.0), lists=lists, program="seldigpzs", extra=TIMES).write(tmp_path)
    )
    assert series.experiment == "unknown"


def test_a_loop_time_that_is_given_goes_before_the_formula(tmp_path: Path) -> None:
    lists = {"vclist": "1\n2\n4\n8\n16\n", "pulseprogram": CPMG.format(pulse="p2")}
    decay = 1e6 * np.exp(-3e-3 * np.array([1, 2, 4, 8, 16]) / 0.02)
    series = read_topspin(TopSpin(line_fids(decay, 0.0), lists=lists, program="cpmg", extra=TIMES).write(tmp_path))
    fit = fit_pseudo_2d(series, Pseudo2DOptions(loop_time=3e-3, offset="none"))
    assert float(fit.peaks[0].fit.time) == pytest.approx(0.02, rel=1e-3)


@pytest.mark.parametrize(
    ("lists", "program"),
    [
        ({"difflist": "2\n95\n"}, "ledbpgp2s"),
        ({"difflist": "2\n95\n", "vdlist": "1s\n", "pulseprogram": "list<gradient> diff=<Difflist>\n"}, "x"),
        ({"vdlist": "1s\n2s\n"}, "dstebpgp3s"),
        ({"vdlist": "1s\n2s\n", "fq1list": "100\n200\n", "pulseprogram": "fq1:f2\nd1\n"}, "stddiffesgp"),
    ],
    ids=["gradients", "gradients and a leftover", "name", "frequencies"],
)  # fmt: skip
def test_steps_of_gradients_and_frequencies_are_no_delays(tmp_path: Path, lists: dict[str, str], program: str) -> None:
    series = read_topspin(TopSpin(line_fids(np.full(2, 1e6), 0.0), lists=lists, program=program).write(tmp_path))
    assert (series.delays, series.experiment) == (None, "unknown")
    assert any("no delays" in line for line in series.missing)


def test_rows_that_were_never_acquired_are_left_out_and_named(tmp_path: Path) -> None:
    fids = line_fids(np.array([1e6, 2e6, 0, 0]), 0.0)
    series = read_topspin(TopSpin(fids).write(tmp_path))
    assert series.n_steps == 2
    assert any("rows 3 to 4" in line for line in series.missing)


def test_room_that_the_console_made_for_more_rows_is_passed_over(tmp_path: Path) -> None:
    fids = np.rint(line_fids(np.array([1e6, 2e6, 3e6]), 0.0))
    folder = TopSpin(fids, lists={"vdlist": "1\n2\n3\n"}).write(tmp_path)
    rows = (folder / "ser").read_bytes()
    (folder / "ser").write_bytes(rows + b"\0" * 5 * (len(rows) // 3))
    series = read_topspin(folder)
    np.testing.assert_array_equal(series.values, fids)
    assert series.missing == ()
    (folder / "ser").write_bytes(rows + rows)
    with pytest.raises(DamagedDataError, match="larger than its headers say"):
        read_topspin(folder)


def test_a_file_cut_within_a_row_is_refused(tmp_path: Path) -> None:
    folder = TopSpin(line_fids(np.full(4, 1e6), 0.0)).write(tmp_path)
    (folder / "ser").write_bytes((folder / "ser").read_bytes()[:-100])
    with pytest.raises(DamagedDataError, match="no whole number of rows") as caught:
        read_topspin(folder)
    assert caught.value.path == folder / "ser"


@pytest.mark.parametrize("td", ["200000000", "0", "-4", "7", "nan", "1e300"])
def test_sizes_that_lie_name_the_field(tmp_path: Path, td: str) -> None:
    folder = TopSpin(line_fids(np.full(2, 1e6), 0.0), extra={"TD": td}).write(tmp_path)
    with pytest.raises(DamagedDataError):
        read_topspin(folder)


def test_an_endless_string_in_a_parameter_file_ends(tmp_path: Path) -> None:
    folder = TopSpin(line_fids(np.full(2, 1e6), 0.0)).write(tmp_path)
    (folder / "acqus").write_text("##TITLE= x\n##$PULPROG= <never closed\n")
    with pytest.raises(DamagedDataError):
        read_topspin(folder)


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Parameter file, TOPSPIN\t\tVersion 1.3", "TopSpin 1.3"),
        ("Parameter file, TopSpin 3.5 pl 7", "TopSpin 3.5 pl 7"),
        ("Parameter file, TopSpin 3.5.b.52 pl 3 ", "TopSpin 3.5.b.52 pl 3"),
        ("Parameter file, TopSpin 4.1.4", "TopSpin 4.1.4"),
        ("Parameter file, XWIN-NMR\t\tVersion 2.6", "XWIN-NMR 2.6"),
        ("x", "TopSpin"),
    ],
)
def test_the_program_of_the_console_is_named_in_full(tmp_path: Path, title: str, shown: str) -> None:
    folder = TopSpin(line_fids(np.full(2, 1e6), 0.0)).write(tmp_path)
    lines = (folder / "acqus").read_text().split("\n")
    (folder / "acqus").write_text("\n".join([f"##TITLE= {title}", *lines[1:]]))
    assert read_topspin(folder).format == shown


@pytest.mark.parametrize(
    ("files", "zero", "words"),
    [
        ({"1": "##$SF= 499.99995"}, 499.99995e6, "SR -50.00 Hz"),
        ({"2": "##$SF= 500.00002", "10": "##$SF= 500.1"}, 500.00002e6, "pdata/2/procs"),
        ({"1": "##$SF= 500"}, 500e6, ""),
        ({"1": "##$SF= 125.7"}, 500e6, "of another nucleus"),
        ({"1": "##$SF= nan"}, 500e6, "cannot be read"),
        ({"1": "##$SI= 32"}, 500e6, ""),
    ],
)
def test_shifts_count_from_where_the_operator_set_them(
    tmp_path: Path, files: dict[str, str], zero: float, words: str
) -> None:
    folder = TopSpin(line_fids(np.full(2, 1e6), offset=150.0)).write(tmp_path)
    for number, line in files.items():
        (folder / "pdata" / number).mkdir(parents=True)
        (folder / "pdata" / number / "procs").write_text(f"##TITLE= x\n##JCAMPDX= 5.0\n##DATATYPE= x\n{line}\n##END=\n")
    series = read_topspin(folder)
    assert series.reference_frequency == zero
    assert series.shifts is not None
    line_at = series.shifts[np.abs(series.spectra[0]).argmax()]
    assert line_at == pytest.approx((500.0001e6 + 150 - zero) / zero, abs=2 / 500e6)
    assert sum("Shifts" in line for line in series.methods) == (words != "")
    assert any(words in line for line in series.methods)


@pytest.mark.parametrize(
    ("mode", "code", "is_2d"),
    [
        (6, None, True),
        (4, "1 ze\n2 d1\n p1\n d0\n go=2\n d1 mc #0 to 2 F1PH(calph(ph1, +90), caldel(d0, +in0))\n", True),
        (1, "1 ze\n2 d1\n p1\n d0\n go=2 ph31\n d1 wr #0 if #0 id0 zd\n", True),
        (1, "1 ze\n2 d1\n go=2\n wr #0 if #0\n lo to 1 times td1 ; id0\n", False),
        (0, None, False),
    ],
)
def test_rows_of_a_two_dimensional_spectrum_are_called_so(
    tmp_path: Path, mode: int, code: str | None, is_2d: bool
) -> None:
    lists = {"fq1list": "O 100\n0\n"} | ({} if code is None else {"pulseprogram": code})
    folder = TopSpin(line_fids(np.full(2, 1e6), 0.0), lists=lists, program="cosy").write(tmp_path)
    indirect = (folder / "acqu2s").read_text().replace("##$TD=", f"##$FnMODE= {mode}\n##$TD=")
    (folder / "acqu2s").write_text(indirect)
    if code is None:
        (folder / "fq1list").unlink()
    series = read_topspin(folder)
    assert series.delays is None
    assert any("t1 of a two-dimensional spectrum (cosy)" in line for line in series.missing) == is_2d


def test_three_dimensions_are_refused(tmp_path: Path) -> None:
    folder = TopSpin(line_fids(np.full(2, 1e6), 0.0)).write(tmp_path)
    (folder / "acqu3s").write_text("##TITLE= x\n##END=\n")
    with pytest.raises(UnsupportedDataError, match="three or more"):
        read_topspin(folder)


def test_a_leftover_third_dimension_of_a_two_dimensional_experiment_is_ignored(tmp_path: Path) -> None:
    fids = np.rint(line_fids(np.array([1e6, 2e6]), 0.0))
    folder = TopSpin(fids, extra={"PARMODE": "1"}).write(tmp_path)
    (folder / "acqu3s").write_text("##TITLE= x\n##END=\n")
    np.testing.assert_allclose(read_topspin(folder).values, fids, atol=1)


def test_group_delay_of_the_digital_filter_is_removed(tmp_path: Path) -> None:
    delay = 20
    late = np.zeros((1, 256), complex)
    late[:, delay:] = line_fids(np.array([1e7]), 0.0, 256 - delay)
    extra = {"DIGMOD": "1", "DSPFVS": "20", "GRPDLY": str(delay)}
    series = read_topspin(TopSpin(late, extra=extra).write(tmp_path))
    np.testing.assert_allclose(series.values[0, :100], late[0, delay : delay + 100], atol=2e-2 * 1e7)
    assert np.abs(series.values[0, 0]) > 0.97e7


@pytest.mark.parametrize("blocks", [(4, 32), (2, 16), (1, 8)])
def test_processed_blocks_are_put_in_order(tmp_path: Path, blocks: tuple[int, int]) -> None:
    spectra = np.arange(4 * 32).reshape(4, 32).astype(float)
    folder = TopSpin(line_fids(np.full(4, 1e6), 0.0), lists={"vdlist": "1\n2\n3\n4\n"}).write(tmp_path)
    series = read_topspin(write_processed(folder, spectra, blocks))
    np.testing.assert_array_equal(series.values.real, spectra[:, ::-1])
    assert series.shifts is not None
    np.testing.assert_allclose(series.shifts[-1], 10e-6, rtol=1e-9)
    np.testing.assert_allclose(np.diff(series.shifts), 0.01e-6, rtol=1e-6)


@pytest.mark.parametrize("imaginary", [True, False])
def test_the_processed_spectrum_of_one_fid_lies_on_the_axis_of_the_console(tmp_path: Path, imaginary: bool) -> None:
    """Real spectra show that falling in shift the console stores ``1r`` - i ``1i`` of a FID exp(+2 pi i f t)."""
    folder = TopSpin(line_fids(np.full(1, 1e6), 0.0)).write(tmp_path)
    (folder / "ser").rename(folder / "fid")
    fid = line_fids(np.array([1e6]), offset=150.0)[0]
    rising = np.fft.fftshift(np.fft.fft(fid))
    falling = np.roll(rising[::-1], 1)  # from + half the width down: 500 Hz, with 100 Hz at the receiver
    processed = folder / "pdata/1"
    processed.mkdir(parents=True)
    falling.real.round().astype("<i4").tofile(processed / "1r")
    if imaginary:
        (-falling.imag).round().astype("<i4").tofile(processed / "1i")
    values = {"SI": "256", "XDIM": "64", "SF": "500", "SW_p": "1000", "OFFSET": str(600 / 500), "BYTORDP": "0"}
    lines = "\n".join(f"##${name}= {value}" for name, value in values.items())
    (processed / "procs").write_text(f"##TITLE= x\n##JCAMPDX= 5.0\n##DATATYPE= x\n{lines}\n##END=\n")
    series = read_topspin(processed)
    assert (series.source, series.n_steps, series.missing[-1][:12]) == (processed / "1r", 1, "the raw file")
    assert series.shifts is not None
    assert series.shifts[series.values[0].real.argmax()] == pytest.approx(250 / 500e6, abs=2 / 500e6)
    assert np.all(np.diff(series.shifts) > 0)
    if imaginary:
        np.testing.assert_allclose(series.values[0], np.roll(rising, -1), atol=1)
    assert read_topspin(folder).source == folder / "fid"
    (folder / "fid").unlink()
    assert read_topspin(folder).source == processed / "1r"


def test_t1_of_a_known_recovery_comes_back(tmp_path: Path) -> None:
    fids = line_fids(inversion_recovery(0.7), 60.0) * np.exp(1.1j)
    lists = {"vdlist": "\n".join(f"{delay}s" for delay in DELAYS)}
    result = fit_pseudo_2d(read_topspin(TopSpin(fids, lists=lists).write(tmp_path)))
    assert result.quantity == "T1"
    assert [float(peak.fit.time) for peak in result.peaks] == pytest.approx([0.7], rel=1e-4)


def test_menthol_t1_agrees_with_the_published_value(raw_data: RawData) -> None:
    result = fit_pseudo_2d(read_topspin(raw_data("topspin_invrec") / "1"))
    strongest = max(result.peaks, key=lambda peak: float(peak.fit.amplitude))
    assert float(strongest.fit.time) == pytest.approx(0.94, abs=0.01)


def test_t1rho_agrees_with_the_published_value(raw_data: RawData) -> None:
    result = fit_pseudo_2d(read_topspin(raw_data("topspin_t1rho") / "189"))
    (peak,) = result.peaks
    assert result.quantity == "T1rho"
    assert float(peak.fit.time) == pytest.approx(72.5e-3, abs=1e-3)


def test_cpmg_rate_agrees_with_the_published_value(raw_data: RawData) -> None:
    series = read_topspin(raw_data("topspin_cpmg") / "1")
    with pytest.raises(InputError, match=r"4 ms per loop.*--loop-time"):
        fit_pseudo_2d(series)
    options = Pseudo2DOptions(loop_time=4e-3, regions=((0.8e-6, 0.9e-6),))
    (peak,) = fit_pseudo_2d(series, options).peaks
    assert float(peak.fit.rate) == pytest.approx(0.844, abs=0.016)
    assert float(peak.fit.rate_std) == pytest.approx(0.016, abs=0.003)


def test_big_endian_nitrogen_experiment_reads(raw_data: RawData) -> None:
    series = read_topspin(raw_data("topspin_15n_bigendian"))
    assert series.values.shape[0] == 4
    assert series.nucleus == "15N"
    assert series.working_frequency == pytest.approx(14.83141327e6)
