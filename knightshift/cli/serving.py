"""`knightshift serve-scanner`: hand the scanner of this machine to a pipeline on another one."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from rich.console import Console

from knightshift.core.clock import Clock, SystemClock, VirtualClock
from knightshift.core.errors import ConfigError
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.faults import SCANNER_FAULTS
from knightshift.hardware.remote import ServeOptions, serve
from knightshift.hardware.site import load_site


def serve_scanner(
    line: str, *, scanner: str, phantom: str | None, seed: int | None, virtual_clock: bool, token_file: Path | None
) -> None:
    """Serve the scanner of a site on a TCP port or a serial line until Ctrl-C; then it is safe and closed.

    Raises
    ------
    ConfigError
        If the site is itself a remote scanner, scripts faults that are not the scanner's, or TCP is to be served
        without a token.
    LinkFault
        If the port cannot be had.
    """
    site = load_site(scanner)
    if site.backend == "remote":
        raise ConfigError(f"{scanner}: is a scanner at the other end of a link: serve it on the machine it stands at")
    if elsewhere := site.faults.kinds_beyond(SCANNER_FAULTS):
        raise ConfigError(
            f"{scanner}: faults: {', '.join(elsewhere)} belong to the side that acquires: give them to its site file"
        )
    clock: Clock = VirtualClock() if virtual_clock else SystemClock()
    device = open_scanner(site, clock=clock, phantom=phantom, seed=seed)
    stop, console = threading.Event(), Console()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    serve(
        device,
        int(line) if line.isdigit() else line,
        stop=stop,
        options=ServeOptions(clock=clock, token_file=token_file),
        on_ready=lambda url: console.print(f"serving {site.source} on {url}: Ctrl-C ends it", highlight=False),
    )
    console.print("the scanner is safe and closed")
