"""The loops of an Agilent or Varian image: which lie in a block of the ``fid`` file, and which make blocks.

``seqcon`` has a letter for echoes, slices, lines and partitions: ``c`` (compressed, within a block), ``s`` (standard,
one block each) or ``n`` (none). In a block, outermost first: partitions, lines, slices, echoes. Among blocks:
partitions, lines, what is arrayed in the order of ``array`` (slices as ``pss``), receivers. This is how the console's
own reconstruction finds its traces; ``ncsnn`` with inversion times is proven on a real scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers._agilent_files import Procpar

_CM = 1e-2
_CONTRASTS = ("ti", "te")
_AXES = ("contrast", "echo", "slice", "partition", "receiver", "line")
_LETTERS = ("echo", "slice", "line", "partition")


@dataclass(frozen=True)
class Loops:
    """Counts of the loops of an imaging scan, and their nesting."""

    counts: dict[str, int]
    """Count of each of contrast, echo, slice, partition, receiver, line."""
    among_blocks: tuple[str, ...]
    """Loops that make blocks, outermost first."""
    in_block: tuple[str, ...]
    """Loops within a block, outermost first."""
    array: str
    """What steps along the contrasts: ``ti``, ``te`` or nothing."""
    slice_positions: RealArray
    """Position of each slice along its normal [m], in order of acquisition."""

    @property
    def n_lines(self) -> int:
        """Phase-encode lines."""
        return self.counts["line"]

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


def loops_of(procpar: Procpar) -> Loops:
    """Count the loops and tell how they are nested.

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
    arrayed, contrast = _arrayed(procpar)
    positions = _slice_positions(procpar, is_arrayed="slice" in arrayed)
    counts = {
        "contrast": procpar.numbers(contrast).size if contrast else 1,
        "echo": procpar.count("ne", 1),
        "slice": positions.size,
        "partition": procpar.count("nv2") if seqcon[3] != "n" else 1,
        "receiver": max(1, procpar.text("rcvrs", "y").count("y")),
        "line": procpar.count("nv"),
    }
    letters = dict(zip(_LETTERS, seqcon, strict=False))
    outside = tuple(name for name in ("partition", "line") if letters[name] == "s")
    inside = tuple(name for name in ("partition", "line", "slice", "echo") if letters[name] in "cn")
    loops = Loops(counts, (*outside, *arrayed, "receiver"), inside, contrast, positions)
    _check(procpar, loops, letters)
    return loops


def _arrayed(procpar: Procpar) -> tuple[tuple[str, ...], str]:
    """Names of the arrayed loops in order, the last fastest, and the parameter of the contrasts among them."""
    names = [name for name in procpar.text("array").replace(" ", "").split(",") if name]
    contrasts = [name for name in names if name != "pss"]
    if len(contrasts) > 1 or set(contrasts) - set(_CONTRASTS) or len(set(names)) != len(names):
        raise UnsupportedDataError(f"{procpar.path}: an array of {','.join(names)} is not read: only of ti or te")
    return tuple("slice" if name == "pss" else "contrast" for name in names), (contrasts or [""])[0]


def _check(procpar: Procpar, loops: Loops, letters: dict[str, str]) -> None:
    seqcon, counts = procpar.text("seqcon"), loops.counts
    if counts["echo"] > 1 and (letters["echo"] != "c" or loops.array):
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


def sorted_kspace(path: Path, loops: Loops, traces: ComplexArray) -> ComplexArray:
    """Sort traces ``(block, trace, sample)`` into ``(repetition, echo, slice, channel, line, sample)``.

    An array takes the place of the echo, the partitions of a 3D scan that of the slice.

    Raises
    ------
    DamagedDataError
        If there are more or fewer traces than the loops need.
    """
    among = [name for name in loops.among_blocks if loops.counts[name] > 1]
    inside = [name for name in loops.in_block if loops.counts[name] > 1 and name not in among]
    blocks, within = ([loops.counts[name] for name in names] for names in (among, inside))
    n_samples = traces.shape[-1]
    if traces.shape[:2] != (np.prod(blocks, dtype=object), np.prod(within, dtype=object)):
        needed = " x ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in loops.counts.items())
        problem = f"{traces.shape[0]} blocks of {traces.shape[1]} traces are not {needed}"
        raise DamagedDataError(path, "nblocks, ntraces", problem)
    nested = traces.reshape(*blocks, *within, n_samples)
    present = [*among, *inside]
    order = [present.index(name) for name in _AXES if name in present]
    sizes = [loops.counts[name] for name in _AXES]
    ordered = nested.transpose(*order, len(present)).reshape(*sizes, n_samples)
    n_contrasts = sizes[0] * sizes[1]
    return ordered.reshape(n_contrasts, sizes[2] * sizes[3], sizes[4], sizes[5], n_samples)[np.newaxis]
