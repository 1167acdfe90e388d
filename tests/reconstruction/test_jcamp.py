"""Values of ParaVision parameter files, good and hostile."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.core.errors import DamagedDataError
from knightshift.reconstruction.readers.jcamp import MAX_VALUES, flat_values, read_parameters


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("3", ["3"]),
        ("( 3 )\n0 2 1", ["0", "2", "1"]),
        ("( 65 )\n<PV 6.0.1>", ["PV 6.0.1"]),
        ("( 2, 3 )\n@3*(0.5) @3*(0.51)", ["0.5"] * 3 + ["0.51"] * 3),
        ("( 4 )\n1 @2*(7 8) 9", ["1", "7", "8", "7", "8", "9"]),
        ("( 1 )\n(192, 3, <job0>)", ["192", "3", "job0"]),
        ("( 2 )\n(<a b>, 1) (<c, (d>, 2)", ["a b", "1", "c, (d", "2"]),
        ("(<BRUKER>, Yes, (1 2))", ["BRUKER", "Yes", "1", "2"]),
        ("@0*(5)", []),
        ("( 2048 )\n<\\\n>", ["\\\n"]),
    ],
)
def test_values_are_flattened(raw: str, expected: list[str]) -> None:
    assert flat_values(raw) == expected


@pytest.mark.parametrize("raw", ["(1", "1)", "<open", "@3*(1", "( 2 )\n(1, 2))"])
def test_unbalanced_values_are_refused(raw: str) -> None:
    with pytest.raises(ValueError, match=r"bracket|cannot be read"):
        flat_values(raw)


@pytest.mark.parametrize(
    "raw", [f"@{MAX_VALUES + 1}*(1)", "@999999999*(1 2)", "@99999999999999*(1)", "@3000*(@3000*(@3000*(1)))"]
)
def test_run_length_bombs_are_refused_at_once(raw: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ValueError, match="claims a run"):
        flat_values(raw)
    assert time.perf_counter() - start < 1


@given(st.text(alphabet="()<>@*,0123456789 \n\\ab.-", max_size=60))
def test_any_text_is_read_or_refused(raw: str) -> None:
    try:
        values = flat_values(raw)
    except ValueError:
        return
    assert len(values) <= MAX_VALUES


@given(numbers=st.lists(st.integers(-1000, 1000), max_size=20))
def test_plain_arrays_come_back(numbers: list[int]) -> None:
    assert flat_values(f"( {len(numbers)} )\n{' '.join(map(str, numbers))}") == [str(number) for number in numbers]


def parameter_file(folder: Path, body: str) -> Path:
    path = folder / "acqp"
    path.write_text(f"##TITLE=Parameter List\n##DATATYPE=Parameter Values\n{body}\n##END=\n")
    return path


def test_parameters_are_found_with_their_underscores(tmp_path: Path) -> None:
    file = read_parameters(parameter_file(tmp_path, "##$ACQ_size=( 2 )\n256 128\n$$ comment\n##$BYTORDA=little"))
    assert file.integers("ACQ_size").tolist() == [256, 128]
    assert file.text("BYTORDA") == "little"
    assert file.shape("ACQ_size") == (2,)
    assert "ACQ_size" in file
    assert "NI" not in file


@pytest.mark.parametrize(
    ("body", "problem"),
    [("##$NI=nan", "not finite"), ("##$NI=1e99", "count"), ("##$NI=-3", "count"), ("##$NI=2.5", "count"),
     ("##$NI=many", "not numbers"), ("##$NR=1", "missing")],
)  # fmt: skip
def test_a_count_that_lies_names_file_and_field(tmp_path: Path, body: str, problem: str) -> None:
    file = read_parameters(parameter_file(tmp_path, body))
    with pytest.raises(DamagedDataError, match=problem) as caught:
        file.count("NI")
    assert caught.value.field == "NI"
    assert caught.value.path == tmp_path / "acqp"


@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 100, b"hello", b"##TITLE=x\n##XYDATA=(X++(Y..Y))\n1 2\n##END="])
def test_what_is_no_parameter_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "acqp").write_bytes(content)
    with pytest.raises(DamagedDataError):
        read_parameters(tmp_path / "acqp")


def test_a_folder_or_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "loop", tmp_path / "none", tmp_path):
        with pytest.raises(DamagedDataError):
            read_parameters(path)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("( 2 )\n@2*((20, <job0>))", [["20", "job0"], ["20", "job0"]]),
        ("( 3 )\n(1, 2) @2*((3, @2*(4)))", [["1", "2"], ["3", "4", "4"], ["3", "4", "4"]]),
        ("(<BRUKER>, (1 2))", [["BRUKER", "1", "2"]]),
    ],
)
def test_structs_are_kept_apart_and_runs_of_them_expanded(tmp_path: Path, raw: str, expected: list[list[str]]) -> None:
    (tmp_path / "acqp").write_text(f"##TITLE=Parameter List\n##$ACQ_jobs={raw}\n##END=\n")
    assert read_parameters(tmp_path / "acqp").structs("ACQ_jobs") == expected


def test_a_run_of_structs_that_claims_too_much_is_damage(tmp_path: Path) -> None:
    (tmp_path / "acqp").write_text("##TITLE=x\n##$ACQ_jobs=( 2 )\n@9999999*((1, @999*(2)))\n##END=\n")
    with pytest.raises(DamagedDataError, match="claims a run"):
        read_parameters(tmp_path / "acqp").structs("ACQ_jobs")
