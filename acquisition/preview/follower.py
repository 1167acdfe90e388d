"""Follow a run from outside: its journal is read on, each pass is read once, nothing is locked and nothing written."""

from __future__ import annotations

import logging
from enum import StrEnum

from knightshift.acquisition.run_lock import living_holder
from knightshift.acquisition.stop_rules.progress import RuleProgress, progress_of
from knightshift.core.errors import DamagedDataError
from knightshift.core.journal import JournalEvent
from knightshift.core.run_folder import LOCK, Commit, Run
from knightshift.core.run_tail import RunTail
from knightshift.core.run_without_passes import BEGINNINGS_AND_ENDS, why_no_pass
from knightshift.reconstruction.live import RunningSum, SnrGrowth

_LOG = logging.getLogger(__name__)

_RULE_EVENTS = frozenset({"stop_rules", "rule_progress"})


class RunState(StrEnum):
    """What becomes of a run, seen from outside."""

    RUNNING = "running"
    """A process acquires into it."""
    SUSPENDED = "suspended"
    """A process waits for an interlock to clear."""
    COMPLETED = "completed"
    """All passes are there."""
    STOPPED = "stopped"
    """Stopped in good order; it may be continued."""
    FAILED = "failed"
    """Ended by a fault; it may be continued."""
    INTERRUPTED = "interrupted"
    """Nobody acquires into it, and nobody has said why; it may be continued."""


class RunFollower:
    """The sum of a run that somebody else acquires, as far as it is.

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
        self.unreadable: list[int] = []
        """Passes that are damaged and were left out."""
        self._tail = RunTail(run)
        self._rule_events: list[JournalEvent] = []
        self._epoch_events: list[JournalEvent] = []
        self._last_word = ""
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.sum, self.growth = RunningSum(self.run), SnrGrowth()
        self.read: dict[int, Commit] = {}
        """Passes that were read, by index."""
        self.unreadable.clear()

    def catch_up(self) -> int:
        """Read what is new, and correct passes by the references so far; returns how many passes were read.

        Raises
        ------
        DamagedDataError
            If the journal is damaged.
        """
        for event in self._tail.new_events():
            self._note(event)
        commits, references = self._tail.commits(), self._tail.references()
        if any(commits.get(index) != commit for index, commit in self.read.items()):
            _LOG.info("%s: a pass was taken out since: reading all again", self.run.path)
            self._begin_anew()
        if not self.sum.learn(references, commits.values()):
            _LOG.info("%s: the references tell now of a drift from the beginning: reading all again", self.run.path)
            self._begin_anew()
            self.sum.learn(references, commits.values())
        new = [commit for index, commit in commits.items() if index not in self.read]
        for commit in new:
            self._read(commit)
        return len(new)

    def _note(self, event: JournalEvent) -> None:
        if event.event in _RULE_EVENTS:
            self._rule_events.append(event)
        if event.event in BEGINNINGS_AND_ENDS:
            self._epoch_events.append(event)
        if event.event in {"adjusting", "epoch_began", "resumed"}:
            self._last_word = ""
        elif event.event == "suspended":
            self._last_word = RunState.SUSPENDED
        elif event.event == "ended":
            self._last_word = str(event.payload.get("status", ""))

    def _read(self, commit: Commit) -> None:
        self.read[commit.index] = commit
        try:
            self.sum.add(self.run.read_committed(commit))
        except DamagedDataError as error:
            _LOG.warning("left out of the preview: %s", error)
            self.unreadable.append(commit.index)
            return
        if self.growth.wants(self.sum.n_good):
            self.growth.note(self.sum.images(), self.sum.n_good)

    @property
    def progress(self) -> tuple[RuleProgress, ...]:
        """How far stop rules are, as the journal says."""
        return progress_of(self._rule_events)

    @property
    def without_passes(self) -> str:
        """Why no pass was begun; empty if one was."""
        return why_no_pass(self._epoch_events)

    def state(self) -> RunState:
        """Tell what becomes of the run, as far as was read."""
        if self._last_word in {RunState.COMPLETED, RunState.STOPPED, RunState.FAILED}:
            return RunState(self._last_word)
        if living_holder(self.run.path / LOCK) is None:
            return RunState.INTERRUPTED
        return RunState.SUSPENDED if self._last_word == RunState.SUSPENDED else RunState.RUNNING
