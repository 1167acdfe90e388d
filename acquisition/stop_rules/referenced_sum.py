"""The sum of a run as it grows, corrected by the reference FIDs that its journal tells of."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from knightshift.core.passes import PassRecord
from knightshift.core.references import Reference
from knightshift.core.run_folder import Commit, Run
from knightshift.core.run_tail import RunTail
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.live import RunningSum

_LOG = logging.getLogger(__name__)


class ReferencedSum:
    """The sum of the passes so far, as the references before the newest of them ask for it.

    What it gives depends on those passes and those references alone, to the bit, and not on when the journal was read:
    a run that was killed and goes on sees what an undisturbed one saw.

    Parameters
    ----------
    run
        The run, of images.

    Raises
    ------
    InputError
        If it holds spectra.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._sum = RunningSum(run)
        self._tail = RunTail(run)
        self._seen: set[int] = set()
        self._newest = 0.0

    @property
    def n_seen(self) -> int:
        """Passes so far, flagged ones included."""
        return len(self._seen)

    @property
    def n_good(self) -> int:
        """Good passes of the echo that has fewest."""
        return self._sum.n_good

    def add(self, record: PassRecord) -> None:
        """Add a pass that the journal has a commit record of. Raises as `RunningSum.add`."""
        self._sum.add(record)
        self._seen.add(record.index)
        self._newest = record.started

    def add_committed(self, commits: Iterable[Commit]) -> None:
        """Read and add passes of earlier epochs, in order of index. Raises `DamagedDataError`."""
        for commit in commits:
            self._seen.add(commit.index)
            self._newest = commit.started
        self._tail.new_events()
        self._sum_anew(self._references())

    def images(self) -> ImageSeries:
        """Reconstruct the images of the passes so far.

        Raises
        ------
        InputError
            If an echo has no good pass yet.
        DamagedDataError
            If the journal is damaged, or a pass that has to be read again.
        """
        self._tail.new_events()
        references = self._references()
        if references and not self._sum.learn(references, self._commits()):
            _LOG.info("%s: the references tell now of a drift from the beginning: reading all again", self.run.path)
            self._sum_anew(references)
        return self._sum.images()

    def _references(self) -> tuple[Reference, ...]:
        """Give those that were measured before the newest pass."""
        return tuple(entry for entry in self._tail.references() if entry.time <= self._newest)

    def _commits(self) -> list[Commit]:
        return [commit for index, commit in self._tail.commits().items() if index in self._seen]

    def _sum_anew(self, references: Sequence[Reference]) -> None:
        commits = self._commits()
        self._sum = RunningSum(self.run)
        self._sum.learn(references, commits)
        for commit in commits:
            self._sum.add(self.run.read_committed(commit))
