"""A scanner that plays back what another one recorded: a run folder, or the raw data of another console."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knightshift.core.clock import Clock
from knightshift.core.errors import ConfigError
from knightshift.core.run_folder import MANIFEST
from knightshift.core.yaml_files import validate
from knightshift.hardware.replay.kspace_recording import (
    DESCRIPTION,
    KSpaceRecording,
    RecordingDescription,
    write_kspace_recording,
)
from knightshift.hardware.replay.recording import RecordedPass, Recording
from knightshift.hardware.replay.run_recording import RunRecording
from knightshift.hardware.replay.scanner import ReplayScanner
from knightshift.hardware.replay.settings import ReplaySettings
from knightshift.hardware.site import SiteConfig

__all__ = [
    "KSpaceRecording",
    "RecordedPass",
    "Recording",
    "RecordingDescription",
    "ReplayScanner",
    "ReplaySettings",
    "RunRecording",
    "open_recording",
    "open_scanner",
    "write_kspace_recording",
]


def open_scanner(
    site: SiteConfig, *, clock: Clock, phantom: str | Mapping[str, Any] | None = None, seed: int | None = None
) -> ReplayScanner:
    """Make a scanner that replays a recording (the entry point ``replay``), in state DISCONNECTED.

    Parameters
    ----------
    site
        Its ``settings`` are a `ReplaySettings`; its limits those of the scanner that recorded.
    clock
        A `VirtualClock` jumps, a `SystemClock` waits.
    phantom, seed
        Of no use here: what was recorded was recorded.

    Raises
    ------
    ConfigError
        If the settings are wrong, there is no such recording, it was recorded in another field than that of the
        limits, or a phantom or seed is given.
    DamagedDataError
        If the recording is not what it says it is.
    """
    if phantom is not None or seed is not None:
        raise ConfigError(f"{site.source}: a recording has no phantom and no seed: leave them out")
    settings: ReplaySettings = validate(ReplaySettings, site.settings, f"{site.source}: settings", units_required=True)
    return ReplayScanner(site.limits, open_recording(settings.recording), clock=clock, speed=settings.speed)


def open_recording(path: str | Path) -> Recording:
    """Open a run folder, or a folder with ``recording.yaml``.

    Raises
    ------
    ConfigError
        If it is neither, or holds no pass yet.
    DamagedDataError
        If it is not what it says it is.
    """
    folder = Path(path)
    if (folder / DESCRIPTION).is_file():
        return KSpaceRecording.open(folder)
    if (folder / MANIFEST).is_file():
        return RunRecording.open(folder)
    raise ConfigError(
        f"{folder}: no recording is here (neither {MANIFEST} nor {DESCRIPTION}): give a run folder, or one that "
        "write_kspace_recording made"
    )
