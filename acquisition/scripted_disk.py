"""A disk that is full where the script of the site says so (rehearsals)."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from knightshift.core.durable import write_all
from knightshift.core.manifest import RunSetup
from knightshift.core.yaml_files import validate
from knightshift.hardware.faults import STORAGE_FAULTS, FaultScript, StrikeCounter


class ScriptedDisk:
    """Says how the bytes of each pass are to be written: as always, or on a disk that is full half-way.

    Parameters
    ----------
    setup
        Holds the site file with its script.
    """

    def __init__(self, setup: RunSetup) -> None:
        script: FaultScript = validate(FaultScript, setup.site.get("faults") or {}, "the faults of the run's site")
        self._counter = StrikeCounter(script, STORAGE_FAULTS)

    def writer_for(self, pass_index: int, epoch: int) -> Callable[[int, bytes], None]:
        """Give what writes the file of one pass, for `write_durably`."""
        return _fill_up if self._counter.next_attempt(pass_index, epoch) else write_all


def _fill_up(descriptor: int, content: bytes) -> None:
    """Write as much as a full disk does, and raise what it raises."""
    write_all(descriptor, content[: len(content) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
