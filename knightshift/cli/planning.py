"""`knightshift plan` and `knightshift export-seq`: what a protocol will do, without playing it."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from knightshift.hardware.site import load_site
from knightshift.sequences import build, describe, export_seq, load_protocol

if TYPE_CHECKING:
    from knightshift.sequences import PlanSummary


def print_plan(protocol: str, scanner: str, *, as_json: bool) -> None:
    """Print the plan of a protocol as a table or as JSON."""
    limits = load_site(scanner).limits
    summary = describe(build(load_protocol(protocol), limits), limits)
    finish = datetime.fromtimestamp(time.time() + summary.duration_s).astimezone()
    if as_json:
        plain = summary.as_json() | {"finish_time": finish.isoformat(timespec="seconds"), "scanner": limits.name}
        print(json.dumps(plain, indent=2, ensure_ascii=False))  # noqa: T201 - the output of the command
        return
    table = Table(title=f"{summary.name} on {limits.name}", show_header=False, title_justify="left")
    for label, value in _rows(summary, finish):
        table.add_row(label, value)
    Console().print(table)


def _rows(plan: PlanSummary, finish: datetime) -> list[tuple[str, str]]:
    echoes = ", ".join(f"{time * 1e3:g}" for time in plan.echo_times_s)
    rows = [
        ("duration", f"{plan.duration_s / 3600:.3f} h ({plan.duration_s:.1f} s)"),
        ("finish, if started now", finish.strftime("%a %d %b %Y, %H:%M:%S %Z")),
        ("passes", f"{plan.passes} of up to {plan.pass_duration_s:.2f} s, {plan.passes_per_image} for each image"),
        ("echo times", f"{echoes} ms"),
        ("nucleus", f"{plan.nucleus} at {plan.working_frequency_hz / 1e6:.4f} MHz"),
    ]
    if plan.voxel_size_m is not None:
        sizes = zip(plan.axes, plan.voxel_size_m, strict=True)
        rows.append(("voxel", ", ".join(f"{axis} {size * 1e6:.4g} µm" for axis, size in sizes)))
        rows.append(("bandwidth per pixel", f"{plan.bandwidth_per_pixel_hz:.0f} Hz"))
    rows += [
        ("peak gradient", _per_axis(plan.peak_gradient_t_per_m, plan.peak_gradient_fraction)),
        ("rms gradient", _per_axis(plan.rms_gradient_t_per_m, plan.rms_gradient_fraction)),
        ("RF", f"{plan.peak_rf_hz / 1e3:.2f} kHz nutation, on {plan.rf_duty:.3%} of the time"),
        ("disk", f"{plan.bytes_total / 1e6:.0f} MB, {plan.bytes_per_pass / 1e3:.0f} kB a pass"),
        ("recovery", plan.recovery_note),
    ]
    return rows


def _per_axis(values: dict[str, float], fractions: dict[str, float]) -> str:
    return ", ".join(f"{axis} {value:.3f} T/m ({fractions[axis]:.0%} of limit)" for axis, value in values.items())


def write_sequences(protocol: str, scanner: str, output: Path) -> None:
    """Write the Pulseq file of each step; with several steps the echo time goes into the name."""
    measurement = build(load_protocol(protocol), load_site(scanner).limits)
    console = Console()
    for step in range(len(measurement.programs)):
        path = output
        if len(measurement.programs) > 1:
            echo_time = measurement.encoding.echo_times[step]
            path = output.with_name(f"{output.stem}_te{echo_time * 1e3:g}ms{output.suffix}")
        export_seq(measurement, path, step, overwrite=True)
        console.print(f"wrote {path} ({measurement.programs[step].duration:.2f} s, one pass)", highlight=False)
