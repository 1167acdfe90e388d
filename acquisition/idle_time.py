"""How long the scanner stood still between its passes, from the journal: what disk, preview and network cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.errors import InputError
from knightshift.core.journal import JournalEvent
from knightshift.core.run_folder import Run

GAP = "host_gap_s"
"""What a commit record calls the time from the end of the pass before to the start of its own [s]."""


@dataclass(frozen=True)
class IdleTime:
    """Gaps between passes that follow each other, by the clock of the computer even where the run's is virtual."""

    gaps: RealArray
    """Gap before each pass but the first of an epoch, or after a suspension or a fault [s], shape ``(gap,)``."""
    pass_duration: float
    """Median duration of a pass by the clock of the run [s]."""

    def fraction(self, pass_duration: float | None = None) -> float:
        """Share of the time in which the scanner stood still.

        Parameters
        ----------
        pass_duration
            For passes that last so long [s]; None: as long as they did.
        """
        mean = float(self.gaps.mean())
        return mean / ((self.pass_duration if pass_duration is None else pass_duration) + mean)


def host_gaps(run: Run) -> list[float]:
    """Give the gaps that made a night longer [s]: none where the clock of the run is virtual and stands still in them.

    Raises
    ------
    DamagedDataError
        If the journal is damaged.
    """
    if run.manifest.setup.clock == "virtual":
        return []
    commits = [event.payload for event in run.events() if event.event == "committed"]
    return [float(commit[GAP]) for commit in commits if GAP in commit]


def idle_time(events: Iterable[JournalEvent]) -> IdleTime:
    """Measure it for a run.

    Raises
    ------
    InputError
        If no two passes followed each other.
    """
    commits = [event.payload for event in events if event.event == "committed"]
    gaps = [float(commit[GAP]) for commit in commits if GAP in commit]
    if not gaps:
        raise InputError("no two passes followed each other: there is no gap to measure")
    durations = [commit["finished_s"] - commit["started_s"] for commit in commits]
    return IdleTime(np.array(gaps), float(np.median(durations)))
