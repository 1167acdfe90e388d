"""FIDs and pseudo-2D spectra of a batch: drawn as `reconstruct` does, and fitted as `fit` does where that can be."""

from __future__ import annotations

from pathlib import Path

from knightshift.core.errors import InputError
from knightshift.reconstruction.batch.found_times import times_of_peaks
from knightshift.reconstruction.batch.records import BatchOptions, ItemRecord
from knightshift.reconstruction.echo_trains import as_echo_train
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.pseudo_2d import Pseudo2DFit, Pseudo2DOptions, fit_pseudo_2d


def treat_spectra(series: FidSeries, folder: Path, options: BatchOptions, record: ItemRecord) -> ItemRecord:
    """Write the spectra, and the relaxation times of their peaks where the steps measure one.

    Parameters
    ----------
    series
        FIDs or spectra of one item.
    folder
        For its results.
    options
        How every item is treated.
    record
        Of the item, to be completed: its note says why there is no fit. A single spectrum needs no reason.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    from knightshift.reconstruction.export.fid_spectra import save_fid_spectra
    from knightshift.reconstruction.export.relaxation import save_pseudo_2d

    save_fid_spectra(series, folder)
    drawn = record.model_copy(update={"result": "spectra"})
    if series.n_steps == 1 and options.echo_train is None:
        return drawn
    try:
        result = fit_with(series, options)
    except InputError as error:
        return drawn.model_copy(update={"note": str(error)})
    save_pseudo_2d(result, folder)
    return drawn.model_copy(update={"result": "relaxation of spectra", "times": times_of_peaks(result)})


def fit_with(series: FidSeries, options: BatchOptions) -> Pseudo2DFit:
    """Fit one item of an archive, of which others may be of another kind: what its data say holds.

    Experiment, delays, duration of a loop and echo train of `options` fill in what the data do not say.

    Raises
    ------
    InputError
        If delays or experiment are still not known, or do not fit to the data.
    """
    if options.echo_train is not None and series.delays is None and series.counts is None:
        series = as_echo_train(series, *options.echo_train)
    return fit_pseudo_2d(series, _for(series, options.spectra))


def _for(series: FidSeries, options: Pseudo2DOptions) -> Pseudo2DOptions:
    """Leave out of the options what the data say themselves, or do not need."""
    known: dict[str, object] = {}
    if series.experiment != "unknown":
        known["experiment"] = None
    if series.delays is not None:
        known |= {"delays": None, "loop_time": None}
    if series.counts is None:
        known["loop_time"] = None
    return options.model_copy(update=known)
