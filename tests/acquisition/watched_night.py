"""A tiny night beside an emulated temperature unit, whose temperature follows a script."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake_scanner import LIMITS, FakeScanner, measurement

from knightshift.acquisition import AcquisitionOptions, ProgressEvent, RunResult, acquire
from knightshift.core.clock import VirtualClock
from knightshift.core.manifest import RunSetup
from knightshift.core.yaml_files import as_plain, validate
from knightshift.hardware.monitors.emulated import EmulatedEurotherm, EmulatedIlm, line_for
from knightshift.hardware.site import SiteConfig

EVENING = VirtualClock.EVENING
PROBE, METER = "sim://eurotherm_bisynch", "sim://oxford_ilm"


def site(action: str | None = None, **more: Any) -> dict[str, Any]:
    """Plain data of a site with a probe that must stay below 40 degC."""
    interlock = {
        "kind": "temperature", "watch": "probe.temperature", "high": "40 degC", "grace": "0 s",
        "stale_grace": "20 s", "clear_after": "10 s", "action": action, **more.pop("interlock", {}),
    }  # fmt: skip
    probe = {"kind": "eurotherm_bisynch", "link": {"port": PROBE}, "every": "1 s", "stale_after": "10 s"}
    monitoring = {
        "monitors": {"probe": {**probe, **more.pop("probe", {})}, **more.pop("monitors", {})},
        "interlocks": {**({"probe_warm": interlock} if action else {}), **more.pop("interlocks", {})},
    }
    content = {"backend": "fake", "limits": as_plain(LIMITS), "monitoring": monitoring, **more}
    return as_plain(validate(SiteConfig, content, "test"))


def probe() -> EmulatedEurotherm:
    device = line_for(PROBE).device
    assert isinstance(device, EmulatedEurotherm)
    return device


def meter() -> EmulatedIlm:
    device = line_for(METER).device
    assert isinstance(device, EmulatedIlm)
    return device


class ScriptedClock(VirtualClock):
    """Lets something happen as time passes: the script is told the seconds since the evening."""

    def __init__(self, script: Callable[[float], None]) -> None:
        super().__init__()
        self._script = script

    def sleep(self, duration: float) -> None:
        super().sleep(duration)
        self._script(self.now() - EVENING)


def warm_in(*spans: tuple[float, float]) -> Callable[[float], None]:
    """A script: the probe is at 45 degC within `spans` [s], else at 23.5 degC."""

    def script(now: float) -> None:
        probe().temperature = 45.0 if any(start <= now < end for start, end in spans) else 23.5

    return script


@dataclass
class TimedScanner(FakeScanner):
    """Remembers when it was made safe, and the echo of each pass."""

    made_safe: list[tuple[float, str]] = field(default_factory=list)
    """Time since the evening [s], and the state before."""

    def make_safe(self) -> None:
        self.made_safe.append((self.clock.now() - EVENING, str(self.state)))
        super().make_safe()

    def readouts(self, timeout: float) -> Iterable[Any]:  # type: ignore[override]
        for readout in super().readouts(timeout):
            readout.counters["contrast"] = self.playing[0] % 2
            yield readout


def watched(
    runs: Path,
    clock: VirtualClock,
    plain_site: dict[str, Any],
    *,
    on_progress: Callable[[ProgressEvent], None] = lambda _event: None,
    options: AcquisitionOptions | None = None,
    **scanner: Any,
) -> tuple[RunResult, TimedScanner]:
    device = TimedScanner(clock, **scanner)
    result = acquire(
        measurement(6),
        device,
        runs,
        setup=RunSetup(clock="virtual", seed=1, site=plain_site, limits=as_plain(LIMITS)),
        clock=clock,
        options=options or AcquisitionOptions(run_name="night", disk_margin=0),
        on_progress=on_progress,
    )
    return result, device
