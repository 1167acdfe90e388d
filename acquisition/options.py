"""What a caller of acquisition may choose, and what it is told."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from knightshift.acquisition.stop_request import StopRequest

if TYPE_CHECKING:
    from knightshift.acquisition.pass_observer import PassObserver
    from knightshift.acquisition.preflight_verdict import Check
    from knightshift.acquisition.surroundings import Watch


@dataclass(frozen=True)
class AcquisitionOptions:
    """How patient a run is, and who may stop it."""

    run_name: str | None = None
    """Name of the run folder; None: date, time and protocol. A number is added where the name is taken."""
    max_repeats: int = 3
    """How often one pass is played again after a transient fault."""
    readout_timeout: float = 10.0
    """How late one readout may be [s]."""
    disk_margin: int = 64_000_000
    """Bytes that must be free on the disk beyond what the run needs."""
    stop: StopRequest = field(default_factory=StopRequest)
    """Asked between passes; set by Ctrl-C and SIGTERM, or by the caller."""
    watch: Watch | None = None
    """Monitors and interlocks; None: those of the site in the setup of the run."""
    observers: tuple[PassObserver, ...] = ()
    """Told of the run and of each pass that is durable; may ask to stop."""


class ProgressKind(StrEnum):
    """What a `ProgressEvent` tells."""

    CHECKED = "checked"
    """The pre-flight has passed; nothing has been played."""
    BEGAN = "began"
    """The run folder is there and the first pass is about to start."""
    COMMITTED = "committed"
    """A pass is durable."""
    REPEATED = "repeated"
    """A transient fault spoilt a pass; it is played again."""
    SUSPENDED = "suspended"
    """An interlock lets no pass begin; the scanner is safe."""
    RESUMED = "resumed"
    """It does again."""
    STOPPING = "stopping"
    """A stop was asked for, by a person or an interlock, and is obeyed now."""


@dataclass(frozen=True)
class ProgressEvent:
    """One step of a run, for people to watch."""

    kind: ProgressKind
    """What happened."""
    run_path: Path
    """The run folder."""
    n_committed: int
    """Passes that are durable, earlier epochs included."""
    n_passes: int
    """Passes planned."""
    time: float
    """Now, by the clock of the run: seconds since the Unix epoch (UTC)."""
    finish_time: float
    """When the last pass will end if nothing comes between: seconds since the Unix epoch (UTC)."""
    next_pass: float = 0.0
    """How long one more pass, and the reference that may be due before it, take at most [s]; 0 if none is missing."""
    pass_index: int | None = None
    """The pass it is about."""
    flags: tuple[str, ...] = ()
    """Why the pass will get no weight; empty for a good one."""
    message: str = ""
    """The fault, or the reason, in words."""
    checks: tuple[Check, ...] = ()
    """What the pre-flight found."""


OnProgress: TypeAlias = Callable[[ProgressEvent], None]


class RunStatus(StrEnum):
    """How a run came to its end."""

    COMPLETED = "completed"
    """Every pass of the plan is committed."""
    STOPPED = "stopped"
    """Stopped on request or by an interlock; what was acquired is a complete image with fewer averages."""


@dataclass(frozen=True)
class RunResult:
    """A run that ended in good order."""

    path: Path
    """The run folder."""
    status: RunStatus
    """How it ended."""
    n_committed: int
    """Passes that are durable."""
    n_passes: int
    """Passes planned."""
    n_flagged: int
    """Committed passes that carry a flag and will get no weight."""
    reason: str = ""
    """Why it was stopped: a signal, a caller, an interlock; empty where it is complete."""
    interlocked: bool = False
    """Whether it was an interlock."""

    @property
    def resume_command(self) -> str:
        """The command that continues the run."""
        return resume_command(self.path)


def resume_command(path: Path) -> str:
    """Give the exact command that continues the run in `path`, quoted for a shell."""
    return f"knightshift resume {shlex.quote(str(path))}"
