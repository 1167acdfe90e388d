"""A scanner that plays Pulseq events on the isochromats of a phantom (docs/explanation/simulator.md)."""

from __future__ import annotations

from knightshift.core.clock import Clock
from knightshift.core.yaml_files import validate
from knightshift.hardware.simulated.phantom import Phantom, Region, load_phantom
from knightshift.hardware.simulated.scanner import SimulatedScanner
from knightshift.hardware.simulated.settings import SimulatorSettings
from knightshift.hardware.site import SiteConfig

__all__ = ["Phantom", "Region", "SimulatedScanner", "SimulatorSettings", "load_phantom", "open_scanner"]


def open_scanner(
    site: SiteConfig, *, clock: Clock, phantom: str | None = None, seed: int | None = None
) -> SimulatedScanner:
    """Make the simulated scanner of `site` (the entry point ``simulated``).

    Parameters
    ----------
    site
        Its ``settings`` are a `SimulatorSettings`.
    clock
        Where it gets the time from.
    phantom
        Shipped name or path; None: the one of the settings.
    seed
        Seed of the noise; None: 0.

    Raises
    ------
    ConfigError
        If settings, limits or phantom are wrong.
    """
    settings: SimulatorSettings = validate(
        SimulatorSettings, site.settings, f"{site.source}: settings", units_required=True
    )
    return SimulatedScanner(
        site.scanner_limits(), settings, load_phantom(phantom or settings.phantom), clock=clock, seed=seed or 0
    )
