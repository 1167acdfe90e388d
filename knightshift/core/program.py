"""What goes into a scanner: one complete pass as a Pulseq sequence, and what Pulseq does not carry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.errors import ConfigError
from knightshift.core.nuclei import nucleus_named


@dataclass(frozen=True)
class PassProgram:
    """One complete pass: every phase-encode line, the phase cycle complete, one average.

    Never a whole night: the host plays the pass again and again.
    """

    name: str
    """Protocol and step, for people: ``"overnight_t2 step 2/5"``."""
    pulseq: str
    """The Pulseq file as text."""
    nucleus: str
    """Isotope: ``"23Na"``."""
    gyromagnetic_ratio: float
    """γ/2π [Hz/T]."""
    b0: float
    """Field the sequence was built for [T]."""
    working_frequency: float
    """Transmitter and receiver frequency [Hz]: the Larmor frequency, Knight shift included."""
    duration: float
    """From the first block to the last [s]."""
    n_readouts: int
    """Acquisition windows in one pass."""
    samples: int
    """Complex samples in each window."""

    def __post_init__(self) -> None:
        expected = nucleus_named(self.nucleus).gyromagnetic_ratio
        if abs(self.gyromagnetic_ratio / expected - 1) > 1e-3:
            raise ConfigError(
                f"{self.name}: gyromagnetic_ratio {self.gyromagnetic_ratio / 1e6:.4f} MHz/T is not that of "
                f"{self.nucleus} ({expected / 1e6:.4f} MHz/T): build the program for this nucleus"
            )

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the sequence and the physics beside it (hex)."""
        physics = f"{self.nucleus} {self.gyromagnetic_ratio!r} {self.b0!r} {self.working_frequency!r}\n"
        return hashlib.sha256((physics + self.pulseq).encode()).hexdigest()


class Encoding(BaseModel):
    """How the readouts of a run become images or spectra: all that reconstruction needs, and nothing of the scanner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["image", "spectrum"]
    """Images on a Cartesian grid, or FIDs."""
    echo_times: tuple[float, ...]
    """Echo time of each contrast [s]; for an FID the time from the centre of the pulse to the first sample."""
    matrix: tuple[int, int, int]
    """Voxels along ``(slice, phase_encode, readout)``."""
    field_of_view: tuple[float, float, float]
    """Field of view along ``(slice, phase_encode, readout)`` [m]; for a projection, the depth projected over."""
    axes: tuple[str, str, str]
    """Gradient axis (``x``, ``y`` or ``z``) of slice, phase_encode and readout."""
    samples: int
    """Complex samples of one readout, oversampling included."""
    center_sample: float
    """Sample at k = 0 (image) or at time zero (spectrum, may be negative); samples sit at dwell centres."""
    dwell_time: float
    """Time between samples [s]."""
    phase_cycle: int = 1
    """Readouts of one line within a pass, to be summed (the receiver has followed the cycle)."""
    n_steps: int = 1
    """Programs that alternate pass by pass: pass ``p`` plays step ``p % n_steps``."""
    repetition_time: float = Field(gt=0)
    """Excitation to excitation [s]."""


@dataclass(frozen=True)
class ReferencePlan:
    """Reference FIDs between the passes: before every `interval` passes, and before the last."""

    interval: int
    """Passes from one to the next."""
    duration: float
    """Of one [s]."""
    samples: int = 0
    """Complex samples of one, all readouts together."""

    def number_before(self, index: int, n_passes: int) -> int | None:
        """Tell the number of the reference that is due before pass `index`; None if there is none."""
        if index % self.interval == 0:
            return index // self.interval
        return self.count(n_passes) - 1 if index == n_passes - 1 else None

    def count(self, n_passes: int) -> int:
        """Count the references of `n_passes` passes."""
        return -(-n_passes // self.interval) + ((n_passes - 1) % self.interval != 0)


@dataclass(frozen=True)
class Measurement:
    """A protocol, built for one scanner: what acquisition plays and what reconstruction must know."""

    protocol: dict[str, Any]
    """The protocol as plain data in SI units (goes into the manifest)."""
    programs: tuple[PassProgram, ...]
    """Pass ``p`` plays ``programs[p % len(programs)]``."""
    encoding: Encoding
    """How to reconstruct it."""
    n_passes: int
    """Passes planned, a whole number of cycles of `programs`."""
    references: ReferencePlan | None = None
    """What the site wants between the passes."""
    lead: float = 0.0
    """Time that the site wants for adjustments and checks before the first pass [s]."""
    host_gap: float = 0.0
    """Time for which the scanner stands still before each pass, where it was measured [s]."""

    @property
    def duration(self) -> float:
        """Time of all passes with the gaps before them, and of what the site wants before and between them [s]."""
        cycles, rest = divmod(self.n_passes, len(self.programs))
        lengths = [program.duration for program in self.programs]
        passes = cycles * sum(lengths) + sum(lengths[:rest]) + self.n_passes * self.host_gap
        between = 0.0 if self.references is None else self.references.count(self.n_passes) * self.references.duration
        return passes + self.lead + between

    @property
    def longest_step(self) -> float:
        """Time of the longest pass with the gap and a reference before it [s]."""
        reference = 0.0 if self.references is None else self.references.duration
        return max(program.duration for program in self.programs) + reference + self.host_gap

    def program_of(self, pass_index: int) -> PassProgram:
        """Program that pass `pass_index` (from 0) plays."""
        return self.programs[pass_index % len(self.programs)]
