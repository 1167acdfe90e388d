"""The receiver gain: as high as it may be, so that the converter adds no noise of its own, and never an overflow."""

from __future__ import annotations

import math

import numpy as np

from knightshift.core.arrays import ComplexArray
from knightshift.core.errors import AdjustmentError
from knightshift.hardware.adjustment_rules import ReceiverGainConfig

AFTER_OVERRANGE = 12.0
"""How far the gain is lowered where the receiver overflowed, so that the largest sample is not known [dB]."""


def largest_component(samples: ComplexArray) -> float:
    """Largest magnitude of any sample: what must stay below the full scale, whichever part of it comes first."""
    return float(np.abs(samples).max(initial=0.0))


def best_gain(largest: float, gain: float, full_scale: float, config: ReceiverGainConfig) -> float:
    """Give the largest gain at which the largest sample is no more than it may be.

    Parameters
    ----------
    largest
        Largest sample that was measured, in the units of `full_scale`.
    gain
        Gain at which it was [dB].
    full_scale
        Where the receiver overflows.
    config
        What is allowed.

    Returns
    -------
    float
        Gain [dB], on a step and within the range of the receiver.

    Raises
    ------
    AdjustmentError
        If there was nothing at all, or even the lowest gain is too high.
    """
    if not largest > 0:
        raise AdjustmentError("receiver gain: every sample is zero: is the receiver connected?")
    room = 20 * math.log10(config.largest_sample * full_scale / largest)
    stepped = config.step * math.floor((gain + room) / config.step + 1e-9)
    if stepped < config.lowest:
        raise AdjustmentError(
            f"receiver gain: {stepped:g} dB would be needed to keep the largest sample below "
            f"{100 * config.largest_sample:g} % of the full scale, the lowest is {config.lowest:g} dB: "
            "put an attenuator before the receiver, or allow a larger sample"
        )
    return min(stepped, config.step * math.floor(config.highest / config.step + 1e-9))


def lower_gain(gain: float, config: ReceiverGainConfig) -> float:
    """Give the gain to try next after an overflow [dB].

    Raises
    ------
    AdjustmentError
        If it is the lowest already.
    """
    if gain <= config.lowest:
        raise AdjustmentError(
            f"receiver gain: the receiver overflows at the lowest gain, {gain:g} dB: put an attenuator before it"
        )
    return max(config.lowest, gain - AFTER_OVERRANGE)
