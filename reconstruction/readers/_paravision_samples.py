"""The samples of a ParaVision scan, read from its raw file when they are asked for, one image at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knightshift.core.arrays import ComplexArray, IntArray, RealArray
from knightshift.core.errors import DamagedDataError
from knightshift.reconstruction.kspace import StoredKSpace
from knightshift.reconstruction.readers._paravision_layout import RawLayout
from knightshift.reconstruction.readers._raw_files import check_samples

_WINDOW_BYTES = 32 * 1024**2
"""The raw file is looked at through windows of about this size, so that no more of it counts as memory in use."""
_CACHE_BYTES = 2 * 1024**2
"""So many samples are sorted at a time, while they are in the cache."""


@dataclass(frozen=True)
class RawSamples(StoredKSpace):
    """K-space of shape ``(repetition, echo, slice, channel, line, sample)``; the partitions of 3D scans are slices."""

    path: Path
    """The raw file."""
    layout: RawLayout
    """Its loops."""
    frames: IntArray
    """Position in the raw file of each object, shape ``(movie_frame, echo, slab)``; frames count as repetitions."""
    scales: RealArray
    """Factor of each receiver, shape ``(channel,)``."""
    order: IntArray | None = None
    """Place of each acquired line among those of a slab; None: in order."""
    reverses_even_echoes: bool = False
    """Whether even echoes were read out backwards."""
    conjugated: bool = False
    """Whether the complex conjugate of the samples makes the image."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Counts along the axes."""
        n_movie_frames, n_echoes, n_slabs = self.frames.shape
        layout = self.layout
        n_images = layout.n_repetitions * n_movie_frames
        return n_images, n_echoes, n_slabs * layout.n_partitions, layout.n_receivers, layout.n_lines, layout.n_samples

    def read(self, repetition: int, echo: int, slices: range) -> ComplexArray:
        """Read some slices of one echo, shape ``(slice, channel, line, sample)``. Raises `DamagedDataError`."""
        layout = self.layout
        n_partitions = layout.n_partitions
        repetition, movie_frame = divmod(repetition, len(self.frames))
        chosen = np.empty((len(slices), layout.n_receivers, layout.n_lines, layout.n_samples), np.complex64)
        frames = self.frames[movie_frame, echo]
        if n_partitions == 1:
            self._read_objects((repetition, 0), frames[slices.start : slices.stop], chosen[:, np.newaxis])
        else:
            for slab in range(slices.start // n_partitions, -(-slices.stop // n_partitions)):
                first = slab * n_partitions
                start, stop = max(slices.start, first), min(slices.stop, first + n_partitions)
                part = chosen[np.newaxis, start - slices.start : stop - slices.start]
                self._read_objects((repetition, start - first), frames[slab : slab + 1], part)
        if self.conjugated:
            np.conjugate(chosen, out=chosen)
        if self.reverses_even_echoes and echo % 2:
            chosen = np.ascontiguousarray(chosen[..., ::-1])
        return chosen

    def _read_objects(self, place: tuple[int, int], frames: IntArray, target: ComplexArray) -> None:
        """Read some partitions of the objects at `frames`, from `place` (repetition, partition) on.

        They go to `target`, shape ``(frame, partition, channel, line, sample)``.
        """
        layout, (repetition, first) = self.layout, place
        n_kept, train, n_all = target.shape[1], layout.train_length, layout.n_partitions * layout.n_lines
        places: Any = np.arange(n_all) if self.order is None else self.order
        partition, line = np.divmod(places.reshape(-1, train), layout.n_lines)
        partition -= first
        wanted = np.flatnonzero(((partition >= 0) & (partition < n_kept)).any(axis=1))
        segment_bytes = layout.n_objects * train * layout.block_words * np.dtype(layout.word).itemsize
        taken_bytes = train * layout.n_receivers * layout.n_samples * target.itemsize
        step = max(1, min(_WINDOW_BYTES // segment_bytes, _CACHE_BYTES // taken_bytes))
        in_order = self.order is None and layout.n_receivers == 1
        while wanted.size:
            window = slice(int(wanted[0]), min(int(wanted[0]) + step, int(wanted[-1]) + 1))
            words = self._window(repetition * (n_all // train) + window.start, window.stop - window.start)
            rows, columns = partition[window].ravel(), line[window].ravel()
            inside = (rows >= 0) & (rows < n_kept)
            start = window.start * train - first * layout.n_lines
            for frame, one in zip(frames, target, strict=True):
                traces = self._traces(words, int(frame))
                if in_order:
                    one.reshape(-1, 1, layout.n_samples)[start : start + len(traces)] = traces
                else:
                    one[rows[inside], :, columns[inside]] = traces if inside.all() else traces[inside]
            wanted = wanted[np.searchsorted(wanted, window.stop) :]

    def _window(self, first_segment: int, n_segments: int) -> Any:
        """Map some segments of the raw file, shape ``(segment, object, line, word)``."""
        layout = self.layout
        shape = (n_segments, layout.n_objects, layout.train_length, layout.block_words)
        offset = first_segment * int(np.prod(shape[1:])) * np.dtype(layout.word).itemsize
        try:
            return np.memmap(self.path, layout.word, "r", offset=offset, shape=shape)
        except (OSError, ValueError) as error:
            raise DamagedDataError(self.path, "file", f"it changed while it was read ({error})") from None

    def _traces(self, words: Any, frame: int) -> ComplexArray:
        """Take the traces of one object, shape ``(line, channel, sample)``."""
        layout = self.layout
        used = words[:, frame, :, : 2 * layout.n_samples * layout.n_receivers]
        traces = np.empty((len(words) * layout.train_length, layout.n_receivers, layout.n_samples), np.complex64)
        traces.view(np.float32).reshape(used.shape)[...] = used
        if np.dtype(layout.word).kind == "f":
            check_samples(self.path, "samples", traces)
        if np.any(self.scales != 1.0):
            traces *= self.scales.astype(np.float32)[:, np.newaxis]
        return traces
