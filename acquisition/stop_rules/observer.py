"""Looks at every pass, keeps the sum of the run, and asks to stop when the rules are met."""

from __future__ import annotations

import logging
import math
from collections import deque
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from knightshift.acquisition.pass_observer import StopWish
from knightshift.acquisition.stop_rules.evaluation import AppliedRules, Standing
from knightshift.acquisition.stop_rules.progress import (
    FAILED_EVENT,
    MET_EVENT,
    PROGRESS_EVENT,
    RULES_EVENT,
    RuleProgress,
    rules_in_force,
)
from knightshift.acquisition.stop_rules.referenced_sum import ReferencedSum
from knightshift.acquisition.stop_rules.rules import StopRules
from knightshift.core.errors import InputError, KnightshiftError, StorageError
from knightshift.core.human_units import duration
from knightshift.core.json_numbers import number_or_none
from knightshift.core.passes import PassRecord
from knightshift.core.run_folder import Run
from knightshift.core.yaml_files import as_plain

if TYPE_CHECKING:
    from knightshift.acquisition.interlock_guard import Log

_LOG = logging.getLogger(__name__)

_FEWEST = 2
"""Good passes of each echo from which the noise is known."""
_TOLD_EVERY = 600.0
"""How often the journal is told how far a rule is [s]."""
_LOOKED_AT_AGAIN = 2
"""Blocks of an earlier epoch that may have been committed and not yet looked at."""
_PASSES_TIMED = 20


class RuleObserver:
    """A `PassObserver` that holds stop rules against the images after every block, each contrast once.

    Parameters
    ----------
    rules
        What is wanted.
    deadline
        When the run has to end, seconds since the Unix epoch (UTC); None: with its last pass.
    """

    def __init__(self, rules: StopRules, deadline: float | None = None) -> None:
        self.rules = rules
        self.progress: tuple[RuleProgress, ...] = ()
        """How far each rule was after the last block. May be read from any thread."""
        self.wish: StopWish | None = None
        """Set when the rules are met."""
        self._deadline = math.inf if deadline is None else deadline
        self._applied: AppliedRules
        self._sum: ReferencedSum
        self._log: Log
        self._told = -math.inf
        self._starts: deque[float] = deque(maxlen=_PASSES_TIMED)
        self._failed = False

    def began(self, run: Run, log: Log, time: float) -> StopWish | None:
        """Read the passes of earlier epochs, and look at the last blocks of them again.

        Raises
        ------
        InputError
            If the rules do not fit the images of the run.
        DamagedDataError
            If a pass is damaged.
        """
        self._log, self.wish = log, None
        self._applied, self._sum = AppliedRules.to(self.rules, run.manifest.encoding), ReferencedSum(run)
        if rules_in_force(run.events()) != self.rules:
            log(time, RULES_EVENT, rules=as_plain(self.rules), words=str(self.rules))
        commits = list(run.commits().values())
        n_early = max(0, len(commits) - (_LOOKED_AT_AGAIN + 1) * self._block)
        self._sum.add_committed(commits[:n_early])
        self._starts.extend(commit.started for commit in commits[:n_early])
        for commit in commits[n_early:]:
            self._add(run.read_committed(commit), time)
        self._starts.clear()  # how long a pass takes is seen within one epoch
        return self.wish

    def committed(self, record: PassRecord, time: float) -> StopWish | None:
        """Add a pass; at the end of a block, look."""
        if self._failed or self.wish is not None:
            return None
        try:
            self._add(record, time)
        except StorageError:
            raise
        except KnightshiftError as error:
            self._failed = True
            _LOG.exception("stop rules are not looked at any more")
            self._log(time, FAILED_EVENT, reason=str(error), **{"pass": record.index})
        return self.wish

    @property
    def _block(self) -> int:
        return self._sum.run.manifest.encoding.n_steps

    def _add(self, record: PassRecord, time: float) -> None:
        self._sum.add(record)
        self._starts.append(record.started)
        ends_block = (record.index + 1) % self._block == 0
        if ends_block and self.wish is None and self._sum.n_good >= _FEWEST:
            self._look(record, time)

    def _look(self, record: PassRecord, time: float) -> None:
        try:
            standings = self._applied.stand(self._sum.images(), self._sum.n_seen)
        except InputError as error:  # a scanner without noise has no SNR
            _LOG.debug("pass %d: %s", record.index, error)
            return
        self.progress = tuple(self._progress(standing, record) for standing in standings)
        met = self._sum.n_seen >= self.rules.minimum_passes and all(standing.met for standing in standings)
        if met or record.finished - self._told >= _TOLD_EVERY:
            self._told = record.finished
            for progress in self.progress:
                self._log(time, PROGRESS_EVENT, **progress.payload())
        if met:
            self._stop(standings, record, time)

    def _pass_duration(self, record: PassRecord) -> float:
        steps = [later - earlier for earlier, later in pairwise(self._starts)]
        return median(steps) if steps else record.finished - record.started

    def _progress(self, standing: Standing, record: PassRecord) -> RuleProgress:
        n_planned, one = self._sum.run.manifest.n_passes, self._pass_duration(record)
        ends = min(self._deadline, record.finished + (n_planned - self._sum.n_seen) * one)
        needed = standing.passes_needed(self._block)
        if needed is not None:
            needed = max(needed, self._first_block_from(self.rules.minimum_passes))
        when = None if needed is None else record.finished + max(0, needed - self._sum.n_seen) * one
        value, std = standing.measured.value, standing.measured.std
        return RuleProgress(
            rule=str(standing.rule),
            words=standing.words,
            value=number_or_none(value),
            value_std=number_or_none(std),
            target=standing.rule.goal,
            n_passes=self._sum.n_seen,
            met=standing.met,
            predicted_pass=needed,
            predicted_time=when,
            in_time=needed is not None and when is not None and needed <= n_planned and when <= ends + one,
            ends=ends,
        )

    def _first_block_from(self, n_passes: int) -> int:
        return -(-n_passes // self._block) * self._block

    def _stop(self, standings: tuple[Standing, ...], record: PassRecord, time: float) -> None:
        n_left = max(0, self._sum.run.manifest.n_passes - self._sum.n_seen - 1)  # one more is playing
        saved = n_left * self._pass_duration(record)
        measured = " and ".join(standing.words for standing in standings)
        reason = f"stop rule met: {measured} after {self._sum.n_seen} passes ({self.rules}); saved {duration(saved)}"
        self._log(
            time,
            MET_EVENT,
            rules=[progress.payload() for progress in self.progress],
            reason=reason,
            saved_s=saved,
            **{"pass": record.index},
        )
        self.wish = StopWish(reason, record.index)
