"""Who looks at a run while it is acquired, without touching it: stop rules, and whatever else wants every pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from knightshift.acquisition.interlock_guard import Log
    from knightshift.core.passes import PassRecord
    from knightshift.core.run_folder import Run


class PassObserver(Protocol):
    """Sees every pass of a run once it is durable.

    It is called beside the scanner, in the thread that commits, while the next pass plays: as long as commit and
    observers together take less time than a pass, the scanner does not wait. Where it cannot do its work it says so in
    the journal; only a `StorageError` of the journal itself may leave it.
    """

    def began(self, run: Run, log: Log, time: float) -> str:
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
        str
            Why the run is to stop at once; empty: go on.
        """
        ...

    def committed(self, record: PassRecord, time: float) -> str:
        """Look at a pass that is durable, perhaps with flags; passes come in order of commit.

        Returns
        -------
        str
            Why the run is to stop after the pass that plays now; empty: go on.
        """
        ...
