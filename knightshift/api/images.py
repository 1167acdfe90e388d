"""What runs, scans and reconstructed images have in common: labelled images, a T2 map, regions, exports."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from knightshift.api.labelled import image_array, richer_dataset, t2_dataset
from knightshift.core.arrays import BoolArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.image_fit import T2Request
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.mask_file import read_mask
from knightshift.reconstruction.relaxometry import (
    Populations,
    RicherModel,
    T2Fit,
    T2Options,
    find_populations,
    fit_richer_model,
    fit_series,
    with_train,
)

if TYPE_CHECKING:
    import xarray as xr

Mask: TypeAlias = BoolArray | str | Path
"""Voxels of interest: an array ``(slice, phase_encode, readout)``, or a file as ``knightshift fit --mask`` takes it."""


class Imaged:
    """Something on disk that holds images, or becomes such."""

    path: Path
    """Where it lies."""

    @cached_property
    def series(self) -> ImageSeries:
        """The images as this package handles them, without xarray; made once."""
        raise NotImplementedError

    @property
    def images(self) -> xr.DataArray:
        """Complex images, dimensions ``(echo_time, slice, phase_encode, readout)`` by the names of their axes.

        Those of a run are the axes of the laboratory: ``(echo_time, x, z, y)``, positions in metres, z along B0. The
        noise of each echo is the coordinate ``noise_std``.

        Raises
        ------
        InputError
            If xarray is not installed, there are no images, or the slices lie in several directions (see `stacks`).
        """
        return image_array(self.series)

    @property
    def stacks(self) -> tuple[xr.DataArray, ...]:
        """Images as `images`, one array for each stack of parallel slices."""
        return tuple(image_array(part) for part in self.series.split())

    def fit(self, options: T2Options | None = None, *, mask: Mask | None = None) -> T2Fit:
        """Fit T2 to every voxel with signal.

        Parameters
        ----------
        options
            How; by default the complex estimator, and the model of the echo train where the images are of one.
        mask
            Voxels of interest; by default all.

        Raises
        ------
        InputError
            If there is one echo time only, or `options` or `mask` do not go with the images.
        """
        series = self.series
        if len(series.echo_times) < 2 or series.inversion_times is not None:
            raise InputError(f"{self.path}: a T2 needs at least two echo times, these images do not step the echo time")
        if isinstance(mask, str | Path):
            mask = read_mask(Path(mask), series)
        chosen = None if mask is None else np.asarray(mask, dtype=bool)
        return fit_series(series, with_train(options or T2Options(), series), mask=chosen)

    def t2_map(self, options: T2Options | None = None, *, mask: Mask | None = None) -> xr.Dataset:
        """Fit T2 and label the maps ``t2``, ``t2_std`` [s], ``amplitude``, ``chi2`` and ``status``.

        Parameters and errors are those of `fit` and `images`; NaN where there is no T2, and ``status`` says why.
        """
        return t2_dataset(self.fit(options, mask=mask), self.series)

    def richer_map(
        self, model: RicherModel, options: T2Options | None = None, *, mask: Mask | None = None
    ) -> xr.Dataset:
        """Compare a decay of more parameters with one exponential, voxel by voxel.

        Parameters
        ----------
        model
            ``"bi"``, ``"bi-60-40"`` (60 % fast, as of a spin 3/2 in slow motion) or ``"stretched"``.
        options, mask
            As in `fit`.

        Returns
        -------
        xarray.Dataset
            ``verdict``, and the parameters with their standard deviations; ``t2`` is the slow part's.

        Raises
        ------
        InputError
            As `fit`, or if there are fewer echoes than parameters, or the fit is of a train, Rician or with an offset.
        """
        return richer_dataset(fit_richer_model(self.fit(options, mask=mask), model), self.series)

    def populations(self, options: T2Options | None = None) -> Populations:
        """Divide the T2 map into bulk, electrodes and isolated regions of long T2.

        Raises
        ------
        InputError
            As `fit`, or if no voxel has a T2.
        """
        return find_populations(self.fit(options), self.series.geometry)

    def export(self, folder: str | Path, *formats: str, options: T2Options | None = None) -> tuple[Path, ...]:
        """Write the images and what is made of them, as ``knightshift export`` does.

        Parameters
        ----------
        folder
            Where to; made if need be.
        formats
            ``"bids"``, ``"mrd"``, ``"nifti"``, ``"csv"``, ``"numpy"``; of several, each gets a folder below.
            MRD is of the k-space as it was measured, all else of `series`.
        options
            How T2 is fitted, as in `fit`.

        Raises
        ------
        InputError
            If a format is not known or not possible.
        """
        from knightshift.reconstruction.export.formats import ExportFormat, export

        known = [one.value for one in ExportFormat]
        if not formats or set(formats) - set(known):
            raise InputError(f"formats {formats}: give one or more of {', '.join(known)}")
        chosen = tuple(ExportFormat(name) for name in formats)
        series = self.series if set(chosen) - {ExportFormat.MRD} else None
        request = None if options is None else T2Request(fit=options)
        return export(self.path, chosen, Path(folder), request=request, series=series)
