"""What the console itself did with the raw samples, as its ``reco`` file says.

ParaVision 6, 7 and 360 write down the sorting of their reconstruction (``RecoSort…``) and its filters
(``RecoStageNodes``). The sorting decides where method and acqp leave it open, and of the filters those that we do not
apply are told, or refused where the image would be another one without them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import IntArray, RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers.jcamp import ParameterFile

_NODE = re.compile(r"\bReco\w+(?:Filter|Source|Sink)\b")
_FORWARD = re.compile(r"\bRecoFTFilter\b[^}]*\bexponent\s*=\s*-")
_SAME_IMAGE = frozenset({
    "RecoAcqOutFilter", "RecoBufferSink", "RecoBufferSource", "RecoCastFilter", "RecoCombineFilter", "RecoCutoffFilter",
    "RecoDummySink", "RecoDummySource", "RecoFTFilter", "RecoFTShiftFilter", "RecoFileSink", "RecoFileSource",
    "RecoHalfFourierFilter", "RecoHistogramFilter", "RecoImageDisplayFilter", "RecoMagnitudeFilter", "RecoMapFilter",
    "RecoMinMaxFilter", "RecoPhasCorrFilter", "RecoProfileDisplayFilter", "RecoProgressMonitorFilter",
    "RecoQueueSink", "RecoQueueSource", "RecoReImFilter", "RecoScaleFilter", "RecoSharedQueueSink",
    "RecoSharedQueueSource", "RecoSortFilter", "RecoSplitFilter", "RecoSumOfSquaresFilter", "RecoTeeFilter",
    "RecoTransposeFilter", "RecoZfillFilter", "RecoReverseFilter", "RecoDetermineB0Filter", "RecoReloadB0Filter",
})  # fmt: skip
"""Filters that only move data, or that our own reconstruction does as well or accounts for."""
_ANOTHER_IMAGE = re.compile(r"Regrid|Backpro|Grappa|EpiGhost|Sense|^RecoCS")
"""Filters without which the image would be another one."""
_YES_REFUSED = ("RecoCS", "RecoGrappa3D", "RecoGrappaCaipirinha", "RecoGrappaTCaipirinha")
_COUNTS_REFUSED = ("RecoGrappaAccelFactor", "RecoGrappaAccelFactor2", "RecoSliceGrappaAccelFactor")


@dataclass(frozen=True)
class ConsoleSorting:
    """How the console put the lines of a 2D scan in order."""

    steps: IntArray
    """Phase-encode step of each line in order of acquisition, 0 at k = 0, shape ``(line,)``."""
    objects: IntArray | None
    """Object of each raw frame; None where it is not said in a way that we understand."""
    train_length: int
    """Lines of one image acquired in a row, before the next object."""


def console_sorting(reco: ParameterFile | None, n_lines: int, n_objects: int) -> ConsoleSorting | None:
    """Read ``RecoSortMaps`` of a 2D scan; None where the file has none, or of a form that we do not know.

    Raises
    ------
    DamagedDataError
        If a parameter of the sorting cannot be read.
    """
    names = ("RecoSortSize", "RecoSortRange", "RecoSortSegment", "RecoSortMaps")
    if reco is None or not all(name in reco for name in names):
        return None
    sizes, ranges, segments, maps = (reco.integers(name) for name in names)
    known = sizes.size == ranges.size == segments.size >= 1 and sizes.min() > 0 and sizes[0] == n_lines
    if not known or maps.size != sizes.sum() or not 1 <= segments[0] <= n_lines or n_lines % segments[0]:
        return None
    objects = maps[n_lines:] if sizes.size == 2 and sizes[1] == n_objects else None
    return ConsoleSorting(maps[:n_lines] - ranges[0] // 2, objects, int(segments[0]))


def check_console_steps(reco: ParameterFile) -> tuple[str, ...]:
    """Tell what the console did beyond our own reconstruction.

    Returns
    -------
    tuple of str
        One for each step that is not understood or not applied.

    Raises
    ------
    UnsupportedDataError
        If the image would be another one without such a step.
    """
    _refuse_other_images(reco)
    told = []
    unknown = sorted(_filters(reco) - _SAME_IMAGE)
    if unknown:
        told.append(f"what these filters of the console did to its own images: {', '.join(unknown)}")
    for name, plain in (("RECO_wdw_mode", "NO_WDW"), ("RECO_bc_mode", "NO_BC"), ("RECO_ne_mode", "NO_NAV_DATA")):
        used = {word for word in _words(reco, name) if word != plain}
        if used:
            told.append(f"{', '.join(sorted(used))} ({name}), which the console applied and we do not")
    if _words(reco, "RecoCorrPhase")[:1] not in ([], ["RecoCorrPhaseOff"], ["Off"], ["No"]):
        told.append("the phase correction of the console (RecoCorrPhase), which is not applied")
    if _words(reco, "RecoNnDenoising")[:1] == ["Yes"]:
        told.append("the neural denoising of the console (RecoNnDenoising), which is not applied")
    if _words(reco, "RECO_image_type")[:1] not in ([], ["MAGNITUDE_IMAGE"], ["COMPLEX_IMAGE"]):
        told.append(f"the console shows another image than ours: {reco.text('RECO_image_type')}")
    return tuple(told)


def _refuse_other_images(reco: ParameterFile) -> None:
    modes = _words(reco, "RECO_ft_mode")
    if any(mode not in ("COMPLEX_FT", "COMPLEX_FFT") for mode in modes):
        raise UnsupportedDataError(f"{reco.path}: RECO_ft_mode {', '.join(modes)}: only complex transforms are known")
    if _words(reco, "RECO_mode")[:1] in (["BP_MODE"], ["BP_WITH_FT_MODE"]):
        raise UnsupportedDataError(
            f"{reco.path}: RECO_mode {reco.text('RECO_mode')}: projections are not reconstructed"
        )
    if _FORWARD.search(reco.raw("RecoStageNodes")):
        raise UnsupportedDataError(
            f"{reco.path}: RecoFTFilter with exponent=-1: a transform the other way is not known"
        )
    regrids = _words(reco, "RECO_regrid_mode")[:1] not in ([], ["NO_REGRID"])
    if regrids or _words(reco, "RecoRegridN")[:1] not in ([], ["Off"], ["No"]):
        raise UnsupportedDataError(f"{reco.path}: samples on gradient ramps or trajectories are not regridded")
    needed = sorted(name for name in _filters(reco) if _ANOTHER_IMAGE.search(name))
    needed += [name for name in _YES_REFUSED if _words(reco, name)[:1] == ["Yes"]]
    needed += [name for name in _COUNTS_REFUSED if name in reco and reco.number(name) > 1]
    if needed:
        raise UnsupportedDataError(f"{reco.path}: the console needed {', '.join(needed)} for its image: not done here")


def _filters(reco: ParameterFile) -> set[str]:
    """Names of the filters of the reconstruction network."""
    return set(_NODE.findall(reco.raw("RecoStageNodes")))


def _words(reco: ParameterFile, name: str) -> list[str]:
    return reco.values(name) if name in reco else []


def negates_every_other_point(reco: ParameterFile, n_dims: int, *, before_6: bool) -> tuple[bool, ...]:
    """Whether ``RECO_qopts`` changes the sign of every other point, for each transformed axis.

    ParaVision 6 and later write the option down but apply it only where their network has the filter for it.
    """
    options = _words(reco, "RECO_qopts")[:n_dims]
    applied = before_6 or "RecoStageNodes" not in reco or "RecoConjQnegFilter" in _filters(reco)
    negated = tuple(applied and option in ("QUAD_NEGATION", "CONJ_AND_QNEG") for option in options)
    return negated + (False,) * (n_dims - len(options))


def transforms_forward(reco: ParameterFile | None, *, before_6: bool) -> bool:
    """Whether the console's image is the forward transform of the samples and not, as of most scans, the inverse.

    ParaVision 5.1 transforms forward, and its methods ask for the complex conjugate of the samples before
    (``COMPLEX_CONJUGATE`` or ``CONJ_AND_QNEG`` of the readout), which makes that an inverse transform. Later versions
    transform as their network says, whatever ``RECO_qopts``.
    """
    if reco is None or not before_6 or "RecoConjQnegFilter" in _filters(reco):
        return False
    return _words(reco, "RECO_qopts")[:1] in (["NO_QOPTS"], ["QUAD_NEGATION"])


def turns_readouts_round(reco: ParameterFile | None) -> str:
    """Which parameter says that the console turned readouts round; empty where none does."""
    if reco is None:
        return ""
    orders = _words(reco, "RECO_inp_order")
    if any("ALT" in order for order in orders):
        return f"RECO_inp_order {orders[0]}"
    segment = int(reco.integers("RecoReverseSegment")[:1].sum()) if "RecoReverseSegment" in reco else 0
    return f"RecoReverseSegment {segment}" if segment else ""


def of_each_slice(reco: ParameterFile, name: str, counts: tuple[int, int, int], limit: float = 2**31) -> RealArray:
    """Values of a parameter that has one for each axis and image, shape ``(dimension, slice)``.

    Parameters
    ----------
    reco, name
        The file and the parameter: values of all images, echo after echo within the slices, of all repetitions or of
        one; or one value for each slice.
    counts
        Axes, slices, and images of each slice (its echoes or movie frames).
    limit
        Largest believable magnitude.

    Raises
    ------
    DamagedDataError
        If there is another number of them, or one is larger.
    """
    values = reco.bounded(name, limit)
    n_dims, n_slices, n_images = counts
    per_axis = values.size // n_dims
    if values.size and values.size == n_dims * per_axis:
        if per_axis % (n_slices * n_images) == 0:
            return values.reshape(n_dims, -1, n_slices, n_images)[:, 0, :, 0]
        if per_axis == n_slices:  # the console made one image of the echoes of a slice
            return values.reshape(n_dims, n_slices)
    problem = f"{values.size} values for {n_dims} x {n_slices * n_images} objects"
    raise DamagedDataError(reco.path, name, problem)


def first_kept_point(reco: ParameterFile, counts: tuple[int, int, int]) -> IntArray | None:
    """First point that the console keeps of each transformed axis, shape ``(dimension, slice)``.

    Parameters
    ----------
    reco
        Reconstruction parameters.
    counts
        Axes, slices, and images of each slice.

    Raises
    ------
    DamagedDataError
        If ``RECO_offset`` does not fit the scan.
    """
    if "RECO_offset" not in reco:
        return None
    reco.integers("RECO_offset")  # fractions are damage
    return of_each_slice(reco, "RECO_offset", counts).astype(np.int64)


def channel_scales(reco: ParameterFile | None, method: ParameterFile, n_receivers: int) -> RealArray:
    """Factor that the console applies to each receiver before it combines them, shape ``(channel,)``.

    Raises
    ------
    DamagedDataError
        If there is another number of factors, or one is not positive.
    """
    for source, name in ((reco, "RecoScaleChan"), (method, "PVM_EncChanScaling")):
        if source is None or name not in source:
            continue
        scales = source.bounded(name, 1e6)
        if scales.size == n_receivers and np.all(scales > 1e-6):
            return scales
        if name == "RecoScaleChan":
            problem = f"{scales[:4].tolist()} are not {n_receivers} factors above zero"
            raise DamagedDataError(source.path, name, problem)
    return np.ones(n_receivers)
