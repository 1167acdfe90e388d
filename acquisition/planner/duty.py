"""What a whole night asks of gradients and transmitter, against what the scanner allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knightshift.core.limits import ScannerLimits
from knightshift.core.program import Measurement
from knightshift.sequences import sequence_of
from knightshift.sequences.duty import sequence_load


@dataclass(frozen=True)
class NightDuty:
    """Load averaged over the whole measurement, all echo times together."""

    duration_s: float
    """Time averaged over [s]."""
    rms_gradient_t_per_m: dict[str, float]
    """Root mean square along x, y, z [T/m]."""
    allowed_rms_gradient_t_per_m: float
    """What the scanner allows over a repetition, and so over hours [T/m]."""
    gradient_share: dict[str, float]
    """The one over the other."""
    rf_on_s: float
    """Time during which RF is on, in all [s]."""
    rf_duty: float
    """The same as a fraction of the time."""
    rf_share: float
    """The fraction over the one allowed."""


def night_duty(measurement: Measurement, limits: ScannerLimits) -> NightDuty:
    """Average the load of all passes of `measurement`, each weighted with its time.

    Raises
    ------
    LimitError
        If a program holds gradients whose duty is not known.
    """
    gamma = measurement.programs[0].gyromagnetic_ratio
    loads = [sequence_load(sequence_of(program, limits)) for program in measurement.programs]
    steps = len(measurement.programs)
    passes = [measurement.n_passes // steps + (step < measurement.n_passes % steps) for step in range(steps)]
    times = np.array([n * program.duration for n, program in zip(passes, measurement.programs, strict=True)])
    share = times / times.sum()
    rms = np.sqrt(share @ np.array([load.rms_gradient for load in loads]) ** 2) / gamma
    rf_duty = float(share @ np.array([load.rf_duty for load in loads]))
    allowed = limits.max_gradient_duty * limits.max_gradient
    per_axis = dict(zip("xyz", (float(value) for value in rms), strict=True))
    return NightDuty(
        duration_s=measurement.duration,
        rms_gradient_t_per_m=per_axis,
        allowed_rms_gradient_t_per_m=allowed,
        gradient_share={axis: value / allowed for axis, value in per_axis.items()},
        rf_on_s=rf_duty * measurement.duration,
        rf_duty=rf_duty,
        rf_share=rf_duty / limits.max_rf_duty,
    )
