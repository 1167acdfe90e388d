"""The sum of a run that is going on: each pass is read once and added."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from copy import deepcopy

import numpy as np

from knightshift.core.arrays import ComplexArray, IntArray
from knightshift.core.errors import InputError
from knightshift.core.passes import PassRecord
from knightshift.core.references import Reference, middle_of
from knightshift.core.run_folder import Commit, Run
from knightshift.reconstruction.drift import Drift, no_drift
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.pass_sum import PassAccumulator, PassSum, sample_times, sort_readouts
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import images_of_sum
from knightshift.reconstruction.reference_drift import drift_of_references

_NO_CORRECTION = "Passes were summed as they came, without frequency correction: these images are a preview."
_MOST_WAITING, _MOST_BYTES_WAITING = 2000, 500_000_000
"""Passes, and bytes of their k-space, that are kept at most until the next reference."""
_NONE = (0.0, 0.0)


class RunningSum:
    """Sum of the good passes of a run so far.

    What `knightshift.reconstruction.pass_sum.sum_passes` gives for the same passes without the correction that it finds
    in the images, to the bit if they are added in order of index; but a further pass costs one addition. Passes are
    corrected by reference FIDs as there, if `learn` tells of any: those since the last one wait for the next, and are
    taken meanwhile as if the line had stayed.

    Parameters
    ----------
    run
        The run, of images; nothing is read from its passes.

    Raises
    ------
    InputError
        If the run holds spectra.
    """

    def __init__(self, run: Run) -> None:
        if run.manifest.encoding.kind != "image":
            raise InputError(f"{run.path}: this run holds spectra: only images are watched while they grow")
        self.run = run
        self.flagged: list[int] = []
        """Passes that got no weight."""
        self._encoding = run.manifest.encoding
        self._sums: PassAccumulator | None = None
        self._gain = self._frequency = 0.0
        self._count = np.zeros(len(self._encoding.echo_times), np.int64)
        self._known_until = np.inf
        self._drift: Drift | None = None
        self._corrections: dict[int, tuple[float, float]] = {}
        self._settled: dict[int, tuple[float, float]] = {}
        self._waiting: deque[tuple[int, float, dict[int, ComplexArray]]] = deque()

    def learn(self, references: Sequence[Reference], commits: Iterable[Commit]) -> bool:
        """Correct passes by the reference FIDs so far.

        Parameters
        ----------
        references
            In order of time.
        commits
            Of all passes so far, in order of index; those still to be added too.

        Returns
        -------
        bool
            False if passes that are in the sum already are to be corrected otherwise, now that more is known: then
            sum anew, and begin with this call.
        """
        good = [commit for commit in commits if not commit.flags]
        middles = np.array([middle_of(commit.started, commit.finished) for commit in good])
        frequencies = np.array([commit.frequency for commit in good])
        self._drift = drift_of_references(references, middles, frequencies) if good else None
        self._corrections, self._known_until = {}, np.inf
        if self._drift is not None:
            self._known_until = references[-1].time
            if self._drift.significant:
                rows = zip(self._drift.phases.tolist(), self._drift.slopes.tolist(), strict=True)
                self._corrections = dict(zip((commit.index for commit in good), rows, strict=True))
        return all(self._correction(index) == correction for index, correction in self._settled.items())

    def _correction(self, index: int) -> tuple[float, float]:
        return self._corrections.get(index, _NONE)

    def add(self, record: PassRecord) -> None:
        """Add a pass; one that carries a flag is only counted.

        Raises
        ------
        DamagedDataError
            If its counters lie.
        UnsupportedDataError
            If it is 3D.
        """
        if record.flags:
            self.flagged.append(record.index)
            return
        pieces = sort_readouts(record, self._encoding, str(self.run.pass_path(record.index)))
        if self._sums is None:
            shape = next(iter(pieces.values())).shape
            self._sums = PassAccumulator((len(self._encoding.echo_times), *shape))
            self._gain, self._frequency = record.receiver_gain, record.frequency
        scale = 10 ** ((self._gain - record.receiver_gain) / 20)
        scaled = {echo: kspace * scale for echo, kspace in pieces.items()} if scale != 1 else pieces
        self._waiting.append((record.index, middle_of(record.started, record.finished), scaled))
        for echo in pieces:
            self._count[echo] += 1
        self._settle(self._sums)

    def _settle(self, sums: PassAccumulator) -> None:
        """Sum the passes whose correction the next reference will not change; too many are not kept waiting."""
        while self._waiting:
            index, middle, pieces = self._waiting[0]
            if middle > self._known_until and len(self._waiting) <= _most_waiting(pieces):
                return
            self._waiting.popleft()
            self._settled[index] = self._correction(index)
            self._add(sums, index, pieces)

    def _add(self, sums: PassAccumulator, index: int, pieces: dict[int, ComplexArray]) -> None:
        phase, slope = correction = self._correction(index)
        factors = np.exp(-1j * (phase + slope * sample_times(self._encoding)))
        for echo, kspace in pieces.items():
            sums.add(echo, kspace if correction == _NONE else kspace * factors)

    @property
    def correction(self) -> str:
        """What was corrected by reference FIDs, in words."""
        return _NO_CORRECTION if self._drift is None else self._drift.sentence

    @property
    def n_passes(self) -> IntArray:
        """Good passes of each echo, shape ``(echo,)``."""
        return self._count.copy()

    @property
    def n_good(self) -> int:
        """Good passes of the echo that has fewest."""
        return int(self.n_passes.min())

    def images(self, recipe: Recipe | None = None) -> ImageSeries:
        """Reconstruct the images of the passes so far.

        Raises
        ------
        InputError
            If an echo has no good pass yet.
        """
        if self._sums is None or self.n_good == 0:
            raise InputError(f"{self.run.path}: not every echo time has a good pass yet: let the run go on")
        sums = deepcopy(self._sums) if self._waiting else self._sums
        for index, _, pieces in self._waiting:
            self._add(sums, index, pieces)
        count, noise = sums.count, sums.pass_noise
        summed = PassSum(
            kspace=sums.mean,
            noise_std=None if noise is None else noise / np.sqrt(count),
            n_passes=count.copy(),
            flagged=tuple(sorted(self.flagged)),
            drift=self._drift or no_drift(int(count.sum()), _NO_CORRECTION),
            frequency=self._frequency,
        )
        return images_of_sum(self.run, summed, recipe or Recipe())


def _most_waiting(pieces: dict[int, ComplexArray]) -> int:
    one = sum(kspace.nbytes for kspace in pieces.values())
    return min(_MOST_WAITING, _MOST_BYTES_WAITING // max(1, one))
