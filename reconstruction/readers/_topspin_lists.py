"""The lists that step a TopSpin experiment: delays (vdlist), pulse lengths (vplist) and loop counts (vclist)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.arrays import IntArray, RealArray
from knightshift.core.errors import DamagedDataError
from knightshift.reconstruction.fid_series import Experiment
from knightshift.reconstruction.readers._raw_files import read_text

_NAMES = ("vdlist", "vplist", "vclist")
_UNITS = {"s": 1.0, "m": 1e-3, "ms": 1e-3, "u": 1e-6, "us": 1e-6, "n": 1e-9, "ns": 1e-9}
_ENTRY = re.compile(r"([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(s|ms|m|us|u|ns|n)?")
_MAX_ENTRIES = 65536
_PROGRAMS: tuple[tuple[str, Experiment], ...] = (
    (r"t1rho|t1r\b|spin_?lock", "T1rho"),
    (r"t1ir|inv_?rec|t1_?inv|invr", "inversion recovery"),
    (r"satrec|sat_?rec|t1sat", "saturation recovery"),
    (r"cpmg|project|t2", "T2"),
)


@dataclass(frozen=True)
class StepList:
    """What steps from row to row."""

    path: Path | None
    """The list; None where there is none."""
    delays: RealArray | None
    """[s], shape ``(step,)``."""
    counts: IntArray | None
    """Loop counts, shape ``(step,)``."""
    missing: tuple[str, ...]
    """What it does not say."""


def step_list(folder: Path, n_steps: int) -> StepList:
    """Find the list of a pseudo-2D experiment and spread it over its rows; TopSpin starts a list again at its end.

    Raises
    ------
    DamagedDataError
        If an entry is no time or no count.
    """
    present = [name for name in _NAMES if (folder / name).is_file()]
    used = [name for name in present if _is_used(folder, name)] if len(present) > 1 else present
    if len(used) != 1:
        words = f"which list steps the rows ({', '.join(present)} are there)" if present else "a list of delays"
        return StepList(None, None, None, (words,))
    path = folder / used[0]
    entries, bare = _entries(path)
    rows = np.resize(entries, n_steps)
    if used[0] == "vclist":
        if np.any(entries != np.rint(entries)):
            raise DamagedDataError(path, "entries", "loop counts must be whole numbers")
        return StepList(path, None, rows.astype(np.int64), ("the duration of one loop of vclist",))
    if used[0] == "vplist" and bare:
        return StepList(
            path, rows * 1e-6, None, ("the unit of vplist: plain numbers are taken as us, as TopSpin does",)
        )
    return StepList(path, rows, None, ())


def experiment_of(program: str, steps: StepList) -> Experiment:
    """Tell by its name what a pulse program measures; loops (vclist) are echoes."""
    for pattern, experiment in _PROGRAMS:
        if re.search(pattern, program, re.IGNORECASE):
            return experiment
    return "T2" if steps.counts is not None else "unknown"


def _is_used(folder: Path, name: str) -> bool:
    """Whether the pulse program steps through a list (``ivd``, ``vd``)."""
    if not (folder / "pulseprogram").is_file():
        return True
    code = re.sub(r";.*", "", read_text(folder / "pulseprogram"))
    return re.search(rf"\bi?{name[:2]}\b", code) is not None


def _entries(path: Path) -> tuple[RealArray, bool]:
    """Numbers of a list in s (or bare), and whether none of them has a unit."""
    words = [line.strip() for line in read_text(path).split("\n") if line.strip() and not line.startswith("#")]
    if not 1 <= len(words) <= _MAX_ENTRIES:
        raise DamagedDataError(path, "entries", f"{len(words)} entries; 1 to {_MAX_ENTRIES} are read")
    matches = [_ENTRY.fullmatch(word) for word in words]
    values = np.empty(len(words))
    for index, match in enumerate(matches):
        number = _number(match.group(1)) if match else math.nan
        if match is None or not math.isfinite(number):
            raise DamagedDataError(path, f"entry {index + 1}", f"{words[index][:20]!r} is no time and no count")
        values[index] = number * _UNITS[match.group(2) or "s"]
    return values, not any(match and match.group(2) for match in matches)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
