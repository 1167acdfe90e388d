"""What a site knows of itself from earlier runs: the noise of its receiver, and the signal of its protocols.

One small file for each device, ``<runs>/.site/<device>-<digest>.json``, written whole or not at all. It only serves
checks: no measurement depends on it, and it may be deleted.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from knightshift.core.durable import make_folder, read_regular_file, write_durably
from knightshift.core.errors import DamagedDataError

FOLDER = ".site"
"""Beside the runs."""
_MAX_BYTES = 16_000_000
_STRICT = ConfigDict(frozen=True, extra="forbid")


class Remembered(BaseModel):
    """One value, and where it comes from."""

    model_config = _STRICT

    value: float = Field(gt=0, allow_inf_nan=False)
    """In units of the full scale at 0 dB; of noise per square root of the bandwidth [1/√Hz]."""
    measured_s: float
    """When, seconds since the Unix epoch (UTC)."""
    origin: str
    """The run, or the command."""


class SiteMemory(BaseModel):
    """All that is remembered of one device."""

    model_config = _STRICT

    device: str
    """What it calls itself."""
    noise: dict[str, Remembered] = Field(default_factory=dict)
    """Nucleus → noise density of its receiver."""
    signals: dict[str, Remembered] = Field(default_factory=dict)
    """Digest of a program → signal of one pass (root mean square)."""

    def with_noise(self, nucleus: str, entry: Remembered) -> SiteMemory:
        """Remember a noise density."""
        return self.model_copy(update={"noise": self.noise | {nucleus: entry}})

    def with_signal(self, digest: str, entry: Remembered) -> SiteMemory:
        """Remember a signal."""
        return self.model_copy(update={"signals": self.signals | {digest: entry}})


def memory_path(runs_dir: Path, device: str) -> Path:
    """Where the memory of a device lies."""
    word = re.sub(r"[^A-Za-z0-9]+", "-", device).strip("-")[:60] or "scanner"
    return runs_dir / FOLDER / f"{word}-{hashlib.sha256(device.encode()).hexdigest()[:12]}.json"


def read_memory(runs_dir: Path, device: str) -> SiteMemory:
    """Read what is remembered of a device; nothing, if it is met for the first time.

    Raises
    ------
    DamagedDataError
        If the file is not what `write_memory` wrote for this device.
    """
    path = memory_path(runs_dir, device)
    if not path.exists():
        return SiteMemory(device=device)
    remedy = "delete it, and measure a new one with `knightshift adjust --baseline`"
    try:
        memory = SiteMemory.model_validate_json(read_regular_file(path, _MAX_BYTES))
    except ValidationError as error:
        raise DamagedDataError(path, "content", f"{error.error_count()} values are not possible", remedy) from error
    if memory.device != device:
        raise DamagedDataError(path, "device", f"{memory.device!r}, {device!r} was expected", remedy)
    return memory


def write_memory(runs_dir: Path, memory: SiteMemory) -> None:
    """Write what is remembered of a device, durably.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    path = memory_path(runs_dir, memory.device)
    make_folder(path.parent, "making the folder of what is known of the site")
    write_durably(path, memory.model_dump_json(indent=2).encode())
