"""Arrayed spectra of Agilent or Varian: what their steps measure is told by the sequence."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.fid_series import Experiment, FidSeries
from knightshift.reconstruction.readers._agilent_files import Procpar, Traces
from knightshift.reconstruction.readers._raw_files import isotope

_TRAIN = re.compile(r"cpmg|t2meas|t2_measure", re.IGNORECASE)
_SPIN_LOCK = re.compile(r"t1r(ho|meas)", re.IGNORECASE)
_RECOVERY = re.compile(r"^s2pul$|inv_?rec|t1meas|t1_measure|^t1$", re.IGNORECASE)

_PROTON_SHIFTS, _OTHER_SHIFTS = 1e-3, 5e-2
"""Farther from zero than any line: of protons, paramagnetic ones too; of any nucleus, metals too (a ratio)."""


def console_of(procpar: Procpar) -> str:
    """Name of the console."""
    return f"Agilent/Varian {procpar.text('console')}".strip()


def megahertz(procpar: Procpar, name: str) -> float | None:
    """Frequency [Hz] of a parameter in MHz; None where it is not there."""
    return procpar.positive(name) * 1e6 if name in procpar and procpar.numbers(name)[0] > 0 else None


def arrayed_spectra(path: Path, procpar: Procpar, traces: Traces) -> FidSeries:
    """Take the FIDs, one for every block that was acquired.

    Raises
    ------
    DamagedDataError
        If no block holds a scan, or a parameter cannot be believed.
    UnsupportedDataError
        If it is a true 2D spectrum.
    """
    if procpar.number("ni") > 1 and traces.n_planned > 1:
        raise UnsupportedDataError(
            f"{procpar.path}: {procpar.text('seqfil')} has a second dimension (ni {procpar.number('ni'):g}): "
            "only arrays of spectra are read"
        )
    acquired = traces.acquired
    kept = int(np.argmin(np.append(acquired, False)))
    if kept == 0:
        raise DamagedDataError(path, "ctcount", f"the first of {traces.n_planned} blocks holds no scan: scan again")
    n_traces = traces.samples.shape[1]
    fids = traces.samples[:kept].reshape(kept * n_traces, -1)
    experiment, delays = _steps(procpar, traces.n_planned * n_traces)
    missing = [*traces.unequal]
    if kept < traces.n_planned:
        missing.append(f"blocks {kept + 1} to {traces.n_planned}: the acquisition was stopped before them")
    reference, unbelievable = _reference(procpar)
    missing += unbelievable
    if delays is None and len(fids) > 1:
        missing.append(f"a list of delays (array {procpar.text('array')!r} of {procpar.text('seqfil')})")
    return FidSeries(
        source=path,
        format=console_of(procpar),
        values=fids,
        dwell_time=1 / procpar.positive("sw"),
        delays=None if delays is None else delays[: len(fids)],
        experiment=experiment,
        nucleus=isotope(procpar.text("tn")),
        working_frequency=megahertz(procpar, "sfrq"),
        reference_frequency=reference,
        methods=(f"FIDs were read from fid of {console_of(procpar)} (sequence {procpar.text('seqfil')}).",),
        missing=tuple(missing),
        parameters={"sequence": procpar.text("seqfil"), "array": procpar.text("array")},
    )


def _reference(procpar: Procpar) -> tuple[float | None, tuple[str, ...]]:
    """Frequency of zero shift [Hz] as Vnmr has it, ``reffrq``; none, and why, where no line could be so far from it.

    Vnmr's axis runs from ``rfp - rfl`` over ``sw`` [Hz], in units of ``reffrq``; `reffrq` follows from the same three
    and from ``sfrq``. A transmitter set by hand to the line of another field leaves it meaningless.
    """
    reference, transmitter = megahertz(procpar, "reffrq"), megahertz(procpar, "sfrq")
    if reference is None or transmitter is None:
        return reference, ()
    shift, nucleus = transmitter / reference - 1, isotope(procpar.text("tn")) or "nucleus"
    if abs(shift) <= (_PROTON_SHIFTS if nucleus in ("1H", "2H") else _OTHER_SHIFTS):
        return reference, ()
    why = (
        f"a believable frequency of zero shift: reffrq {reference / 1e6:.6f} MHz would put the transmitter at "
        f"{1e6 * shift:.0f} ppm, where no {nucleus} resonates: offsets count from the transmitter, in Hz"
    )
    return None, (why,)


def _steps(procpar: Procpar, n_steps: int) -> tuple[Experiment, RealArray | None]:
    """Tell what is stepped, and the delays [s]: ``d2`` before the pulse, ``bigtau`` of a train of echoes, ``te``."""
    array, sequence = procpar.text("array"), procpar.text("seqfil")
    if array not in procpar or n_steps < 2 or len(procpar.values[array]) != n_steps:
        return "unknown", None
    if array == "bigtau" and _TRAIN.search(sequence):
        return "T2", _whole_trains(procpar)
    if array in ("d2", "ti"):
        if _SPIN_LOCK.search(sequence):
            return "T1rho", procpar.numbers(array)
        known = array == "ti" or _RECOVERY.search(sequence) is not None
        return "inversion recovery" if known else "unknown", procpar.numbers(array)
    if array == "te":
        return "T2", procpar.numbers(array)
    return "unknown", None


def _whole_trains(procpar: Procpar) -> RealArray:
    """Duration of the trains that were played: ``bigtau`` rounded to an even number of echoes ``2 tau`` apart."""
    spacing = 2 * procpar.positive("tau")
    asked = procpar.numbers("bigtau")
    return np.asarray(2 * np.floor(asked / spacing / 2 + 0.5) * spacing)
