"""How the signal-to-noise ratio grew through a run: measured on the images of the passes so far, beside sqrt(n)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray, RealArray
from knightshift.core.run_folder import Commit, Run
from knightshift.reconstruction.image_noise import carried_noise
from knightshift.reconstruction.pass_sum import PassSum, sample_times, sorted_passes
from knightshift.reconstruction.pass_weights import noise_weights
from knightshift.reconstruction.pipeline import Layout, images_of_kspace
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import layout_of_run

_POINTS = 24
"""So many images are made on the way, evenly spread over the passes."""
_FEWEST_PASSES = 4
_FEWEST_VOXELS = 30
_FEWEST_POINTS = 3


@dataclass(frozen=True)
class RunningSnr:
    """Signal over noise of the first echo, from the passes so far."""

    echo_time: float
    """Of the echo that was followed [s]."""
    n_passes: RealArray
    """Good passes of this echo so far, shape ``(point,)``."""
    time: RealArray
    """End of the last of them, seconds since the Unix epoch (UTC), shape ``(point,)``."""
    measured: RealArray
    """Mean signal of the region over the noise of a voxel, shape ``(point,)``."""
    expected: RealArray
    """What sqrt(n) lets expect (of passes with weights, the root of their sum), from the signal of all passes and the
    noise between neighbouring ones."""

    @property
    def growth(self) -> float | None:
        """Exponent of n in the measured growth: 0.5 for noise that averages out; None where it is lost in noise."""
        seen = self.measured > 0
        if np.count_nonzero(seen) < _FEWEST_POINTS:
            return None
        return float(np.polyfit(np.log(self.n_passes[seen]), np.log(self.measured[seen]), 1)[0])


def running_snr(run: Run, summed: PassSum, region: BoolArray) -> RunningSnr | None:
    """Follow the signal-to-noise ratio of the first echo through a run.

    The signal is the part of the partial image that is in phase with the whole one, averaged over `region`. The noise
    is measured apart from it: passes summed with alternating signs hold the same noise and no signal.

    Parameters
    ----------
    run
        A run of images.
    summed
        Its sum: which passes were good, what was corrected, and the noise.
    region
        Voxels with signal, shape ``(slice, phase_encode, readout)``.

    Returns
    -------
    RunningSnr or None
        None where it cannot be told: fewer than four passes, several receive channels, or hardly a voxel.

    Raises
    ------
    DamagedDataError
        If a pass is damaged.
    """
    n_good = int(summed.n_passes[0])
    if n_good < _FEWEST_PASSES or summed.kspace.shape[2] != 1 or not region.any() or summed.noise_std is None:
        return None
    if region.size < _FEWEST_VOXELS:
        return None
    layout = layout_of_run(run.manifest.encoding, Recipe())
    whole = _image(summed.kspace[:1], layout)
    weight = np.where(region, np.conj(whole) / np.maximum(np.abs(whole), 1e-300), 0) / np.count_nonzero(region)
    wanted = {2 * int(n / 2) for n in np.linspace(_FEWEST_PASSES, n_good, _POINTS)}
    parts = list(_partial_sums(run, summed, wanted))
    signal = np.array([float(np.sum(_image(part.total, layout) * weight).real) for part in parts])
    noise = np.array([_noise(_image(part.difference, layout)) for part in parts])
    if np.any(noise <= 0):  # a scanner without noise
        return None
    share = np.array([part.weight for part in parts]) / parts[-1].weight
    final = float(np.sum(whole * weight).real) / _noise_in_image(summed, layout)
    return RunningSnr(
        echo_time=float(run.manifest.encoding.echo_times[0]),
        n_passes=np.array([part.count for part in parts], dtype=float),
        time=np.array([part.time for part in parts]),
        measured=signal / noise,
        expected=final * np.sqrt(share * parts[-1].count / n_good),
    )


@dataclass(frozen=True)
class _Partial:
    """The first passes of the first echo."""

    count: int
    """How many."""
    time: float
    """End of the last."""
    weight: float
    """Sum of their weights."""
    total: ComplexArray
    """Their mean, shape ``(1, slice, channel, line, sample)``."""
    difference: ComplexArray
    """Their mean with alternating signs: noise alone."""


def _partial_sums(run: Run, summed: PassSum, wanted: set[int]) -> Iterator[_Partial]:
    """Sum the passes of the first echo, corrected and weighted as the whole sum was, up to each wanted count."""
    good = [commit for commit in run.commits().values() if not commit.flags]
    good = good[: len(summed.drift.phases)]  # a run that goes on has got more since it was summed
    weights, _ = noise_weights(run, good)
    rows = [row for row, commit in enumerate(good) if _may_hold_first_echo(run, commit)]
    times = sample_times(run.manifest.encoding)
    total, difference = np.zeros_like(summed.kspace[:1]), np.zeros_like(summed.kspace[:1])
    count, weight = 0, 0.0
    for row, (record, pieces) in zip(rows, sorted_passes(run, [good[row] for row in rows]), strict=True):
        if 0 not in pieces:
            continue
        kspace = weights[row] * pieces[0] * summed.drift.correction(row, times)
        total[0] += kspace
        difference[0] += kspace if count % 2 else -kspace
        count, weight = count + 1, weight + float(weights[row])
        if count in wanted:
            yield _Partial(count, record.finished, weight, total / weight, difference / weight)


def _may_hold_first_echo(run: Run, commit: Commit) -> bool:
    """Leave out the passes of the other steps of a stepped echo time without reading them."""
    n_programs = len(run.manifest.programs)
    return n_programs != len(run.manifest.encoding.echo_times) or commit.index % n_programs == 0


def _image(kspace: ComplexArray, layout: Layout) -> ComplexArray:
    """Make the image of one echo, shape ``(slice, phase_encode, readout)``."""
    image: ComplexArray = images_of_kspace(kspace, layout, Recipe()).images[0]
    return image


def _noise(image: ComplexArray) -> float:
    """Measure the noise of the real part in an image that holds nothing else."""
    return float(np.sqrt(np.mean(np.abs(image) ** 2) / 2))


def _noise_in_image(summed: PassSum, layout: Layout) -> float:
    assert summed.noise_std is not None
    noise, _ = carried_noise(summed.kspace, summed.noise_std, layout, Recipe())
    return float(noise[0])
