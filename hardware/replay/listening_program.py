"""A program that only listens: stands for the sequence of another console, which a recording does not hold.

Acquisition windows at even intervals, each with the labels of the readout that was recorded; no RF, no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knightshift.core.arrays import IntArray
from knightshift.core.errors import ConfigError
from knightshift.core.nuclei import nucleus_named
from knightshift.core.program import PassProgram
from knightshift.hardware.readout_plan import LABELS

_RASTER = 1e-5
_DEAD_TIME = 1e-5


@dataclass(frozen=True)
class ListeningWindows:
    """The acquisition windows of one pass."""

    samples: int
    """Complex samples of each."""
    dwell_time: float
    """Time between samples [s]."""
    interval: float
    """From one window to the next [s]."""
    counters: IntArray
    """Counters of each, dtype `COUNTERS`, shape ``(readout,)``."""


def listening_program(
    name: str, windows: ListeningWindows, *, nucleus: str, b0: float, working_frequency: float
) -> PassProgram:
    """Write the program.

    Parameters
    ----------
    name
        For people.
    windows
        What to listen to. The dwell time is rounded to 1 ns, the interval to 10 us.
    nucleus
        Isotope.
    b0
        Field [T].
    working_frequency
        Frequency of the receiver [Hz].

    Raises
    ------
    ConfigError
        If a window does not fit into its interval, or the nucleus is unknown.
    """
    ratio = nucleus_named(nucleus).gyromagnetic_ratio
    ticks = _interval_ticks(name, windows)
    duration = len(windows.counters) * ticks * _RASTER
    definitions = {"Gamma": ratio, "B0": b0, "Nucleus": nucleus, "TotalDuration": f"{duration:.9g}"}
    return PassProgram(
        name=name,
        pulseq=_pulseq_text(windows, ticks, definitions),
        nucleus=nucleus,
        gyromagnetic_ratio=ratio,
        b0=b0,
        working_frequency=working_frequency,
        duration=duration,
        n_readouts=len(windows.counters),
        samples=windows.samples,
    )


def _interval_ticks(name: str, windows: ListeningWindows) -> int:
    ticks = round(windows.interval / _RASTER)
    needed = math.ceil((2 * _DEAD_TIME + windows.samples * windows.dwell_time) / _RASTER - 1e-9)
    if ticks < needed:
        raise ConfigError(
            f"{name}: a window of {windows.samples} samples takes {needed * _RASTER * 1e3:.4g} ms, readouts come every "
            f"{windows.interval * 1e3:.4g} ms: lengthen repetition_time"
        )
    return ticks


def _pulseq_text(windows: ListeningWindows, ticks: int, definitions: Mapping[str, object]) -> str:
    lists, rows = _label_lists(windows.counters)
    dwell = round(windows.dwell_time * 1e9)
    sections = {
        "VERSION": ["major 1", "minor 5", "revision 0"],
        "DEFINITIONS": [
            "AdcRasterTime 1e-07",
            f"BlockDurationRaster {_RASTER}",
            f"GradientRasterTime {_RASTER}",
            "RadiofrequencyRasterTime 1e-06",
            *(f"{key} {value}" for key, value in definitions.items()),
        ],
        "BLOCKS": [f"{number} {ticks} 0 0 0 0 1 {head}" for number, head in enumerate(lists, start=1)],
        "ADC": [f"1 {windows.samples} {dwell} {_DEAD_TIME * 1e6:.0f} 0 0 0 0 0"],
        "EXTENSIONS": rows,
    }
    texts = ("\n".join([f"[{name}]", *lines]) for name, lines in sections.items())
    # every section ends with an empty line: pypulseq does not read it otherwise
    return "# Pulseq sequence file: acquisition windows only\n\n" + "".join(f"{text}\n\n" for text in texts)


def _label_lists(counters: IntArray) -> tuple[list[int], list[str]]:
    """Pulseq's linked lists of labels: the first link of each readout's list, and the rows of the section."""
    fields: Any = counters  # numpy's stubs know no field names
    values: dict[tuple[str, int], int] = {}
    links: dict[tuple[int, int], int] = {}
    heads: list[int] = []
    for row in range(len(counters)):
        head = 0
        for label, counter in LABELS.items():
            value = values.setdefault((label, int(fields[counter][row])), len(values) + 1)
            head = links.setdefault((value, head), len(links) + 1)
        heads.append(head)
    rows = [f"{link} 1 {value} {following}" for (value, following), link in links.items()]
    rows += ["", "extension LABELSET 1"]
    rows += [f"{number} {value} {label}" for (label, value), number in values.items()]
    return heads, rows
