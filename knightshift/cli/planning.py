"""`knightshift plan` and `knightshift export-seq`: what a protocol will do, without playing it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from knightshift.acquisition.idle_time import host_gaps
from knightshift.acquisition.local_time import local_text, local_zone, parse_moment
from knightshift.acquisition.options import AcquisitionOptions
from knightshift.acquisition.planner import (
    NightPlan,
    SignalReference,
    TimeWish,
    check_room_on_disk,
    expect,
    measurement_for,
    optimise_echo_times,
    plan_night,
    reference_of_rehearsal,
    reference_of_run,
    rehearse,
    with_expectations,
)
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import ConfigError, InputError
from knightshift.core.quantities import to_si
from knightshift.core.run_folder import open_run
from knightshift.core.yaml_files import as_plain
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.faults import FaultScript
from knightshift.hardware.site import SiteConfig, load_site
from knightshift.sequences import as_pulseq_version, build, export_seq, load_protocol

if TYPE_CHECKING:
    from knightshift.acquisition.planner import EchoTimeAdvice, Expectation
    from knightshift.core.program import Measurement

SIMULATED = "simulated"


@dataclass(frozen=True)
class PlanChoices:
    """What a user may ask of a plan."""

    duration: str | None = None
    """Time to fill, with its unit."""
    until: str | None = None
    """Deadline in local time."""
    averages: int | None = None
    """Passes per image."""
    start: str | None = None
    """When it begins, local time; None: now."""
    zone: str | None = None
    """Time zone; None: that of the computer."""
    t2: Sequence[str] = ()
    """T2 values of interest, each with its unit."""
    from_run: Path | None = None
    """A run whose signal and noise are taken."""
    phantom: str | None = None
    """A simulated sample whose signal is taken."""
    optimise: str | None = None
    """Range of T2 for which echo times are sought: ``"5ms:17ms"``."""
    runs: Path | None = None
    """Folder whose disk must hold the run."""


def print_plan(protocol: str, scanner: str, choices: PlanChoices, *, as_json: bool) -> None:
    """Print the plan of a protocol as a table or as JSON."""
    plan = make_plan(protocol, scanner, choices)
    if as_json:
        print(json.dumps(plan.as_json(), indent=2, ensure_ascii=False, allow_nan=False))  # noqa: T201 - the output
        return
    table = Table(title=f"{plan.summary.name} on {plan.scanner}", show_header=False, title_justify="left")
    for label, value in _rows(plan):
        table.add_row(label, value)
    console = Console()
    console.print(table)
    if plan.expectations:
        console.print(_expectation_table(plan))
    if plan.advice is not None:
        console.print(_advice_words(plan.advice), highlight=False, soft_wrap=True)


def make_plan(protocol: str, scanner: str, choices: PlanChoices) -> NightPlan:
    """Put a plan together from what the command line says."""
    if choices.from_run is not None and choices.phantom is not None:
        raise InputError("--from-run and --phantom both tell the signal: give one of them")
    zone = local_zone(choices.zone)
    now = time.time()
    start = now if choices.start is None else parse_moment(choices.start, now, zone)
    site, wanted = load_site(scanner), load_protocol(protocol)
    wish = _wish(choices, start, None if choices.until is None else parse_moment(choices.until, start, zone))
    measurement = measurement_for(wanted, site.limits, wish, zone, site)
    plan = plan_night(measurement, site.limits, start=start, zone=zone)
    if choices.runs is not None:
        check_room_on_disk(plan, choices.runs, AcquisitionOptions().disk_margin)
    if choices.optimise is not None:
        advice = optimise_echo_times(wanted, site.limits, t2_range_of(choices.optimise))
        plan = replace(plan, advice=advice)
    reference = _reference(measurement, site, choices)
    if reference is None:
        return plan
    values = tuple(_seconds("--t2", text) for text in choices.t2)
    return with_expectations(plan, reference.origin, expect(measurement, reference, values))


def _wish(choices: PlanChoices, start: float, until: float | None) -> TimeWish:
    duration = None if choices.duration is None else _seconds("--duration", choices.duration)
    given = [
        name
        for name, value in (("--averages", choices.averages), ("--duration", duration), ("--until", until))
        if value is not None
    ]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} contradict each other: give one of them")
    if until is not None and until <= start:
        raise InputError(f"--until {choices.until} lies before --start: give a later time, or a date with it")
    gap = 0.0 if choices.from_run is None else _host_gap(choices.from_run)
    return TimeWish(start=start, averages=choices.averages, duration=duration, until=until, host_gap=gap)


def _host_gap(path: Path) -> float:
    """Take the mean gap between passes from a run [s]; 0 where it has none that cost time."""
    gaps = host_gaps(open_run(path))
    return fmean(gaps) if gaps else 0.0


def _seconds(option: str, text: str) -> float:
    words = text if " " in text.strip() else _spaced(text.strip())
    try:
        value = float(str(to_si(words, "s", units_required=True)))
    except ValueError as error:
        raise InputError(f"{option} {text}: {error}") from error
    if not value > 0:
        raise InputError(f"{option} {text}: must be positive")
    return value


def _spaced(text: str) -> str:
    """Put the space between number and unit that a shell makes people leave out: ``16ms``."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzµABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return f"{number} {text[len(number) :]}".strip()


def t2_range_of(text: str) -> tuple[float, float]:
    """Read a range of T2 such as ``"5ms:17ms"`` as seconds. Raises `InputError`."""
    first, colon, second = text.partition(":")
    if not colon:
        raise InputError(f"--optimise-echo-times {text}: give a range of T2 such as 5ms:17ms")
    return _seconds("--optimise-echo-times", first), _seconds("--optimise-echo-times", second)


def _reference(measurement: Measurement, site: SiteConfig, choices: PlanChoices) -> SignalReference | None:
    if choices.from_run is not None:
        return reference_of_run(choices.from_run)
    if choices.phantom is not None:
        return _phantom_reference(measurement, site, choices.phantom)
    if choices.t2:
        raise InputError("--t2 needs to know signal and noise: add --from-run RUN (a quick look) or --phantom shorted")
    return None


def _phantom_reference(measurement: Measurement, site: SiteConfig, phantom: str) -> SignalReference:
    """Rehearse one pass of each step without noise on the simulated scanner."""
    if site.backend != SIMULATED:
        raise ConfigError(f"scanner {site.source!r} is a real one: --phantom belongs to the simulated: use --from-run")
    from knightshift.hardware.simulated import SimulatorSettings, load_phantom

    settings = SimulatorSettings.model_validate(site.settings)
    silent = site.model_copy(
        update={"settings": _without_noise(site.settings), "faults": FaultScript(), "loopback": None}
    )
    clock = VirtualClock()
    sample = load_phantom(phantom)
    device = open_scanner(silent, clock=clock, phantom=as_plain(sample), seed=0)
    Console(stderr=True).print(f"rehearsing one pass of each step on {sample.name} ...", highlight=False)
    series = rehearse(measurement, device, clock)
    # the receiver's noise density is that of samples in units of the full scale, as the images are
    origin = f"the phantom {sample.name}"
    return reference_of_rehearsal(measurement, series, settings.receiver.noise_density, origin)


def _without_noise(settings: dict[str, object]) -> dict[str, object]:
    receiver = settings.get("receiver")
    quiet = {**receiver, "noise_density": 0.0} if isinstance(receiver, dict) else receiver
    kept = {key: value for key, value in settings.items() if key != "field_drift"}
    return kept | {"receiver": quiet}


def _rows(plan: NightPlan) -> list[tuple[str, str]]:
    summary, duty = plan.summary, plan.duty
    echoes = ", ".join(f"{value * 1e3:g}" for value in summary.echo_times_s)
    started = (
        "if started now" if abs(plan.start - time.time()) < 60 else f"if started {plan.local(plan.start):%a %H:%M}"
    )
    rows = [
        ("duration", f"{summary.duration_s / 3600:.3f} h ({summary.duration_s:.1f} s)"),
        (f"finish, {started}", local_text(plan.finish, plan.zone)),
        ("passes", f"{summary.passes} of up to {summary.pass_duration_s:.2f} s, {summary.passes_per_image} an image"),
        *_beside_passes(plan),
        ("echo times", f"{echoes} ms"),
        ("nucleus", f"{summary.nucleus} at {summary.working_frequency_hz / 1e6:.4f} MHz"),
    ]
    if summary.voxel_size_m is not None:
        sizes = zip(summary.axes, summary.voxel_size_m, strict=True)
        rows.append(("voxel", ", ".join(f"{axis} {size * 1e6:.4g} µm" for axis, size in sizes)))
        rows.append(("bandwidth per pixel", f"{summary.bandwidth_per_pixel_hz:.0f} Hz"))
    rows += [
        ("peak gradient", _per_axis(summary.peak_gradient_t_per_m, summary.peak_gradient_fraction, "limit")),
        ("rms gradient, all night", _per_axis(duty.rms_gradient_t_per_m, duty.gradient_share, "the allowed")),
        (
            "RF",
            f"{summary.peak_rf_hz / 1e3:.2f} kHz nutation, on for {duty.rf_on_s:.0f} s in all: "
            f"{duty.rf_duty:.3%} of the time ({duty.rf_share:.0%} of the allowed)",
        ),
        ("disk", f"{plan.disk_bytes / 1e6:.0f} MB, {summary.bytes_per_pass / 1e3:.0f} kB of samples a pass"),
        ("recovery", summary.recovery_note),
    ]
    return rows


def _beside_passes(plan: NightPlan) -> list[tuple[str, str]]:
    words = []
    if plan.lead or plan.n_references:
        words.append(f"{plan.lead:.1f} s before the first")
    if plan.n_references:
        words.append(f"{plan.n_references} references of {plan.reference_duration:.2f} s")
    if plan.host_gap:
        words.append(f"{plan.host_gap * 1e3:.3g} ms before each, as in that run")
    return [("beside the passes", ", ".join(words))] if words else []


def _per_axis(values: dict[str, float], fractions: dict[str, float], of: str) -> str:
    return ", ".join(f"{axis} {value:.3f} T/m ({fractions[axis]:.0%} of {of})" for axis, value in values.items())


def _expectation_table(plan: NightPlan) -> Table:
    table = Table(title=f"expected in one voxel, from {plan.signal_origin}", title_justify="left")
    echoes = [f"SNR at {echo_time * 1e3:g} ms" for echo_time in plan.summary.echo_times_s]
    for heading in ("region", "T2", *echoes, "σ(T2)"):
        table.add_column(heading, justify="right")
    for entry in plan.expectations:
        table.add_row(entry.region, f"{entry.t2_s * 1e3:.1f} ms", *(f"{snr:.1f}" for snr in entry.snr), _std(entry))
    return table


def _std(entry: Expectation) -> str:
    if math.isinf(entry.t2_std_s):
        return "not determined"
    return f"{entry.t2_std_s * 1e3:.2f} ms ({entry.t2_std_s / entry.t2_s:.0%})"


def _advice_words(advice: EchoTimeAdvice) -> str:
    low, high = (value * 1e3 for value in advice.t2_range_s)
    times = ", ".join(f"{value * 1e3:g}" for value in advice.echo_times_s)
    present = ", ".join(f"{value * 1e3:g}" for value in advice.present_echo_times_s)
    if advice.gain <= 1:
        return f"echo times for T2 of {low:g} to {high:g} ms: {present} ms cannot be bettered"
    return (
        f"echo times for T2 of {low:g} to {high:g} ms: {times} ms instead of {present} ms: the largest σ(T2) in the "
        f"range falls by {advice.gain:.2f}, or the same in {advice.time_saved:.0%} less time\n"
        f"(shortest echo time that sequence and limits allow: {advice.minimum_echo_time_s * 1e3:g} ms)"
    )


def write_sequences(protocol: str, scanner: str, output: Path, version: str) -> None:
    """Write the Pulseq file of each step; with several steps the echo time goes into the name."""
    measurement = as_pulseq_version(build(load_protocol(protocol), load_site(scanner).limits), version)
    console = Console()
    for step in range(len(measurement.programs)):
        path = output
        if len(measurement.programs) > 1:
            echo_time = measurement.encoding.echo_times[step]
            path = output.with_name(f"{output.stem}_te{echo_time * 1e3:g}ms{output.suffix}")
        export_seq(measurement, path, step, overwrite=True)
        console.print(f"wrote {path} ({measurement.programs[step].duration:.2f} s, one pass)", highlight=False)
