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
from knightshift.reconstruction.readers._topspin_headers import is_true_2d
from knightshift.reconstruction.readers._topspin_loops import LoopTime, loop_time
from knightshift.reconstruction.readers.jcamp import ParameterFile

_NAMES = ("vdlist", "vplist", "vclist")
_OTHERS = ("difflist", "valist", "fq1list", "fq2list", "fq3list")
"""Lists of gradients, amplitudes and frequencies: a row that steps these is no delay."""
_UNITS = {"s": 1.0, "m": 1e-3, "ms": 1e-3, "u": 1e-6, "us": 1e-6, "n": 1e-9, "ns": 1e-9}
_ENTRY = re.compile(r"([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(s|ms|m|us|u|ns|n)?")
_MAX_ENTRIES = 65536
_TRUE_2D = "delays: the rows step t1 of a two-dimensional spectrum ({}); it is not transformed along t1"
_DIFFUSION = re.compile(r"^(d?ste|led|d?led)|dosy|diff|pgse|pgste", re.IGNORECASE)
_PROGRAMS: tuple[tuple[str, Experiment], ...] = (
    (r"t1rho|t1r\b|spin_?lock", "T1rho"),
    (r"t1ir|inv_?rec|t1_?inv|invr", "inversion recovery"),
    (r"satrec|sat_?rec|t1sat", "saturation recovery"),
    (r"cpmg|project|t2(?!d)", "T2"),
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
    sentence: str = ""
    """How the delays follow from the loop counts, where they do."""
    is_other: bool = False
    """Whether gradients, amplitudes or frequencies are stepped, and no delays."""


def step_list(folder: Path, n_steps: int, acqus: ParameterFile) -> StepList:
    """Find the list of a pseudo-2D experiment and spread it over its rows; TopSpin starts a list again at its end.

    Raises
    ------
    DamagedDataError
        If an entry is no time or no count.
    """
    code = _code(folder)
    lists = {name: path for name in (*_NAMES, *_OTHERS) if (path := _find(folder, name)) is not None}
    used = [name for name in lists if code is None or _is_used(code, name)]
    program = acqus.text("PULPROG") if "PULPROG" in acqus else ""
    if used == ["vdlist"] and code is None and _DIFFUSION.search(program):
        used = ["difflist"]
    if len(used) != 1 or used[0] in _OTHERS:
        other = bool(used) and set(used) <= set(_OTHERS)
        words = _TRUE_2D.format(program) if not used and is_true_2d(folder) else _not_known(list(lists), used, program)
        return StepList(None, None, None, (words,), is_other=other)
    path = lists[used[0]]
    entries, bare = _entries(path, "us" if used[0] == "vplist" else "s")
    rows = np.resize(entries, n_steps)
    if used[0] == "vclist":
        return _counted(path, entries, n_steps, None if code is None else loop_time(code, acqus))
    if used[0] == "vdlist" and _measured(program) == "T2":
        return _echo_times(path, rows, code)
    note = ("the unit of vplist: plain numbers are taken as us, as TopSpin does",)
    return StepList(path, rows, None, note if used[0] == "vplist" and bare else ())


def _not_known(lists: list[str], used: list[str], program: str) -> str:
    """Say why no list gives delays."""
    if used and set(used) <= set(_OTHERS):
        return f"delays: the rows step {' and '.join(used)} ({program}), which are no delays"
    if not lists:
        return "a list of delays"
    return (
        f"which list steps the rows ({', '.join(lists)} are there, the pulse program {program} uses {used or 'none'})"
    )


def _counted(path: Path, entries: RealArray, n_steps: int, loop: LoopTime | None) -> StepList:
    if np.any(entries != np.rint(entries)):
        raise DamagedDataError(path, "entries", "loop counts must be whole numbers")
    counts = np.resize(entries, n_steps).astype(np.int64)
    if loop is None:
        return StepList(path, None, counts, ("the duration of one loop of vclist",))
    words = f"The counts of vclist were multiplied by the {loop.seconds * 1e3:.6g} ms of one loop: {loop.formula}."
    return StepList(path, counts * loop.seconds, counts, (), words)


def _echo_times(path: Path, delays: RealArray, code: str | None) -> StepList:
    """Echo times of a spin echo: its program plays ``vd`` before the refocusing pulse and after it."""
    open_point = ("how often the pulse program plays vd before the echo: echo times count as once vd",)
    if code is None or re.search(r'"[^"]*\bvd\b[^"]*"', code):
        return StepList(path, delays, None, open_point)
    played = [float(factor or 1) for factor in re.findall(r"(?<![\w<$])vd(?:\*([0-9]*\.?[0-9]+))?(?![\w.*=])", code)]
    times = sum(played)
    if not played or not 0 < times < 1e6:
        return StepList(path, delays, None, open_point)
    words = f"The echo time is {times:g} times the delay of vdlist, as often as the pulse program plays it."
    return StepList(path, delays * times, None, (), words)


def _find(folder: Path, name: str) -> Path | None:
    """Find a list: beside the data, or the only one of its kind in ``lists``."""
    if (folder / name).is_file():
        return folder / name
    kept = folder / "lists" / name[:2]
    files = [path for path in sorted(kept.iterdir())[:10] if path.is_file()] if kept.is_dir() else []
    return files[0] if len(files) == 1 and name in _NAMES else None


def experiment_of(program: str, steps: StepList) -> Experiment:
    """Tell by its name what a pulse program measures; loops (vclist) may be echoes, or the mixing of a TOCSY."""
    return "unknown" if steps.is_other else _measured(program)


def _measured(program: str) -> Experiment:
    for pattern, experiment in _PROGRAMS:
        if re.search(pattern, program, re.IGNORECASE):
            return experiment
    return "unknown"


def _code(folder: Path) -> str | None:
    """Pulse program without comments and preprocessor lines; None where it is not there."""
    if not (folder / "pulseprogram").is_file():
        return None
    text = re.sub(r"(;|//).*", "", read_text(folder / "pulseprogram"))
    return re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)


def _is_used(code: str, name: str) -> bool:
    """Whether the pulse program steps through a list: ``vd``, ``ivd``, ``vdlist``, ``<$VDLIST>``."""
    short = {"difflist": "diff", "valist": "va"}.get(name, name.removesuffix("list"))
    return re.search(rf"\bi?{short}\b|\b{name}|\${name}\b", code, re.IGNORECASE) is not None


def _entries(path: Path, unit: str) -> tuple[RealArray, bool]:
    """Numbers of a list, plain ones in `unit`, and whether none of them has a unit."""
    lines = [re.sub(r"[;#].*", "", line).strip() for line in read_text(path).split("\n")]
    words = [line for line in lines if line]
    if not 1 <= len(words) <= _MAX_ENTRIES:
        raise DamagedDataError(path, "entries", f"{len(words)} entries; 1 to {_MAX_ENTRIES} are read")
    matches = [_ENTRY.fullmatch(word) for word in words]
    values = np.empty(len(words))
    for index, match in enumerate(matches):
        number = _number(match.group(1)) if match else math.nan
        if match is None or not math.isfinite(number):
            raise DamagedDataError(path, f"entry {index + 1}", f"{words[index][:20]!r} is no time and no count")
        values[index] = number * _UNITS[match.group(2) or unit]
    return values, not any(match and match.group(2) for match in matches)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
