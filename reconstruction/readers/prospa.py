"""Magritek Prospa (Kea, Spinsolve): FIDs, echo trains and plots, with the parameters in ``acqu.par``.

What the rows and the samples are is told by `_prospa_steps`. The spectra that the console stores in its plots are the
Fourier transforms of the complex conjugates of its FIDs, so FIDs are conjugated: rising frequency is rising shift then.
"""

from __future__ import annotations

from pathlib import Path

from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.readers._prospa_files import (
    DATA,
    PLOT,
    SURFACES,
    Parameters,
    is_over_shifts,
    read_acqu_par,
    read_data,
    read_plot,
)
from knightshift.reconstruction.readers._prospa_steps import Steps, steps_of
from knightshift.reconstruction.readers._raw_files import isotope, read_start

_MAX_FILES = 1000
_SHOWN = ("experiment", "nrScans", "repTime", "echoTime", "bandwidth", "specType", "softwareVersion")
_UNITS = {"repTime": " ms", "echoTime": " us", "bandwidth": " kHz"}


def is_prospa(path: Path) -> bool:
    """Tell by their first bytes whether a file, or files in a folder, are data or plots of Prospa."""
    return _find(path) is not None


def _find(path: Path) -> Path | None:
    """Find the file: `path` itself, or that of a folder.

    Of a folder the data file that holds most, spectra after the FIDs that they were made of; without data files the
    largest plot.
    """
    if not path.is_dir():
        start = read_start(path, 8)
        return path if start in (DATA, PLOT, *SURFACES) else None
    files = [file for file in sorted(path.iterdir())[:_MAX_FILES] if not file.is_dir()]
    starts = {file: read_start(file, 8) for file in files}
    for wanted in (DATA, PLOT):
        found = [file for file in files if starts[file] == wanted]
        if found:
            return max(found, key=lambda file: (not is_over_shifts(file), file.stat().st_size))
    return None


def read_prospa(path: Path) -> FidSeries:
    """Read the FIDs, the echoes or the spectra of one file.

    Parameters
    ----------
    path
        A data file or a plot, or their folder.

    Raises
    ------
    DamagedDataError
        If it is truncated, its header lies, or ``acqu.par`` is missing or contradicts it.
    UnsupportedDataError
        If it holds real numbers, or is a plot of an unknown kind (``.pt2``, ``.pt3``).
    """
    file = _find(path)
    if file is None:
        raise UnsupportedDataError(f"{path}: there is no data file and no plot of Prospa")
    start = read_start(file, 8)
    if start in SURFACES:
        raise UnsupportedDataError(
            f"{file}: the layout of plots of two and more dimensions (.pt2, .pt3, .pt4) is not known: "
            "give the data file (data.2d, data.3d) beside it"
        )
    traces = read_plot(file) if start == PLOT else read_data(file)
    parameters = read_acqu_par(file.parent / "acqu.par")
    steps = steps_of(file, traces, parameters)
    return _series(file, steps, parameters)


def _series(file: Path, steps: Steps, parameters: Parameters) -> FidSeries:
    zero, offset = _frequencies(parameters)
    frequencies = None if steps.frequencies is None else steps.frequencies - (offset if steps.from_zero else 0.0)
    experiment = parameters.text("experiment") or "?"
    nucleus = isotope(parameters.text("nucleus") or parameters.text("rxChannel"))
    missing = list(steps.missing)
    missing += ["the nucleus"] * (nucleus is None)
    missing += ["the frequency of zero shift"] * ("lowestFrequency" not in parameters.values)
    return FidSeries(
        source=file,
        format="Magritek Prospa",
        values=steps.values,
        dwell_time=steps.dwell_time,
        frequencies=frequencies,
        delays=steps.delays,
        experiment=steps.experiment,
        nucleus=nucleus,
        working_frequency=None if zero is None else zero + offset,
        reference_frequency=zero if "lowestFrequency" in parameters.values else None,
        methods=(f"{steps.words} were read from {file.name} of Magritek Prospa (experiment {experiment}).",),
        missing=tuple(missing),
        parameters={name: parameters.text(name) + _UNITS.get(name, "") for name in _SHOWN if parameters.text(name)},
    )


def _frequencies(parameters: Parameters) -> tuple[float | None, float]:
    """Frequency of zero shift and offset of the receiver from it [Hz].

    ``b1Freq`` [MHz] is at zero shift where ``lowestFrequency`` [Hz] says how far the lower end of the spectrum is from
    it; else it is the frequency of the receiver.
    """
    if not parameters.text("b1Freq"):
        return None, 0.0
    zero = parameters.number("b1Freq") * 1e6
    if "lowestFrequency" not in parameters.values:
        return zero, 0.0
    offset = parameters.signed("lowestFrequency") + parameters.number("bandwidth") * 1e3 / 2
    if not abs(offset) < zero:
        raise DamagedDataError(parameters.path, "lowestFrequency", f"{offset:g} Hz off {zero:g} Hz is not believable")
    return zero, offset
