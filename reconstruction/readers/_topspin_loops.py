"""How long one loop of a CPMG pulse program lasts, so that loop counts (``vclist``) become echo times.

The delays and pulses between the label of the loop and its ``lo to … times vc`` are added up: ``d20``, ``p2`` and the
like from ``acqus`` or as the program defines them, ``"DELTA=d20-p2/2"``. A loop in which anything is not understood
gives no time.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from knightshift.core.errors import DamagedDataError
from knightshift.reconstruction.readers.jcamp import ParameterFile

_LOOP = re.compile(r"^\s*lo\s+to\s+(\w+)\s+times\s+(?:vc|c|vclist\w*)\s*$", re.MULTILINE)
_DEFINITION = re.compile(r'^\s*"\s*(\w+)\s*=\s*([^"]{1,200})"', re.MULTILINE)
_ARRAY = re.compile(r"\(\s*0\.\.\d+\s*\)([^#$]*)")
_TERM = re.compile(r"(?P<name>[A-Za-z_]\w*|[0-9.]+(?:[smun]|$))(?P<times>\*[0-9.]+)?(?::\w+)?")
_SILENT = re.compile(r"(ph\d+|i?pp\d+|[ir]p\d+|pl\d+(:f\d)?|:f\d|\(|\)|BLKGRAD|UNBLKGRAD|\d+)")
_TIME = re.compile(r"(?<![\w.])([0-9.]+)([smun])\b")
_UNITS = {"s": "", "m": "e-3", "u": "e-6", "n": "e-9"}
_MAX_LINES, _MAX_DEPTH, _MAX_LOOP = 60, 20, 1e3
_SUMS: dict[type, Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b if b else math.nan,
}


@dataclass(frozen=True)
class LoopTime:
    """Duration of one loop."""

    seconds: float
    """[s]"""
    formula: str
    """``"d20 + p2 + d20"``, with their values."""


@dataclass
class _Durations:
    """Values of the delays and pulses of one program [s]."""

    parameters: ParameterFile
    definitions: dict[str, str]
    depth: int = field(default=0)

    def of(self, name: str) -> float:
        """Value of a name; not a number where it is not known."""
        if name in self.definitions and self.depth < _MAX_DEPTH:
            self.depth += 1
            value = self.evaluated(self.definitions[name])
            self.depth -= 1
            return value
        match = re.fullmatch(r"([dp])(\d{1,2})", name)
        if match is None:
            return math.nan
        values = _array(self.parameters, "D" if match.group(1) == "d" else "P")
        index = int(match.group(2))
        return values[index] * (1.0 if match.group(1) == "d" else 1e-6) if index < len(values) else math.nan

    def evaluated(self, text: str) -> float:
        """Value of a sum of products; not a number where it is anything else."""
        plain = _TIME.sub(lambda match: f"({match.group(1)}{_UNITS[match.group(2)]})", text.strip())
        try:
            return self._node(ast.parse(plain, mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, OverflowError):
            return math.nan

    def _node(self, node: ast.AST) -> float:
        if isinstance(node, ast.BinOp) and type(node.op) in _SUMS:
            return _SUMS[type(node.op)](self._node(node.left), self._node(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._node(node.operand)
        if isinstance(node, ast.Name):
            return self.of(node.id)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value)
        return math.nan


def _array(parameters: ParameterFile, name: str) -> list[float]:
    match = _ARRAY.match(parameters.raw(name))
    try:
        return [float(word) for word in match.group(1).split()] if match else []
    except ValueError:
        raise DamagedDataError(parameters.path, name, "its values are not numbers") from None


def loop_time(code: str, parameters: ParameterFile) -> LoopTime | None:
    """Add up one loop over ``vc``; None where there is none, there are several, or one is not understood.

    Parameters
    ----------
    code
        Pulse program, without comments.
    parameters
        ``acqus``: the delays ``D`` [s] and pulses ``P`` [us].
    """
    loops = list(_LOOP.finditer(code))
    if len(loops) != 1:
        return None
    label = re.escape(loops[0].group(1))
    starts = list(re.finditer(rf"^\s*{label}(?=[\s,])", code[: loops[0].start()], re.MULTILINE))
    if not starts:
        return None
    lines = code[starts[-1].end() : loops[0].start()].splitlines()
    durations = _Durations(parameters, dict(_DEFINITION.findall(code)))
    terms = [_terms(line, durations) for line in lines]
    if len(lines) > _MAX_LINES or any(found is None for found in terms):
        return None
    every = [term for found in terms if found for term in found]
    seconds = float(sum(value for _, value in every))
    if not every or not (np.isfinite(seconds) and 0 < seconds < _MAX_LOOP):
        return None
    return LoopTime(seconds, " + ".join(f"{name} ({value * 1e3:.6g} ms)" for name, value in every))


def _terms(line: str, durations: _Durations) -> list[tuple[str, float]] | None:
    """Durations on one line, one after another; None where a word is not understood."""
    terms: list[tuple[str, float]] = []
    if line.count("(") > 1 or '"' in line:  # pulses at the same time on two channels
        return None
    for word in re.sub(r"([()])", r" \1 ", line).replace(",", " ").split():
        if _SILENT.fullmatch(word):
            continue
        match = _TERM.fullmatch(word)
        if match is None:
            return None
        value = durations.evaluated(match["name"] + (match["times"] or ""))
        if not math.isfinite(value) or value < 0:
            return None
        terms.append((match["name"] + (match["times"] or ""), value))
    return terms
