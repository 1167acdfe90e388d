"""A Pulseq block before it is written."""

from __future__ import annotations

from dataclasses import dataclass

from knightshift.sequences.pulseq_system import Event


@dataclass(frozen=True)
class Block:
    """One Pulseq block: events that start together."""

    duration: float
    """[s]."""
    events: tuple[Event | None, ...] = ()
    """Pulseq events; None stands for a gradient of no area."""
    echo: int = 0
    """Label ECO, where the block acquires."""
