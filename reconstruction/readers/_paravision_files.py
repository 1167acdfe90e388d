"""The files of a ParaVision scan, and whether an inverse FFT makes an image of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers.jcamp import ParameterFile, read_parameters

_NOT_CARTESIAN = re.compile(r"epi|epsi|spiral|(?<![a-z])(ig)?ute|ute3d|zte|radial|propeller", re.IGNORECASE)
_GATED = re.compile(r"(?<![a-z])ig-?(flash|fisp)|intragate", re.IGNORECASE)
_NOT_IMAGING = re.compile(r"csi|press\b|steam|singlepulse|nspect|isis|laser", re.IGNORECASE)
_REFUSED_WHEN_YES = {
    "PVM_EncCS": "compressed sensing is",
    "PVM_EncGenEllipse": "an elliptic k-space is",
    "PVM_IsEpiScan": "EPI is",
}
_RAW_NAME = re.compile(r"fid|ser|rawdata\.job\d+")
_COPY_AGAIN = "copy the scan again from the console"


@dataclass(frozen=True)
class ScanFiles:
    """The parsed parameter files of one scan, and its raw file."""

    folder: Path
    """The scan folder, which holds ``acqp`` and ``method``."""
    raw: Path
    """``fid`` or ``rawdata.job0``."""
    acqp: ParameterFile
    """Acquisition parameters."""
    method: ParameterFile
    """Method parameters."""
    reco: ParameterFile | None
    """Reconstruction parameters; None where the scan was never reconstructed."""
    visu: ParameterFile | None
    """Description of the images of the console; None where there are none."""
    version: str
    """``"PV 6.0.1"``."""

    @property
    def is_360(self) -> bool:
        """Whether ParaVision 360 wrote the scan."""
        return "360" in self.version

    @property
    def is_before_6(self) -> bool:
        """Whether ParaVision 5.1 or an older one wrote the scan."""
        digits = re.search(r"\d+", self.version)
        return digits is not None and int(digits.group()) < 6

    @property
    def job(self) -> str:
        """Name of the job whose samples are read, ``"job0"``; empty where they are those of no job."""
        if self.raw.name.startswith("rawdata.job"):
            return self.raw.name.removeprefix("rawdata.")
        return "job0" if self.is_360 else ""  # some hold the samples of their first job in a file called fid


def find_scan_files(path: Path) -> ScanFiles:
    """Find and parse the files of a scan, from its folder, its raw file or one of its ``pdata/N`` folders."""
    folder = path if path.is_dir() else path.parent
    processed = folder if folder.parent.name == "pdata" else None
    if processed is not None:
        folder = processed.parent.parent
    asked = path if path.parent == folder and _RAW_NAME.fullmatch(path.name) else None
    acqp, method = read_parameters(folder / "acqp"), read_parameters(folder / "method")
    version = acqp.text("ACQ_sw_version") if "ACQ_sw_version" in acqp else ""
    raw = _raw_file(folder, version, asked)
    version = version or ("PV 360" if raw.name.startswith("rawdata") else "PV")
    if processed is None:
        numbers = sorted((p for p in folder.glob("pdata/*") if p.name.isdigit()), key=lambda p: int(p.name))
        processed = next((p for p in numbers if (p / "reco").is_file()), None)
    reco, visu = (
        read_parameters(processed / name) if processed and (processed / name).is_file() else None
        for name in ("reco", "visu_pars")
    )
    return ScanFiles(folder, raw, acqp, method, reco, visu, version)


def _raw_file(folder: Path, version: str, asked: Path | None) -> Path:
    """Raw file of the images: the one asked for, or the first that is there and holds something."""
    names = ("rawdata.job0", "fid", "ser") if "360" in version else ("fid", "rawdata.job0", "ser")
    there = [asked] if asked is not None else [folder / name for name in names if (folder / name).is_file()]
    if not there:
        left = (
            "; only images of the console are left, which are no raw data" if any(folder.glob("pdata/*/2dseq")) else ""
        )
        problem = f"there is no {names[0]}, {names[1]} or {names[2]} in the scan folder{left}"
        raise DamagedDataError(folder / names[0], "raw file", problem, _COPY_AGAIN)
    for path in there:
        if path.stat().st_size > 0:
            return path
    problem = "the file is empty: the scan was aborted before its first readout"
    raise DamagedDataError(there[0], "file size", problem, "scan again")


def check_supported(files: ScanFiles) -> None:
    """Refuse what an inverse FFT alone would turn into a wrong image.

    Raises
    ------
    UnsupportedDataError
        For EPI, spiral and radial scans, spectroscopy and parallel imaging.
    """
    acqp, method = files.acqp, files.method
    name = method.text("Method") if "Method" in method else acqp.text("ACQ_method")
    program = acqp.text("PULPROG") if "PULPROG" in acqp else ""
    if _NOT_CARTESIAN.search(name) or _NOT_CARTESIAN.search(program) or _shown_as_not_cartesian(files.visu):
        raise UnsupportedDataError(
            f"{files.folder}: method {name}: EPI, spiral and radial scans need more than an FFT (trajectory, odd/even "
            "echo phase): reconstruct it on the console"
        )
    if _NOT_IMAGING.search(name) or _is_spectral(acqp):
        raise UnsupportedDataError(f"{files.folder}: method {name} is spectroscopy: only images are read")
    if _GATED.search(name) or _GATED.search(program) or ("SelfGating" in method and method.text("SelfGating") == "Yes"):
        raise UnsupportedDataError(
            f"{files.folder}: method {name}: lines are not sorted by heart beat and breath (retrospective gating): "
            "reconstruct it on the console"
        )
    if (n_dims := dimensions(files)) not in (2, 3):
        raise UnsupportedDataError(f"{files.folder}: method {name} is {n_dims}-dimensional: only 2D and 3D are read")
    for parameter in ("PVM_EncPpi", "PVM_EncPpiAccel1"):
        if parameter in method and np.any(method.floats(parameter) > 1):
            raise UnsupportedDataError(f"{files.folder}: {parameter} > 1: parallel imaging is not reconstructed")
    _check_acquisition(files)


def _check_acquisition(files: ScanFiles) -> None:
    """Refuse ways of acquisition that leave more to do than an FFT."""
    acqp, method = files.acqp, files.method
    for parameter, what in _REFUSED_WHEN_YES.items():
        if parameter in method and method.text(parameter) == "Yes":
            raise UnsupportedDataError(f"{files.folder}: {parameter}: {what} not reconstructed")
    if "PVM_MbEncAccelFactor" in method and method.number("PVM_MbEncAccelFactor") > 1:
        raise UnsupportedDataError(
            f"{files.folder}: PVM_MbEncAccelFactor > 1: slices excited together are not separated"
        )
    in_one_sweep = "ACQ_scan_size" in acqp and acqp.text("ACQ_scan_size") == "ACQ_phase_factor_scans"
    if in_one_sweep and "ACQ_phase_factor" in acqp and acqp.number("ACQ_phase_factor") > 1:
        raise UnsupportedDataError(f"{files.folder}: ACQ_phase_factor_scans: several lines in one sweep are not read")
    if "AQ_mod" in acqp and acqp.text("AQ_mod") in ("qf", "qseq"):
        raise UnsupportedDataError(f"{files.folder}: AQ_mod {acqp.text('AQ_mod')}: only quadrature detection is read")


def _shown_as_not_cartesian(visu: ParameterFile | None) -> bool:
    """Tell whether the console itself says so: methods of users have names of their own."""
    if visu is None:
        return False
    words = [visu.text(name) for name in ("VisuAcqKSpaceTraversal", "VisuAcqIsEpiSequence") if name in visu]
    return any(word in ("RadialTraversal", "SpiralTraversal", "Yes") for word in words)


def _is_spectral(acqp: ParameterFile) -> bool:
    described = acqp.values("ACQ_dim_desc") if "ACQ_dim_desc" in acqp else []
    return any("spatial" not in word.lower() for word in described)


def dimensions(files: ScanFiles) -> int:
    """Count the encoded dimensions of the scan, the readout included."""
    if "ACQ_dim" in files.acqp:
        return files.acqp.count("ACQ_dim", at_most=9)
    digits = files.method.text("PVM_SpatDimEnum")[:1]
    return int(digits) if digits.isdigit() else 0
