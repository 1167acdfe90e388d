"""Make a program of any Pulseq file: nucleus and field from its definitions, or from whoever plays it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from knightshift.core.errors import ConfigError, DamagedDataError, ProtocolError
from knightshift.core.nuclei import Nucleus, nucleus_named
from knightshift.core.program import PassProgram
from knightshift.hardware.pulseq_text import read_definitions, read_pulseq

_LARGEST_FILE = 200_000_000
_AGREEMENT = 1e-3


@dataclass(frozen=True)
class WhatPulseqLacks:
    """What a Pulseq file does not say unless someone wrote it into its definitions."""

    nucleus: str | None = None
    """Isotope; None: the definition ``Nucleus``."""
    b0: float | None = None
    """Field [T]; None: the definition ``B0``."""
    shift: float | None = None
    """Shift of the working frequency (a ratio); None: the definition ``WorkingFrequency``, else 0."""


def program_from_file(path: Path, lacking: WhatPulseqLacks) -> PassProgram:
    """Read a Pulseq file, ours or another's, as a program.

    Parameters
    ----------
    path
        The file, Pulseq 1.4 or 1.5.
    lacking
        What its definitions leave open.

    Raises
    ------
    ConfigError
        If the file cannot be read, or nobody says the nucleus or the field.
    ProtocolError
        If it is not Pulseq, or its definitions contradict what is asked for.
    DamagedDataError
        If the file is not text.
    """
    text = _text_of(path)
    definitions = read_definitions(text)
    nucleus = _nucleus(path, definitions, lacking.nucleus)
    b0 = _b0(path, definitions, lacking.b0)
    tables = read_pulseq(text, nucleus.frequency(b0))
    windows = [tables.adc[block.adc].samples for block in tables.blocks if block.adc]
    if not windows:
        raise ProtocolError(f"{path}: has no acquisition window: there is nothing to receive")
    return PassProgram(
        name=path.stem,
        pulseq=text,
        nucleus=nucleus.name,
        gyromagnetic_ratio=nucleus.gyromagnetic_ratio,
        b0=b0,
        working_frequency=_working_frequency(definitions, nucleus, b0, lacking.shift),
        duration=tables.duration,
        n_readouts=len(windows),
        samples=max(windows),
    )


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{path}: {path.stat().st_size} bytes is too large for one pass as Pulseq")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DamagedDataError(path, "text", f"is not Pulseq: {error.reason}", "export it again") from error


def _nucleus(path: Path, definitions: Mapping[str, str], asked: str | None) -> Nucleus:
    written = definitions.get("Nucleus")
    if asked is None and written is None:
        raise ConfigError(f"{path}: does not say its nucleus: add e.g. --nucleus 23Na")
    nucleus = nucleus_named(asked or written or "")
    if written is not None and nucleus_named(written) != nucleus:
        raise ProtocolError(f"{path}: was written for {written}, not for {nucleus.name}: leave --nucleus out")
    gamma = _number(definitions, "Gamma")
    if gamma is not None and abs(gamma / nucleus.gyromagnetic_ratio - 1) > _AGREEMENT:
        raise ProtocolError(
            f"{path}: was written with gamma {gamma / 1e6:.4f} MHz/T, {nucleus.name} has "
            f"{nucleus.gyromagnetic_ratio / 1e6:.4f} MHz/T: choose the nucleus it was written for"
        )
    return nucleus


def _b0(path: Path, definitions: Mapping[str, str], asked: float | None) -> float:
    written = _number(definitions, "B0")
    if asked is None and written is None:
        raise ConfigError(f'{path}: does not say its field: add e.g. --b0 "9.4 T"')
    if asked is not None and written is not None and abs(asked / written - 1) > _AGREEMENT:
        raise ProtocolError(f"{path}: was written for {written:g} T, not for {asked:g} T: leave --b0 out")
    b0 = asked if written is None else written
    if b0 is None or not b0 > 0:
        raise ProtocolError(f"{path}: a field of {b0} T is not possible")
    return b0


def _working_frequency(definitions: Mapping[str, str], nucleus: Nucleus, b0: float, shift: float | None) -> float:
    written = _number(definitions, "WorkingFrequency")
    if shift is None and written is not None:
        return written
    return nucleus.frequency(b0, shift or 0.0)


def _number(definitions: Mapping[str, str], name: str) -> float | None:
    if name not in definitions:
        return None
    try:
        return float(definitions[name].split()[0])
    except (ValueError, IndexError):
        raise ProtocolError(f"definition {name} of the Pulseq file is {definitions[name]!r}, not a number") from None
