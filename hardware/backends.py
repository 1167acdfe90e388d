"""Open the scanner that a site file names. Backends are found by entry point, never imported by name.

A backend is a callable in the group ``knightshift.scanners``::

    def open_scanner(
        site: SiteConfig, *, clock: Clock, phantom: str | Mapping[str, Any] | None = None, seed: int | None = None
    ) -> Scanner: ...

It validates ``site.settings`` itself, does not connect, and raises `ConfigError` for a `phantom` or `seed` that it has
no use for (only simulators do).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol

from knightshift.core.clock import Clock
from knightshift.core.errors import ConfigError
from knightshift.hardware.contract import Scanner
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
    """Make the scanner of `site`, in state DISCONNECTED: use it in a ``with``.

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
        If no such backend is installed, or its settings are wrong.
    """
    found = [entry for entry in entry_points(group=GROUP) if entry.name == site.backend]
    if not found:
        raise ConfigError(
            f"{site.source}: no scanner backend {site.backend!r} is installed: "
            f"installed are {', '.join(backend_names())}"
        )
    factory: ScannerFactory = found[0].load()
    return factory(site, clock=clock, phantom=phantom, seed=seed)
