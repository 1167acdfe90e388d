"""Agilent and Varian: 2D and 3D images (sems, mems, gems, mgems, ge3d, fsems …) and arrayed spectra.

What is arrayed is told by `_agilent_arrays`, where the samples of each loop lie by `_agilent_loops`, in which order the
lines came by `_agilent_lines`, what was acquired in part by `_agilent_partial`, where the slices are by
`_agilent_geometry`, what spectra step by `_agilent_spectra`.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.fid_series import FidSeries
from knightshift.reconstruction.kspace import KSpaceScan, Partitions
from knightshift.reconstruction.readers._agilent_arrays import (
    array_groups,
    stepped_values,
    unknown_times,
    why_repetitions_differ,
)
from knightshift.reconstruction.readers._agilent_files import Procpar, Traces, read_procpar, read_traces
from knightshift.reconstruction.readers._agilent_geometry import FRAME, image_geometries, voxel_shifts
from knightshift.reconstruction.readers._agilent_lines import line_steps
from knightshift.reconstruction.readers._agilent_loops import Loops, is_fast_spin_echo, sorted_kspace
from knightshift.reconstruction.readers._agilent_partial import loops_in_file, whole_matrix
from knightshift.reconstruction.readers._agilent_spectra import arrayed_spectra, console_of, megahertz
from knightshift.reconstruction.readers._raw_files import isotope, read_start

_OPEN = (
    "which way the readout runs along its gradient, and how the subject lay: axes are X, Y and Z of the magnet, "
    "by psi, phi and theta"
)
_PARAMETER_LINE = re.compile(rb"[A-Za-z_]\w* -?\d+ [0-9]( [-+]?[0-9.]+(e[-+]?[0-9]+)?){8}")
_NOT_CARTESIAN = re.compile(r"epi|spiral|(?<!g)rad|ute|zte|propeller|csi", re.IGNORECASE)
_REFOCUSED = {
    "sems": True, "mems": True, "se3d": True, "fsems": True, "fse3d": True,
    "gems": False, "mgems": False, "ge3d": False, "mge3d": False,
}  # fmt: skip
_MM = 1e-3
_CLOSE = 0.01


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
    return arrayed_spectra(folder / "fid", procpar, traces)


def _is_imaging(procpar: Procpar) -> bool:
    return "seqcon" in procpar and "nv" in procpar and float(procpar.numbers("nv")[0]) > 0 and "lro" in procpar


def _scan(path: Path, procpar: Procpar, traces: Traces) -> KSpaceScan:
    _check_supported(procpar)
    loops = loops_in_file(procpar, traces)
    steps, echo_times = line_steps(procpar, loops), _echo_times(procpar, loops)
    stored = sorted_kspace(path, loops, traces)
    kspace = stored.kspace
    positions = loops.slice_positions
    order = np.argsort(positions, kind="stable")
    partitions = _partitions(procpar, loops)
    if partitions is None:
        kspace = kspace.with_slices(order)
    matrix = whole_matrix(procpar, kspace, steps)
    n_slices = loops.n_slices if partitions is None else partitions.matrix
    is_inversion = loops.contrast is not None and loops.contrast.names == ("ti",)
    return KSpaceScan(
        source=path,
        format=console_of(procpar),
        kspace=kspace,
        line_steps=steps,
        center_sample=matrix[1] // 2,
        grid=matrix,
        matrix=matrix,
        shifts=np.tile(voxel_shifts(procpar, matrix), (n_slices, 1)),
        transposed=np.zeros(n_slices, bool),
        echo_times=echo_times[: kspace.shape[1]],
        inversion_times=procpar.numbers("ti")[: stored.n_contrasts] if is_inversion else None,
        slice_geometries=image_geometries(procpar, positions[order], matrix, partitions),
        dwell_time=1 / procpar.positive("sw"),
        nucleus=isotope(procpar.text("tn")),
        working_frequency=megahertz(procpar, "sfrq"),
        partial_fourier="none" if matrix == kspace.shape[-2:] else "unknown",
        partitions=partitions,
        repetitions_differ=why_repetitions_differ(procpar, loops.repeated),
        refocused=_REFOCUSED.get(procpar.text("seqfil").lower()),
        frame=FRAME,
        methods=_sentences(procpar),
        missing=(*stored.missing, *unknown_times(loops.repeated), *traces.unequal, _OPEN),
        parameters=_shown(procpar),
    )


def _shown(procpar: Procpar) -> dict[str, str]:
    """Say what was stepped, and what weights the images besides echo and inversion times."""
    shown = {"sequence": procpar.text("seqfil"), "array": procpar.text("array")}
    shown |= stepped_values(procpar, array_groups(procpar))
    if procpar.text("diff") == "y":
        shown["diffusion gradients"] = f"on (b = {procpar.text('bvalue', '?')} s/mm²)"
    if is_fast_spin_echo(procpar):
        shown["echo train"] = f"{procpar.text('etl', '?')} lines, {procpar.text('esp', '?')} s apart"
    return shown


def _sentences(procpar: Procpar) -> tuple[str, ...]:
    return (
        f"Raw samples were read from fid of {console_of(procpar)} (sequence {procpar.text('seqfil')}, seqcon "
        f"{procpar.text('seqcon')}); slices were sorted by pss.",
    )


def _check_supported(procpar: Procpar) -> None:
    name = f"{procpar.text('seqfil')} {procpar.text('layout')} {procpar.text('apptype')}"
    known = procpar.text("seqfil").lower() in _REFOCUSED and procpar.text("apptype") in ("im2D", "im3D")
    plain = known or is_fast_spin_echo(procpar)
    if _NOT_CARTESIAN.search(name) or (procpar.number("etl") > 1 and not plain):
        raise UnsupportedDataError(
            f"{procpar.path}: sequence {name.strip()} (etl {procpar.text('etl', '1')}) needs more than an FFT: "
            "reconstruct it on the console"
        )
    for parameter, allowed, what in (
        ("navigator", ("", "n"), "navigator echoes are not taken out"),
        ("profile", ("", "n", "nn"), "lines without phase encoding are no image"),
        ("recontype", ("", "n", "image"), "this reconstruction is not done"),
        ("skiptab", ("", "n"), "lines that were skipped are not filled in"),
    ):
        if procpar.text(parameter) not in allowed:
            raise UnsupportedDataError(f"{procpar.path}: {parameter} {procpar.text(parameter)!r}: {what}")
    if procpar.number("nv") < 2:
        raise UnsupportedDataError(
            f"{procpar.path}: nv {procpar.text('nv')}: lines without phase encoding are no image"
        )
    if 0 < procpar.number("fract_kz") < procpar.number("nv2") / 2:
        raise UnsupportedDataError(
            f"{procpar.path}: fract_kz {procpar.text('fract_kz')}: which partitions were left out is not known: "
            "reconstruct it on the console"
        )


def _partitions(procpar: Procpar, loops: Loops) -> Partitions | None:
    """Read the second phase encoding; None in 2D."""
    n = loops.n_partitions
    if n == 1:
        return None
    offset = float(procpar.numbers("ppe2")[0]) if "ppe2" in procpar else 0.0
    return Partitions(np.arange(n) - n // 2, n, n, offset / procpar.positive("lpe2") * n)


def _echo_times(procpar: Procpar, loops: Loops) -> RealArray:
    """Echo times of the planned contrasts and echoes [s]."""
    name = procpar.text("seqfil").lower()
    if loops.n_echoes == 1:
        times = procpar.numbers("te")
        is_contrast = loops.contrast is not None and loops.contrast.names == ("te",)
        return times if is_contrast else np.full(loops.n_contrasts, times[0])
    echo, first = np.arange(loops.n_echoes), procpar.positive("te")
    if "TE" in procpar and procpar.numbers("TE").size == loops.n_echoes:
        times = procpar.numbers("TE") * _MM
        if abs(times[0] / first - 1) > _CLOSE or not (np.diff(times) > 0).all():
            problem = f"the first of {times.size} echo times is {times[0]:g} s, but te is {first:g} s"
            raise DamagedDataError(procpar.path, "TE", problem)
        return times
    if name in ("mgems", "mge3d") and "te2" in procpar:
        return first + procpar.positive("te2") * echo
    if name == "mems":
        return first * (echo + 1)
    raise UnsupportedDataError(
        f"{procpar.path}: sequence {name} has {loops.n_echoes} echoes (ne) without echo times (TE): they may be the "
        "frames of a cine, which are not read"
    )
