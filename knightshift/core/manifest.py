"""The manifest of a run: what was to be measured, by which scanner, and all that it takes to go on with it.

Written once, before the first pass, and never changed; the first line of the journal holds its checksum.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from knightshift.core.clock import from_iso_time
from knightshift.core.errors import ConfigError
from knightshift.core.program import Encoding, PassProgram

FORMAT_VERSION = 1
"""Version of the run folder that this code writes, and the newest it reads."""
MAX_PASSES = 1_000_000
"""A pass file's name has six digits."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in hex. The pattern also keeps a file name made of it inside its folder."""
RunId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
"""Name of a run and of its folder."""


class ProgramEntry(BaseModel):
    """One program of a run; its sequence lies beside the manifest as ``programs/<digest>.seq``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Protocol and step, for people."""
    digest: Digest
    """`PassProgram.digest`."""
    nucleus: str
    """Isotope."""
    gyromagnetic_ratio: float
    """γ/2π [Hz/T]."""
    b0: float
    """Field the sequence was built for [T]."""
    working_frequency: float
    """Transmitter and receiver frequency [Hz]."""
    duration: float
    """From the first block to the last [s]."""
    n_readouts: int = Field(gt=0)
    """Acquisition windows in one pass."""
    samples: int = Field(gt=0)
    """Complex samples in each window."""

    @property
    def file_name(self) -> str:
        """Name of the Pulseq file in the folder ``programs``."""
        return f"{self.digest}.seq"

    @classmethod
    def of(cls, program: PassProgram) -> ProgramEntry:
        """Describe `program`."""
        return cls(digest=program.digest, **{name: getattr(program, name) for name in _PROGRAM_FIELDS})

    def program(self, pulseq: str) -> PassProgram:
        """Put the program together again with its sequence."""
        return PassProgram(pulseq=pulseq, **{name: getattr(self, name) for name in _PROGRAM_FIELDS})


_PROGRAM_FIELDS = tuple(name for name in ProgramEntry.model_fields if name != "digest")


class ScannerIdentity(BaseModel):
    """Who the scanner said it is; a resume compares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str
    """Name of the entry point."""
    device: str
    """Make, model and serial number."""
    version: str
    """Version of its software."""


class RunSetup(BaseModel):
    """What the caller of `acquire` knows about the world around the scan; all of it goes into the manifest.

    With it, `resume` needs nothing but the run folder: the same clock, scanner and phantom are built from it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    clock: Literal["system", "virtual"] = "system"
    """Whether time stamps are real or of a virtual clock."""
    seed: int | None = None
    """Seed of the simulated scanner's noise and faults; None for a real one."""
    site: dict[str, Any] = Field(default_factory=dict)
    """The scanner's site file as plain data."""
    limits: dict[str, Any] = Field(default_factory=dict)
    """The scanner's limits as plain data, SI units."""
    phantom_name: str | None = None
    """Name of the simulated sample; None for a real one."""
    phantom: dict[str, Any] | None = None
    """The simulated sample itself as plain data, SI units."""


class Manifest(BaseModel):
    """Everything about a run that was known before its first pass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["knightshift run"] = "knightshift run"
    """What this file is."""
    format_version: int = FORMAT_VERSION
    """Version of the run folder."""
    run_id: RunId
    """Name of the run; every pass file carries it."""
    created: str
    """When, UTC in ISO 8601."""
    protocol: dict[str, Any]
    """The protocol as plain data, SI units."""
    encoding: Encoding
    """How the readouts become images."""
    n_passes: int = Field(gt=0, le=MAX_PASSES)
    """Passes planned."""
    programs: tuple[ProgramEntry, ...] = Field(min_length=1)
    """Pass ``p`` plays ``programs[p % len(programs)]``."""
    scanner: ScannerIdentity
    """Which scanner."""
    setup: RunSetup
    """The world around the scan."""
    versions: dict[str, str]
    """Software that wrote the run."""

    @field_validator("created")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        from_iso_time(text)
        return text

    def program_of(self, pass_index: int) -> ProgramEntry:
        """Program that pass `pass_index` (from 0) plays."""
        return self.programs[pass_index % len(self.programs)]


def software_versions() -> dict[str, str]:
    """Versions of what takes part in writing a run."""
    packages = ("knightshift", "numpy", "h5py", "pypulseq")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def parse_manifest(content: bytes, source: str) -> Manifest:
    """Read the bytes of a ``manifest.json``.

    Raises
    ------
    ConfigError
        If it is not a manifest, or one of a newer format.
    """
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, item["loc"])) or "(whole file)" for item in error.errors()[:5])
        raise ConfigError(f"{source}: is not the manifest of a knightshift run: see {places}") from error
    if not 1 <= manifest.format_version <= FORMAT_VERSION:
        raise ConfigError(
            f"{source}: run format {manifest.format_version}, this knightshift reads up to {FORMAT_VERSION}: upgrade it"
        )
    return manifest
