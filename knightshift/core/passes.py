"""What comes out of a scanner: readouts with counters, collected into one record per pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from knightshift.core.arrays import ComplexArray, IntArray
from knightshift.core.errors import ShapeError

COUNTERS = np.dtype(
    [
        ("kspace_encode_step_1", np.int32),
        ("kspace_encode_step_2", np.int32),
        ("contrast", np.int32),
        ("slice", np.int32),
        ("set", np.int32),
        ("average", np.int32),
        ("segment", np.int32),
    ]
)
"""Counters of a readout in MRD's words: phase-encode line, partition, echo, slice, phase-cycle step, pass, epoch."""


@dataclass(frozen=True, slots=True)
class Readout:
    """One acquisition window."""

    counters: IntArray
    """One element of dtype `COUNTERS` (shape ``()``)."""
    samples: ComplexArray
    """complex64, shape ``(channel, sample)``, in units of the receiver's full scale."""
    overrange: bool = False
    """Whether any sample hit the full scale of the receiver."""


@dataclass(frozen=True)
class PassRecord:
    """All readouts of one pass, and how it went."""

    index: int
    """Number of the pass from 0: averaging goes by it, never by order of arrival."""
    epoch: int
    """0 until the first resume, then one more each time."""
    started: float
    """Seconds since the Unix epoch (UTC)."""
    finished: float
    """Seconds since the Unix epoch (UTC)."""
    frequency: float
    """Working frequency of transmitter and receiver [Hz]."""
    receiver_gain: float
    """Receiver gain [dB]."""
    samples: ComplexArray
    """complex64, shape ``(readout, channel, sample)``."""
    counters: IntArray
    """dtype `COUNTERS`, shape ``(readout,)``."""
    flags: tuple[str, ...] = field(default=())
    """Why this pass should get no weight; empty for a good one."""


def stack_readouts(readouts: Sequence[Readout]) -> tuple[ComplexArray, IntArray]:
    """Stack the readouts of one pass into ``samples`` and ``counters`` of a `PassRecord`.

    Raises
    ------
    ShapeError
        If there are none, or their shapes differ.
    """
    shapes = {readout.samples.shape for readout in readouts}
    if len(shapes) != 1:
        raise ShapeError(f"readouts of shapes {sorted(shapes)} cannot be one pass: one shape was expected")
    samples = np.stack([readout.samples for readout in readouts]).astype(np.complex64, copy=False)
    return samples, np.array([readout.counters for readout in readouts], dtype=COUNTERS)
