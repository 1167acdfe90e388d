"""The site file: which scanner stands here (``configs/scanners/*.yaml``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.limits import ScannerLimits
from knightshift.core.yaml_files import read_config


class SiteConfig(BaseModel):
    """One scanner of one laboratory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str
    """Name of an entry point in the group ``knightshift.scanners``."""
    limits: str
    """Shipped name or path of the limits of the device."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The backend's own settings; the backend validates them, with units required."""
    source: str = Field(default="site configuration", exclude=True)
    """Where it was read, for messages."""

    def scanner_limits(self) -> ScannerLimits:
        """Read the limits of the device.

        Raises
        ------
        ConfigError
            If the file is missing or wrong.
        """
        return read_config(ScannerLimits, "limits", self.limits)


def load_site(name_or_path: str | Path) -> SiteConfig:
    """Read a site file: a path or a shipped name (``"simulated"``).

    Raises
    ------
    ConfigError
        With one line for each mistake.
    """
    site: SiteConfig = read_config(SiteConfig, "scanners", name_or_path)
    return site.model_copy(update={"source": str(name_or_path)})
