"""Mutated, truncated and lying files of every format: read, or refused with a typed error, within a second.

``KNIGHTSHIFT_FUZZ_EXAMPLES`` sets how many inputs are tried for each format.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from knightshift.core.errors import DamagedDataError, InputError, KnightshiftError
from knightshift.reconstruction.readers import read_raw

from .conftest import Writer
from .test_mrd import acquisitions, write

FORMATS = (
    *("topspin", "topspin processed", "agilent", "tecmag", "prospa", "prospa plot", "npy", "mat", "mat 7.3", "mrd"),
    *("nifti", "fdf"),
)
EXAMPLES = int(os.environ.get("KNIGHTSHIFT_FUZZ_EXAMPLES", "60"))
SECONDS = 1.5
NUMBERS = (
    b"0",
    b"-1",
    b"1e12",
    b"999999999999",
    b"nan",
    b"inf",
    b"-inf",
    b"1e-300",
    b"",
    b"<",
    b"(",
    b"@9999999*(1)",
    b"\xff",
)


@pytest.fixture(scope="session")
def originals(
    valid_raw_data: dict[str, Writer], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, Path]]:
    """Folder and path to read of one valid data set of every format."""
    found = {}
    for name in FORMATS:
        folder = tmp_path_factory.mktemp(name.replace(" ", "_"))
        found[name] = (
            folder,
            (valid_raw_data[name](folder) if name != "mrd" else write(folder / "a.h5", acquisitions())),
        )
    return found


Mutation = Callable[[bytes], bytes]


@st.composite
def mutations(draw: st.DrawFn) -> Mutation:
    """One way to spoil the content of a file; positions are fractions of its length."""
    place = draw(st.floats(0, 1, allow_nan=False))
    kind = draw(st.sampled_from(("cut", "bytes", "integer", "number", "insert", "remove", "repeat", "empty")))
    junk = draw(st.binary(min_size=1, max_size=8))
    size = draw(st.sampled_from((0, -1, 1, 2**31 - 1, -(2**31), 10**9, 65535)))
    order = draw(st.sampled_from(("<i4", ">i4", "<f8")))
    text = draw(st.sampled_from(NUMBERS))

    def mutate(content: bytes) -> bytes:
        at = int(place * len(content))
        if kind == "cut":
            return content[:at]
        if kind == "empty":
            return b""
        if kind == "integer":
            word = np.array([size]).astype(order).tobytes()
            at -= at % 4
            return content[:at] + word + content[at + len(word) :]
        if kind == "number":
            return _with_number(content, at, text)
        changed = {
            "bytes": junk + content[at + len(junk) :],
            "insert": junk + content[at:],
            "remove": content[at + len(junk) :],
        }
        return content[:at] + changed.get(kind, content[at // 2 :])

    return mutate


def _with_number(content: bytes, at: int, text: bytes) -> bytes:
    """Replace the next run of digits."""
    start = at
    while start < len(content) and not content[start : start + 1].isdigit():
        start += 1
    end = start
    while end < len(content) and content[end : end + 1] in b"0123456789.":
        end += 1
    return content[:start] + text + content[end:]


def read_or_refuse(path: Path) -> Any:
    """Read; a typed error is as good. Anything else, or a second and a half, is a failure."""
    started = time.process_time()  # of this process alone: the machine may be busy
    try:
        return read_raw(path)
    except KnightshiftError:
        return None
    finally:
        assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("name", FORMATS)
def test_the_untouched_original_reads(originals: dict[str, tuple[Path, Path]], name: str) -> None:
    assert read_or_refuse(originals[name][1]) is not None


@pytest.mark.parametrize("name", FORMATS)
def test_spoiled_files_are_read_or_refused(originals: dict[str, tuple[Path, Path]], name: str, tmp_path: Path) -> None:
    folder, target = originals[name]
    files = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )  # fmt: skip
    @given(st.lists(st.tuples(st.sampled_from(files), mutations()), min_size=1, max_size=3))
    def spoil(changes: list[tuple[Path, Mutation]]) -> None:
        touched = {file for file, _ in changes}
        try:
            for file, mutate in changes:
                (copy / file).write_bytes(mutate((copy / file).read_bytes()))
            read_or_refuse(copy / target.relative_to(folder))
        finally:
            for file in touched:
                (copy / file).write_bytes((folder / file).read_bytes())

    spoil()


@pytest.mark.parametrize("name", FORMATS)
def test_missing_files_and_loops_of_links_are_refused(
    originals: dict[str, tuple[Path, Path]], name: str, tmp_path: Path
) -> None:
    folder, target = originals[name]
    for file in sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file()):
        for number, replace in enumerate((None, "loop", "folder", "pipe")):
            copy = tmp_path / f"{file.name}{number}"
            shutil.copytree(folder, copy)
            (copy / file).unlink()
            if replace == "loop":
                (copy / file).symlink_to(copy / file)
            elif replace == "folder":
                (copy / file).mkdir()
            elif replace == "pipe":
                os.mkfifo(copy / file)
            read_or_refuse(copy / target.relative_to(folder))


@given(
    content=st.binary(max_size=200),
    name=st.sampled_from(("acqus", "fid", "a.tnt", "data.1d", "a.h5", "a.yaml", "procpar")),
)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_under_any_name_are_refused(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(KnightshiftError):
        read_raw(tmp_path / name)


def test_a_loop_of_links_as_the_path_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError):
        read_raw(tmp_path / "loop")


def test_an_error_names_the_file_and_the_field(originals: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    folder, target = originals["agilent"]
    shutil.copytree(folder, tmp_path / "copy")
    raw = tmp_path / "copy" / target.relative_to(folder) / "fid"
    raw.write_bytes(raw.read_bytes()[:-1])
    with pytest.raises(DamagedDataError, match="truncated") as caught:
        read_raw(raw.parent)
    assert (caught.value.path, caught.value.field) == (raw, "file size")
