"""Builds protocols from a few words, and walks k-space by hand: without pypulseq's own trajectory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from knightshift.core.limits import ScannerLimits
from knightshift.core.yaml_files import read_config
from knightshift.sequences import Protocol

IMAGING: dict[str, Any] = {
    "name": "test",
    "nucleus": "23Na",
    "shift": "1126 ppm",
    "field_of_view": {"y": "4.8 mm", "z": "3.2 mm"},
    "matrix": {"y": 8, "z": 4},
    "readout_axis": "y",
    "repetition_time": "60 ms",
    "averages": 1,
    "dwell_time": "8 us",
}
FAMILIES: dict[str, dict[str, Any]] = {
    "spin_echo_series": {**IMAGING, "echo_times": ["4 ms", "9 ms"]},
    "multi_echo_spin_echo": {**IMAGING, "echo_spacing": "4 ms", "n_echoes": 3},
    "gradient_echo": {**IMAGING, "echo_time": "3 ms"},
    "pulse_acquire": {
        "name": "test", "nucleus": "23Na", "repetition_time": "60 ms", "averages": 1,
        "n_samples": 64, "dwell_time": "4 us",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Walk:
    """Where a sequence has been: k in 1/m on x, y, z; times in s."""

    samples: np.ndarray
    """k at every sample, shape ``(readout, sample, 3)``."""
    sample_times: np.ndarray
    """Shape ``(readout, sample)``."""
    before_refocusing: np.ndarray
    """k at the centre of each refocusing pulse, before it inverts, shape ``(pulse, 3)``."""
    excitations: np.ndarray
    """Times of the pulse centres."""
    refocusings: np.ndarray
    """Times of the pulse centres."""


def _area_until(gradient: Any, time: float) -> float:
    """Integral of a trapezoid from the start of its block to `time`."""
    corners = np.cumsum([0.0, gradient.delay, gradient.rise_time, gradient.flat_time, gradient.fall_time])
    heights = np.array([0.0, 0.0, gradient.amplitude, gradient.amplitude, 0.0])
    inside = corners < time
    times = np.append(corners[inside], time)
    values = np.append(heights[inside], np.interp(time, corners, heights))
    return float(np.trapezoid(values, times))


def _areas(block: Any, time: float) -> np.ndarray:
    gradients = (block.gx, block.gy, block.gz)
    return np.array([0.0 if gradient is None else _area_until(gradient, time) for gradient in gradients])


@pytest.fixture(scope="session")
def walk() -> Callable[[Any], Walk]:
    def walk_through(sequence: Any) -> Walk:
        k, start = np.zeros(3), 0.0
        found: dict[str, list[Any]] = {"k": [], "t": [], "before": [], "excite": [], "refocus": []}
        for number, duration in sequence.block_durations.items():
            block = sequence.get_block(number)
            if block.rf is not None:
                center = block.rf.delay + block.rf.center
                at_center = _areas(block, center)
                if block.rf.use == "excitation":
                    found["excite"].append(start + center)
                    k = -at_center
                else:
                    found["refocus"].append(start + center)
                    found["before"].append(k + at_center)
                    k = -(k + at_center) - at_center
            if block.adc is not None:
                times = block.adc.delay + (np.arange(block.adc.num_samples) + 0.5) * block.adc.dwell
                found["t"].append(start + times)
                found["k"].append([k + _areas(block, time) for time in times])
            k = k + _areas(block, duration)
            start += duration
        return Walk(*(np.array(found[key]) for key in ("k", "t", "before", "excite", "refocus")))

    return walk_through


@pytest.fixture(scope="session")
def limits() -> ScannerLimits:
    found: ScannerLimits = read_config(ScannerLimits, "limits", "microimaging_9t4")
    return found


@pytest.fixture(scope="session")
def make() -> Callable[..., Any]:
    """Make a protocol of one family, some fields changed; None leaves a field out."""

    def make_protocol(kind: str, **changes: Any) -> Any:
        fields = {"kind": kind, **FAMILIES[kind], **changes}
        kept = {key: value for key, value in fields.items() if value is not None}
        return TypeAdapter(Protocol).validate_python(kept)

    return make_protocol
