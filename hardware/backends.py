"""Open the scanner that a site file names. Backends are found by entry point, never imported by name.

A backend is a callable in the group ``knightshift.scanners``::

    def open_scanner(
        site: SiteConfig, *, clock: Clock, phantom: str | Mapping[str, Any] | None = None, seed: int | None = None
    ) -> Scanner: ...

With the decorator `knightshift.hardware.faults.acts_on` it may say which scripted faults of ``site.faults`` it plays.
It validates ``site.settings`` itself, does not connect, and raises `ConfigError` for a `phantom` or `seed` that it has
no use for (only simulators do).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol

from knightshift.core.clock import Clock, VirtualClock
from knightshift.core.errors import ConfigError
from knightshift.hardware.contract import Scanner
from knightshift.hardware.faults import LINK_FAULTS, MONITOR_FAULTS, STORAGE_FAULTS, kinds_played_by
from knightshift.hardware.site import SiteConfig

GROUP = "knightshift.scanners"
"""Entry-point group of scanner backends."""


class ScannerFactory(Protocol):
    """What an entry point of `GROUP` must be."""

    def __call__(
        self, site: SiteConfig, *, clock: Clock, phantom: str | Mapping[str, Any] | None = None, seed: int | None = None
    ) -> Scanner:
        """Make a scanner in state DISCONNECTED."""
        ...


def backend_names() -> list[str]:
    """Names of the installed backends."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def open_scanner(
    site: SiteConfig, *, clock: Clock, phantom: str | Mapping[str, Any] | None = None, seed: int | None = None
) -> Scanner:
    """Make the scanner of `site`, in state DISCONNECTED: use it in a ``with``. With a loopback, its remote twin.

    Parameters
    ----------
    site
        Which backend, which limits, which settings.
    clock
        Where the scanner gets the time from.
    phantom
        Shipped name or path of a phantom, or the phantom itself as plain data; simulators only.
    seed
        Seed of the noise; simulators only.

    Raises
    ------
    ConfigError
        If no such backend is installed, its settings are wrong, or nothing acts on a fault of the site's script.
    """
    found = [entry for entry in entry_points(group=GROUP) if entry.name == site.backend]
    if not found:
        raise ConfigError(
            f"{site.source}: no scanner backend {site.backend!r} is installed: "
            f"installed are {', '.join(backend_names())}"
        )
    factory: ScannerFactory = found[0].load()
    _require_an_actor_for_every_fault(site, factory)
    if site.loopback is None:
        return factory(site, clock=clock, phantom=phantom, seed=seed)
    from knightshift.hardware.remote.loopback import LoopbackScanner

    theirs = VirtualClock(clock.now()) if isinstance(clock, VirtualClock) else clock
    scanner = factory(site, clock=theirs, phantom=phantom, seed=seed)
    return LoopbackScanner(scanner, clock=clock, scanner_clock=theirs, timing=site.loopback, faults=site.faults)


def _require_an_actor_for_every_fault(site: SiteConfig, factory: ScannerFactory) -> None:
    """Refuse a script with faults of scanner or link that nothing acts on: ignored, one would pass for survived.

    Those of monitors are checked by `SiteConfig`; whoever writes a run acts on those of the disk.
    """
    played = kinds_played_by(factory)
    if site.loopback is not None:
        if set(LINK_FAULTS) & set(played):
            raise ConfigError(f"{site.source}: backend {site.backend} has a link of its own: leave loopback out")
        played += LINK_FAULTS
    idle = site.faults.kinds_beyond((*played, *MONITOR_FAULTS, *STORAGE_FAULTS))
    if idle:
        raise ConfigError(
            f"{site.source}: faults: nothing acts on {', '.join(idle)} here (backend {site.backend}): a fault of the "
            "link needs the backend remote, or a loopback; one of the scanner belongs to the site of a simulated "
            "scanner, where that is served"
        )
