"""When the readouts of a pass come, and which counters they carry: read from the Pulseq events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import IntArray, RealArray
from knightshift.core.passes import COUNTERS
from knightshift.hardware.pulseq_text import EventTables

LABELS: Mapping[str, str] = MappingProxyType(
    {
        "LIN": "kspace_encode_step_1",
        "PAR": "kspace_encode_step_2",
        "ECO": "contrast",
        "SLC": "slice",
        "SET": "set",
    }
)
"""Pulseq label → counter in MRD's words. ``average`` and ``segment`` come from `Scanner.start`."""


@dataclass(frozen=True)
class ReadoutPlan:
    """What a pass will deliver, readout by readout."""

    counters: IntArray
    """dtype `COUNTERS`, shape ``(readout,)``; ``average`` and ``segment`` are 0."""
    ends: RealArray
    """End of each acquisition window from the start of the pass, shape ``(readout,)`` [s]."""


def with_pass(counters: IntArray, pass_index: int, epoch: int) -> IntArray:
    """Copy `counters` and fill in the pass (``average``) and the epoch (``segment``)."""
    filled: NDArray[Any] = counters.copy()
    filled["average"], filled["segment"] = pass_index, epoch
    return filled


def plan_readouts(tables: EventTables) -> ReadoutPlan:
    """Walk through the blocks of a pass and note its acquisition windows.

    A label holds from the block that sets it, that block included, until it is changed.
    """
    labels = dict.fromkeys(LABELS, 0)
    rows: list[tuple[int, ...]] = []
    ends: list[float] = []
    now = 0.0
    for block in tables.blocks:
        for action, name, value in block.labels:
            labels[name] = value + (labels.get(name, 0) if action == "INC" else 0)
        if block.adc:
            window = tables.adc[block.adc]
            rows.append(tuple(labels[label] for label in LABELS))
            ends.append(now + window.delay + window.duration)
        now += block.duration
    counters: NDArray[Any] = np.zeros(len(rows), dtype=COUNTERS)
    for column, counter in enumerate(LABELS.values()):
        counters[counter] = [row[column] for row in rows]
    return ReadoutPlan(counters, np.array(ends))
