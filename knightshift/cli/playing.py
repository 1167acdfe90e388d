"""`knightshift play`: any Pulseq file on the simulated scanner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import ConfigError, StorageError
from knightshift.core.manifest import software_versions
from knightshift.core.passes import COUNTERS, Readout
from knightshift.core.program import PassProgram
from knightshift.core.quantities import to_si
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.pulseq_program import WhatPulseqLacks, program_from_file
from knightshift.hardware.pulseq_text import read_pulseq
from knightshift.hardware.site import SiteConfig, load_site

_SIMULATED = "simulated"
_PATIENCE = 10.0
_MOST_ROWS = 2000


@dataclass(frozen=True)
class PlayChoices:
    """What the command line says beside the file."""

    scanner: str = _SIMULATED
    """Site of a simulated scanner."""
    phantom: str | None = None
    """What lies in it; None: that of the site."""
    nucleus: str | None = None
    """Isotope, where the file does not say it."""
    b0: str | None = None
    """Field with its unit, where the file does not say it."""
    shift: str | None = None
    """Shift of the working frequency with its unit."""
    seed: int = 0
    """Of the noise."""
    noise: bool = True
    """Whether the receiver has noise."""


@dataclass(frozen=True)
class Played:
    """What one program gave."""

    program: PassProgram
    """What was played."""
    phantom: str
    """Name of the phantom."""
    readouts: list[Readout]
    """In order; windows may differ in length."""
    starts: RealArray
    """Start of each window from the start of the sequence [s], shape ``(readout,)``."""
    dwell_times: RealArray
    """Time between samples of each readout [s], shape ``(readout,)``."""

    @property
    def samples(self) -> ComplexArray:
        """Shape ``(readout, channel, sample)``, complex64; NaN beyond the end of a window shorter than the longest."""
        n_channels = self.readouts[0].samples.shape[0]
        stacked = np.full((len(self.readouts), n_channels, self.program.samples), np.nan, np.complex64)
        for row, readout in zip(stacked, self.readouts, strict=True):
            row[:, : readout.samples.shape[1]] = readout.samples
        return stacked


def play_file(path: Path, output: Path, choices: PlayChoices) -> None:
    """Play a Pulseq file and write ``<name>.h5`` and ``<name>.png`` into `output`."""
    b0 = None if choices.b0 is None else _quantity(choices.b0, "T", "--b0")
    shift = None if choices.shift is None else _quantity(choices.shift, "ppm", "--shift")
    program = program_from_file(path, WhatPulseqLacks(choices.nucleus, b0, shift))
    played = play(program, choices)
    try:
        output.mkdir(parents=True, exist_ok=True)
        write_samples(played, output / f"{path.stem}.h5", choices)
        magnitude_figure(played).savefig(output / f"{path.stem}.png", dpi=150)
    except OSError as error:
        raise StorageError(f"{output}: cannot be written: {error.strerror or error}: choose another folder") from error
    _say(played, path, output)


def _quantity(text: str, unit: str, option: str) -> float:
    try:
        value = to_si(text, unit, units_required=True)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None
    if not isinstance(value, float):
        raise ConfigError(f"{option}: {text!r} is not a quantity")
    return value


def play(program: PassProgram, choices: PlayChoices) -> Played:
    """Play one program on a simulated scanner whose magnet and coil are those of the program."""
    site = _site_for(program, choices)
    phantom = choices.phantom or str(site.settings.get("phantom", "shorted"))
    with open_scanner(site, clock=VirtualClock(), phantom=phantom, seed=choices.seed) as scanner:
        scanner.prepare(program)
        scanner.start(0)
        readouts = list(scanner.readouts(_PATIENCE))
    starts, dwell_times = _window_times(program)
    return Played(program, phantom, readouts, starts, dwell_times)


def _site_for(program: PassProgram, choices: PlayChoices) -> SiteConfig:
    site = load_site(choices.scanner)
    if site.backend != _SIMULATED:
        raise ConfigError(f"scanner {choices.scanner!r} is a real one: `play` is for the simulated scanner")
    settings: dict[str, Any] = site.settings | {"nuclei": [program.nucleus]}
    if not choices.noise:
        settings["receiver"] = settings.get("receiver", {}) | {"noise_density": 0.0}
    limits = site.limits.model_copy(update={"b0": program.b0})
    return site.model_copy(update={"limits": limits, "settings": settings})


def _window_times(program: PassProgram) -> tuple[RealArray, RealArray]:
    tables = read_pulseq(program.pulseq, program.gyromagnetic_ratio * program.b0)
    ends = np.cumsum([block.duration for block in tables.blocks])
    windows = [
        (end - block.duration + tables.adc[block.adc].delay, tables.adc[block.adc].dwell_time)
        for end, block in zip(ends, tables.blocks, strict=True)
        if block.adc
    ]
    starts, dwell_times = np.array(windows).T
    return starts, dwell_times


def write_samples(played: Played, path: Path, choices: PlayChoices) -> None:
    """Write the samples and what is needed to read them (docs/reference/play.md)."""
    program, readouts = played.program, played.readouts
    with h5py.File(path, "w") as file:
        file.create_dataset("samples", data=played.samples)
        file.create_dataset("counters", data=np.array([readout.counters for readout in readouts], dtype=COUNTERS))
        file.create_dataset("overrange", data=np.array([readout.overrange for readout in readouts]))
        file.create_dataset("n_samples", data=np.array([readout.samples.shape[1] for readout in readouts]))
        file.create_dataset("start_s", data=played.starts)
        file.create_dataset("dwell_time_s", data=played.dwell_times)
        file.create_dataset("pulseq", data=program.pulseq)
        file.attrs.update(
            {
                "nucleus": program.nucleus,
                "gyromagnetic_ratio_hz_per_t": program.gyromagnetic_ratio,
                "b0_t": program.b0,
                "working_frequency_hz": program.working_frequency,
                "duration_s": program.duration,
                "phantom": played.phantom,
                "seed": choices.seed,
                "noise": choices.noise,
                "program_sha256": program.digest,
                "knightshift": software_versions()["knightshift"],
            }
        )


def magnitude_figure(played: Played) -> Figure:
    """Draw the magnitude of every sample, and the largest of each readout by echo."""
    magnitude = np.abs(played.samples[:, 0])
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    step = max(1, len(magnitude) // _MOST_ROWS)
    image = left.imshow(magnitude[::step], aspect="auto", cmap="viridis", interpolation="nearest")
    image.set_extent((-0.5, magnitude.shape[1] - 0.5, len(magnitude) - 0.5, -0.5))
    left.set(xlabel="sample", ylabel="readout", title="magnitude of every sample")
    figure.colorbar(image, ax=left, label="signal / full scale of the receiver")
    peaks = np.nanmax(magnitude, axis=1)
    counters: Any = np.array([readout.counters for readout in played.readouts])  # numpy's stubs know no field names
    echoes = counters["contrast"]
    for echo in np.unique(echoes):
        here = np.flatnonzero(echoes == echo)
        right.plot(here, peaks[here], ".", markersize=3, label=f"echo {echo + 1}")
    right.set(xlabel="readout", ylabel="signal / full scale of the receiver", title="largest sample of each readout")
    right.set_ylim(bottom=0)
    if np.unique(echoes).size > 1:
        right.legend(frameon=False, markerscale=3)
    return figure


def _say(played: Played, path: Path, output: Path) -> None:
    program, console = played.program, Console()
    n_over = sum(readout.overrange for readout in played.readouts)
    console.print(
        f"{path.name}: {program.n_readouts} readouts of up to {program.samples} samples in {program.duration:.3f} s, "
        f"{program.nucleus} at {program.working_frequency / 1e6:.6f} MHz, phantom {played.phantom}",
        highlight=False,
        soft_wrap=True,
    )
    if n_over:
        console.print(f"{n_over} readouts are over range: the receiver was overdriven", highlight=False)
    for suffix in (".h5", ".png"):
        console.print(f"wrote {output / (path.stem + suffix)}", highlight=False, soft_wrap=True)
