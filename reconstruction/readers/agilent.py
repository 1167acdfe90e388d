"""Agilent and Varian: 2D and 3D images (sems, mems, gems, mgems, ge3d …) and arrayed spectra.

Where the samples of each loop lie is worked out in `_agilent_loops`, where the slices are in `_agilent_geometry`.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from knightshift.core.arrays import IntArray, RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.fid_series import Experiment, FidSeries
from knightshift.reconstruction.kspace import KSpaceScan, Partitions
from knightshift.reconstruction.readers._agilent_files import Procpar, Traces, read_procpar, read_traces
from knightshift.reconstruction.readers._agilent_geometry import FRAME, image_geometries, voxel_shifts
from knightshift.reconstruction.readers._agilent_loops import Loops, loops_of, sorted_kspace
from knightshift.reconstruction.readers._raw_files import isotope, read_start

_PARAMETER_LINE = re.compile(rb"[A-Za-z_]\w* -?\d+ [0-9]( -?[0-9.e+]+){8}")
_NOT_CARTESIAN = re.compile(r"epi|spiral|rad|ute|zte|fse|propeller|csi", re.IGNORECASE)
_REFOCUSED = {"sems": True, "mems": True, "se3d": True, "gems": False, "mgems": False, "ge3d": False, "mge3d": False}
_MM = 1e-3
_DELAY_ARRAYS: dict[str, Experiment] = {"d2": "inversion recovery", "ti": "inversion recovery", "tau": "T2", "te": "T2"}


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


def _fids(path: Path, procpar: Procpar, traces: Traces) -> FidSeries:
    fids = traces.samples.reshape(-1, traces.samples.shape[-1])
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


def _scan(path: Path, procpar: Procpar, traces: Traces) -> KSpaceScan:
    _check_supported(procpar)
    loops = loops_of(procpar)
    traces.check_complete(path)
    kspace = sorted_kspace(path, loops, traces.samples)
    positions = loops.slice_positions
    order = np.argsort(positions, kind="stable")
    partitions = _partitions(procpar, loops)
    if partitions is None:
        kspace = kspace[:, :, order]
    n_samples = kspace.shape[-1]
    steps = _line_steps(procpar, loops.n_lines)
    matrix = loops.n_lines, n_samples
    n_slices = loops.n_slices if partitions is None else partitions.matrix
    return KSpaceScan(
        source=path,
        format=_console(procpar),
        kspace=kspace,
        line_steps=steps,
        center_sample=n_samples // 2,
        grid=matrix,
        matrix=matrix,
        shifts=np.tile(voxel_shifts(procpar, matrix), (n_slices, 1)),
        transposed=np.zeros(n_slices, bool),
        echo_times=_echo_times(procpar, loops, kspace.shape[1]),
        inversion_times=procpar.numbers("ti") if loops.array == "ti" else None,
        slice_geometries=image_geometries(procpar, positions[order], matrix, partitions),
        dwell_time=1 / procpar.positive("sw"),
        nucleus=_nucleus(procpar),
        working_frequency=_frequency(procpar, "sfrq"),
        partitions=partitions,
        refocused=_REFOCUSED.get(procpar.text("seqfil").lower()),
        frame=FRAME,
        methods=_sentences(procpar),
        missing=(
            "which way the readout runs along its gradient, and how the subject lay: axes are X, Y and Z of the "
            "magnet, by psi, phi and theta",
        ),
        parameters={"sequence": procpar.text("seqfil"), "array": loops.array},
    )


def _sentences(procpar: Procpar) -> tuple[str, ...]:
    return (
        f"Raw samples were read from fid of {_console(procpar)} (sequence {procpar.text('seqfil')}, seqcon "
        f"{procpar.text('seqcon')}); slices were sorted by pss.",
    )


def _check_supported(procpar: Procpar) -> None:
    name = f"{procpar.text('seqfil')} {procpar.text('layout')} {procpar.text('apptype')}"
    table = procpar.text("petable", "n") not in ("", "n") and not _has_list(procpar, procpar.count("nv"))
    if _NOT_CARTESIAN.search(name) or procpar.count("etl", 1) > 1 or table:
        raise UnsupportedDataError(
            f"{procpar.path}: sequence {name.strip()} (etl {procpar.text('etl', '1')}, petable "
            f"{procpar.text('petable', 'n')!r}) needs more than an FFT or a table of its own: reconstruct it on the "
            "console"
        )
    for parameter, plain, what in (
        ("navigator", ("", "n"), "navigator echoes are not taken out"),
        ("profile", ("", "n", "nn"), "lines without phase encoding are no image"),
        ("recontype", ("", "n", "image"), "this reconstruction is not done"),
    ):
        if procpar.text(parameter) not in plain:
            raise UnsupportedDataError(f"{procpar.path}: {parameter} {procpar.text(parameter)!r}: {what}")
    if "fract_ky" in procpar and 0 < (half := procpar.numbers("fract_ky")[0]) < procpar.count("nv") / 2:
        raise UnsupportedDataError(f"{procpar.path}: fract_ky {half:g}: a partial k-space is not read")


def _has_list(procpar: Procpar, n_lines: int) -> bool:
    """Whether ``pelist`` says the order of the lines."""
    return n_lines > 1 and "pelist" in procpar and procpar.numbers("pelist").size == n_lines


def _line_steps(procpar: Procpar, n_lines: int) -> IntArray:
    """Phase-encode step of each line: in order, or as ``pelist`` says."""
    if not _has_list(procpar, n_lines):
        return np.arange(n_lines) - n_lines // 2
    listed = procpar.numbers("pelist")
    rows = np.rint(listed - listed.min()).astype(np.int64)
    if not np.array_equal(np.sort(rows), np.arange(n_lines)):
        problem = f"steps {listed.min():g} to {listed.max():g} are not one for each of {n_lines} lines"
        raise DamagedDataError(procpar.path, "pelist", problem)
    return np.asarray(rows - n_lines // 2)


def _partitions(procpar: Procpar, loops: Loops) -> Partitions | None:
    """Read the second phase encoding; None in 2D."""
    n = loops.n_partitions
    if n == 1:
        return None
    offset = float(procpar.numbers("ppe2")[0]) if "ppe2" in procpar else 0.0
    return Partitions(np.arange(n) - n // 2, n, n, offset / procpar.positive("lpe2") * n)


def _echo_times(procpar: Procpar, loops: Loops, n_contrasts: int) -> RealArray:
    if loops.n_echoes == 1:
        times = procpar.numbers("te")
        return times if times.size == n_contrasts else np.full(n_contrasts, procpar.positive("te"))
    echo = np.arange(loops.n_echoes)
    if "TE" in procpar and procpar.numbers("TE").size == loops.n_echoes:
        return procpar.numbers("TE") * _MM
    if "mgems" in procpar.text("seqfil") and "te2" in procpar:
        return procpar.positive("te") + procpar.positive("te2") * echo
    if "mems" in procpar.text("seqfil"):
        return procpar.positive("te") * (echo + 1)
    raise DamagedDataError(procpar.path, "TE", f"there are no echo times for {loops.n_echoes} echoes")
