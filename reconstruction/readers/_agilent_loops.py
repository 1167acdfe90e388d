"""The loops of an Agilent or Varian image: which lie in a block of the ``fid`` file, and which make blocks.

``seqcon`` has a letter for echoes, slices, lines and partitions: ``c`` (compressed, within a block), ``s`` (standard,
one block each) or ``n`` (none). In a block, outermost first: partitions, lines, slices, echoes. Among blocks:
partitions, lines, what is arrayed in the order of ``array`` (slices as ``pss``), receivers. In a fast spin echo, the
segments take the place of the lines and the lines of one train that of the echoes. This is how the console's own
reconstruction finds its traces; ``ncsnn`` with inversion times is proven on a real scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray, IntArray, RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.kspace import StoredKSpace
from knightshift.reconstruction.readers._agilent_arrays import SLICES, ArrayGroup, array_groups, contrast_of
from knightshift.reconstruction.readers._agilent_files import Procpar, Traces

_CM = 1e-2
_AXES = ("echo", "slice", "partition", "receiver", "segment", "train")
_LETTERS = ("echo", "slice", "segment", "partition")
_FAST_SPIN_ECHO = ("im2Dfse", "im3Dfse")


@dataclass(frozen=True)
class Loops:
    """Counts of the loops of an imaging scan, and their nesting."""

    counts: dict[str, int]
    """Count of each loop: contrast, echo, slice, partition, receiver, segment, train, and groups that repeat."""
    among_blocks: tuple[str, ...]
    """Loops that make blocks, outermost first."""
    in_block: tuple[str, ...]
    """Loops within a block, outermost first."""
    contrast: ArrayGroup | None
    """What steps along the contrasts: ``ti`` or ``te``; None: nothing, or the echoes of a train."""
    repeated: tuple[ArrayGroup, ...]
    """What else is stepped, each combination a repetition; the last one fastest."""
    slice_positions: RealArray
    """Position of each slice along its normal [m], in order of acquisition."""

    @property
    def n_lines(self) -> int:
        """Phase-encode lines."""
        return self.counts["segment"] * self.counts["train"]

    @property
    def n_partitions(self) -> int:
        """Steps of the second phase encoding; 1 in 2D."""
        return self.counts["partition"]

    @property
    def n_slices(self) -> int:
        """Slices."""
        return self.counts["slice"]

    @property
    def n_echoes(self) -> int:
        """Echoes of one excitation."""
        return self.counts["echo"]

    @property
    def n_contrasts(self) -> int:
        """Steps of `contrast`; 1 without one."""
        return self.counts["contrast"]

    @property
    def n_repetitions(self) -> int:
        """Combinations of everything that is stepped besides."""
        return int(np.prod([group.count for group in self.repeated], dtype=object))


def is_fast_spin_echo(procpar: Procpar) -> bool:
    """Tell whether several lines are read out in one train."""
    return procpar.text("apptype") in _FAST_SPIN_ECHO


def loops_of(procpar: Procpar, n_lines: int) -> Loops:
    """Count the loops and tell how they are nested.

    Parameters
    ----------
    procpar
        Parameters of the scan.
    n_lines
        Phase-encode lines that were acquired.

    Raises
    ------
    UnsupportedDataError
        If the nesting is not one that we know.
    DamagedDataError
        If the parameters contradict each other.
    """
    seqcon = procpar.text("seqcon")
    if len(seqcon) != 5 or set(seqcon) - set("ncs") or seqcon[4] != "n" or seqcon[2] == "n":
        raise UnsupportedDataError(f"{procpar.path}: seqcon {seqcon!r} is no 2D or 3D image")
    groups = array_groups(procpar)
    contrast = contrast_of(procpar, groups)
    names = ["contrast" if group is contrast else group.loop for group in groups]
    repeated = tuple(group for group in groups if group is not contrast and group.names != (SLICES,))
    positions = _slice_positions(procpar, is_arrayed="slice" in names)
    n_segments, train = _lines(procpar, n_lines)
    counts = {
        **{group.loop: group.count for group in repeated},
        "contrast": contrast.count if contrast else 1,
        "echo": procpar.count("ne", 1),
        "slice": positions.size,
        "partition": procpar.count("nv2") if seqcon[3] != "n" else 1,
        "receiver": max(1, procpar.text("rcvrs", "y").count("y")),
        "segment": n_segments,
        "train": train,
    }
    letters = dict(zip(_LETTERS, seqcon, strict=False))
    outside = tuple(name for name in ("partition", "segment") if letters[name] == "s")
    inside = tuple(name for name in ("partition", "segment", "slice", "echo") if letters[name] in "cn")
    loops = Loops(counts, (*outside, *names, "receiver"), (*inside, "train"), contrast, repeated, positions)
    _check(procpar, loops, letters)
    return loops


def _lines(procpar: Procpar, n_lines: int) -> tuple[int, int]:
    """Segments, and lines of one segment (the echo train of a fast spin echo; else 1)."""
    if not is_fast_spin_echo(procpar):
        return n_lines, 1
    n_segments = procpar.count("nseg", 1) if "nseg" in procpar and procpar.numbers("nseg")[0] >= 1 else 0
    train = n_lines // n_segments if n_segments else procpar.count("etl", 1)
    n_segments = n_segments or n_lines // train
    if train < 1 or n_segments * train != n_lines:
        raise UnsupportedDataError(
            f"{procpar.path}: {n_lines} lines are no whole number of trains (etl {procpar.text('etl', '1')}, nseg "
            f"{procpar.text('nseg', '-')})"
        )
    return n_segments, train


def _check(procpar: Procpar, loops: Loops, letters: dict[str, str]) -> None:
    seqcon, counts = procpar.text("seqcon"), loops.counts
    if counts["echo"] > 1 and (letters["echo"] != "c" or counts["train"] > 1):
        raise UnsupportedDataError(f"{procpar.path}: seqcon {seqcon}: echoes in blocks of their own are not read")
    by_blocks = "slice" in loops.among_blocks
    if counts["slice"] > 1 and by_blocks != (letters["slice"] == "s"):
        raise UnsupportedDataError(
            f"{procpar.path}: seqcon {seqcon}: slices in blocks of their own are read where pss is in the array only"
        )
    if counts["partition"] > 1 and counts["slice"] > 1:
        raise UnsupportedDataError(f"{procpar.path}: a 3D scan of {counts['slice']} slabs: only one slab is read")


def _slice_positions(procpar: Procpar, *, is_arrayed: bool) -> RealArray:
    n_slices = procpar.count("ns", 1)
    positions = procpar.numbers("pss") * _CM if "pss" in procpar else np.zeros(n_slices)
    if positions.size != n_slices and not is_arrayed:
        raise DamagedDataError(procpar.path, "pss", f"{positions.size} positions for {n_slices} slices")
    return positions


@dataclass(frozen=True)
class StoredTraces(StoredKSpace):
    """K-space whose lines are traces of a file."""

    traces: Traces
    """The file."""
    numbers: IntArray
    """Number of each line in the file, shape ``(repetition, echo, slice, channel, line)``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Counts along the axes."""
        return *self.numbers.shape, self.traces.shape[2]

    def read(self, repetition: int, echo: int, slices: range) -> ComplexArray:
        """Read some slices of one echo, shape ``(slice, channel, line, sample)``. Raises `DamagedDataError`."""
        return self.traces.read(self.numbers[repetition, echo, slices.start : slices.stop])

    def with_slices(self, order: IntArray) -> StoredTraces:
        """Put the slices into another order."""
        return StoredTraces(self.traces, self.numbers[:, :, order])


@dataclass(frozen=True)
class SortedKSpace:
    """Samples in our order, as far as they were acquired."""

    kspace: StoredTraces
    """Shape ``(repetition, echo, slice, channel, line, sample)``; contrasts take the place of echoes."""
    n_contrasts: int
    """Contrasts that are there."""
    missing: tuple[str, ...]
    """What a stopped acquisition lacks."""


def sorted_kspace(path: Path, loops: Loops, traces: Traces) -> SortedKSpace:
    """Sort the traces of a file; the partitions of a 3D scan take the place of the slices.

    Of a stopped acquisition those repetitions, or those contrasts, are kept that are complete.

    Raises
    ------
    DamagedDataError
        If there are more or fewer traces than the loops need, or not one image was finished.
    """
    among = [name for name in loops.among_blocks if loops.counts[name] > 1]
    inside = [name for name in loops.in_block if loops.counts[name] > 1 and name not in among]
    blocks, within = ([loops.counts[name] for name in names] for names in (among, inside))
    n_blocks, n_traces, _ = traces.shape
    if (traces.n_planned, n_traces) != (np.prod(blocks, dtype=object), np.prod(within, dtype=object)):
        needed = " x ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in loops.counts.items())
        problem = f"{traces.n_planned} blocks of {n_traces} traces are not {needed}"
        raise DamagedDataError(path, "nblocks, ntraces", problem)
    volumes = [group.loop for group in loops.repeated if group.loop in among] + ["contrast"] * ("contrast" in among)
    rest = [name for name in among if name not in volumes]
    order = [among.index(name) for name in (*volumes, *rest)]
    numbers = np.arange(traces.n_planned).reshape(blocks).transpose(order)
    numbers = numbers.reshape(loops.n_repetitions, loops.n_contrasts, *(loops.counts[name] for name in rest))
    kept = _kept(path, traces, traces.acquired[numbers])
    numbers = numbers[: kept[0], : kept[1]]
    nested = np.arange(n_blocks * n_traces).reshape(n_blocks, n_traces)[numbers]
    nested = nested.reshape(*numbers.shape, *within)
    present = [*rest, *inside]
    axes = [2 + present.index(name) for name in _AXES if name in present]
    sizes = [loops.counts[name] for name in _AXES]
    shape = kept[0], kept[1] * sizes[0], sizes[1] * sizes[2], sizes[3], sizes[4] * sizes[5]
    ordered = nested.transpose(0, 1, *axes).reshape(shape)
    return SortedKSpace(StoredTraces(traces, ordered), kept[1], _left(loops, kept))


def _kept(path: Path, traces: Traces, acquired: BoolArray) -> tuple[int, int]:
    """Repetitions and contrasts to keep: those before the first that is not complete."""
    complete: BoolArray = np.asarray(acquired.reshape(*acquired.shape[:2], -1).all(axis=-1))
    if complete.all():
        return complete.shape[0], complete.shape[1]
    n_repetitions = _leading(np.asarray(complete.all(axis=1)))
    if n_repetitions:
        return n_repetitions, complete.shape[1]
    n_contrasts = _leading(complete[0])
    if n_contrasts:
        return 1, n_contrasts
    lost = np.flatnonzero(~traces.acquired)
    problem = f"{lost.size} of {traces.n_planned} blocks hold no scan, the first is number {lost[0] + 1}"
    raise DamagedDataError(path, "ctcount", problem, "the acquisition was stopped before one image was finished")


def _leading(flags: BoolArray) -> int:
    """Count the true ones at the beginning."""
    return int(np.argmin(np.append(flags, False)))


def _left(loops: Loops, kept: tuple[int, int]) -> tuple[str, ...]:
    words = []
    if kept[0] < loops.n_repetitions:
        what = ",".join(group.loop for group in loops.repeated)
        words.append(f"repetitions {kept[0] + 1} to {loops.n_repetitions} ({what})")
    if loops.contrast is not None and kept[1] < loops.n_contrasts:
        words.append(f"images {kept[1] + 1} to {loops.n_contrasts} of the array {loops.contrast.loop}")
    return tuple(f"{what}: the acquisition was stopped before them" for what in words)
