"""A program that only listens: stands for the sequence of another console, which a recording does not hold.

Acquisition windows at even intervals, each with the labels of the readout that was recorded; no RF, no gradient.
"""

from __future__ import annotations

import math
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
    ticks = round(windows.interval / _RASTER)
    needed = math.ceil((2 * _DEAD_TIME + windows.samples * windows.dwell_time) / _RASTER - 1e-9)
    if ticks < needed:
        raise ConfigError(
            f"{name}: a window of {windows.samples} samples takes {needed * _RASTER * 1e3:.4g} ms, the interval between "
            f"readouts is {windows.interval * 1e3:.4g} ms: lengthen repetition_time"
        )
    lists, rows = _label_lists(windows.counters)
    blocks = [f"{n} {ticks} 0 0 0 0 1 {label_list}" for n, label_list in enumerate(lists, start=1)]
    definitions = {
        "AdcRasterTime": 1e-7, "BlockDurationRaster": _RASTER, "GradientRasterTime": _RASTER,
        "RadiofrequencyRasterTime": 1e-6, "Gamma": ratio, "B0": b0, "Nucleus": nucleus,
        "Name": "listening_only", "TotalDuration": f"{len(blocks) * ticks * _RASTER:.9g}",
    }  # fmt: skip
    lines = ["# Pulseq sequence file", f"# {name}: acquisition windows only"]
    lines += ["[VERSION]", "major 1", "minor 5", "revision 0", "[DEFINITIONS]"]
    lines += [f"{key} {value}" for key, value in definitions.items()]
    lines += ["[BLOCKS]", *blocks]
    dwell = round(windows.dwell_time * 1e9)
    lines += ["[ADC]", f"1 {windows.samples} {dwell} {_DEAD_TIME * 1e6:.0f} 0 0 0 0 0", "[EXTENSIONS]", *rows]
    return PassProgram(
        name=name,
        pulseq="\n".join(lines) + "\n",
        nucleus=nucleus,
        gyromagnetic_ratio=ratio,
        b0=b0,
        working_frequency=working_frequency,
        duration=len(blocks) * ticks * _RASTER,
        n_readouts=len(blocks),
        samples=windows.samples,
    )


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
    rows += ["extension LABELSET 1"]
    rows += [f"{number} {value} {label}" for (label, value), number in values.items()]
    return heads, rows
