"""What the live page shows, and who may see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DashboardSettings:
    """What the live page shows, and who may see it."""

    runs: Path
    """Folder that holds the runs."""
    token: str
    """Whoever has it sees the page; with `actions` it also lets them act."""
    queue: Path | None = None
    """Folder of the queue; None: no queue is shown."""
    actions: bool = False
    """Whether a run may be stopped, and the queue changed, from the page."""
    previews: bool = True
    """Whether images are made from the passes so far, by a process of low priority."""
    refresh: float = 1.0
    """How often run folders are looked at while somebody watches [s]."""
