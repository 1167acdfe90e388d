"""JCAMP-DX parameter files of ParaVision: nmrglue cuts them into labels and text, we read the values.

nmrglue 0.11/0.12 leaves arrays, structs, ``<strings>`` and run-length arrays ``@n*(v)`` as text and drops the
underscores of the labels; both are put right here. Every size that a file claims is bounded before it is believed.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knightshift.core.arrays import IntArray, RealArray
from knightshift.core.errors import DamagedDataError
from knightshift.reconstruction.readers._nmrglue import ng

MAX_FILE_BYTES = 64 * 1024**2
"""Largest parameter file that is read: real ones stay below 1 MB."""
MAX_VALUES = 4_000_000
"""Most values that one parameter may expand to."""

_DATA_LABEL = re.compile(r"^\s*##\s*(XY|PEAK|DATA[\s_/-]*TABLE|N[\s_/-]*TUPLES|PAGE)", re.IGNORECASE | re.MULTILINE)
_SHAPE = re.compile(r"\s*\(([\d\s,]*)\)[ \t]*(?:\n|$)")
_TOKEN = re.compile(r"\s*(<(?:[^<>\\]|\\.|<[^<>]*>)*>|@\d+\*\(|[(),]|[^\s(),<@]+)", re.DOTALL)


@dataclass(frozen=True)
class ParameterFile:
    """The parameters of one JCAMP-DX file, as text until asked for."""

    path: Path
    """The file."""
    texts: dict[str, str]
    """Text of each value by label, upper case without underscores."""

    def __contains__(self, name: str) -> bool:
        return _label(name) in self.texts

    def text(self, name: str) -> str:
        """Value of a scalar parameter as text, without ``<>``. Raises `DamagedDataError` if it is missing."""
        values = self.values(name)
        if not values:
            raise DamagedDataError(self.path, name, "the parameter is empty")
        return str(values[0])

    def raw(self, name: str) -> str:
        """Text of a value as the file has it; empty where it is missing."""
        return self.texts.get(_label(name), "")

    def values(self, name: str) -> list[str]:
        """All values of a parameter as flat text, runs expanded, structs flattened.

        Raises
        ------
        DamagedDataError
            If the parameter is missing, malformed, or claims more than `MAX_VALUES` values.
        """
        try:
            raw = self.texts[_label(name)]
        except KeyError:
            raise DamagedDataError(self.path, name, "the parameter is missing") from None
        try:
            return flat_values(raw)
        except ValueError as error:
            raise DamagedDataError(self.path, name, str(error)) from None

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape that the parameter declares, ``()`` for a scalar."""
        match = _SHAPE.match(self.texts.get(_label(name), ""))
        words = match.group(1).replace(",", " ").split() if match else []
        return tuple(int(word) for word in words if len(word) < 10)

    def floats(self, name: str) -> RealArray:
        """All values of a parameter as finite numbers, shape ``(value,)``."""
        values = self.values(name)
        try:
            numbers = np.array([float(value) for value in values])
        except ValueError:
            raise DamagedDataError(self.path, name, f"{_shown(values)} are not numbers") from None
        if not np.all(np.isfinite(numbers)):
            raise DamagedDataError(self.path, name, f"{_shown(values)} are not finite")
        return numbers

    def bounded(self, name: str, limit: float) -> RealArray:
        """All values of a parameter, none larger in magnitude than `limit`, shape ``(value,)``."""
        numbers = self.floats(name)
        if np.any(np.abs(numbers) > limit):
            raise DamagedDataError(self.path, name, f"{_shown(self.values(name))} are not all within ±{limit:g}")
        return numbers

    def integers(self, name: str) -> IntArray:
        """All values of a parameter as integers, shape ``(value,)``."""
        numbers = self.floats(name)
        if np.any(numbers != np.rint(numbers)) or np.any(np.abs(numbers) > 2**53):
            raise DamagedDataError(self.path, name, f"{_shown(self.values(name))} are not whole numbers")
        return numbers.astype(np.int64)

    def number(self, name: str) -> float:
        """First value of a parameter as a finite number."""
        numbers = self.floats(name)
        if numbers.size == 0:
            raise DamagedDataError(self.path, name, "the parameter is empty")
        return float(numbers[0])

    def count(self, name: str, at_most: int = 1_000_000) -> int:
        """Value of a parameter that counts something, between 1 and `at_most`."""
        number = self.number(name)
        if number != math.floor(number) or not 1 <= number <= at_most:
            raise DamagedDataError(self.path, name, f"{number:g} is not a count between 1 and {at_most}")
        return int(number)

    def structs(self, name: str) -> list[list[str]]:
        """Values of a parameter that holds ``(…)`` structs, one list of flat text for each."""
        values = self.texts.get(_label(name))
        if values is None:
            raise DamagedDataError(self.path, name, "the parameter is missing")
        try:
            return _top_level_structs(_body(values))
        except ValueError as error:
            raise DamagedDataError(self.path, name, str(error)) from None


def read_parameters(path: Path) -> ParameterFile:
    """Read one ParaVision parameter file (``acqp``, ``method``, ``reco``, ``visu_pars``).

    Raises
    ------
    DamagedDataError
        If it is empty, too large, or not JCAMP-DX.
    """
    try:
        size = path.stat().st_size
        if size == 0 or size > MAX_FILE_BYTES:
            limit = f"a parameter file holds 1 to {MAX_FILE_BYTES} bytes"
            raise DamagedDataError(path, "file", f"it holds {size} bytes; {limit}", "copy the scan again")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DamagedDataError(path, "file", f"it cannot be read ({error.strerror})") from None
    if not text.lstrip("\ufeff \t\r\n").startswith("##TITLE") or _DATA_LABEL.search(text):
        raise DamagedDataError(path, "##TITLE", "this is not a ParaVision parameter file")
    return ParameterFile(path, _labels_of(path))


def _labels_of(path: Path) -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nmrglue misses spectra in every parameter file
        try:
            tokens, _ = ng.jcampdx.read(str(path))
        except Exception as error:
            raise DamagedDataError(path, "file", f"nmrglue cannot cut it into labels ({error!r})") from error
    blocks = [block for key, found in tokens.items() if key.startswith("_datatype_") for block in found]
    texts = {}
    for block in blocks:
        for label, values in block.items():
            if label != "_comments":
                texts[_label(label)] = values[0]
    return texts


def _label(name: str) -> str:
    return name.lstrip("$").replace("_", "").upper()


def _shown(values: list[str]) -> str:
    return f"the values {values[:4]}{'…' if len(values) > 4 else ''}"


def _body(raw: str) -> str:
    """Text of a value without the shape it declares."""
    match = _SHAPE.match(raw)
    return raw[match.end() :] if match and "\n" in raw else raw


def _tokens(text: str) -> Iterator[str]:
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"cannot be read at {text[position : position + 20]!r}")
        position = match.end()
        yield match.group(1)


def flat_values(raw: str) -> list[str]:
    """Flatten the text of one value: arrays, structs, ``<strings>`` and runs ``@n*(v)``.

    Raises
    ------
    ValueError
        If brackets do not match, or the runs expand to more than `MAX_VALUES` values.
    """
    values: list[str] = []
    runs: list[tuple[int, int] | None] = []  # for each open bracket: None, or (repeats, start) of a run
    for word in _tokens(_body(raw)):
        if word.startswith("@"):
            runs.append((_run_length(word), len(values)))
        elif word == "(":
            runs.append(None)
        elif word == ")":
            if not runs:
                raise ValueError("a bracket closes that was never opened")
            _close(runs.pop(), values)
        elif word != ",":
            values.append(word[1:-1] if word.startswith("<") else word)
    if runs:
        raise ValueError("a bracket is never closed")
    return values


def _run_length(word: str) -> int:
    digits = word[1 : word.index("*")]
    if len(digits) > 9:
        raise ValueError(f"claims a run of {digits[:12]}… values; at most {MAX_VALUES} are read")
    return int(digits)


def _close(run: tuple[int, int] | None, values: list[str]) -> None:
    """Expand the run that a bracket closes, if it is one."""
    if run is None:
        return
    _repeat(run, values)


def _repeat(run: tuple[int, int], values: list[Any]) -> None:
    """Repeat what came since a run began."""
    repeats, start = run
    body = values[start:]
    size = sum(len(one) if isinstance(one, list) else 1 for one in body)
    if start + repeats * size > MAX_VALUES:
        raise ValueError(f"claims a run of {repeats} values; at most {MAX_VALUES} are read")
    values[start:] = body * repeats


def _top_level_structs(body: str) -> list[list[str]]:
    """Flat text of each struct; runs of structs, and of values within one, are expanded."""
    structs: list[list[str]] = []
    open_brackets: list[tuple[int, int] | None] = []  # None, or (repeats, start) of a run
    depth = 0  # of structs
    for word in _tokens(body):
        if word.startswith("@"):
            open_brackets.append((_run_length(word), len(structs[-1]) if depth else len(structs)))
        elif word == "(":
            open_brackets.append(None)
            depth += 1
            if depth == 1:
                structs.append([])
        elif word == ")":
            if not open_brackets:
                raise ValueError("a bracket closes that was never opened")
            run = open_brackets.pop()
            if run is None:
                depth -= 1
            else:
                _repeat(run, structs[-1] if depth else structs)
        elif word != "," and depth:
            structs[-1].append(word[1:-1] if word.startswith("<") else word)
    if open_brackets:
        raise ValueError("a bracket is never closed")
    return structs
