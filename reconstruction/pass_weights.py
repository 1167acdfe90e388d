"""How much each pass counts: by its noise, where that is worth it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.pass_quality import quality_of_pass
from knightshift.core.run_folder import Commit, Run

_WORTH_IT = 0.03
"""Noise that differs by less (rms) loses less than a thousandth of the SNR to equal weights."""


def noise_weights(run: Run, good: Sequence[Commit]) -> tuple[RealArray, str]:
    """Weight the passes by the inverse of the variance of their noise.

    The noise of a pass stands in its commit record; where it is missing (a pass adopted after a crash) it is measured
    again. Equal weights where it is not known, or where it does not differ by more than it is known.

    Parameters
    ----------
    run
        The run.
    good
        Commit records of the passes that count.

    Returns
    -------
    weights, sentence
        Shape ``(pass,)``, 1 for the typical pass; and what was done, empty for equal weights.

    Raises
    ------
    DamagedDataError
        If a pass that has to be read is damaged.
    """
    equal = np.ones(len(good))
    if len(good) < 2 or all(commit.noise_std is None for commit in good):
        return equal, ""
    noise = [_noise(run, commit) for commit in good]
    if any(value is None for value in noise):
        return equal, ""
    logarithms = np.log(np.array(noise, dtype=float))
    entry = run.manifest.programs[0]
    error = 0.72 / math.sqrt(entry.n_readouts * entry.samples / 2)  # of a median of so many pairs of samples
    spread = math.sqrt(max(0.0, float(np.var(logarithms)) - error**2))
    if spread < max(_WORTH_IT, error):
        return equal, ""
    weights: RealArray = np.exp(-2 * (logarithms - np.median(logarithms)))
    gained = 1 - float(len(good) / np.sqrt(np.sum(weights) * np.sum(1 / weights)))
    return weights, (
        f"Passes were weighted by the inverse variance of their noise, which varied by {100 * spread:.0f} % (rms); "
        f"equal weights would have cost {100 * gained:.1f} % of the SNR."
    )


def _noise(run: Run, commit: Commit) -> float | None:
    if commit.noise_std is not None:
        return commit.noise_std
    record = run.read_committed(commit)
    return quality_of_pass(record.samples, record.counters).noise_std
