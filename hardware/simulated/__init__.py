"""A scanner that plays Pulseq events on the isochromats of a phantom (docs/explanation/simulator.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from knightshift.core.clock import Clock
from knightshift.core.yaml_files import validate
from knightshift.hardware.faults import SCANNER_FAULTS, acts_on
from knightshift.hardware.simulated.phantom import Phantom, Region, load_phantom
from knightshift.hardware.simulated.scanner import SimulatedScanner
from knightshift.hardware.simulated.settings import SimulatorSettings
from knightshift.hardware.site import SiteConfig

__all__ = ["Phantom", "Region", "SimulatedScanner", "SimulatorSettings", "load_phantom", "open_scanner"]


@acts_on(*SCANNER_FAULTS)
def open_scanner(
    site: SiteConfig, *, clock: Clock, phantom: str | Mapping[str, Any] | None = None, seed: int | None = None
) -> SimulatedScanner:
    """Make the simulated scanner of `site` (the entry point ``simulated``).

    Parameters
    ----------
    site
        Its ``settings`` are a `SimulatorSettings`; the scanner acts on the faults of its script that are of a scanner.
    clock
        Where it gets the time from.
    phantom
        Shipped name or path, or the phantom itself as plain data in SI units (so a manifest holds it); None: the one of
        the settings.
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
    sample = _sample(phantom or settings.phantom)
    return SimulatedScanner(site.limits, settings, sample, clock=clock, seed=seed or 0, faults=site.faults)


def _sample(phantom: str | Mapping[str, Any]) -> Phantom:
    if isinstance(phantom, str):
        return load_phantom(phantom)
    checked: Phantom = validate(Phantom, phantom, "phantom")
    return checked
