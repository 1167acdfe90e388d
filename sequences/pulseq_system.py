"""Between knightshift's limits (SI) and pypulseq's (Hz/m): gamma and limits always travel together."""

from __future__ import annotations

import math
import tempfile
from copy import copy
from pathlib import Path
from typing import Any, TypeAlias

from knightshift.core.errors import ProtocolError
from knightshift.core.limits import ScannerLimits
from knightshift.core.nuclei import Nucleus
from knightshift.core.program import PassProgram
from knightshift.sequences.pulseq_library import pp

Event: TypeAlias = Any
"""One pypulseq event: a namespace; pypulseq has no types."""


def system_of(nucleus: Nucleus, limits: ScannerLimits) -> pp.Opts:
    """Limits and rasters as pypulseq wants them, for this nucleus.

    pypulseq counts gradients in Hz/m. Left to itself it converts with the proton's gamma, and a limit check for 23Na
    then passes anything: so they are converted here, and checked to come back as they went in.

    Raises
    ------
    ProtocolError
        If pypulseq's limits do not come back to the T/m and T/m/s that went in.
    """
    gamma = nucleus.gyromagnetic_ratio
    system = pp.Opts(
        gamma=gamma,
        B0=limits.b0,
        max_grad=limits.max_gradient * gamma,
        grad_unit="Hz/m",
        max_slew=limits.max_slew * gamma,
        slew_unit="Hz/m/s",
        rf_raster_time=limits.rf_raster_time,
        grad_raster_time=limits.gradient_raster_time,
        adc_raster_time=limits.adc_raster_time,
        block_duration_raster=limits.block_duration_raster,
        rf_dead_time=limits.rf_dead_time,
        rf_ringdown_time=limits.rf_ringdown_time,
        adc_dead_time=limits.adc_dead_time,
    )
    gradient, slew = system.max_grad / system.gamma, system.max_slew / system.gamma
    if not (math.isclose(gradient, limits.max_gradient) and math.isclose(slew, limits.max_slew)):
        raise ProtocolError(
            f"limits of {limits.name} do not survive pypulseq: {limits.max_gradient:g} T/m became {gradient:g}, "
            f"{limits.max_slew:g} T/m/s became {slew:g}: check the version of pypulseq"
        )
    return system


def turned_window(window: Event, phase: float) -> Event:
    """Copy an acquisition window; its receiver phase is `phase` [rad]: samples are turned back by it."""
    turned = copy(window)
    turned.phase_offset = phase
    return turned


def pulseq_text(sequence: pp.Sequence) -> str:
    """Write the sequence as Pulseq 1.5, signature included; the same sequence gives the same text.

    Raises
    ------
    ProtocolError
        If pypulseq finds a fault in the timing.
    """
    correct, faults = sequence.check_timing()
    if not correct:
        raise ProtocolError(
            f"{len(faults)} times of the sequence are off their raster or inside a dead time, the first: {faults[0]}: "
            f"check the rasters and dead times of the scanner limits"
        )
    with tempfile.TemporaryDirectory(prefix="knightshift-") as folder:
        path = Path(folder) / "pass.seq"
        sequence.write(str(path), create_signature=True, check_timing=False)
        return path.read_text(encoding="utf-8")


def sequence_of(program: PassProgram, limits: ScannerLimits | None = None) -> pp.Sequence:
    """Read the Pulseq text of a program back into a pypulseq sequence, with gamma and B0 of the program.

    Parameters
    ----------
    program
        One pass.
    limits
        Gradient limits, rasters and dead times to hold it against. Without them the gradients are unlimited, the dead
        times zero, and the rasters those that the file states.

    Raises
    ------
    ProtocolError
        If the gamma in the file is not that of the program, or the field not that of the scanner.
    """
    gamma = program.gyromagnetic_ratio
    if limits is None:
        system = pp.Opts(gamma=gamma, B0=program.b0, max_grad=1e12, grad_unit="Hz/m", max_slew=1e18, slew_unit="Hz/m/s")
    else:
        if not math.isclose(limits.b0, program.b0, rel_tol=1e-3):
            raise ProtocolError(
                f"{program.name} was built for {program.b0:g} T, {limits.name} has {limits.b0:g} T: build it again"
            )
        system = system_of(Nucleus(program.nucleus, gamma, spin=0.0), limits)
    sequence = pp.Sequence(system)
    with tempfile.TemporaryDirectory(prefix="knightshift-") as folder:
        path = Path(folder) / "pass.seq"
        path.write_text(program.pulseq, encoding="utf-8")
        older = "\nminor 4\n" in program.pulseq  # which does not say what a pulse is for: its flip angle must tell
        sequence.read(str(path), detect_rf_use=older, remove_duplicates=False)
    stated = sequence.definitions.get("Gamma")
    if stated is not None and not math.isclose(float(_first(stated)), gamma, rel_tol=1e-6):
        raise ProtocolError(
            f"{program.name}: the Pulseq text was made for gamma {float(_first(stated)) / 1e6:.4f} MHz/T, the program "
            f"says {gamma / 1e6:.4f} MHz/T: build it again"
        )
    return sequence


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) or hasattr(value, "__len__") else value
