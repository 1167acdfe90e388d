"""Tecmag: shapes, delays, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError
from knightshift.reconstruction.readers.tecmag import read_tecmag

from .conftest import DELAYS, DWELL, line_fids, write_tecmag

RawData = Callable[[str], Path]


def test_tecmag_fids_come_back_with_the_table_that_is_as_long(tmp_path: Path) -> None:
    fids = line_fids(np.array(DELAYS), 10.0, 32)
    tables = {"ph0": "0 1 2 3 0 1 2 3", "de3:2": "1m 2m", "de6:2": "10m 100m 250m 500m 1 2 4 8"}
    series = read_tecmag(write_tecmag(tmp_path / "a.tnt", fids, tables))
    np.testing.assert_allclose(series.values, fids, rtol=1e-6)
    assert series.delays is not None
    np.testing.assert_allclose(series.delays, DELAYS)
    assert (series.nucleus, series.dwell_time) == ("23Na", DWELL)


def test_tecmag_with_two_tables_of_that_length_does_not_guess(tmp_path: Path) -> None:
    tables = {"de3:2": "1m 2m", "de6:2": "10m 100m"}
    series = read_tecmag(write_tecmag(tmp_path / "a.tnt", line_fids(np.ones(2), 10.0, 32), tables))
    assert series.delays is None
    assert any("table of delays" in line for line in series.missing)


@pytest.mark.parametrize(
    ("name", "experiment"), [("te:2", "T2"), ("TE_list", "T2"), ("ti1", "inversion recovery"), ("tau", "unknown")]
)
def test_tecmag_table_may_be_named_by_what_it_steps(tmp_path: Path, name: str, experiment: str) -> None:
    tables = {name: "1m 2m 4m", "temp": "1 2 3", "ph1": "0 1 2"}
    series = read_tecmag(write_tecmag(tmp_path / "a.tnt", line_fids(np.ones(3), 10.0, 32), tables))
    assert series.delays is not None
    np.testing.assert_allclose(series.delays, [1e-3, 2e-3, 4e-3])
    assert series.experiment == experiment
    assert series.parameters["table of delays"] == name


def test_tecmag_arrays_of_two_steps_are_rows_the_first_fastest(tmp_path: Path) -> None:
    fids = line_fids(np.arange(1.0, 7.0), 10.0, 32)
    path = write_tecmag(tmp_path / "a.tnt", fids, {"de1:2": "1m 2m 3m", "de2:3": "1m 2m"})
    content = bytearray(path.read_bytes())
    content[20 : 20 + 32] = np.array([32, 3, 2, 1] * 2, "<i4").tobytes()  # npts, actual_npts
    path.write_bytes(bytes(content))
    series = read_tecmag(path)
    np.testing.assert_allclose(series.values, fids, rtol=1e-6)
    assert series.delays is None
    assert series.parameters["FIDs"] == "3 x 2"
    assert any("--delays" in line for line in series.missing)


def test_tecmag_stopped_acquisition_says_what_is_not_there(tmp_path: Path) -> None:
    path = write_tecmag(tmp_path / "a.tnt", line_fids(np.ones(3), 10.0, 32))
    content = bytearray(path.read_bytes())
    content[20 : 20 + 16] = np.array([32, 8, 1, 1], "<i4").tobytes()  # npts
    path.write_bytes(bytes(content))
    assert any("FIDs 4 to 8" in line for line in read_tecmag(path).missing)


@pytest.mark.parametrize("points", [(10**9, 3, 1, 1), (-32, 2, 1, 1), (0, 0, 0, 0), (2**31 - 1, 2**31 - 1, 4, 4)])
def test_tecmag_points_that_lie_are_damage(tmp_path: Path, points: tuple[int, ...]) -> None:
    path = write_tecmag(tmp_path / "a.tnt", line_fids(np.ones(2), 10.0, 32))
    content = bytearray(path.read_bytes())
    content[20 + 16 : 20 + 32] = np.array(points, "<i4").tobytes()  # actual_npts
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedDataError):
        read_tecmag(path)


@pytest.mark.parametrize(("name", "shape"), [("1D.tnt", (1024, 3)), ("T1.tnt", (1024, 5))])
def test_tecmag_files_have_the_published_shapes(raw_data: RawData, name: str, shape: tuple[int, int]) -> None:
    series = read_tecmag(raw_data("tecmag") / name)
    assert series.values.T.shape == shape
    assert series.nucleus == "1H"
    if name == "T1.tnt":
        assert series.delays is not None
        np.testing.assert_allclose(series.delays, [0.01, 0.09, 0.17, 0.25, 0.33])
