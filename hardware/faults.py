"""Faults on demand: one script for scanner, links, monitors and disks, seeded, by pass or by probability.

A script is data. The simulated scanner acts on the kinds of `SCANNER_FAULTS`; those of `LINK_FAULTS`, `MONITOR_FAULTS`
and `STORAGE_FAULTS` are for whoever plays a link, a device or a disk: ask `FaultScript.strikes` which of them fall on a
pass. The answer depends on seed, pass, attempt and epoch alone, so that a resumed run meets the same faults.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from knightshift.core.quantities import PositiveSeconds
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


class MonitorOutOfBand(ScriptedFault):
    """A monitor reads what it should not."""

    kind: Literal["monitor_out_of_band"] = "monitor_out_of_band"
    monitor: str
    """Name of the reading in the site file."""
    value: float = Field(allow_inf_nan=False)
    """What it reads, in the SI unit of that reading."""
    duration: PositiveSeconds | None = None
    """How long [s]; None: to the end of the pass."""


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
"""What the simulated scanner acts on."""
LINK_FAULTS = (LinkMute, LinkGarble, LinkWrongReply, LinkUnplug)
"""For a transport that injects faults."""
MONITOR_FAULTS = (MonitorOutOfBand,)
"""For an emulated monitor."""
STORAGE_FAULTS = (DiskFull,)
"""For whoever commits a pass."""


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
