"""What the parameter files of a TopSpin experiment say of its console, its frequencies and its second dimension."""

from __future__ import annotations

import re
from pathlib import Path

from knightshift.core.errors import DamagedDataError
from knightshift.reconstruction.readers._raw_files import positive, read_text
from knightshift.reconstruction.readers.jcamp import ParameterFile, read_parameters

_TITLE = re.compile(r",\s*(xwin-?nmr|topspin|uxnmr)\s+(?:version\s+)?(\d[\w. ]*?)\s*$", re.IGNORECASE)
_NAMES = {"xwin": "XWIN-NMR", "tops": "TopSpin", "uxnm": "UXNMR"}
_FARTHEST_REFERENCE = 1e-3
"""Referencing moves the zero by less than this, as a share of it; anything beyond is of another experiment."""
_QUADRATURE_ALONG_T1 = range(2, 7)
"""FnMODE: QSEQ, TPPI, States, States-TPPI, echo-antiecho; 0 (undefined) and 1 (QF) may be a list as well."""
_STEPS_T1 = re.compile(r"\b(?:id0|dd0)\b|\+\s*in0\b|\*\s*in0\b|F[12]EA\s*\(", re.IGNORECASE)


def console_version(acqus: ParameterFile) -> str:
    """Program of the console and its version, ``"TopSpin 3.5 pl 7"``, from the title of ``acqus``."""
    match = _TITLE.search(" ".join(acqus.texts.get("TITLE", "").split()))
    return f"{_NAMES[match.group(1)[:4].lower()]} {match.group(2)}" if match else "TopSpin"


def frequency(parameters: ParameterFile, name: str) -> float | None:
    """Frequency [Hz] of a parameter in MHz; None where it is not there."""
    if name not in parameters or parameters.number(name) <= 0:
        return None
    return positive(parameters.path, name, parameters.number(name), 1e6) * 1e6


def zero_shift(folder: Path, acqus: ParameterFile) -> tuple[float | None, str]:
    """Frequency of zero shift [Hz], and the sentence that says whose it is.

    The operator may have referenced the spectra: then ``SF`` of the first ``pdata/N/procs`` is the zero of the
    console's own axis, and ``BF1`` of ``acqus``, what the zero was at first, is off by its SR.
    """
    basic = frequency(acqus, "BF1")
    files = sorted(
        (p for p in folder.glob("pdata/*/procs") if p.parent.name.isdigit()), key=lambda p: int(p.parent.name)
    )
    if basic is None or not files:
        return basic, ""
    shown = f"pdata/{files[0].parent.name}/procs"
    try:
        referenced = frequency(read_parameters(files[0]), "SF")
    except DamagedDataError:
        return basic, f"Shifts count from BF1: {shown} cannot be read."
    if referenced is None or referenced == basic:
        return basic, ""
    if abs(referenced / basic - 1) > _FARTHEST_REFERENCE:
        return basic, f"Shifts count from BF1: SF in {shown} is of another nucleus."
    return referenced, f"Shifts are referenced as in {shown} (SR {referenced - basic:+.2f} Hz)."


def is_true_2d(folder: Path) -> bool:
    """Whether the rows of ``ser`` step the time t1 of a two-dimensional spectrum (d0 in its pulse program)."""
    if not (folder / "acqu2s").is_file():
        return False
    indirect = read_parameters(folder / "acqu2s")
    mode = int(indirect.number("FnMODE")) if "FnMODE" in indirect else 0
    program = folder / "pulseprogram"
    code = re.sub(r"(;|//).*", "", read_text(program)) if program.is_file() else ""
    return mode in _QUADRATURE_ALONG_T1 or _STEPS_T1.search(code) is not None
