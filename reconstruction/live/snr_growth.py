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
        if np.isfinite(series.noise_std).all() and (series.noise_std > 0).all():
            self._counts.append(n_passes)
            self._powers.append(_power(series))

    def curve(self, region: BoolArray, series: ImageSeries, n_passes: int) -> tuple[RealArray, RealArray]:
        """Tell how the SNR of a region has grown, as `snr_of_region` measures it.

        Parameters
        ----------
        region
            Voxels, shape ``(slice, phase_encode, readout)``; at least one.
        series, n_passes
            The images of now, whose noise is known, and their passes of each echo: the last point.

        Returns
        -------
        n_passes, snr
            Passes of each echo, shape ``(point,)``, and SNR of each echo, shape ``(echo, point)``.
        """
        earlier = [(count, power) for count, power in zip(self._counts, self._powers, strict=True) if count < n_passes]
        counts, powers = zip(*earlier, (n_passes, _power(series)), strict=True)
        means = [power[:, region].mean(axis=1) for power in powers]
        return np.array(counts, float), np.sqrt(np.maximum(np.array(means, float), 0.0)).T


def _power(series: ImageSeries) -> RealArray:
    noise = np.asarray(series.noise_std).reshape(-1, 1, 1, 1)
    return (np.abs(series.images) ** 2 / noise**2 - 2).astype(np.float32)
