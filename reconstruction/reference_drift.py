"""Frequency and phase of each pass from the reference FIDs between the passes.

Between two references both are taken to change evenly with time; before the first and after the last they stay. The
receiver may have been retuned: a pass is off by what the line was at its time, less what the receiver was tuned to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import chdtrc

from knightshift.core.arrays import RealArray
from knightshift.core.references import Reference
from knightshift.reconstruction.drift import Drift

SIGNIFICANCE = 1e-4
"""Probability to correct a change that is none."""


def drift_of_references(
    references: Sequence[Reference], times: RealArray, receiver_frequencies: RealArray
) -> Drift | None:
    """Give the correction of each pass that the references ask for.

    Parameters
    ----------
    references
        In order of time.
    times
        Middle of each pass [s since the Unix epoch], shape ``(pass,)``.
    receiver_frequencies
        Frequency of the receiver in each pass [Hz], shape ``(pass,)``.

    Returns
    -------
    Drift or None
        Relative to the first pass, whose frequency and phase are left as they are. None with fewer than two
        references: one cannot show a change.
    """
    if len(references) < 2:
        return None
    at = np.array([entry.time for entry in references])
    lines = np.array([entry.frequency for entry in references])
    phases = np.unwrap([entry.phase for entry in references])
    line_moves = _changes(lines, np.array([entry.frequency_std for entry in references]))
    phase_moves = _changes(phases, np.array([entry.phase_std for entry in references]))
    retuned = bool(np.ptp(receiver_frequencies) > 0)
    line: RealArray = np.interp(times, at, lines) if line_moves or retuned else np.zeros_like(times)
    offsets = line - receiver_frequencies if line_moves or retuned else line
    turned: RealArray = np.interp(times, at, phases) if phase_moves else np.zeros_like(times)
    return Drift(
        phases=turned - turned[0],
        slopes=-2 * np.pi * (offsets - offsets[0]),  # an offset f turns the samples as exp(-2 pi i f t)
        significant=bool(line_moves or retuned or phase_moves),
        sentence=_sentence(references, (line_moves, phase_moves), receiver_frequencies),
    )


def _changes(values: RealArray, stds: RealArray) -> bool:
    """Tell whether values differ by more than their errors."""
    if np.any(stds <= 0):
        return bool(np.ptp(values) > 0)
    weights = 1 / stds**2
    misfit = float(np.sum(weights * (values - np.sum(weights * values) / np.sum(weights)) ** 2))
    return bool(chdtrc(len(values) - 1, misfit) < SIGNIFICANCE)


def _sentence(references: Sequence[Reference], moves: tuple[bool, bool], receiver: RealArray) -> str:
    lines = np.array([entry.frequency for entry in references])
    phases = np.unwrap([entry.phase for entry in references])
    error = float(np.median([entry.frequency_std for entry in references]))
    n_retuned = int(np.count_nonzero(np.diff(receiver)))
    found = [
        f"the line moved by {np.ptp(lines):.3g} Hz (each known to {error:.2g} Hz)" if moves[0] else "the line stayed",
        f"its phase by {np.ptp(phases):.2g} rad" if moves[1] else "its phase stayed",
    ]
    if n_retuned:
        found.append(f"the receiver was retuned {n_retuned} times")
    done = "corrected pass by pass" if any(moves) or n_retuned else "nothing was corrected for it"
    return f"{len(references)} reference FIDs between the passes: {', '.join(found)}; {done}."


_WITHOUT = "Passes were summed without frequency correction: "


def together(first: Drift, second: Drift) -> Drift:
    """Apply `second` after `first`."""
    return Drift(
        first.phases + second.phases,
        first.slopes + second.slopes,
        first.significant or second.significant,
        f"{first.sentence} On the image data, as a check: {second.sentence.removeprefix(_WITHOUT)}",
    )
