"""What the passes so far show: images, T2, SNR, and where the run stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from knightshift.acquisition.preview.follower import RunFollower, RunState
from knightshift.acquisition.stop_rules.progress import RuleProgress
from knightshift.core.arrays import IntArray, RealArray
from knightshift.core.clock import iso_time
from knightshift.core.json_numbers import number_or_none
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import T2Fit, fit_series, signal_mask


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment."""

    run_id: str
    """Which run."""
    state: RunState
    """What becomes of it."""
    n_committed: int
    """Passes that are durable."""
    n_planned: int
    """Passes of the plan."""
    n_passes: IntArray
    """Good passes of each echo, shape ``(echo,)``."""
    flagged: tuple[int, ...]
    """Passes without weight."""
    unreadable: tuple[int, ...]
    """Damaged passes that were left out."""
    finished: float | None
    """End of the last pass, seconds since the Unix epoch (UTC)."""
    without_passes: str
    """Why no pass was begun; empty if one was."""
    correction: str
    """What was corrected by reference FIDs, in words."""
    rules: tuple[RuleProgress, ...]
    """How far stop rules are."""
    series: ImageSeries | None
    """Images; None until every echo has a good pass."""
    fit: T2Fit | None
    """T2 maps; None where the noise is not known yet or there is one echo."""
    growth: tuple[RealArray, RealArray] | None
    """Passes of each echo, shape ``(point,)``, and SNR of voxels with signal, shape ``(echo, point)``."""

    @property
    def snr(self) -> RealArray | None:
        """SNR of a typical voxel with signal at each echo, shape ``(echo,)``."""
        if self.growth is None:
            return None
        last: RealArray = self.growth[1][:, -1]
        return last

    def facts(self, made: float) -> dict[str, Any]:
        """Give the numbers as plain JSON data, SI units; `made` is now, seconds since the Unix epoch (UTC)."""
        facts: dict[str, Any] = {
            "schema_version": 1,
            "run_id": self.run_id,
            "state": str(self.state),
            "made": iso_time(made),
            "without_passes": self.without_passes,
            "passes": self.n_committed,
            "passes_planned": self.n_planned,
            "passes_per_echo": [int(count) for count in self.n_passes],
            "passes_flagged": list(self.flagged),
            "passes_unreadable": list(self.unreadable),
            "last_pass_finished": None if self.finished is None else iso_time(self.finished),
            "correction": self.correction,
            "snr_per_echo": None if self.snr is None else [number_or_none(value) for value in self.snr],
            "rules": [progress.payload() for progress in self.rules],
        }
        if self.series is not None:
            facts["echo_times_s"] = [float(value) for value in self.series.echo_times]
            facts["noise_std"] = [number_or_none(value) for value in self.series.noise_std]
        return facts | self._t2_facts()

    def _t2_facts(self) -> dict[str, Any]:
        if self.fit is None or not self.fit.ok.any():
            return {"voxels_with_t2": 0}
        t2 = self.fit.t2[self.fit.ok]
        low, middle, high = np.quantile(t2, [0.25, 0.5, 0.75])
        return {
            "voxels_with_t2": int(t2.size),
            "t2_median_s": float(middle),
            "t2_quartiles_s": [float(low), float(high)],
            "t2_std_median_s": float(np.median(self.fit.t2_std[self.fit.ok])),
        }


def take_snapshot(follower: RunFollower) -> Snapshot:
    """Reconstruct and fit what was read of a run so far."""
    series = follower.sum.images() if follower.sum.n_good else None
    fit, growth = None, None
    if series is not None and np.isfinite(series.noise_std).all() and (series.noise_std > 0).all():
        fit = fit_series(series) if len(series.echo_times) > 1 else None
        seen = signal_mask(series.images, series.noise_std)
        growth = follower.growth.curve(seen, series, follower.sum.n_good) if seen.any() else None
    read = follower.read.values()
    return Snapshot(
        run_id=follower.run.manifest.run_id,
        state=follower.state(),
        n_committed=len(follower.read),
        n_planned=follower.run.manifest.n_passes,
        n_passes=follower.sum.n_passes,
        flagged=tuple(sorted(follower.sum.flagged)),
        unreadable=tuple(sorted(follower.unreadable)),
        finished=max((commit.finished for commit in read), default=None),
        without_passes=follower.without_passes,
        correction=follower.sum.correction,
        rules=follower.progress,
        series=series,
        fit=fit,
        growth=growth,
    )
