"""How SNR has grown so far: a few images on the way are kept, so that any region can be looked at afterwards."""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.reconstruction.images import ImageSeries

_FEWEST = 2
_STEP = 1.25


class SnrGrowth:
    """Power over that of the noise, in every voxel and echo, at numbers of passes that grow by a quarter."""

    def __init__(self) -> None:
        self._counts: list[int] = []
        self._powers: list[RealArray] = []

    def wants(self, n_passes: int) -> bool:
        """Whether images of so many passes of each echo should be noted."""
        return n_passes >= (max(self._counts[-1] + 1, _STEP * self._counts[-1]) if self._counts else _FEWEST)

    def note(self, series: ImageSeries, n_passes: int) -> None:
        """Keep what is needed of the images of `n_passes` passes of each echo; nothing if their noise is not known."""
        if not (np.isfinite(series.noise_std).all() and (series.noise_std > 0).all()):
            return
        power = np.abs(series.images) ** 2 / np.asarray(series.noise_std).reshape(-1, 1, 1, 1) ** 2 - 2
        self._counts.append(n_passes)
        self._powers.append(power.astype(np.float32))

    def curve(self, region: BoolArray) -> tuple[RealArray, RealArray]:
        """Tell how the SNR of a region has grown, as `snr_of_region` measures it.

        Parameters
        ----------
        region
            Voxels, shape ``(slice, phase_encode, readout)``; at least one.

        Returns
        -------
        n_passes, snr
            Passes of each echo, shape ``(point,)``, and SNR of each echo, shape ``(echo, point)``.
        """
        means = [power[:, region].mean(axis=1) for power in self._powers]
        snr = np.sqrt(np.maximum(np.array(means, float), 0.0))
        return np.array(self._counts, float), snr.T if means else np.empty((0, 0))
