"""What can go wrong between a device and us, by script or by probability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

import numpy as np


class FaultKind(StrEnum):
    """One fault of one answer."""

    MUTE = "mute"
    """The answer is never sent."""
    GARBLE = "garble"
    """Bits are flipped, bytes lost or added."""
    REPEAT = "repeat"
    """The answer to the previous question is sent instead."""
    LATE = "late"
    """The answer is held back and sent when the next question arrives, before that one's answer."""
    LAG = "lag"
    """From here on, for some questions, each is answered with the answer to the one before."""
    DOUBLE = "double"
    """The answer is sent twice."""
    SLOW = "slow"
    """The answer comes after up to `MAX_DELAY`."""
    UNPLUG = "unplug"
    """The cable is pulled for `OUTAGE`."""


MAX_DELAY = 1.5
"""The slowest answer, as a multiple of the time-out that the line is told of."""
OUTAGE = 0.3
"""How long a cable stays pulled [s]."""


class FaultSource(Protocol):
    """Decides, answer by answer, what goes wrong."""

    @property
    def generator(self) -> np.random.Generator:
        """Where the details (which bit, how late) come from."""
        ...

    def next_fault(self) -> FaultKind | None:
        """Say what happens to the next answer."""
        ...


class ScriptedFaults:
    """Faults at chosen answers.

    Parameters
    ----------
    script
        Number of the answer, from 0 → what happens to it.
    seed
        For the details.
    """

    def __init__(self, script: Mapping[int, FaultKind] | None = None, seed: int = 0) -> None:
        self._script = dict(script or {})
        self._count = 0
        self.generator = np.random.default_rng(seed)

    def add(self, kind: FaultKind, *, after: int = 0) -> None:
        """Let `kind` happen to the answer that comes `after` the next one."""
        self._script[self._count + after] = kind

    def next_fault(self) -> FaultKind | None:
        """Say what happens to the next answer."""
        self._count += 1
        return self._script.pop(self._count - 1, None)


class SeededFaults:
    """Faults by probability.

    Parameters
    ----------
    seed
        Seed of the choice and the details.
    rates
        Probability of each fault, for every answer.
    """

    def __init__(self, seed: int, rates: Mapping[FaultKind, float]) -> None:
        if sum(rates.values()) > 1 or any(rate < 0 for rate in rates.values()):
            raise ValueError(f"probabilities {dict(rates)} do not make sense")
        self._kinds = list(rates)
        self._edges = np.cumsum(list(rates.values()))
        self.generator = np.random.default_rng(seed)
        self.injected: Counter[FaultKind] = Counter()

    def next_fault(self) -> FaultKind | None:
        """Say what happens to the next answer."""
        drawn = int(np.searchsorted(self._edges, self.generator.random(), side="right"))
        if drawn >= len(self._kinds):
            return None
        self.injected[self._kinds[drawn]] += 1
        return self._kinds[drawn]


def garble(answer: bytes, generator: np.random.Generator) -> bytes:
    """Flip one to three bits, lose the tail, lose a byte, or add one; the result differs from `answer`."""
    damaged = bytearray(answer)
    how = generator.integers(6)
    at = int(generator.integers(len(damaged)))
    if how == 0:
        del damaged[at:]
    elif how == 1:
        del damaged[at]
    elif how == 2:
        damaged.insert(at, int(generator.integers(256)))
    else:
        for _ in range(int(generator.integers(1, 4))):
            damaged[int(generator.integers(len(damaged)))] ^= 1 << int(generator.integers(8))
    if bytes(damaged) == answer:
        damaged[at] ^= 0x04
    return bytes(damaged)
