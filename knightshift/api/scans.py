"""Raw data of any console that is read, or images reconstructed before, opened for a notebook."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from knightshift.api.images import Imaged
from knightshift.api.labelled import fid_array, kspace_array, spectrum_arrays
from knightshift.api.runs import recipe_of
from knightshift.core.errors import InputError
from knightshift.core.run_folder import open_run as open_run_folder
from knightshift.reconstruction.console_images import images_of_scan
from knightshift.reconstruction.export.images_file import load_images
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.loading import is_images
from knightshift.reconstruction.pseudo_2d import Pseudo2DFit, Pseudo2DOptions, fit_pseudo_2d
from knightshift.reconstruction.readers import RawKind, detect, read_raw
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.run_scan import scan_of_run

if TYPE_CHECKING:
    import xarray as xr


class ScanData(Imaged):
    """One scan: k-space, FIDs or images; made by `open_scan`."""

    def __init__(self, path: Path, raw: KSpaceScan | FidSeries | ImageSeries, recipe: Recipe) -> None:
        self.path = path
        self.raw = raw
        """What the reader gave."""
        self.recipe = recipe
        """How images are reconstructed."""

    def __repr__(self) -> str:
        kind = {KSpaceScan: "k-space", FidSeries: "spectra", ImageSeries: "images"}[type(self.raw)]
        values = self.raw.kspace if isinstance(self.raw, KSpaceScan) else (
            self.raw.values if isinstance(self.raw, FidSeries) else self.raw.images
        )  # fmt: skip
        return f"<knightshift scan {self.path}: {kind} of shape {' x '.join(map(str, values.shape))}>"

    @property
    def missing(self) -> tuple[str, ...]:
        """What the raw data do not say."""
        return self.raw.missing

    @cached_property
    def series(self) -> ImageSeries:
        """The images as this package handles them, without xarray; made once."""
        if isinstance(self.raw, FidSeries):
            raise InputError(f"{self.path}: these are spectra, not images: use `.fids`, `.spectra` or `.relaxation()`")
        return self.raw if isinstance(self.raw, ImageSeries) else images_of_scan(self.raw, self.recipe)

    @property
    def kspace(self) -> xr.DataArray:
        """K-space, dimensions ``(repetition, echo, slice, channel, line, sample)``, lines in order of acquisition.

        Raises
        ------
        InputError
            If there is none, or xarray is not installed.
        """
        if not isinstance(self.raw, KSpaceScan):
            raise InputError(f"{self.path}: holds no k-space")
        return kspace_array(self.raw)

    @property
    def fids(self) -> xr.DataArray:
        """Free induction decays, dimensions ``(step, time)``. Raises `InputError` where there are none."""
        return fid_array(self._fid_series())

    @property
    def spectra(self) -> xr.DataArray:
        """Spectra, dimensions ``(step, frequency)``, with ``shift`` [ppm]. Raises `InputError` where there are none."""
        return spectrum_arrays(self._fid_series())

    def relaxation(self, options: Pseudo2DOptions | None = None) -> Pseudo2DFit:
        """Fit T1, T1rho or T2 of every peak of a pseudo-2D experiment.

        Raises
        ------
        InputError
            If these are no spectra, or the raw data do not say what they measure and `options` neither.
        """
        return fit_pseudo_2d(self._fid_series(), options or Pseudo2DOptions())

    def _fid_series(self) -> FidSeries:
        if not isinstance(self.raw, FidSeries):
            raise InputError(f"{self.path}: these are images, not spectra: use `.images`")
        return self.raw


def open_scan(path: str | Path, recipe: Recipe | str | Path | None = None) -> ScanData:
    """Open raw data of any console that is read, a run (the sum of its passes), or images reconstructed before.

    Parameters
    ----------
    path
        A scan folder or file of ParaVision, TopSpin, Agilent, Tecmag, Prospa or MRD, the YAML description of an
        exported array, a run folder, or ``images.h5``.
    recipe
        How to reconstruct images of k-space, as for `knightshift.open_run`.

    Raises
    ------
    InputError, UnsupportedDataError, DamagedDataError
        If there is nothing there, nothing known, or it is damaged.
    """
    path = Path(path)
    chosen = recipe_of(recipe)
    if is_images(path):
        return ScanData(path, load_images(path), chosen)
    if detect(path) is RawKind.RUN:
        return ScanData(path, scan_of_run(open_run_folder(path), correct_drift=chosen.correct_drift), chosen)
    return ScanData(path, read_raw(path), chosen)
