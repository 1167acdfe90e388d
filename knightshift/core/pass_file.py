"""One pass as one closed, checksummed HDF5 file.

The first 512 bytes (HDF5's user block, which every HDF5 reader skips) are text: what the file is, and the SHA-256 of
all bytes after them. They are checked before HDF5 sees a byte, so a flipped bit anywhere is found, and nothing else
has to be trusted to be well-formed.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from knightshift.core.durable import read_regular_file
from knightshift.core.errors import DamagedDataError
from knightshift.core.passes import COUNTERS, PassRecord

MAX_PASS_BYTES = 1 << 30
"""Largest pass file that is read: 1 GiB."""
_USER_BLOCK = 512
_TITLE = b"knightshift pass file 1\nsha256 of all bytes after the first 512: "
_SAMPLES = np.dtype(np.complex64)
_REMEDY = "resume the run to acquire this pass again"


@dataclass(frozen=True)
class PassFile:
    """A pass, and which run and program it belongs to."""

    record: PassRecord
    """The readouts."""
    run_id: str
    """The run it was acquired for."""
    program_digest: str
    """`PassProgram.digest` of the program that was played."""
    sha256: str | None = None
    """Checksum of the file it was read from (hex); None for a pass not read from a file."""


def pass_file_name(index: int) -> str:
    """Name of the file of pass `index`: ``"p000123.h5"``."""
    return f"p{index:06d}.h5"


def encode_pass(pass_file: PassFile) -> bytes:
    """Write a pass as the bytes of an HDF5 file; equal passes give equal bytes."""
    record = pass_file.record
    image = io.BytesIO()
    with h5py.File(image, "w", libver=("v108", "v110"), userblock_size=_USER_BLOCK) as file:
        file.create_dataset("samples", data=np.asarray(record.samples, dtype=_SAMPLES))
        file.create_dataset("counters", data=np.asarray(record.counters, dtype=COUNTERS))
        file.attrs.update(_attributes(pass_file))
    content = image.getvalue()[_USER_BLOCK:]
    title = _TITLE + hashlib.sha256(content).hexdigest().encode() + b"\n"
    return title.ljust(_USER_BLOCK, b"\n") + content


def _attributes(pass_file: PassFile) -> dict[str, Any]:
    record = pass_file.record
    return {
        "format": "knightshift pass 1",
        "run_id": pass_file.run_id,
        "program_digest": pass_file.program_digest,
        "index": record.index,
        "epoch": record.epoch,
        "started_s": record.started,
        "finished_s": record.finished,
        "frequency_Hz": record.frequency,
        "receiver_gain_dB": record.receiver_gain,
        "flags": "\n".join(record.flags),
    }


def content_digest(content: bytes, path: Path) -> str:
    """Check the bytes of a pass file against the checksum they carry, and return it (SHA-256, hex).

    Raises
    ------
    DamagedDataError
        If they disagree or it is no pass file.
    """
    block = content[:_USER_BLOCK]
    if len(block) < _USER_BLOCK or not block.startswith(_TITLE):
        raise DamagedDataError(path, "first 512 bytes", "are not those of a pass file", _REMEDY)
    digest = hashlib.sha256(content[_USER_BLOCK:]).hexdigest()
    if block != (_TITLE + digest.encode() + b"\n").ljust(_USER_BLOCK, b"\n"):
        raise DamagedDataError(path, "checksum", "does not agree with the content: the file was altered", _REMEDY)
    return digest


def decode_pass(content: bytes, path: Path) -> PassFile:
    """Read the bytes of a pass file, its checksum verified first.

    Parameters
    ----------
    content
        The whole file.
    path
        What to call it in a message.

    Raises
    ------
    DamagedDataError
        If it is not exactly what `encode_pass` wrote.
    """
    digest = content_digest(content, path)
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            samples = _read_dataset(file, "samples", 3, _SAMPLES, len(content))
            counters = _read_dataset(file, "counters", 1, COUNTERS, len(content))
            attributes = dict(file.attrs)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise DamagedDataError(path, "HDF5", str(error), _REMEDY) from error
    if len(samples) != len(counters):
        raise DamagedDataError(path, "counters", f"{len(counters)} for {len(samples)} readouts", _REMEDY)
    try:
        return _pass_file(attributes, samples, counters, digest)
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedDataError(path, "attributes", str(error), _REMEDY) from error


def _read_dataset(file: Any, name: str, n_axes: int, dtype: np.dtype[Any], file_bytes: int) -> Any:
    """Read one plain data set: no link to elsewhere, no filter, no more than the file can hold."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is missing or a link")  # noqa: TRY004 - all of these become DamagedDataError
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual or dataset.chunks:
        raise ValueError(f"{name} is not stored plainly in the file")
    if dataset.dtype != dtype or dataset.ndim != n_axes:
        raise ValueError(f"{name} is {dataset.dtype} with {dataset.ndim} axes: {dtype} with {n_axes} was expected")
    if dataset.size * dtype.itemsize > file_bytes:
        raise ValueError(f"{name} claims shape {dataset.shape}, more than the {file_bytes} bytes of the file")
    return dataset[()]


def _pass_file(attributes: Mapping[str, Any], samples: Any, counters: Any, digest: str) -> PassFile:
    if attributes["format"] != "knightshift pass 1":
        raise ValueError(f"format {attributes['format']!r} is not known: it takes a newer knightshift")
    flags = attributes["flags"]
    record = PassRecord(
        index=int(attributes["index"]),
        epoch=int(attributes["epoch"]),
        started=float(attributes["started_s"]),
        finished=float(attributes["finished_s"]),
        frequency=float(attributes["frequency_Hz"]),
        receiver_gain=float(attributes["receiver_gain_dB"]),
        samples=samples,
        counters=counters,
        flags=tuple(flags.split("\n")) if flags else (),
    )
    return PassFile(record, str(attributes["run_id"]), str(attributes["program_digest"]), digest)


def read_pass_file(path: Path) -> PassFile:
    """Read and verify one pass file.

    Raises
    ------
    DamagedDataError
        If it is missing, altered, or not a pass file.
    """
    return decode_pass(read_regular_file(path, MAX_PASS_BYTES), path)
