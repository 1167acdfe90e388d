"""The contract that every scanner backend keeps, and its table of legal transitions.

Nothing outside this room knows which scanner is behind it. One suite of tests runs against every backend.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, Self, runtime_checkable

from knightshift.core.limits import ScannerLimits
from knightshift.core.passes import Readout
from knightshift.core.program import PassProgram


class ScannerState(StrEnum):
    """What a scanner is doing."""

    DISCONNECTED = "disconnected"
    """No link. Nothing is known to be on."""
    IDLE = "idle"
    """Connected, RF blanked, gradients zero."""
    PREPARED = "prepared"
    """A program is armed."""
    ACQUIRING = "acquiring"
    """The program plays."""
    STOPPING = "stopping"
    """A stop was asked for; the pass is being finished or cut."""
    FAULT = "fault"
    """Latched: only `reset` leaves it."""
    UNKNOWN = "unknown"
    """The link is lost: assume nothing."""


class StopAt(StrEnum):
    """When `stop` takes effect."""

    PASS = "pass"  # noqa: S105 - not a password
    """After the pass that plays."""
    READOUT = "readout"
    """After the readout that plays; the pass is lost."""


_S = ScannerState
TRANSITIONS: Mapping[str, Mapping[ScannerState, ScannerState]] = {
    "connect": {_S.DISCONNECTED: _S.IDLE, _S.UNKNOWN: _S.IDLE},
    "close": dict.fromkeys(_S, _S.DISCONNECTED),
    "prepare": {_S.IDLE: _S.PREPARED, _S.PREPARED: _S.PREPARED},
    "start": {_S.PREPARED: _S.ACQUIRING},
    "stop": {_S.ACQUIRING: _S.STOPPING, _S.STOPPING: _S.STOPPING, _S.PREPARED: _S.IDLE, _S.IDLE: _S.IDLE},
    "abort": {
        _S.ACQUIRING: _S.IDLE, _S.STOPPING: _S.IDLE, _S.PREPARED: _S.IDLE, _S.IDLE: _S.IDLE,
        _S.FAULT: _S.FAULT, _S.UNKNOWN: _S.UNKNOWN, _S.DISCONNECTED: _S.DISCONNECTED,
    },
    "make_safe": {
        _S.ACQUIRING: _S.IDLE, _S.STOPPING: _S.IDLE, _S.PREPARED: _S.IDLE, _S.IDLE: _S.IDLE,
        _S.FAULT: _S.FAULT, _S.UNKNOWN: _S.UNKNOWN, _S.DISCONNECTED: _S.DISCONNECTED,
    },
    "set_frequency": {_S.IDLE: _S.IDLE, _S.PREPARED: _S.PREPARED},
    "set_receiver_gain": {_S.IDLE: _S.IDLE, _S.PREPARED: _S.PREPARED},
    "reset": {_S.FAULT: _S.IDLE, _S.IDLE: _S.IDLE, _S.PREPARED: _S.IDLE},
}  # fmt: skip
"""Command → state in which it is legal → state it leads to. A pass that ends leads from ACQUIRING to PREPARED (the
program stays armed: the next `start` plays it again) and from STOPPING to IDLE."""


@dataclass(frozen=True)
class Identity:
    """Who the scanner says it is; compared with the manifest before a run is resumed."""

    backend: str
    """Name of the entry point."""
    device: str
    """Make, model and serial number."""
    version: str
    """Version of its software."""


@dataclass(frozen=True)
class Capabilities:
    """What the scanner can do."""

    limits: ScannerLimits
    """Gradients, rasters, field."""
    nuclei: tuple[str, ...]
    """Nuclei that the coil is tuned for."""
    n_channels: int
    """Receivers."""
    full_scale: float = 1.0
    """Sample magnitude at which the receiver overflows."""


@dataclass(frozen=True)
class ScannerStatus:
    """State and settings at one moment."""

    state: ScannerState
    frequency: float | None
    """Working frequency [Hz], None before it was set."""
    receiver_gain: float
    """Receiver gain [dB]."""
    fault: str | None = None
    """Message of the latched fault."""
    readings: Mapping[str, float] = field(default_factory=dict)
    """What else the device reports, SI units, by name."""


@runtime_checkable
class Scanner(Protocol):
    """One MR console. Leaving ``with scanner:``, however, switches RF and gradients off and closes it.

    Every call that `TRANSITIONS` does not allow in the present state raises `IllegalTransitionError` and changes
    nothing. Methods may be called from any thread; `abort` and `make_safe` even while another call blocks.
    """

    def __enter__(self) -> Self:
        """Connect."""
        ...

    def __exit__(self, *exc: object) -> None:
        """Make safe and close, whatever happened."""
        ...

    def connect(self) -> None:
        """Open the link and make the scanner safe. Raises `LinkFault`."""
        ...

    def close(self) -> None:
        """Make safe and give the link up. Legal in every state."""
        ...

    def identify(self) -> Identity:
        """Say who is there. Needs a link."""
        ...

    def capabilities(self) -> Capabilities:
        """Say what it can do. Needs a link."""
        ...

    def validate(self, program: PassProgram) -> None:
        """Check `program` against the limits, without arming it. Raises `LimitError` or `ProtocolError`."""
        ...

    def prepare(self, program: PassProgram) -> None:
        """Check `program`, load and arm it; tune to its working frequency unless `set_frequency` chose another."""
        ...

    def start(self, pass_index: int, epoch: int = 0) -> None:
        """Play the armed program once; the readouts will carry these counters."""
        ...

    def readouts(self, timeout: float) -> Iterator[Readout]:
        """Yield the readouts of the pass that plays, in order, until it ends.

        `timeout` [s] is how long one readout may be late before `ReadoutTimeoutError`; the pass has been aborted then
        (state IDLE). A pass that `abort` or `make_safe` cuts raises `ScannerFault` here: it never looks complete. Only
        ``stop(StopAt.READOUT)`` ends the iteration early without an error.
        """
        ...

    def stop(self, at: StopAt = StopAt.PASS) -> None:
        """Stop in good order."""
        ...

    def abort(self) -> None:
        """Stop now; the pass is lost. Safe from any thread, in any state, any number of times."""
        ...

    def make_safe(self) -> None:
        """Blank RF, zero gradients. Never raises; from any thread, in any state."""
        ...

    def set_frequency(self, frequency: float) -> None:
        """Set the working frequency of transmitter and receiver [Hz]."""
        ...

    def set_receiver_gain(self, gain: float) -> None:
        """Set the receiver gain [dB]."""
        ...

    def status(self) -> ScannerStatus:
        """Say what it is doing. Legal in every state; never blocks for long."""
        ...

    def reset(self) -> None:
        """Clear a latched fault."""
        ...
