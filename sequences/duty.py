"""How hard a sequence works gradients and transmitter, from its Pulseq events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.errors import LimitError
from knightshift.core.limits import ScannerLimits
from knightshift.core.nuclei import Nucleus
from knightshift.sequences.pulseq_library import pp


@dataclass(frozen=True)
class SequenceLoad:
    """Peaks and averages over one sequence."""

    peak_gradient: RealArray
    """Largest gradient on x, y, z [Hz/m], shape ``(3,)``."""
    rms_gradient: RealArray
    """Root mean square gradient over the whole sequence on x, y, z [Hz/m], shape ``(3,)``."""
    peak_rf: float
    """Largest nutation frequency [Hz]."""
    rf_duty: float
    """Fraction of the time during which RF is on."""
    n_readouts: int
    """Acquisition windows."""
    n_samples: int
    """Complex samples in all windows together."""


def sequence_load(sequence: pp.Sequence) -> SequenceLoad:
    """Sum up the trapezoids, pulses and windows of a sequence.

    Raises
    ------
    LimitError
        If a gradient is not a trapezoid: knightshift makes no others.
    """
    blocks = np.array(list(sequence.block_events.values()), dtype=int)
    duration = float(sum(sequence.block_durations.values()))
    peak, energy = np.zeros(3), np.zeros(3)
    for axis in range(3):
        numbers, counts = np.unique(blocks[:, 2 + axis], return_counts=True)
        for number, count in zip(numbers, counts, strict=True):
            if number:
                amplitude, squared = _trapezoid(sequence, int(number))
                peak[axis] = max(peak[axis], amplitude)
                energy[axis] += count * squared
    peak_rf, rf_time = _rf_load(sequence, blocks[:, 1])
    windows = blocks[blocks[:, 5] > 0, 5]
    samples = sum(int(sequence.adc_library.data[int(number)][0]) for number in windows)
    return SequenceLoad(peak, np.sqrt(energy / duration), peak_rf, rf_time / duration, len(windows), samples)


def _trapezoid(sequence: pp.Sequence, number: int) -> tuple[float, float]:
    """Peak [Hz/m] and integral of the square [Hz²/m²·s] of one gradient."""
    if sequence.grad_library.type[number] != "t":
        raise LimitError(f"gradient {number} is not a trapezoid: its duty cycle is not known; use trapezoids")
    amplitude, rise, flat, fall = sequence.grad_library.data[number][:4]
    return abs(float(amplitude)), float(amplitude**2 * (flat + (rise + fall) / 3))


def _rf_load(sequence: pp.Sequence, pulses: RealArray | np.ndarray) -> tuple[float, float]:
    """Peak amplitude [Hz] and total time [s] of RF."""
    peak, total = 0.0, 0.0
    for number, count in zip(*np.unique(pulses, return_counts=True), strict=True):
        if number:
            data = sequence.rf_library.data[int(number)]
            rf = sequence.rf_from_lib_data(data)
            peak = max(peak, float(np.abs(rf.signal).max()))
            total += int(count) * float(rf.shape_dur)
    return peak, total


def check_duty(load: SequenceLoad, nucleus: Nucleus, limits: ScannerLimits, name: str) -> None:
    """Refuse a sequence that works gradients or transmitter harder than `limits` allow.

    Raises
    ------
    LimitError
        With the axis or the pulse, the numbers and a remedy.
    """
    allowed = limits.max_gradient_duty * limits.max_gradient
    for axis, rms in zip("xyz", load.rms_gradient / nucleus.gyromagnetic_ratio, strict=True):
        if rms > allowed:
            raise LimitError(
                f"{name}: the rms gradient along {axis} is {rms:.4g} T/m, {limits.name} allows {allowed:.4g} T/m "
                f"({limits.max_gradient_duty:.0%} of {limits.max_gradient:g} T/m): raise repetition_time, or lower the "
                f"gradients (larger field_of_view, longer dwell_time, fewer crusher_cycles)"
            )
    if load.rf_duty > limits.max_rf_duty:
        raise LimitError(
            f"{name}: RF is on for {load.rf_duty:.2%} of the time, {limits.name} allows {limits.max_rf_duty:.2%}: "
            f"raise repetition_time, or use fewer or shorter pulses"
        )
