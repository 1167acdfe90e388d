"""Echo trains of consoles that store all echoes of one excitation as one long FID, as Tecmag does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from knightshift.core.errors import InputError
from knightshift.reconstruction.fid_series import FidSeries


def as_echo_train(series: FidSeries, n_echoes: int, spacing: float) -> FidSeries:
    """Take the rows of a series, or equal pieces of its one row, as the echoes of a train.

    Parameters
    ----------
    series
        As many rows as echoes, or one FID of a whole number of samples for each echo.
    n_echoes
        Echoes.
    spacing
        Time between two echoes; the first is at one spacing [s].

    Raises
    ------
    InputError
        If it has neither, or the pieces would be longer than the spacing.
    """
    n_rows, n_samples = series.values.shape
    if series.frequencies is not None:
        raise InputError(f"{series.source}: these are spectra: an echo train is made of FIDs")
    values = series.values
    if n_rows == 1 and n_samples % n_echoes == 0:
        values = values.reshape(n_echoes, -1)
    elif n_rows != n_echoes:
        raise InputError(
            f"{series.source}: {n_rows} x {n_samples} samples are not {n_echoes} echoes: neither as many rows nor a "
            "whole number of samples for each"
        )
    if spacing <= 0 or (values.shape[1] - 1) * series.dwell_time > spacing:
        raise InputError(
            f"{series.source}: {values.shape[1]} samples of {series.dwell_time:g} s do not fit between echoes "
            f"{spacing:g} s apart"
        )
    return replace(
        series,
        values=values,
        delays=spacing * np.arange(1, n_echoes + 1),
        counts=None,
        experiment="T2",
        methods=(*series.methods, f"The samples were taken as {n_echoes} echoes {spacing * 1e3:.6g} ms apart."),
        missing=tuple(line for line in series.missing if "delays" not in line and "steps" not in line),
    )
