"""Who looks at a run while it is acquired, without touching it: stop rules, and whatever else wants every pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from knightshift.acquisition.interlock_guard import Log
    from knightshift.core.passes import PassRecord
    from knightshift.core.run_folder import Run


@dataclass(frozen=True)
class StopWish:
    """An observer has seen enough. Exactly one more pass is played, the one that was playing meanwhile."""

    reason: str
    """Why, in words."""
    after_pass: int
    """The pass that decided it. A run that was killed and goes on plays no pass beyond the next one, so that it ends
    with the same passes as if it had not been killed."""


class PassObserver(Protocol):
    """Sees every pass of a run once it is durable.

    It is called beside the scanner, in the thread that commits, while the next pass plays: as long as commit and
    observers together take less time than a pass, the scanner does not wait.
    """

    def began(self, run: Run, log: Log, time: float) -> StopWish | None:
        """Look at a run whose epoch begins, with the passes of earlier epochs in it, before anything is played.

        Parameters
        ----------
        run
            The run.
        log
            Writes an event into its journal.
        time
            Now, by the clock of the run: seconds since the Unix epoch (UTC).

        Returns
        -------
        StopWish or None
            What an earlier epoch had decided already.

        Raises
        ------
        KnightshiftError
            If it cannot do its work with this run; nothing is played then.
        """
        ...

    def committed(self, record: PassRecord, time: float) -> StopWish | None:
        """Look at a pass that is durable, perhaps with flags; passes come in the order in which they were played.

        Only a `StorageError` of the journal may leave it.
        """
        ...
