"""What the rows and samples of Prospa data are: FIDs of a series, echoes of a train, tops of echoes, or spectra.

Told by the axis that is stored with them and by ``acqu.par``: ``nrPnts`` samples of ``dwellTime`` [us] make a FID or an
echo, ``nrEchoes`` echoes lie ``echoTime`` [us] apart, ``nrSteps`` rows a series.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.fid_series import Experiment
from knightshift.reconstruction.readers._prospa_files import Parameters, ProspaTraces
from knightshift.reconstruction.readers._raw_files import file_size, positive, read_text

_UNITS_OF_TIME = (1e-6, 1e-3, 1.0)
_DELAY_LIST = "delayTimes.txt"
_MAX_DELAY = 1e6
_RECOVERY = re.compile(r"T1|(B12T_)?T1-?IR(-\w+)?")
"""Experiments that are inversion recoveries; ``T1IRT2`` has an echo train besides and is none."""


@dataclass(frozen=True)
class Steps:
    """Rows in the order of a series."""

    values: ComplexArray
    """complex64, shape ``(step, sample)``: FIDs and echoes conjugated, spectra in order of rising frequency."""
    dwell_time: float
    """[s]; of tops of echoes (one sample a step) the time over which each was taken."""
    words: str
    """What they are: ``"FIDs"``."""
    delays: RealArray | None = None
    """[s], shape ``(step,)``."""
    experiment: Experiment = "unknown"
    """What they measure."""
    frequencies: RealArray | None = None
    """Of spectra: offset [Hz], shape ``(sample,)``."""
    from_zero: bool = False
    """Whether `frequencies` are offsets from zero shift, and not from the receiver."""
    missing: tuple[str, ...] = ()
    """What is not known of the steps."""


def steps_of(file: Path, traces: ProspaTraces, parameters: Parameters) -> Steps:
    """Tell what the rows and samples of a file are.

    Raises
    ------
    DamagedDataError
        If ``acqu.par`` lacks what it needs, or contradicts the file.
    UnsupportedDataError
        If the axis of the file is none that is known.
    """
    dwell = parameters.number("dwellTime") * 1e-6
    if traces.unit in ("kHz", "Hz", "ppm"):
        return _spectra(traces, parameters, traces.unit, dwell)
    n_samples = traces.values.shape[1]
    if traces.axis is not None:
        what = _axis_kind(traces.axis, parameters, dwell)
        if what == "ppm":
            return _spectra(traces, parameters, "ppm", dwell)
        if what == "echo" and len(traces.values) == 1:
            return _tops(file, traces, parameters)
        if what != "time":
            raise UnsupportedDataError(
                f"{file}: its axis runs from {traces.axis[0]:g} to {traces.axis[-1]:g}: neither the time of FIDs "
                "(dwellTime) nor echo times (echoTime) nor shifts (bandwidth, b1Freq): give the file of the FIDs"
            )
    elif len(traces.values) == 1 and n_samples == parameters.count("nrEchoes") != parameters.count("nrPnts"):
        return _tops(file, traces, parameters)
    return _rows(file, traces, parameters, dwell)


def _axis_kind(axis: RealArray, parameters: Parameters, dwell: float) -> str:
    """Name the axis: ``"time"``, ``"echo"`` or ``"ppm"``, or nothing; the files do not state its unit."""
    count = axis.size
    step = float(axis[-1] - axis[0]) / max(count - 1, 1)
    if count < 2 or not step > 0 or np.max(np.abs(np.diff(axis) - step)) > 0.02 * step:
        return ""
    close = 2.0 / count + 1e-3
    if count == parameters.count("nrEchoes") != parameters.count("nrPnts") and parameters.text("echoTime"):
        spacing = parameters.number("echoTime") * 1e-6
        return "echo" if any(abs(step * unit / spacing - 1) < close for unit in _UNITS_OF_TIME) else ""
    if any(abs(step * unit / dwell - 1) < close for unit in _UNITS_OF_TIME) and axis[0] >= 0:
        return "time"
    if not (parameters.text("bandwidth") and parameters.text("b1Freq")):
        return ""
    width = parameters.number("bandwidth") * 1e3 / parameters.number("b1Freq")
    return "ppm" if abs(step * count / width - 1) < close else ""


def _spectra(traces: ProspaTraces, parameters: Parameters, unit: str, dwell: float) -> Steps:
    assert traces.axis is not None
    scale = {"kHz": 1e3, "Hz": 1.0, "ppm": 0.0}[unit] or parameters.number("b1Freq")
    frequencies = traces.axis * scale
    span = positive(parameters.path, "axis", float(frequencies[-1] - frequencies[0]), 1e12)
    n_points = frequencies.size
    if abs(span * n_points / (n_points - 1) * dwell - 1) > 2.0 / n_points + 1e-3:
        problem = f"samples {dwell:g} s apart do not make spectra {span:g} Hz wide"
        raise DamagedDataError(parameters.path, "dwellTime", problem)
    kept = _times(parameters.path, parameters, len(traces.values))
    gone = "the FIDs: these are spectra of the console, with its window and phase"
    return Steps(
        traces.values, dwell, "Spectra", kept.delays, kept.experiment, frequencies, unit == "ppm", (*kept.missing, gone)
    )


def _tops(file: Path, traces: ProspaTraces, parameters: Parameters) -> Steps:
    """Tops of the echoes of a train, one sample each."""
    values = traces.values.reshape(-1, 1).conj()
    spacing = parameters.number("echoTime") * 1e-6
    taken = max(parameters.count("nrPnts"), 1) * parameters.number("dwellTime") * 1e-6
    return Steps(values, taken, "Tops of the echoes of a train", _echo_times(len(values), spacing), "T2")


def _echo_times(n_echoes: int, spacing: float) -> RealArray:
    return np.asarray(spacing * np.arange(1, n_echoes + 1))


def _rows(file: Path, traces: ProspaTraces, parameters: Parameters, dwell: float) -> Steps:
    n_rows, n_samples = traces.values.shape
    values: ComplexArray = traces.values.conj()
    missing = []
    planned = parameters.count("nrPnts")
    if planned and planned != n_samples:
        missing.append(f"why a row has {n_samples} samples: acqu.par says {planned}")
    train = planned == n_samples and 1 < n_rows == parameters.count("nrEchoes") and parameters.text("echoTime") != ""
    if train and n_rows != parameters.count("nrSteps"):
        delays = _echo_times(n_rows, parameters.number("echoTime") * 1e-6)
        return Steps(values, dwell, "Echoes of a train", delays, "T2", missing=tuple(missing))
    kept = _times(file, parameters, n_rows)
    return Steps(values, dwell, "FIDs", kept.delays, kept.experiment, missing=(*missing, *kept.missing))


@dataclass(frozen=True)
class _Times:
    delays: RealArray | None
    experiment: Experiment
    missing: tuple[str, ...] = ()


def _times(file: Path, parameters: Parameters, n_rows: int) -> _Times:
    """Delays of a series: listed beside the data, or spread as ``acqu.par`` says (minDelay, maxDelay in ms)."""
    name = parameters.text("experiment")
    experiment: Experiment = "T2" if name == "T2" else "unknown"
    if _RECOVERY.fullmatch(name):
        experiment = "inversion recovery"
    if n_rows == 1:
        return _Times(None, "unknown")
    listed = file.parent / _DELAY_LIST
    if listed.is_file():
        return _Times(_listed(listed, n_rows), experiment)
    if parameters.count("nrSteps") == n_rows:
        if experiment == "inversion recovery":
            first, last = (parameters.number(limit) * 1e-3 for limit in ("minDelay", "maxDelay"))
            spread = np.linspace if parameters.text("delaySpacing") == "lin" else np.geomspace
            return _Times(np.asarray(spread(first, last, n_rows)), experiment)
        if experiment == "T2" and parameters.text("techo"):
            more = parameters.number("techo") * 1e-6 * parameters.number("echoesperstep")
            return _Times(more * np.arange(n_rows), experiment)
    return _Times(None, "unknown", (f"what the {n_rows} rows are (experiment {name or '?'})",))


def _listed(path: Path, n_rows: int) -> RealArray:
    """Delays [s], one a line, of a file that some protocols write."""
    file_size(path, 1 << 20)
    words = read_text(path).replace(",", ".").split()
    try:
        delays = np.array([float(word) for word in words])
    except ValueError:
        raise DamagedDataError(path, "delays", f"{words[:4]} are no numbers") from None
    if delays.shape != (n_rows,) or not ((delays >= 0) & (delays < _MAX_DELAY)).all():
        raise DamagedDataError(path, "delays", f"{delays.size} delays for {n_rows} rows, or one is not believable")
    return delays
