"""A backend of knightshift in a package of its own: copy it, and put your console where `console.py` is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_console.console import DummyConsole
from bench_console.scanner import BenchScanner
from bench_console.settings import BenchSettings
from knightshift.core.clock import Clock
from knightshift.core.errors import ConfigError
from knightshift.core.yaml_files import validate
from knightshift.hardware.site import SiteConfig

__all__ = ["BenchScanner", "BenchSettings", "DummyConsole", "open_scanner"]


def open_scanner(
    site: SiteConfig, *, clock: Clock, phantom: str | Mapping[str, Any] | None = None, seed: int | None = None
) -> BenchScanner:
    """Make the scanner of `site`, in state DISCONNECTED (the entry point ``bench_console``).

    Parameters
    ----------
    site
        Its ``settings`` are a `BenchSettings`.
    clock
        Not used: a console has a clock of its own, in real time.
    phantom, seed
        Of no use here: only simulators have them.

    Raises
    ------
    ConfigError
        If the settings are wrong, or a phantom or seed is given.
    """
    del clock
    if phantom is not None or seed is not None:
        raise ConfigError(f"{site.source}: a console has no phantom and no seed: leave them out")
    settings: BenchSettings = validate(BenchSettings, site.settings, f"{site.source}: settings", units_required=True)
    console = DummyConsole(settings.serial_number, settings.tone, settings.decay_time)
    return BenchScanner(site.limits, settings.nuclei, console)
