"""What a site file says about the replay backend (``configs/scanners/replay.yaml``)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ReplaySettings(BaseModel):
    """Settings of the backend ``replay``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recording: str = Field(min_length=1)
    """A run folder, or a folder with ``recording.yaml`` (docs/reference/recordings.md); relative to where you work."""
    speed: float = Field(default=1.0, gt=0, le=1e6, allow_inf_nan=False)
    """How many times faster than it was recorded; 1 takes as long as the scan did."""
