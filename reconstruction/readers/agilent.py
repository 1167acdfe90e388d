"""Agilent and Varian: 2D images (sems, mems, gems and arrays of them) and arrayed spectra.

``seqcon`` says for echo, slice and phase encoding which loop lies in a block (``c``, compressed) and which makes blocks
(``s``, standard). In a block the order is phase encoding > slice > echo, the echo innermost; among blocks the phase
encoding is outside and the arrayed parameter inside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.fid_series import Experiment, FidSeries
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.readers._agilent_files import Procpar, read_procpar, read_traces
from knightshift.reconstruction.readers._raw_files import isotope, read_start

_PARAMETER_LINE = re.compile(rb"[A-Za-z_]\w* -?\d+ [0-9]( -?[0-9.e+]+){8}")
_NOT_CARTESIAN = re.compile(r"epi|spiral|rad|ute|zte|fse|propeller", re.IGNORECASE)
_CM = 1e-2
_MM = 1e-3
_DELAY_ARRAYS: dict[str, Experiment] = {"d2": "inversion recovery", "ti": "inversion recovery", "tau": "T2", "te": "T2"}


@dataclass(frozen=True)
class _Loops:
    """Counts of the loops of an imaging scan."""

    n_lines: int
    n_slices: int
    n_echoes: int
    n_array: int
    array: str
    compressed: tuple[bool, bool, bool]


def is_agilent(path: Path) -> bool:
    """Tell whether `path` is (or lies in) an Agilent/Varian ``.fid`` folder, by what ``procpar`` holds."""
    folder = path if path.is_dir() else path.parent
    return _PARAMETER_LINE.match(read_start(folder / "procpar", 256)) is not None


def read_agilent(path: Path) -> KSpaceScan | FidSeries:
    """Read an imaging scan (k-space) or an arrayed spectrum (FIDs).

    Parameters
    ----------
    path
        The ``.fid`` folder or a file in it.

    Raises
    ------
    DamagedDataError
        If a file is missing, truncated or contradicts the other.
    UnsupportedDataError
        If an inverse FFT does not make an image of it, or the order of its loops is not known for certain.
    """
    folder = path if path.is_dir() else path.parent
    procpar = read_procpar(folder / "procpar")
    traces = read_traces(folder / "fid")
    if _is_imaging(procpar):
        return _scan(folder / "fid", procpar, traces)
    return _fids(folder / "fid", procpar, traces)


def _is_imaging(procpar: Procpar) -> bool:
    return "seqcon" in procpar and "nv" in procpar and float(procpar.numbers("nv")[0]) > 0 and "lro" in procpar


def _console(procpar: Procpar) -> str:
    return f"Agilent/Varian {procpar.text('console')}".strip()


def _fids(path: Path, procpar: Procpar, traces: ComplexArray) -> FidSeries:
    fids = traces.reshape(-1, traces.shape[-1])
    array = procpar.text("array")
    delays, missing = None, ("a list of delays",) if len(fids) > 1 else ()
    if array in _DELAY_ARRAYS and array in procpar and procpar.numbers(array).size == len(fids):
        delays, missing = procpar.numbers(array), ()
    return FidSeries(
        source=path,
        format=_console(procpar),
        values=fids,
        dwell_time=1 / procpar.positive("sw"),
        delays=delays,
        experiment="unknown" if delays is None else _DELAY_ARRAYS[array],
        nucleus=_nucleus(procpar),
        working_frequency=_frequency(procpar, "sfrq"),
        reference_frequency=_frequency(procpar, "reffrq"),
        methods=(f"FIDs were read from fid of {_console(procpar)} (sequence {procpar.text('seqfil')}).",),
        missing=missing,
        parameters={"sequence": procpar.text("seqfil"), "array": array},
    )


def _nucleus(procpar: Procpar) -> str | None:
    return isotope(procpar.text("tn"))


def _frequency(procpar: Procpar, name: str) -> float | None:
    """Frequency [Hz] of a parameter in MHz; None where it is not there."""
    return procpar.positive(name) * 1e6 if name in procpar and procpar.numbers(name)[0] > 0 else None


def _scan(path: Path, procpar: Procpar, traces: ComplexArray) -> KSpaceScan:
    _check_supported(procpar)
    loops = _loops(procpar)
    order = np.argsort(_slice_positions(procpar, loops.n_slices), kind="stable")
    kspace = _sorted_kspace(path, loops, traces)[:, :, order]
    n_lines, n_samples = kspace.shape[-2:]
    steps = np.arange(n_lines) - n_lines // 2
    n_contrasts = kspace.shape[1]
    inversion = procpar.numbers("ti") if loops.array == "ti" else None
    ppe = float(procpar.numbers("ppe")[0]) if "ppe" in procpar else 0.0
    shifted = f" and the phase-encode offset ppe of {10 * ppe:g} mm" if ppe else ""
    return KSpaceScan(
        source=path,
        format=_console(procpar),
        kspace=kspace,
        line_steps=steps,
        center_sample=n_samples // 2,
        grid=(n_lines, n_samples),
        matrix=(n_lines, n_samples),
        shifts=np.zeros((loops.n_slices, 2)),
        transposed=np.zeros(loops.n_slices, bool),
        echo_times=_echo_times(procpar, loops, n_contrasts),
        inversion_times=inversion,
        slice_geometries=_geometries(procpar, loops, (n_lines, n_samples), order),
        dwell_time=1 / procpar.positive("sw"),
        nucleus=_nucleus(procpar),
        working_frequency=_frequency(procpar, "sfrq"),
        methods=(
            f"Raw samples were read from fid of {_console(procpar)} (sequence {procpar.text('seqfil')}, seqcon "
            f"{procpar.text('seqcon')}); slices were sorted by pss.",
        ),
        missing=(f"how psi, phi and theta{shifted} map to the patient: axes are those of the gradients",),
        parameters={"sequence": procpar.text("seqfil"), "array": loops.array},
    )


def _check_supported(procpar: Procpar) -> None:
    name = f"{procpar.text('seqfil')} {procpar.text('layout')}"
    if _NOT_CARTESIAN.search(name) or procpar.count("etl", 1) > 1 or procpar.text("petable", "n") not in ("", "n"):
        raise UnsupportedDataError(
            f"{procpar.path}: sequence {name.strip()} (etl {procpar.text('etl', '1')}) needs more than an FFT "
            "or a table of its own: reconstruct it on the console"
        )
    seqcon = procpar.text("seqcon")
    if len(seqcon) != 5 or set(seqcon) - set("ncs") or seqcon[3:] != "nn" or seqcon[2] == "n":
        raise UnsupportedDataError(f"{procpar.path}: seqcon {seqcon!r} is no 2D image")
    if procpar.text("rcvrs", "y").count("y") > 1:
        raise UnsupportedDataError(f"{procpar.path}: rcvrs {procpar.text('rcvrs')}: the order of several is not known")


def _loops(procpar: Procpar) -> _Loops:
    """Count the loops and tell what is arrayed. Raises `UnsupportedDataError`."""
    seqcon, array = procpar.text("seqcon"), procpar.text("array")
    if array not in ("", "ti", "te"):
        raise UnsupportedDataError(f"{procpar.path}: an array of {array} is not read: only of ti or te")
    loops = _Loops(
        n_lines=procpar.count("nv"),
        n_slices=procpar.count("ns", 1),
        n_echoes=procpar.count("ne", 1),
        n_array=procpar.numbers(array).size if array else 1,
        array=array,
        compressed=(seqcon[0] == "c", seqcon[1] == "c", seqcon[2] == "c"),
    )
    echo, one_slice, _ = loops.compressed
    if (loops.n_slices > 1 and not one_slice) or (loops.n_echoes > 1 and (not echo or array)):
        raise UnsupportedDataError(
            f"{procpar.path}: seqcon {seqcon}: slices or echoes in blocks of their own are not read"
        )
    return loops


def _sorted_kspace(path: Path, loops: _Loops, traces: ComplexArray) -> ComplexArray:
    """K-space, shape ``(repetition, echo, slice, channel, line, sample)``; an array takes the place of the echo."""
    n_blocks, n_traces, n_samples = traces.shape
    within = loops.n_slices * loops.n_echoes * (loops.n_lines if loops.compressed[2] else 1)
    blocks = loops.n_array * (1 if loops.compressed[2] else loops.n_lines)
    if (n_blocks, n_traces) != (blocks, within):
        problem = (
            f"{n_blocks} blocks of {n_traces} traces are not {loops.n_lines} lines x {loops.n_slices} slices x "
            f"{loops.n_echoes} echoes x {loops.n_array} values of {loops.array or 'nothing'}"
        )
        raise DamagedDataError(path, "nblocks, ntraces", problem)
    if loops.compressed[2]:
        shape = (loops.n_array, loops.n_lines, loops.n_slices, loops.n_echoes, n_samples)
        ordered = traces.reshape(shape).transpose(0, 3, 2, 1, 4)
    else:
        shape = (loops.n_lines, loops.n_array, loops.n_slices, loops.n_echoes, n_samples)
        ordered = traces.reshape(shape).transpose(1, 3, 2, 0, 4)
    contrasts = loops.n_array * loops.n_echoes
    return ordered.reshape(contrasts, loops.n_slices, loops.n_lines, n_samples)[np.newaxis, :, :, np.newaxis]


def _echo_times(procpar: Procpar, loops: _Loops, n_contrasts: int) -> RealArray:
    if loops.n_echoes == 1:
        times = procpar.numbers("te")
        return times if times.size == n_contrasts else np.full(n_contrasts, procpar.positive("te"))
    if "TE" in procpar and procpar.numbers("TE").size == loops.n_echoes:
        return procpar.numbers("TE") * _MM
    if "mems" in procpar.text("seqfil"):
        return procpar.positive("te") * np.arange(1, loops.n_echoes + 1)
    raise DamagedDataError(procpar.path, "TE", f"there are no echo times for {loops.n_echoes} echoes")


def _slice_positions(procpar: Procpar, n_slices: int) -> RealArray:
    """Position of each slice along its normal [m], in order of acquisition."""
    positions = procpar.numbers("pss") * _CM if "pss" in procpar else np.zeros(n_slices)
    if positions.size != n_slices:
        raise DamagedDataError(procpar.path, "pss", f"{positions.size} positions for {n_slices} slices")
    return positions


def _geometries(
    procpar: Procpar, loops: _Loops, matrix: tuple[int, int], order: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> tuple[ImageGeometry, ...]:
    """Where the slices are along the gradient axes ``(slice, phase_encode, readout)``."""
    positions = _slice_positions(procpar, loops.n_slices)[order]
    thickness = procpar.positive("thk") * _MM if "thk" in procpar else 1e-3
    in_plane = procpar.positive("lpe") * _CM / matrix[0], procpar.positive("lro") * _CM / matrix[1]
    gaps = np.diff(positions)
    spacing = float(gaps[0]) if gaps.size and gaps[0] > 0 and np.allclose(gaps, gaps[0]) else thickness
    corner = -np.array([matrix[0] // 2 * in_plane[0], matrix[1] // 2 * in_plane[1]])
    return tuple(
        ImageGeometry((spacing, *in_plane), np.eye(3), np.array([position, *corner])) for position in positions
    )
