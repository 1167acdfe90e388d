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


@dataclass(frozen=True)
class RawSamples(StoredKSpace):
    """K-space of shape ``(repetition, echo, slice, channel, line, sample)``; the partitions of 3D scans are slices."""

    path: Path
    """The raw file."""
    layout: RawLayout
    """Its loops."""
    frames: IntArray
    """Position in the raw file of each object, shape ``(echo, slab)``."""
    scales: RealArray
    """Factor of each receiver, shape ``(channel,)``."""
    order: IntArray | None = None
    """Place of each acquired line among those of a slab; None: in order."""
    reverses_even_echoes: bool = False
    """Whether even echoes were read out backwards."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Counts along the axes."""
        n_echoes, n_slabs = self.frames.shape
        layout = self.layout
        n_slices = n_slabs * layout.n_partitions
        return layout.n_repetitions, n_echoes, n_slices, layout.n_receivers, layout.n_lines, layout.n_samples

    def read(self, repetition: int, echo: int, slices: range) -> ComplexArray:
        """Read some slices of one echo, shape ``(slice, channel, line, sample)``. Raises `DamagedDataError`."""
        n_partitions = self.layout.n_partitions
        chosen = []
        for slab in range(slices.start // n_partitions, -(-slices.stop // n_partitions)):
            one = self._slab(repetition, echo, int(self.frames[echo, slab]))
            first = slab * n_partitions
            chosen.append(one[max(0, slices.start - first) : slices.stop - first])
        return chosen[0] if len(chosen) == 1 else np.concatenate(chosen)

    def _slab(self, repetition: int, echo: int, frame: int) -> ComplexArray:
        """Read one object, shape ``(partition, channel, line, sample)``."""
        layout = self.layout
        n_all = layout.n_partitions * layout.n_lines
        slab = np.empty((layout.n_partitions, layout.n_receivers, layout.n_lines, layout.n_samples), np.complex64)
        n_segments = n_all // layout.train_length
        segment_bytes = layout.n_objects * layout.train_length * layout.block_words * np.dtype(layout.word).itemsize
        step = max(1, _WINDOW_BYTES // segment_bytes)
        for start in range(0, n_segments, step):
            stop = min(start + step, n_segments)
            traces = self._window(repetition * n_segments + start, stop - start, frame)
            lines = np.arange(start * layout.train_length, stop * layout.train_length)
            partition, line = np.divmod(lines if self.order is None else self.order[lines], layout.n_lines)
            slab[partition, :, line] = traces
        if self.reverses_even_echoes and echo % 2:
            slab = np.ascontiguousarray(slab[..., ::-1])
        return slab

    def _window(self, first_segment: int, n_segments: int, frame: int) -> ComplexArray:
        """Traces of one object in some segments, shape ``(line, channel, sample)``."""
        layout = self.layout
        shape = (n_segments, layout.n_objects, layout.train_length, layout.block_words)
        offset = first_segment * int(np.prod(shape[1:])) * np.dtype(layout.word).itemsize
        try:
            words: Any = np.memmap(self.path, layout.word, "r", offset=offset, shape=shape)
        except (OSError, ValueError) as error:
            raise DamagedDataError(self.path, "file", f"it changed while it was read ({error})") from None
        used = words[:, frame, :, : 2 * layout.n_samples * layout.n_receivers]
        pairs = used.reshape(-1, layout.n_receivers, layout.n_samples, 2)
        traces = np.empty(pairs.shape[:-1], np.complex64)
        traces.real, traces.imag = pairs[..., 0], pairs[..., 1]
        if np.dtype(layout.word).kind == "f":
            check_samples(self.path, "samples", traces)
        if np.any(self.scales != 1.0):
            traces *= self.scales.astype(np.float32)[:, np.newaxis]
        return traces
