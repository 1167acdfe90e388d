"""What was measured in a ParaVision scan, apart from where: times, nucleus, kind of echo, completion of k-space."""

from __future__ import annotations

import re

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.errors import DamagedDataError
from knightshift.reconstruction.kspace import PartialFourier
from knightshift.reconstruction.readers._paravision_files import ScanFiles
from knightshift.reconstruction.readers._raw_files import isotope
from knightshift.reconstruction.readers.jcamp import ParameterFile

_MAX_ECHO_TIME = 1e7
"""Largest believable echo time [ms]."""
_GRADIENT_ECHO = re.compile(r"flash|mge|gefi|fisp|fieldmap|\bgre|mdeft", re.IGNORECASE)
_ALGORITHMS: dict[str, PartialFourier] = {
    "pocs": "pocs", "homodyne": "homodyne", "zerofilling": "zero_filling",
}  # fmt: skip


def echo_times(files: ScanFiles, n_echoes: int) -> RealArray:
    """Echo times [s], shape ``(echo,)``. Raises `DamagedDataError` if there are not as many."""
    times = _known_echo_times(files, n_echoes)
    if times is None:
        raise DamagedDataError(files.acqp.path, "ACQ_echo_time", f"there are no echo times for {n_echoes} echo images")
    return times


def share_one_echo_time(files: ScanFiles, n_images: int) -> bool:
    """Whether images that the console calls echoes have one echo time: flow encodings, two repetition times."""
    return _known_echo_times(files, n_images) is None and _known_echo_times(files, 1) is not None


def _known_echo_times(files: ScanFiles, n_echoes: int) -> RealArray | None:
    places = (
        (files.method, "EffectiveTE"),
        (files.acqp, "ACQ_echo_time"),
        (files.visu, "VisuAcqEchoTime"),
        (files.method, "PVM_EchoTime"),
    )
    for source, name in places:
        if source is not None and name in source:
            values = source.bounded(name, _MAX_ECHO_TIME) * 1e-3
            if values.size == n_echoes:
                return values
    return None


def dwell_time(files: ScanFiles) -> float | None:
    """Time between samples [s]."""
    if "PVM_EffSWh" in files.method and (bandwidth := files.method.number("PVM_EffSWh")) > 0:
        return 1.0 / bandwidth
    return None


def nucleus(files: ScanFiles) -> str | None:
    """Isotope."""
    for source, name in ((files.acqp, "NUCLEUS"), (files.method, "PVM_Nucleus1"), (files.acqp, "NUC1")):
        if name in source:
            return isotope(source.text(name))
    return None


def working_frequency(files: ScanFiles) -> float | None:
    """Frequency of the receiver [Hz]."""
    for source, name in ((files.acqp, "SFO1"), (files.method, "PVM_FrqWork"), (files.acqp, "BF1")):
        if name in source and (megahertz := source.number(name)) > 0:
            return megahertz * 1e6
    return None


def method_name(files: ScanFiles) -> str:
    """Name of the method, as the console writes it."""
    for source, name in ((files.method, "Method"), (files.acqp, "ACQ_method")):
        if name in source:
            return source.text(name)
    return "unknown"


def is_refocused(files: ScanFiles) -> bool | None:
    """Tell spin echoes (True) from gradient echoes (False), by a refocusing pulse or the console; None: unknown."""
    if any(name in files.method for name in ("RefPulse1", "RefPulse", "PVM_RefPulse1")):
        return True
    if files.visu is not None and "VisuAcqEchoSequenceType" in files.visu:
        kind = {"SpinEcho": True, "GradientEcho": False}.get(files.visu.text("VisuAcqEchoSequenceType"))
        if kind is not None:
            return kind
    return False if _GRADIENT_ECHO.search(method_name(files)) else None


def partial_fourier(files: ScanFiles) -> PartialFourier:
    """How the console completes what it acquired in part; its reconstruction says it, or else the method."""
    if files.reco is not None and "RecoHalfFT" in files.reco and "Yes" in files.reco.values("RecoHalfFT"):
        name = files.reco.text("RecoHalfFTAlgorithm") if "RecoHalfFTAlgorithm" in files.reco else ""
        return _ALGORITHMS.get(name.lower(), "unknown")
    if not _is_partial(files):
        return "none"
    if (files.reco is not None and "RecoHalfFT" in files.reco) or "PVM_EncPftAlgorithm" not in files.method:
        return "zero_filling"
    return _ALGORITHMS.get(files.method.text("PVM_EncPftAlgorithm").lower(), "unknown")


def _is_partial(files: ScanFiles) -> bool:
    if "PVM_EncPft" in files.method:
        return bool(np.any(files.method.floats("PVM_EncPft") > 1))
    return "PVM_EncPftAccel1" in files.method and files.method.number("PVM_EncPftAccel1") > 1


def completed_axes(files: ScanFiles) -> tuple[bool, bool] | None:
    """Along which of (phase_encode, readout) the console completed k-space, where its parameters say so."""
    if files.reco is None or "RecoHalfFT" not in files.reco:
        return None
    answers = [word == "Yes" for word in files.reco.values("RecoHalfFT")]
    return (answers[1], answers[0]) if len(answers) >= 2 else None


def repetitions_differ(files: ScanFiles, n_repetitions: int, n_movie_frames: int) -> str:
    """Why the repetitions of a scan are not of the same image; empty where they are."""
    method = files.method
    if n_movie_frames > 1:
        is_movie = "PVM_NMovieFrames" in method and method.number("PVM_NMovieFrames") == n_movie_frames
        what = "frames of a movie (PVM_NMovieFrames)" if is_movie else "images with one echo time (ACQ_n_echo_images)"
        return f"they are {n_movie_frames} {what}"
    if n_repetitions == 1:
        return ""
    if "PVM_DwNDiffExp" in method and method.number("PVM_DwNDiffExp") > 1:
        return "they have different diffusion weights (PVM_DwNDiffExp)"
    for name in ("ACQ_repetition_time", "ACQ_inversion_time"):
        if name in files.acqp and np.unique(files.acqp.floats(name)).size > 1:
            return f"they have different times ({name})"
    if "PVM_NRepetitions" in method and (asked := method.number("PVM_NRepetitions")) != n_repetitions:
        return f"there are {n_repetitions} (NR) where {asked:g} were asked for (PVM_NRepetitions)"
    return ""


def protocol(files: ScanFiles) -> dict[str, str]:
    """Say what was asked of the scan beside its echo times: name, repetition time, flip angle, averages."""
    acqp, method = files.acqp, files.method
    words = {"method": method_name(files), "version": files.version}
    for name in ("ACQ_scan_name", "ACQ_protocol_name"):
        if name in acqp and "protocol" not in words and (text := " ".join(acqp.values(name)).strip()):
            words["protocol"] = text
    if (times := _numbers(acqp, "ACQ_repetition_time", method, "PVM_RepetitionTime")).size:
        words["repetition time"] = ", ".join(f"{time:g} ms" for time in np.unique(times)[:8])
    if (angle := _excitation_angle(files)) is not None:
        words["flip angle"] = f"{angle:g} deg"
    if (averages := _numbers(method, "PVM_NAverages", acqp, "NA")).size:
        words["averages"] = f"{averages[0]:g}"
    if (thickness := _numbers(acqp, "ACQ_slice_thick", method, "PVM_SliceThick")).size:
        words["excited slice or slab"] = f"{thickness[0]:g} mm"
    return words


def _numbers(first: ParameterFile, name: str, second: ParameterFile, other: str) -> RealArray:
    """Values of the first of two parameters that is there; none where neither is."""
    for source, label in ((first, name), (second, other)):
        if label in source:
            return source.bounded(label, _MAX_ECHO_TIME)
    return np.zeros(0)


def _excitation_angle(files: ScanFiles) -> float | None:
    """Flip angle of the excitation [deg]: third of its pulse; ACQ_flip_angle may be that of the refocusing pulse."""
    for name in ("ExcPulse1", "ExcPulse"):
        words = files.method.values(name) if name in files.method else []
        if len(words) > 2:
            try:
                return float(words[2])
            except ValueError:
                return None
    return files.acqp.number("ACQ_flip_angle") if "ACQ_flip_angle" in files.acqp else None
