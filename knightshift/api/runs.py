"""A run of knightshift, opened for a notebook."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from knightshift.api.images import Imaged
from knightshift.api.labelled import pass_table, sample_array, spectrum_array
from knightshift.core.run_folder import Run
from knightshift.core.run_folder import open_run as open_run_folder
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.pass_sum import sample_times
from knightshift.reconstruction.recipe import Recipe, read_recipe
from knightshift.reconstruction.reconstruct import images_of_run
from knightshift.reconstruction.spectrum import spectrum_of_run

if TYPE_CHECKING:
    import xarray as xr


class RunData(Imaged):
    """A run folder, finished or still growing; made by `open_run`.

    Images are those of the passes that were committed when they were first asked for.
    """

    def __init__(self, run: Run, recipe: Recipe) -> None:
        self.run = run
        """The run folder as the rest of the package knows it."""
        self.recipe = recipe
        """How images are reconstructed."""
        self.path = run.path

    def __repr__(self) -> str:
        manifest = self.run.manifest
        echoes = ", ".join(f"{1e3 * time:g}" for time in manifest.encoding.echo_times)
        return (
            f"<knightshift run {manifest.run_id}: {len(self.run.committed())} of {manifest.n_passes} passes, "
            f"{manifest.programs[0].nucleus}, {manifest.encoding.kind}s at {echoes} ms>"
        )

    @property
    def protocol(self) -> dict[str, Any]:
        """What was to be measured, in SI units."""
        return dict(self.run.manifest.protocol)

    @cached_property
    def series(self) -> ImageSeries:
        """The images as this package handles them, without xarray; made once."""
        return images_of_run(self.run, self.recipe)

    @property
    def spectrum(self) -> xr.DataArray:
        """Spectrum of a ``pulse_acquire`` run along ``frequency`` [Hz], with ``shift`` [ppm] beside it.

        Raises
        ------
        InputError
            If the run holds images, or xarray is not installed.
        """
        return spectrum_array(spectrum_of_run(self.run))

    @property
    def passes(self) -> xr.Dataset:
        """Passes that count: ``started``, ``finished`` (UTC), ``frequency`` [Hz], ``epoch``, ``flags``."""
        commits = list(self.run.commits().values())
        return pass_table(
            {
                "started": (_utc([commit.started for commit in commits]), {"long_name": "start, UTC"}),
                "finished": (_utc([commit.finished for commit in commits]), {"long_name": "end, UTC"}),
                "frequency": (np.array([commit.frequency for commit in commits]), {"units": "Hz"}),
                "epoch": (np.array([commit.epoch for commit in commits], int), {"units": "1"}),
                "flags": (np.array([" ".join(commit.flags) for commit in commits], str), {}),
            },
            np.array([commit.index for commit in commits], int),
        )

    def read_pass(self, index: int) -> xr.DataArray:
        """Read the samples of one pass, dimensions ``(readout, channel, time)``, in units of the receiver's full scale.

        Raises
        ------
        InputError
            If there is no such pass, or xarray is not installed.
        DamagedDataError
            If its file was altered.
        """
        record = self.run.read_pass(index)
        times = sample_times(self.run.manifest.encoding)
        attributes = {"units": "full scale", "pass": index, "frequency_Hz": record.frequency}
        return sample_array(record.samples, times, attributes)


def _utc(seconds: list[float]) -> Any:
    """Seconds since the Unix epoch as NumPy's time stamps, to the microsecond."""
    return (1e6 * np.array(seconds, float)).round().astype("datetime64[us]")


def open_run(path: str | Path, recipe: Recipe | str | Path | None = None) -> RunData:
    """Open a run folder, also while another process writes it.

    Parameters
    ----------
    path
        Folder of one run.
    recipe
        How to reconstruct: a `Recipe`, a YAML file, or the name of a shipped one; by default nothing that was measured
        is changed.

    Raises
    ------
    ConfigError
        If it is not a run folder, or of a newer format, or the recipe is wrong.
    DamagedDataError
        If the manifest is not the one that the run began with.

    Examples
    --------
    >>> import knightshift as ks
    >>> run = ks.open_run("runs/20260105-190000-overnight_t2")  # doctest: +SKIP
    >>> run.t2_map().t2.sel(z=slice(0, 1e-3)).median()  # doctest: +SKIP
    """
    return RunData(open_run_folder(path), recipe_of(recipe))


def recipe_of(recipe: Recipe | str | Path | None) -> Recipe:
    """Turn what a caller gave into a recipe. Raises `ConfigError`."""
    if recipe is None:
        return Recipe()
    return recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
