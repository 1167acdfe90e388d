"""Agilent and Varian spectra: what an array steps, stopped arrays, and whether the reference is believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knightshift.core.errors import UnsupportedDataError
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.readers.agilent import read_agilent

from .conftest import Agilent, labelled, set_scans

RawData = Callable[[str], Path]

SPECTRA: dict[str, list[str | float]] = {"sw": [5000], "sfrq": [105.84], "tn": ["Na23"]}


@pytest.mark.parametrize(
    ("more", "experiment", "delays"),
    [
        ({"seqfil": ["T1meas"], "array": ["d2"], "d2": [1, 2, 3, 4]}, "inversion recovery", [1, 2, 3, 4]),
        ({"seqfil": ["T1Rmeas"], "array": ["d2"], "d2": [0.1, 0.2, 0.3, 0.4]}, "T1rho", [0.1, 0.2, 0.3, 0.4]),
        ({"seqfil": ["gNOESY"], "array": ["d2"], "d2": [1, 2, 3, 4]}, "unknown", [1, 2, 3, 4]),
        ({"seqfil": ["CPMGT2"], "array": ["bigtau"], "bigtau": [4e-3, 9e-3, 13e-3, 40e-3], "tau": [1e-3]}, "T2",
         [4e-3, 8e-3, 12e-3, 40e-3]),
        ({"seqfil": ["CPMGT2"], "array": ["tau"], "tau": [1, 2, 3, 4]}, "unknown", None),
    ],
    ids=["recovery", "spin lock", "not known", "echo trains", "spacing"],
)  # fmt: skip
def test_what_spectra_step_is_told_by_their_sequence(
    tmp_path: Path, more: dict[str, list[str | float]], experiment: str, delays: list[float] | None
) -> None:
    """Trains hold an even number of echoes, so 9 ms of echoes 2 ms apart were 8 ms."""
    series = read_agilent(Agilent(labelled(4, 1, 16), SPECTRA | more).write(tmp_path))
    assert isinstance(series, FidSeries)
    assert series.experiment == experiment
    if delays is None:
        assert series.delays is None
    else:
        np.testing.assert_allclose(series.delays, delays)


def test_stopped_array_of_spectra_gives_those_acquired(tmp_path: Path) -> None:
    parameters = SPECTRA | {"seqfil": ["s2pul"], "array": ["d2"], "d2": [0.1, 0.2, 0.4, 0.8]}
    folder = Agilent(labelled(4, 1, 16), parameters).write(tmp_path)
    set_scans(folder, [8, 8, 8, 0])
    series = read_agilent(folder)
    assert isinstance(series, FidSeries)
    np.testing.assert_allclose(series.delays, [0.1, 0.2, 0.4])
    assert any("blocks 4 to 4" in line for line in series.missing)


def test_spectra_of_a_second_dimension_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedDataError, match="second dimension"):
        read_agilent(Agilent(labelled(4, 1, 16), SPECTRA | {"seqfil": ["gCOSY"], "ni": [4]}).write(tmp_path))


def test_arrayed_spectra_have_their_delays(tmp_path: Path) -> None:
    traces = labelled(4, 1, 16)
    parameters: dict[str, list[str | float]] = {
        "seqfil": ["s2pul"], "array": ["d2"], "d2": [0.1, 0.2, 0.4, 0.8], "sw": [5000],
        "sfrq": [105.84], "tn": ["Na23"],
    }  # fmt: skip
    series = read_agilent(Agilent(traces, parameters).write(tmp_path))
    assert isinstance(series, FidSeries)
    np.testing.assert_array_equal(series.values, traces[:, 0])
    assert series.delays is not None
    assert series.delays.tolist() == [0.1, 0.2, 0.4, 0.8]
    assert series.experiment == "inversion recovery"


def test_proton_spectrum_reads(raw_data: RawData) -> None:
    series = read_agilent(raw_data("varian_proton") / "PROTON_01.fid")
    assert isinstance(series, FidSeries)
    assert series.values.shape == (1, 2048)
    assert series.nucleus == "1H"
    assert series.shifts is None  # its console shows this proton at -784 to -4199 ppm: a transmitter set by hand
    assert any("-2492 ppm, where no 1H resonates" in line for line in series.missing)


@pytest.mark.parametrize(
    ("nucleus", "shift", "believed"),
    [
        ("H1", 4.7e-6, True),
        ("H1", -2.5e-3, False),
        ("Na23", 1.126e-3, True),
        ("Pt195", -3e-2, True),
        ("C13", 0.2, False),
    ],
)
def test_reference_is_believed_where_lines_of_the_nucleus_can_be(
    tmp_path: Path, nucleus: str, shift: float, believed: bool
) -> None:
    parameters = {"seqfil": ["s2pul"], "np": [16], "sw": [1e4], "tn": [nucleus], "reffrq": [100.0]}
    parameters |= {"sfrq": [100.0 * (1 + shift)], "array": [""], "arraydim": [1], "ni": [0]}
    series = read_agilent(Agilent(labelled(1, 1, 8), parameters).write(tmp_path))
    assert isinstance(series, FidSeries)
    assert (series.shifts is not None) is believed
    assert bool(series.missing) is not believed
    if series.shifts is not None:
        np.testing.assert_allclose(series.shifts[4], shift, rtol=1e-9)  # the middle of the spectrum is the transmitter
