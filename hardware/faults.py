"""Faults on demand: one script for scanner, links, monitors and disks, seeded, by pass or by probability.

A script is data, and stands in the site file. Each who acts on it (scanner, link, monitors, disk) is given the whole
script and asks, by a `StrikeCounter`, which faults of its own kinds fall on the pass that begins. The answer depends on
seed, pass, attempt and epoch alone, so that a resumed run meets the same faults.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, TypeVar

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
    model_validator,
)

from knightshift.core.quantities import UNITS_REQUIRED, PositiveSeconds, to_si
from knightshift.core.yaml_files import read_config


class ScriptedFault(BaseModel):
    """When a fault strikes: in the passes named, or with a probability in every pass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passes: tuple[NonNegativeInt, ...] | None = None
    """Passes in which it strikes."""
    probability: float | None = Field(default=None, gt=0, le=1)
    """Probability with which it strikes each pass."""
    epochs: tuple[NonNegativeInt, ...] | None = None
    """Epochs in which it strikes (0: before any resume); None for all."""
    attempts: PositiveInt = 1
    """So many attempts at a pass are struck; the next one succeeds."""

    @model_validator(mode="after")
    def _strikes_some_time(self) -> Self:
        if (self.passes is None) == (self.probability is None):
            raise ValueError("say when it strikes: either passes: [3, 7] or probability: 0.01")
        return self


class _ReadoutFault(ScriptedFault):
    readout: NonNegativeInt | None = None
    """Which readout of the pass; drawn if not given."""


class LostReadout(_ReadoutFault):
    """A readout never comes: transient, the pass is repeated."""

    kind: Literal["lost_readout"] = "lost_readout"


class LateReadout(_ReadoutFault):
    """A readout comes late; beyond the patience of the host it is as good as lost."""

    kind: Literal["late_readout"] = "late_readout"
    delay: PositiveSeconds
    """How late [s]."""


class Overrange(_ReadoutFault):
    """One readout drives the converter beyond its full scale."""

    kind: Literal["overrange"] = "overrange"


class SpikeNoise(ScriptedFault):
    """Single samples with a large value, as arcing or a bad contact makes; flagged only where it is over range."""

    kind: Literal["spike_noise"] = "spike_noise"
    amplitude: float = Field(default=0.1, gt=0)
    """Size of a spike, over the full scale of the converter."""
    count: PositiveInt = 1
    """Spikes in the pass."""


class RfTrip(_ReadoutFault):
    """The RF amplifier trips: latched until `reset`."""

    kind: Literal["rf_trip"] = "rf_trip"


class GradientOverTemperature(_ReadoutFault):
    """The gradient coil is too hot: latched until `reset`."""

    kind: Literal["gradient_over_temperature"] = "gradient_over_temperature"


class LinkMute(ScriptedFault):
    """The link says nothing for a while."""

    kind: Literal["link_mute"] = "link_mute"
    duration: PositiveSeconds
    """How long [s]."""


class LinkGarble(ScriptedFault):
    """Bytes on the link are changed."""

    kind: Literal["link_garble"] = "link_garble"
    count: PositiveInt = 1
    """So many bytes."""


class LinkWrongReply(ScriptedFault):
    """A reply that belongs to another question."""

    kind: Literal["link_wrong_reply"] = "link_wrong_reply"


class LinkUnplug(ScriptedFault):
    """The cable is out."""

    kind: Literal["link_unplug"] = "link_unplug"
    duration: PositiveSeconds | None = None
    """Until it is plugged in again [s]; None: it stays out."""


def _level_or_temperature(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str) and value.rstrip().endswith("%"):
        return to_si(value, "1")
    return to_si(value, "K", units_required=bool(info.context and info.context.get(UNITS_REQUIRED)))


class MonitorOutOfBand(ScriptedFault):
    """A monitor reads what it should not."""

    kind: Literal["monitor_out_of_band"] = "monitor_out_of_band"
    monitor: str
    """Name of the reading in the site file: ``monitor.quantity``."""
    value: Annotated[float, BeforeValidator(_level_or_temperature), Field(allow_inf_nan=False)]
    """What it reads: a level (``"5 %"``, held as a fraction) or a temperature (``"45 degC"``, held in K)."""
    duration: PositiveSeconds | None = None
    """How long [s], from the beginning of the pass; None: to its end."""


class DiskFull(ScriptedFault):
    """The disk has no room when the pass is committed."""

    kind: Literal["disk_full"] = "disk_full"


Fault: TypeAlias = Annotated[
    LostReadout
    | LateReadout
    | Overrange
    | SpikeNoise
    | RfTrip
    | GradientOverTemperature
    | LinkMute
    | LinkGarble
    | LinkWrongReply
    | LinkUnplug
    | MonitorOutOfBand
    | DiskFull,
    Field(discriminator="kind"),
]
SCANNER_FAULTS = (LostReadout, LateReadout, Overrange, SpikeNoise, RfTrip, GradientOverTemperature)
"""What a simulated scanner acts on."""
LINK_FAULTS = (LinkMute, LinkGarble, LinkWrongReply, LinkUnplug)
"""What a link acts on: that of a remote scanner, or the loopback of a site."""
MONITOR_FAULTS = (MonitorOutOfBand,)
"""What an emulated monitor acts on."""
STORAGE_FAULTS = (DiskFull,)
"""What the writer of a run acts on."""


@dataclass(frozen=True)
class Strike:
    """One fault that falls on one attempt at one pass."""

    fault: ScriptedFault
    """What strikes."""
    key: tuple[int, ...]
    """Seed of everything about it that is left to chance."""

    def generator(self) -> np.random.Generator:
        """Draw what the script leaves open; always the same draws for the same strike."""
        return np.random.default_rng(self.key)

    def readout(self, n_readouts: int) -> int:
        """Which readout of the pass it falls on: the one of the script, the last if there are fewer, or a drawn one."""
        chosen: int | None = getattr(self.fault, "readout", None)
        return int(self.generator().integers(n_readouts)) if chosen is None else min(chosen, n_readouts - 1)


class FaultScript(BaseModel):
    """Which faults strike when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    _CHANCE: ClassVar[int] = 0
    _DETAIL: ClassVar[int] = 1

    seed: NonNegativeInt = 0
    """Decides what is left to chance."""
    faults: tuple[Fault, ...] = ()
    """The faults."""

    def strikes(
        self, kinds: Collection[type[ScriptedFault]], pass_index: int, attempt: int = 1, epoch: int = 0
    ) -> Iterator[Strike]:
        """Yield what falls on an attempt at a pass.

        Parameters
        ----------
        kinds
            The kinds asked for, e.g. `SCANNER_FAULTS`.
        pass_index
            The pass.
        attempt
            Counts the attempts at this pass, from 1.
        epoch
            Counts the resumes of the run, from 0.
        """
        for number, fault in enumerate(self.faults):
            now = (fault.epochs is None or epoch in fault.epochs) and attempt <= fault.attempts
            if now and isinstance(fault, tuple(kinds)) and self._falls_on(number, fault, pass_index):
                yield Strike(fault, (self.seed, number, pass_index, attempt, self._DETAIL))

    def kinds_beyond(self, kinds: Collection[type[ScriptedFault]]) -> list[str]:
        """Names of the kinds in the script that are not among `kinds`."""
        return sorted({fault.kind for fault in self.faults if not isinstance(fault, tuple(kinds))})

    def _falls_on(self, number: int, fault: ScriptedFault, pass_index: int) -> bool:
        if fault.passes is not None:
            return pass_index in fault.passes
        chance = np.random.default_rng((self.seed, number, pass_index, 0, self._CHANCE)).random()
        return bool(chance < (fault.probability or 0.0))


def load_fault_script(name_or_path: str | Path) -> FaultScript:
    """Read a fault script: a path or a shipped name (``"rough_night"``).

    Raises
    ------
    ConfigError
        With one line for each mistake.
    """
    return read_config(FaultScript, "faults", name_or_path)


def _by_name(value: object) -> object:
    return load_fault_script(value) if isinstance(value, str) else value


Faults: TypeAlias = Annotated[FaultScript, BeforeValidator(_by_name)]
"""For a site file: the script itself, or the shipped name or path of a file with one."""


FactoryT = TypeVar("FactoryT", bound=Callable[..., Any])
_ACTS_ON: dict[object, tuple[type[ScriptedFault], ...]] = {}


def acts_on(*kinds: type[ScriptedFault]) -> Callable[[FactoryT], FactoryT]:
    """Say of a backend's ``open_scanner`` which kinds of faults its scanner plays: a decorator."""

    def note(factory: FactoryT) -> FactoryT:
        _ACTS_ON[factory] = kinds
        return factory

    return note


def kinds_played_by(factory: Callable[..., Any]) -> tuple[type[ScriptedFault], ...]:
    """Give what `acts_on` said of a backend; nothing, if it was never said."""
    return _ACTS_ON.get(factory, ())


class StrikeCounter:
    """What of a script falls on the passes that one actor sees begin.

    Parameters
    ----------
    script
        The whole script.
    kinds
        The kinds that the actor acts on.
    """

    def __init__(self, script: FaultScript, kinds: Collection[type[ScriptedFault]]) -> None:
        self._script, self._kinds = script, kinds
        self._attempts: Counter[tuple[int, int]] = Counter()

    def next_attempt(self, pass_index: int, epoch: int = 0) -> list[Strike]:
        """Count an attempt at a pass, and give what falls on it."""
        self._attempts[pass_index, epoch] += 1
        return list(self._script.strikes(self._kinds, pass_index, self._attempts[pass_index, epoch], epoch))
