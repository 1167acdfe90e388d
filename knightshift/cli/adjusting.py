"""`knightshift adjust`: measure the scanner itself, and remember its baseline."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from knightshift.acquisition.adjustments.stand_alone import adjust
from knightshift.acquisition.preflight_verdict import Check, refuse_if_failed
from knightshift.cli.check_table import show_checks
from knightshift.cli.scanning import new_scanner
from knightshift.core.clock import Clock, SystemClock, VirtualClock
from knightshift.hardware.site import load_site
from knightshift.sequences import build, load_protocol


def adjust_scanner(
    protocol: str,
    runs: Path,
    *,
    scanner: str,
    phantom: str | None,
    virtual_clock: bool,
    seed: int | None,
    baseline: bool,
) -> None:
    """Adjust and check for one protocol, show what was found, and fail where a check failed."""
    site = load_site(scanner)
    measurement = build(load_protocol(protocol), site.limits)
    clock: Clock = VirtualClock() if virtual_clock else SystemClock()
    device, setup = new_scanner(site, clock, phantom=phantom, seed=seed)
    console = Console()

    def show(checks: tuple[Check, ...]) -> None:
        show_checks(checks, console)

    found = adjust(measurement, device, runs, setup=setup, clock=clock, new_baseline=baseline, on_checks=show)
    refuse_if_failed(found, "nothing was acquired")
