"""Pass files: what goes in comes out, and not a bit may change."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.core.durable import read_regular_file
from knightshift.core.errors import DamagedDataError
from knightshift.core.pass_file import PassFile, decode_pass, encode_pass, read_pass_file
from knightshift.core.passes import COUNTERS, PassRecord

_PATH = Path("p000003.h5")


def pass_file(samples: Any = None, **changes: Any) -> PassFile:
    samples = np.arange(24, dtype=np.complex64).reshape(3, 1, 8) if samples is None else samples
    facts: dict[str, Any] = {
        "index": 3, "epoch": 1, "started": 1.75e9 + 0.1, "finished": 1.75e9 + 24.1, "frequency": 105.98e6,
        "receiver_gain": 30.0, "samples": samples, "counters": np.zeros(len(samples), dtype=COUNTERS), **changes,
    }  # fmt: skip
    return PassFile(PassRecord(**facts), "night", "ab" * 32)


@given(
    st.integers(1, 5), st.integers(1, 2), st.integers(1, 9), st.integers(0, 2**32),
    st.lists(st.text(st.characters(blacklist_characters="\n\0", blacklist_categories=["Cs"]), min_size=1)),
)  # fmt: skip
def test_what_is_written_is_read(readouts: int, channels: int, n_samples: int, seed: int, flags: list[str]) -> None:
    noise = np.random.default_rng(seed).standard_normal((2, readouts, channels, n_samples))
    written = pass_file((noise[0] + 1j * noise[1]).astype(np.complex64), flags=tuple(flags))
    read = decode_pass(encode_pass(written), _PATH)
    assert (read.run_id, read.program_digest) == (written.run_id, written.program_digest)
    np.testing.assert_array_equal(read.record.samples, written.record.samples)
    np.testing.assert_array_equal(read.record.counters, written.record.counters)
    for name in ("index", "epoch", "started", "finished", "frequency", "receiver_gain", "flags"):
        assert getattr(read.record, name) == getattr(written.record, name)


def test_equal_passes_give_equal_files() -> None:
    assert encode_pass(pass_file()) == encode_pass(pass_file())


def test_every_single_flipped_bit_is_found() -> None:
    content = bytearray(encode_pass(pass_file()))
    for position in range(len(content)):
        bit = 1 << (position % 8)
        content[position] ^= bit
        with pytest.raises(DamagedDataError):
            decode_pass(bytes(content), _PATH)
        content[position] ^= bit
    decode_pass(bytes(content), _PATH)


@given(st.data())
def test_a_truncated_or_extended_file_is_found(data: st.DataObject) -> None:
    content = encode_pass(pass_file())
    with pytest.raises(DamagedDataError):
        decode_pass(content[: data.draw(st.integers(0, len(content) - 1))], _PATH)
    with pytest.raises(DamagedDataError):
        decode_pass(content + b"\0", _PATH)


def test_any_hdf5_reader_opens_it(tmp_path: Path) -> None:
    (path := tmp_path / "p000003.h5").write_bytes(encode_pass(pass_file()))
    with h5py.File(path) as file:
        assert file["samples"].shape == (3, 1, 8)
        assert file.attrs["frequency_Hz"] == 105.98e6
    assert path.read_bytes().startswith(b"knightshift pass file 1\nsha256")


def forged(write: Any) -> bytes:
    """A pass file with a right checksum and a content of someone else's making."""
    image = io.BytesIO()
    with h5py.File(image, "w", userblock_size=512) as file:
        file["samples"] = np.zeros((3, 1, 8), np.complex64)
        file["counters"] = np.zeros(3, COUNTERS)
        write(file)
    content = image.getvalue()[512:]
    title = encode_pass(pass_file())[:512].split(b": ")[0] + b": "
    return (title + hashlib.sha256(content).hexdigest().encode() + b"\n").ljust(512, b"\n") + content


def replace(name: str, *args: Any, **options: Any) -> Any:
    def write(file: Any) -> None:
        del file[name]
        file.create_dataset(name, *args, **options)

    return write


def link(target: Any) -> Any:
    def write(file: Any) -> None:
        del file["samples"]
        file["samples"] = target

    return write


def virtual(file: Any) -> None:
    del file["samples"]
    layout = h5py.VirtualLayout((3, 1, 8), np.complex64)
    layout[:] = h5py.VirtualSource("/etc/passwd", "samples", (3, 1, 8))
    file.create_virtual_dataset("samples", layout)


@pytest.mark.parametrize(
    "write",
    [
        lambda file: None,
        replace("samples", shape=(10**6, 1, 10**6), dtype=np.complex64),
        replace("samples", shape=(3, 1, 8), dtype=np.complex64, chunks=True, compression="gzip"),
        replace("samples", shape=(3, 1, 8), dtype=np.complex64, external=[("/etc/passwd", 0, 192)]),
        replace("samples", shape=(3, 8), dtype=np.complex64),
        replace("samples", shape=(3, 1, 8), dtype=np.complex128),
        replace("counters", shape=(2,), dtype=COUNTERS),
        lambda file: file.__delitem__("counters"),
        link(h5py.ExternalLink("/etc/passwd", "/samples")),
        link(h5py.SoftLink("/counters")),
        virtual,
    ],
    ids=[
        "no attributes", "huge", "compressed", "external", "axes", "dtype", "counters", "missing",
        "external link", "soft link", "virtual",
    ],
)  # fmt: skip
def test_a_forged_file_is_refused(write: Any) -> None:
    with pytest.raises(DamagedDataError):
        decode_pass(forged(write), _PATH)


def test_links_pipes_and_folders_are_not_read(tmp_path: Path) -> None:
    import os

    (tmp_path / "real").write_bytes(encode_pass(pass_file()))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    read_pass_file(tmp_path / "real")
    for name in ("link", "pipe", "folder", "missing"):
        with pytest.raises(DamagedDataError, match=name):
            read_pass_file(tmp_path / name)
    with pytest.raises(DamagedDataError, match="at most 100 were expected"):
        read_regular_file(tmp_path / "real", 100)
