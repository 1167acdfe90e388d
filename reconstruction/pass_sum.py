"""Sum the passes of a run in the complex domain: streamed, in order of index, equal to the bit whenever repeated."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from knightshift.core.arrays import ComplexArray, IntArray, RealArray
from knightshift.core.errors import DamagedDataError, InputError, UnsupportedDataError
from knightshift.core.passes import PassRecord
from knightshift.core.program import Encoding
from knightshift.core.references import middle_of, references_of
from knightshift.core.run_folder import JOURNAL, Commit, Run
from knightshift.core.run_without_passes import why_no_pass
from knightshift.reconstruction.drift import Drift, PassComparison, estimate_drift, no_drift
from knightshift.reconstruction.pass_weights import noise_weights
from knightshift.reconstruction.reference_drift import drift_of_references, together

logger = logging.getLogger(__name__)

_KEPT_BYTES = 256 * 1024**2
"""Memory for passes that will be looked at again; those beyond are read again."""
_NO_CORRECTION = "Passes were summed without frequency correction, as asked."


@dataclass(frozen=True)
class PassSum:
    """Mean of all good passes."""

    kspace: ComplexArray
    """complex128, shape ``(echo, slice, channel, line, sample)``."""
    noise_std: RealArray | None
    """Noise in the real part of a sample of `kspace`, shape ``(echo,)``; None with fewer than two passes an echo."""
    n_passes: IntArray
    """Good passes of each echo, shape ``(echo,)``."""
    flagged: tuple[int, ...]
    """Passes that got no weight."""
    drift: Drift
    """What was corrected."""
    frequency: float
    """Frequency of the receiver in the first good pass [Hz]."""
    weighting: str = ""
    """How the passes were weighted, in words; empty: all alike."""


class PassAccumulator:
    """Sum, count and noise of each echo; passes must come in order of index.

    Parameters
    ----------
    shape
        Of k-space, ``(echo, slice, channel, line, sample)``.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.total = np.zeros(shape, np.complex128)
        self.count = np.zeros(shape[0], np.int64)
        self.weight = np.zeros(shape[0])
        self._last: dict[int, tuple[ComplexArray, float]] = {}
        self._difference_power = np.zeros(shape[0])
        self._differences = np.zeros(shape[0], np.int64)

    def add(self, echo: int, kspace: ComplexArray, weight: float = 1.0) -> None:
        """Add one echo of one pass, shape ``(slice, channel, line, sample)``; `weight` goes as 1 / variance."""
        self.total[echo] += kspace if weight == 1 else weight * kspace
        self.count[echo] += 1
        self.weight[echo] += weight
        if echo in self._last:
            last, last_weight = self._last[echo]
            expected = (1 / weight + 1 / last_weight) / 2
            self._difference_power[echo] += float(np.mean(np.abs(kspace - last) ** 2)) / expected
            self._differences[echo] += 1
        self._last[echo] = kspace, weight

    @property
    def mean(self) -> ComplexArray:
        """Mean of the passes, shape ``(echo, slice, channel, line, sample)``; zero where there is none."""
        mean: ComplexArray = self.total / np.where(self.count > 0, self.weight, 1.0).reshape(-1, 1, 1, 1, 1)
        return mean

    @property
    def pass_noise(self) -> RealArray | None:
        """Noise of one pass of weight 1, from differences of neighbouring passes: a slow drift does not get into it."""
        if np.any(self._differences < 1):
            return None
        noise: RealArray = np.sqrt(self._difference_power / self._differences / 4)
        return noise


def sum_passes(run: Run, *, correct_drift: bool = True) -> PassSum:
    """Sum the passes of a run that are committed now.

    Flagged passes get no weight. Passes are taken by index and summed in double precision, so that an interrupted and
    resumed run gives the same bits as an uninterrupted one. At most 256 MB of passes are in memory at a time.

    Raises
    ------
    InputError
        If an echo has no good pass yet.
    DamagedDataError
        If a pass file is damaged or its counters lie.
    UnsupportedDataError
        If the run is not 2D.
    """
    commits = sorted(run.commits().values(), key=lambda commit: commit.index)
    good = [commit for commit in commits if not commit.flags]
    flagged = tuple(commit.index for commit in commits if commit.flags)
    if not good:
        raise InputError(f"{run.path}: {_why_no_pass(run, commits)}")
    weights, weighting = noise_weights(run, good)
    stream = _Stream(run, good, weights, _drift_of_references(run, good) if correct_drift else None)
    sums = _sum(stream)
    if correct_drift:
        stream, drift = _follow_images(stream, sums)
        sums = _sum(stream) if drift.significant else sums
    noise = sums.pass_noise
    drift = stream.drift or no_drift(len(good), _NO_CORRECTION)
    logger.info("%s: %d passes summed, %d flagged. %s", run.path, len(good), len(flagged), drift.sentence)
    return PassSum(
        kspace=sums.mean,
        noise_std=None if noise is None else noise / np.sqrt(sums.weight),
        n_passes=sums.count,
        flagged=flagged,
        drift=drift,
        frequency=good[0].frequency,
        weighting=weighting,
    )


def _drift_of_references(run: Run, good: list[Commit]) -> Drift | None:
    references = references_of(run.events(), run.path / JOURNAL)
    middles = np.array([middle_of(commit.started, commit.finished) for commit in good])
    return drift_of_references(references, middles, np.array([commit.frequency for commit in good]))


def _follow_images(stream: _Stream, sums: PassAccumulator) -> tuple[_Stream, Drift]:
    """Look for a drift in the passes themselves; with references this is what these have left over."""
    noise = sums.pass_noise
    if noise is None:
        why = "Passes were summed without frequency correction: too few passes to measure a drift."
        found = no_drift(len(stream.good), why)
    else:
        found = _find_drift(stream, sums, noise)
    drift = found if stream.drift is None else together(stream.drift, found)
    return replace(stream, drift=drift), found


def _why_no_pass(run: Run, commits: list[Commit]) -> str:
    if not commits:
        return why_no_pass(run.events()) or "it has no pass yet: let it run on, or resume it"
    flags = sorted({flag for commit in commits for flag in commit.flags})
    advice = "lower the receiver gain" if "overrange" in flags else "see the journal of the run"
    return f"all {len(commits)} passes are flagged ({', '.join(flags)}) and get no weight: {advice} and acquire again"


@dataclass(frozen=True)
class _Stream:
    """The good passes, corrected and weighted."""

    run: Run
    good: list[Commit]
    weights: RealArray
    drift: Drift | None
    """None: left as they are."""
    kept: list[tuple[PassRecord, dict[int, ComplexArray]]] = field(default_factory=list)
    """The first passes, sorted, as many as there is memory for: they are gone through up to three times."""

    def __iter__(self) -> Iterator[tuple[PassRecord, dict[int, ComplexArray], float]]:
        times = sample_times(self.run.manifest.encoding)
        corrected = self.drift is not None and self.drift.significant
        for row, (record, pieces) in enumerate(self._sorted()):
            if self.drift is not None and corrected:
                factors = self.drift.correction(row, times)
                yield record, {echo: kspace * factors for echo, kspace in pieces.items()}, float(self.weights[row])
            else:
                yield record, pieces, float(self.weights[row])

    def _sorted(self) -> Iterator[tuple[PassRecord, dict[int, ComplexArray]]]:
        n_kept = len(self.kept)
        yield from self.kept[:n_kept]
        gain = self.kept[0][0].receiver_gain if n_kept else None
        for row, (record, pieces) in enumerate(sorted_passes(self.run, self.good[n_kept:], gain), start=n_kept):
            n_bytes = sum(kspace.nbytes for kspace in pieces.values())
            if row == len(self.kept) and n_bytes * (row + 1) <= _KEPT_BYTES:
                self.kept.append((replace(record, samples=record.samples[:0].copy()), pieces))
            yield record, pieces


def _sum(stream: _Stream) -> PassAccumulator:
    sums: PassAccumulator | None = None
    encoding = stream.run.manifest.encoding
    for record, pieces, weight in stream:
        if sums is None:
            sums = PassAccumulator((len(encoding.echo_times), *_shape(encoding, record)))
        for echo, kspace in pieces.items():
            sums.add(echo, kspace, weight)
    assert sums is not None
    if np.any(sums.count == 0):
        empty = [f"{encoding.echo_times[echo] * 1e3:g} ms" for echo in np.flatnonzero(sums.count == 0)]
        raise InputError(
            f"{stream.run.path}: echo time {', '.join(empty)} has no good pass yet: let the run go on or resume it"
        )
    return sums


def _find_drift(stream: _Stream, sums: PassAccumulator, noise: RealArray) -> Drift:
    """Compare every pass with the mean of all others of its echo (its own noise would pull its phase to zero)."""
    n_passes = len(stream.good)
    if np.any(sums.count < 2) or np.all(noise == 0):
        return no_drift(n_passes, "Passes were summed without frequency correction: they do not differ.")
    n_samples = sums.total.shape[-1]
    products = np.zeros((n_passes, n_samples), np.complex128)
    energies = np.zeros((n_passes, n_samples))
    starts, frequencies = np.zeros(n_passes), np.zeros(n_passes)
    cycle = 1
    for row, (record, pieces, weight) in enumerate(stream):
        cycle = -(-len(sums.count) // len(pieces))
        starts[row] = record.started
        frequencies[row] = record.frequency if stream.drift is None else 0.0  # retuning is corrected already
        for echo, kspace in pieces.items():
            reference = (sums.total[echo] - weight * kspace) / (sums.weight[echo] - weight)
            products[row] += np.sum(np.conj(reference) * kspace, axis=(0, 1, 2))
            energies[row] += np.sum(np.abs(reference) ** 2, axis=(0, 1, 2))
    noise_energy = float(
        np.sum(2 * noise**2 / (sums.weight - sums.weight / sums.count) * sums.count * sums.total[0].size)
    )
    share = 1 - noise_energy / float(energies.sum()) if energies.sum() > 0 else 0.0
    if share < 0.05:
        return no_drift(n_passes, "Passes were summed without frequency correction: there is no signal to follow.")
    return estimate_drift(
        PassComparison(
            times=starts,
            receiver_frequencies=frequencies,
            products=products,
            energies=energies,
            sample_times=sample_times(stream.run.manifest.encoding),
            noise_std=float(np.sqrt(np.mean(noise**2))),
            signal_share=share,
            cycle=cycle,
        )
    )


def sample_times(encoding: Encoding) -> RealArray:
    """Time of each sample from the echo (of an FID: from the pulse) [s], shape ``(sample,)``."""
    times: RealArray = (np.arange(encoding.samples) - encoding.center_sample) * encoding.dwell_time
    return times


def sorted_passes(
    run: Run, good: list[Commit], gain: float | None = None
) -> Iterator[tuple[PassRecord, dict[int, ComplexArray]]]:
    """Stream passes with their readouts sorted into k-space, scaled to one receiver gain.

    Parameters
    ----------
    run
        The run.
    good
        Commit records of the passes to read, in the order in which they are wanted.
    gain
        The receiver gain [dB]; None: that of the first pass.

    Yields
    ------
    record, pieces
        The pass, verified, and for each echo in it complex128 of shape ``(slice, channel, line, sample)``.

    Raises
    ------
    DamagedDataError
        If a pass file is damaged or its counters lie.
    """
    for commit in good:
        record = run.read_committed(commit)
        gain = record.receiver_gain if gain is None else gain
        scale = 10 ** ((gain - record.receiver_gain) / 20)
        pieces = sort_readouts(record, run.manifest.encoding, str(run.pass_path(commit.index)))
        yield record, {echo: kspace * scale for echo, kspace in pieces.items()} if scale != 1 else pieces


def _shape(encoding: Encoding, record: PassRecord) -> tuple[int, int, int, int]:
    """Shape ``(slice, channel, line, sample)`` of the k-space of one echo."""
    n_lines = encoding.matrix[1] if encoding.kind == "image" else 1
    n_slices = encoding.matrix[0] if encoding.kind == "image" else 1
    return n_slices, record.samples.shape[1], n_lines, encoding.samples


def sort_readouts(record: PassRecord, encoding: Encoding, source: str) -> dict[int, ComplexArray]:
    """Sort the readouts of one pass into k-space; readouts of the phase cycle are averaged.

    Returns
    -------
    dict
        For each echo in this pass, complex128 of shape ``(slice, channel, line, sample)``.

    Raises
    ------
    DamagedDataError
        If a counter is out of range, or lines are missing.
    UnsupportedDataError
        If there are partitions (3D).
    """
    n_slices, n_channels, n_lines, n_samples = _shape(encoding, record)
    counters: Any = record.counters  # a structured array: fields by name
    lines = counters["kspace_encode_step_1"] if encoding.kind == "image" else np.zeros(len(counters), int)
    _check_counters(record, encoding, lines, source)
    pieces: dict[int, ComplexArray] = {}
    for echo in np.unique(counters["contrast"]):
        chosen = counters["contrast"] == echo
        cell = counters["slice"][chosen] * n_lines + lines[chosen]
        count = np.bincount(cell, minlength=n_slices * n_lines)
        if np.any(count == 0):
            problem = f"{np.count_nonzero(count == 0)} of {count.size} lines of echo {echo + 1} are missing"
            raise DamagedDataError(source, "kspace_encode_step_1", problem)
        ordered = record.samples[chosen][np.argsort(cell, kind="stable")].astype(np.complex128)
        total: Any = np.add.reduceat(ordered, np.cumsum(count) - count, axis=0)
        mean = total / count[:, np.newaxis, np.newaxis]
        pieces[int(echo)] = mean.reshape(n_slices, n_lines, n_channels, n_samples).swapaxes(1, 2)
    return pieces


def _check_counters(record: PassRecord, encoding: Encoding, lines: IntArray, source: str) -> None:
    """Hold the counters of a pass against the encoding of the run."""
    n_slices, _, n_lines, n_samples = _shape(encoding, record)
    counters: Any = record.counters
    if np.any(counters["kspace_encode_step_2"] != 0):
        raise UnsupportedDataError(f"{source}: it has partitions (kspace_encode_step_2): 3D is not reconstructed")
    for name, values, limit in (
        ("kspace_encode_step_1", lines, n_lines),
        ("slice", counters["slice"], n_slices),
        ("contrast", counters["contrast"], len(encoding.echo_times)),
    ):
        if np.any(values < 0) or np.any(values >= limit):
            problem = f"counters {values.min()} to {values.max()} are outside 0 to {limit - 1}"
            raise DamagedDataError(source, name, problem)
    if record.samples.shape[2] != n_samples:
        raise DamagedDataError(source, "samples", f"{record.samples.shape[2]} samples a readout instead of {n_samples}")
