"""The acquisitions of an MRD file: which are image data, what their counters mean, and the sum over averages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import BoolArray, ComplexArray, IntArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers._hdf5_records import VLEN_BYTES, Heap, raw_records
from knightshift.reconstruction.readers._raw_files import check_samples

_NO_IMAGE = (19, 20, 23, 24, 26, 27, 28, 29, 30, 31)  # noise, calibration, navigator, phase, feedback, dummy, coil
_REVERSE = 22
_CHUNK = 1024
_REPEATED = ("repetition", "phase", "set")
_COUNTERS = (*_REPEATED, "contrast", "slice", "kspace_encode_step_2", "kspace_encode_step_1")
_HEAD_FIELDS = (
    "flags", "number_of_samples", "active_channels", "center_sample", "sample_time_us", "idx",
    "position", "read_dir", "phase_dir", "slice_dir",
)  # fmt: skip


@dataclass(frozen=True)
class Acquisitions:
    """The image acquisitions of one file."""

    heads: Any
    """Structured array of their headers, shape ``(acquisition,)``."""
    references: NDArray[np.uint8]
    """Where their samples lie in the heap, shape ``(acquisition, byte)``."""
    reverse: BoolArray
    """Whether an acquisition ran backwards along the readout, shape ``(acquisition,)``."""
    n_stored: int
    """Samples stored for one acquisition and channel."""
    n_channels: int
    """Receivers."""
    kept: slice
    """Samples that are not to be discarded, in the order of a forward readout."""
    center: int
    """Sample at k = 0 of those kept."""
    back_shift: int
    """Samples that backward readouts have to be moved by, once turned round, for k = 0 to fall on `center`."""
    reference: int
    """Encoding that they belong to."""

    @property
    def n_samples(self) -> int:
        """Samples kept of one acquisition and channel."""
        return len(range(self.n_stored)[self.kept])


@dataclass(frozen=True)
class Lines:
    """Mean of all acquisitions of each line, and what the counters said."""

    kspace: ComplexArray
    """complex64, shape ``(repetition, contrast, slice or partition, channel, line, sample)``."""
    lines: IntArray
    """Counter of each line."""
    partitions: IntArray
    """Counter of each partition; one in 2D."""
    n_slices: int
    """Slices; one in 3D."""
    stepped: tuple[str, ...]
    """Counters besides ``repetition`` that make up the repetitions: ``phase``, ``set``."""
    missing: tuple[str, ...]
    """Which repetitions a stopped scan did not finish."""


def image_acquisitions(data: Any, path: Path, size: int) -> Acquisitions:
    """Read the headers of the acquisitions that make up images, held against the size of the file.

    Raises
    ------
    DamagedDataError
        If the records are no acquisitions, or claim more than the file holds.
    UnsupportedDataError
        If lines of one contrast were read out in both directions, or readouts differ in size.
    """
    heads, references = _read_records(data, path, size)
    skipped = np.bitwise_or.reduce([np.uint64(1 << (bit - 1)) for bit in _NO_IMAGE])
    rows = np.flatnonzero((heads["flags"] & skipped) == 0)
    heads = heads[rows]
    if rows.size == 0:
        raise DamagedDataError(path, "data", "no acquisition is image data")
    n_stored, n_channels = (_only(path, name, heads[name]) for name in ("number_of_samples", "active_channels"))
    if n_stored < 1 or n_channels < 1 or 8 * n_stored * n_channels * rows.size > size:
        problem = f"{rows.size} acquisitions of {n_channels} x {n_stored} samples in {size} bytes"
        raise DamagedDataError(path, "data", problem)
    before, after = (_only(path, name, _optional(heads, name)) for name in ("discard_pre", "discard_post"))
    if before + after >= n_stored:
        raise DamagedDataError(path, "discard_pre", f"{before} and {after} of {n_stored} samples are to be discarded")
    reverse = _reverse(path, heads)
    centers = np.where(reverse, n_stored - 1 - heads["center_sample"].astype(np.int64), heads["center_sample"])
    forward = _only(path, "center_sample", centers[~reverse]) if not reverse.all() else int(centers[0])
    backward = _only(path, "center_sample", centers[reverse]) if reverse.any() else forward
    kept = slice(before, n_stored - after)
    if not kept.start <= forward < kept.stop or not 0 <= forward - backward <= 1 or (reverse.any() and before != after):
        raise DamagedDataError(path, "center_sample", f"k = 0 at {forward} and {backward} of {n_stored} samples")
    reference = _only(path, "encoding_space_ref", _optional(heads, "encoding_space_ref"))
    return Acquisitions(
        heads, references[rows], reverse, n_stored, n_channels, kept, forward - before, forward - backward, reference
    )


def _read_records(data: Any, path: Path, size: int) -> tuple[Any, Any]:
    """Headers of all acquisitions, and the references to their samples."""
    names = data.dtype.names or ()
    if not {"head", "data"} <= set(names) or data.dtype["head"].names is None:
        raise DamagedDataError(path, "data", f"records of {names} are no acquisitions")
    head, offsets = data.dtype["head"], {name: int(data.dtype.fields[name][1]) for name in names}
    missing = set(_HEAD_FIELDS) - set(head.names)
    if missing or head.hasobject or h5py.check_vlen_dtype(data.dtype["data"]) != np.dtype(np.float32):
        raise DamagedDataError(path, "data", f"headers without {sorted(missing)}, or samples that are not float32")
    lost = set(_COUNTERS) - set(head["idx"].names or ())
    if lost:
        raise DamagedDataError(path, "data", f"counters without {sorted(lost)}")
    records = raw_records(data, path, size)
    ends = offsets["head"] + head.itemsize, offsets["data"] + VLEN_BYTES
    if max(ends) > records.shape[1]:
        raise DamagedDataError(path, "data", f"records of {records.shape[1]} bytes are too short")
    heads = np.ascontiguousarray(records[:, offsets["head"] : ends[0]]).view(head)[:, 0]
    return heads, records[:, offsets["data"] : ends[1]]


def _optional(heads: Any, name: str) -> NDArray[Any]:
    return np.asarray(heads[name]) if name in heads.dtype.names else np.zeros(1, np.uint16)


def _only(path: Path, name: str, values: NDArray[Any]) -> int:
    found = np.unique(values)
    if found.size != 1:
        raise UnsupportedDataError(f"{path}: {name} differs between acquisitions: {found[:5].tolist()}")
    return int(found[0])


def _reverse(path: Path, heads: Any) -> BoolArray:
    """Which acquisitions ran backwards: all or none of one contrast, as in a train of gradient echoes."""
    reverse = (heads["flags"] & np.uint64(1 << (_REVERSE - 1))) != 0
    for contrast in np.unique(heads["idx"]["contrast"]):
        of_contrast = reverse[heads["idx"]["contrast"] == contrast]
        if of_contrast.any() and not of_contrast.all():
            raise UnsupportedDataError(
                f"{path}: lines of one contrast were read out in both directions (EPI): not read"
            )
    if reverse.all():
        raise UnsupportedDataError(f"{path}: all lines were read out backwards: which way the image lies is not known")
    return np.asarray(reverse)


def sum_lines(acquisitions: Acquisitions, path: Path) -> Lines:
    """Mean of all acquisitions of a line: averages and segments.

    Raises
    ------
    DamagedDataError
        If a line is missing, or the samples are not those that the headers promise.
    UnsupportedDataError
        If there are several slabs.
    """
    idx = acquisitions.heads["idx"]
    values, places = zip(*(np.unique(idx[name], return_inverse=True) for name in _COUNTERS), strict=True)
    shape = tuple(len(value) for value in values)
    if int(np.prod(shape, dtype=object)) > 2 * len(acquisitions.heads):  # a stopped scan lacks some of the last
        raise DamagedDataError(path, "data", f"{len(acquisitions.heads)} acquisitions do not fill {shape} lines")
    if shape[4] > 1 and shape[5] > 1:
        raise UnsupportedDataError(f"{path}: it is 3D of {shape[4]} slabs: only one slab is read")
    count = np.zeros(shape, np.int64)
    np.add.at(count, places, 1)
    finished = _finished(path, count)
    total = np.zeros((*shape, acquisitions.n_channels, acquisitions.n_samples), np.complex64)
    heap = Heap(path)
    for start in range(0, len(acquisitions.heads), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        np.add.at(total, tuple(axis[chunk] for axis in places), _samples(heap, acquisitions, chunk, path))
    total /= np.maximum(count, 1)[..., np.newaxis, np.newaxis].astype(np.float32)
    n_repetitions, n_slices = int(np.prod(shape[:3])), shape[4] * shape[5]
    stored = total.reshape(n_repetitions, shape[3], n_slices, shape[6], *total.shape[-2:])[:finished]
    stepped = tuple(name for name, length in zip(_REPEATED[1:], shape[1:3], strict=True) if length > 1)
    lines, partitions = values[6].astype(np.int64), values[5].astype(np.int64)
    left = f"repetitions {finished + 1} to {n_repetitions}: the scan was stopped before them"
    missing = (left,) * (finished < n_repetitions)
    return Lines(np.moveaxis(stored, 3, 4), lines, partitions, shape[4], stepped, missing)


def _finished(path: Path, count: IntArray) -> int:
    """Count the repetitions, phases and sets before the first that lacks a line."""
    complete = (count > 0).reshape(int(np.prod(count.shape[:3])), -1).all(axis=1)
    finished = int(np.argmin(np.append(complete, False)))
    if finished == 0:
        absent = int(np.count_nonzero(count == 0))
        raise DamagedDataError(path, "data", f"{absent} of {count.size} lines are missing: the scan was not finished")
    return finished


def _samples(heap: Heap, acquisitions: Acquisitions, chunk: slice, path: Path) -> ComplexArray:
    """Read the samples of some acquisitions, all running forwards, shape ``(acquisition, channel, sample)``."""
    wanted = 2 * acquisitions.n_channels * acquisitions.n_stored
    found = [heap.element(one.tobytes(), 4) for one in acquisitions.references[chunk]]
    if any(samples.size != 4 * wanted for samples in found):
        raise DamagedDataError(path, f"acquisitions from {chunk.start}", f"one does not hold {wanted} numbers")
    samples = np.stack(found).view("<f4").astype(np.float32).view(np.complex64)
    check_samples(path, f"acquisitions from {chunk.start}", samples)
    samples = samples.reshape(len(found), acquisitions.n_channels, acquisitions.n_stored)
    back = acquisitions.reverse[chunk]
    if back.any():
        samples[back] = np.roll(samples[back][..., ::-1], acquisitions.back_shift, axis=-1)
    return np.asarray(samples[..., acquisitions.kept])
