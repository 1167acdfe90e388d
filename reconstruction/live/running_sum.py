"""The sum of a run that is going on: each pass is read once and added."""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import IntArray
from knightshift.core.errors import InputError
from knightshift.core.passes import PassRecord
from knightshift.core.run_folder import Run
from knightshift.reconstruction.drift import no_drift
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.pass_sum import PassAccumulator, PassSum, sort_readouts
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import images_of_sum

_NO_CORRECTION = "Passes were summed as they came, without frequency correction: these images are a preview."


class RunningSum:
    """Sum of the good passes of a run so far.

    What `knightshift.reconstruction.pass_sum.sum_passes` gives for the same passes without correction of the drift,
    to the bit if they are added in order of index; but a further pass costs one addition.

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
        for echo, kspace in pieces.items():
            self._sums.add(echo, kspace * scale if scale != 1 else kspace)

    @property
    def n_passes(self) -> IntArray:
        """Good passes of each echo, shape ``(echo,)``."""
        if self._sums is None:
            return np.zeros(len(self._encoding.echo_times), np.int64)
        return self._sums.count.copy()

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
        count, noise = self._sums.count, self._sums.pass_noise
        summed = PassSum(
            kspace=self._sums.mean,
            noise_std=None if noise is None else noise / np.sqrt(count),
            n_passes=count.copy(),
            flagged=tuple(sorted(self.flagged)),
            drift=no_drift(int(count.sum()), _NO_CORRECTION),
            frequency=self._frequency,
        )
        return images_of_sum(self.run, summed, recipe or Recipe())
