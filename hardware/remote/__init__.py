"""A scanner at the other end of a byte stream: the client is a backend, the server serves any other backend.

The wire is described in ``docs/reference/remote-wire-protocol.md``; a vendor needs to write only the serving side.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from knightshift.core.clock import Clock
from knightshift.core.errors import ConfigError
from knightshift.core.yaml_files import validate
from knightshift.hardware.faults import LINK_FAULTS, acts_on
from knightshift.hardware.link_timing import LinkTiming
from knightshift.hardware.remote.client import RemoteScanner
from knightshift.hardware.remote.link_faults import LinkFaults
from knightshift.hardware.remote.server import serve
from knightshift.hardware.remote.settings import RemoteSettings, ServeOptions
from knightshift.hardware.remote.transport import TCP, ByteTransport, open_transport
from knightshift.hardware.site import SiteConfig

__all__ = [
    "ByteTransport",
    "LinkTiming",
    "RemoteScanner",
    "RemoteSettings",
    "ServeOptions",
    "open_scanner",
    "serve",
]


@acts_on(*LINK_FAULTS)
def open_scanner(
    site: SiteConfig, *, clock: Clock, phantom: str | Mapping[str, Any] | None = None, seed: int | None = None
) -> RemoteScanner:
    """Make the client of a served scanner (the entry point ``remote``), in state DISCONNECTED.

    It acts on the faults of the link that the site scripts.

    Parameters
    ----------
    site
        Its ``settings`` are a `RemoteSettings`.
    clock
        A `VirtualClock` follows that of the served scanner, forward only; `connect` refuses if that one is real.
    phantom, seed
        Of no use here: they belong to the side that serves.

    Raises
    ------
    ConfigError
        If the settings are wrong, a TCP link has no token, or a phantom or seed is given.
    """
    if phantom is not None or seed is not None:
        raise ConfigError(
            f"{site.source}: phantom and seed belong to the side that serves the scanner: leave them out here"
        )
    settings: RemoteSettings = validate(RemoteSettings, site.settings, f"{site.source}: settings", units_required=True)
    token, timing = settings.token(), settings.timing
    if settings.url.startswith(TCP) and token is None:
        raise ConfigError(f"{site.source}: {settings.url} needs the token of the serving side: set token_file")
    open_link = partial(open_transport, settings.url, settings.baud_rate, timing.link_timeout)
    link = LinkFaults(open_link, site.faults, 2 * timing.link_timeout)
    return RemoteScanner(
        link.open, clock=clock, timing=timing, token=token, window=settings.window, on_start=link.pass_started
    )
