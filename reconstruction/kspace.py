"""What every reader of imaging raw data returns: k-space in the order of the image, and all that the headers said."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray, IntArray, RealArray
from knightshift.core.geometry import ImageGeometry

PartialFourier = Literal["none", "zero_filling", "pocs", "homodyne", "unknown"]


class KSpaceSlices(Protocol):
    """K-space of shape ``(echo, slice, channel, line, sample)``: an array, or what reads its slices when indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Counts along the axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is read."""

    def __getitem__(self, key: Any, /) -> ComplexArray:
        """Read some echoes and slices."""


@dataclass(frozen=True)
class Partitions:
    """The second phase encoding of a 3D scan, along the slice axis of k-space."""

    steps: IntArray
    """Step of each partition, 0 at k = 0, shape ``(slice,)``."""
    grid: int
    """Points to transform."""
    matrix: int
    """Slices to keep from the middle."""
    shift: float = 0.0
    """Cyclic shift [slices of `grid`]."""


class StoredKSpace(ABC):
    """K-space of shape ``(repetition, echo, slice, channel, line, sample)`` that stays in its file until it is read.

    It is indexed along the first three axes as an array is, by numbers and slices of step one; ``numpy.asarray`` reads
    all of it.
    """

    dtype = np.dtype(np.complex64)
    """Of what is read."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Counts along the axes."""

    @abstractmethod
    def read(self, repetition: int, echo: int, slices: range) -> ComplexArray:
        """Read some slices of one echo, complex64 of shape ``(slice, channel, line, sample)``."""

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> ComplexArray:
        keys = key if isinstance(key, tuple) else (key,)
        for place in [number for number, one in enumerate(keys) if one is Ellipsis]:
            keys = (*keys[:place], *(slice(None),) * (len(self.shape) + 1 - len(keys)), *keys[place + 1 :])
        heads, rest = (*keys, *(slice(None),) * 3)[:3], keys[3:]
        ranges = [_range_of(head, count) for head, count in zip(heads, self.shape, strict=False)]
        repetitions, echoes, slices = ranges
        if len(repetitions) == len(echoes) == 1:
            chosen = self.read(repetitions[0], echoes[0], slices)[np.newaxis, np.newaxis]
        else:
            chosen = np.empty((len(repetitions), len(echoes), len(slices), *self.shape[3:]), np.complex64)
            for row, repetition in enumerate(repetitions):
                for column, echo in enumerate(echoes):
                    chosen[row, column] = self.read(repetition, echo, slices)
        return np.asarray(chosen[(*(slice(None) if isinstance(head, slice) else 0 for head in heads), *rest)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ComplexArray:
        return np.asarray(self[:, :, :], dtype)


def _range_of(key: Any, count: int) -> range:
    """Find the indices that `key` chooses along one axis."""
    if isinstance(key, slice):
        chosen = range(count)[key]
        if chosen.step != 1 or not chosen:
            raise IndexError(f"{key} of {count} is not read from a file: slices need step one and one index at least")
        return chosen
    index = range(count)[int(key)]
    return range(index, index + 1)


@dataclass(frozen=True)
class KSpaceScan:
    """Cartesian k-space, slices and lines sorted, not yet placed on the grid of the image."""

    source: Path
    """File that the samples were read from."""
    format: str
    """Console and version: ``"ParaVision 6.0.1"``."""
    kspace: ComplexArray | StoredKSpace
    """complex64, shape ``(repetition, echo, slice, channel, line, sample)``, lines in order of acquisition."""
    line_steps: IntArray
    """Phase-encode step of each line, 0 at k = 0, shape ``(line,)``."""
    center_sample: int
    """Sample at k = 0."""
    grid: tuple[int, int]
    """Points along ``(phase_encode, readout)`` to transform, zero filling included."""
    matrix: tuple[int, int]
    """Voxels along ``(phase_encode, readout)`` to keep from the middle of the grid."""
    shifts: RealArray
    """Cyclic shift along ``(phase_encode, readout)`` [voxels of `grid`], shape ``(slice, 2)``."""
    transposed: BoolArray
    """Whether the vendor shows the readout vertically, shape ``(slice,)``."""
    echo_times: RealArray
    """Echo times [s], shape ``(echo,)``."""
    slice_geometries: tuple[ImageGeometry, ...]
    """Where the voxels of each slice are, before any transposition, with axes ``(slice, phase_encode, readout)``."""
    inversion_times: RealArray | None = None
    """Inversion times [s], shape ``(echo,)``, where these step along the echo axis; None: the echo times do."""
    dwell_time: float | None = None
    """Time between samples [s]."""
    nucleus: str | None = None
    """Isotope."""
    working_frequency: float | None = None
    """Frequency of the receiver [Hz]."""
    b0: float | None = None
    """Static field [T], where it is known by itself; None: only by `working_frequency`."""
    partial_fourier: PartialFourier = "none"
    """How the vendor completes a partly acquired k-space."""
    completed_axes: tuple[bool, bool] | None = None
    """Along which of ``(phase_encode, readout)`` the vendor completes; None: not known."""
    partitions: Partitions | None = None
    """The second phase encoding of a 3D scan, whose partitions are then the slices of `kspace`; None: 2D.

    `shifts`, `transposed` and `slice_geometries` are those of the slices of the image, ``partitions.matrix`` of them.
    """
    repetitions_differ: str = ""
    """Why the repetitions are not of the same image (diffusion weights, delays); empty where they are."""
    refocused: bool | None = None
    """Whether the echoes are spin echoes (True) or gradient echoes (False); None: not known."""
    frame: str = ""
    """Frame of `slice_geometries`; empty: the subject (right, anterior, head)."""
    methods: tuple[str, ...] = ()
    """What the reader did, one sentence a step."""
    missing: tuple[str, ...] = ()
    """What the raw data did not say."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Further parameters worth showing, as text."""


@dataclass(frozen=True)
class Spectrum:
    """A one-dimensional spectrum with its shift scale."""

    values: ComplexArray
    """Complex spectrum, phase corrected, shape ``(point,)``."""
    frequencies: RealArray
    """Offset from `working_frequency` [Hz], ascending, shape ``(point,)``."""
    working_frequency: float
    """Frequency of the receiver [Hz]."""
    reference_frequency: float
    """Larmor frequency of the nucleus at zero shift in this field, γ B0 [Hz]."""
    noise_std: float
    """Standard deviation of the noise in the real part."""
    nucleus: str | None = None
    """Isotope."""
    methods: tuple[str, ...] = ()
    """What was done, one sentence a step."""
    missing: tuple[str, ...] = ()
    """What the raw data did not say and had to be left open."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Source, digests, versions, passes used."""

    @property
    def shift(self) -> RealArray:
        """Shift from `reference_frequency` as a ratio (1126 ppm is 1126e-6), shape ``(point,)``."""
        shift: RealArray = (self.working_frequency + self.frequencies - self.reference_frequency) / (
            self.reference_frequency
        )
        return shift

    @property
    def peak_shift(self) -> float:
        """Shift at the highest point near the working frequency (a ratio): that of the metal, where it is tuned to."""
        return float(self.shift[peak_index(self.values, self.frequencies, self.working_frequency)])


_PEAK_WINDOW = 250e-6
"""Half width of the range around the working frequency in which the peak is looked for: diamagnetic sodium, often
far stronger, is 1126 ppm away from the metal."""


def peak_index(values: ComplexArray, frequencies: RealArray, working_frequency: float) -> int:
    """Index of the highest point of a spectrum within 250 ppm of the working frequency."""
    near = np.abs(frequencies) <= _PEAK_WINDOW * working_frequency
    return int(np.argmax(np.where(near, np.abs(values), -1.0)))
