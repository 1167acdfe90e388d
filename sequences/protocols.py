"""All protocol families as one type, and the way from a protocol to a measurement."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Field

from knightshift.core.errors import ProtocolError, StorageError
from knightshift.core.limits import ScannerLimits
from knightshift.core.program import Encoding, Measurement, PassProgram
from knightshift.core.yaml_files import as_plain, read_config
from knightshift.sequences import gradient_echo, multi_echo_spin_echo, pulse_acquire, spin_echo_series
from knightshift.sequences.cartesian_readout import dwell_time_of
from knightshift.sequences.gradient_echo import GradientEcho
from knightshift.sequences.gradient_lobes import GradientSystem
from knightshift.sequences.multi_echo_spin_echo import MultiEchoSpinEcho
from knightshift.sequences.protocol_fields import ProtocolFields
from knightshift.sequences.pulse_acquire import PulseAcquire, spectrum_encoding
from knightshift.sequences.spin_echo_series import SpinEchoSeries

ImagingProtocol: TypeAlias = SpinEchoSeries | MultiEchoSpinEcho | GradientEcho
"""Protocols that end in images."""

Protocol: TypeAlias = Annotated[ImagingProtocol | PulseAcquire, Field(discriminator="kind")]
"""Any protocol; the field ``kind`` tells which."""


def load_protocol(name_or_path: str | Path) -> ImagingProtocol | PulseAcquire:
    """Read a protocol: a YAML file, or a shipped name such as ``"overnight_t2"``.

    Raises
    ------
    ConfigError
        With one line for each mistake: file, key, what is wrong.
    """
    protocol: ImagingProtocol | PulseAcquire = read_config(Protocol, "protocols", name_or_path)
    return protocol


def build(protocol: ImagingProtocol | PulseAcquire, limits: ScannerLimits) -> Measurement:
    """Build all programs of a protocol for one scanner. The same input gives the same bytes.

    Raises
    ------
    LimitError
        If it exceeds what the scanner allows; the message gives numbers and the remedy.
    ProtocolError
        If a time is impossible or off the raster.
    """
    gradients = GradientSystem.of(protocol.isotope, limits)
    programs = tuple(_build_step(protocol, step, gradients) for step in range(protocol.n_steps))
    return Measurement(
        protocol=as_plain(protocol),
        programs=programs,
        encoding=_encoding(protocol, gradients),
        n_passes=n_passes_of(protocol, sum(program.duration for program in programs)),
    )


def _build_step(protocol: ImagingProtocol | PulseAcquire, step: int, gradients: GradientSystem) -> PassProgram:
    match protocol:
        case SpinEchoSeries():
            return spin_echo_series.build_step(protocol, step, gradients)
        case MultiEchoSpinEcho():
            return multi_echo_spin_echo.build_step(protocol, step, gradients)
        case GradientEcho():
            return gradient_echo.build_step(protocol, step, gradients)
        case PulseAcquire():
            return pulse_acquire.build_step(protocol, step, gradients)


def n_passes_of(protocol: ProtocolFields, cycle: float) -> int:
    """Count the passes: whole cycles of the steps, each of which lasts `cycle` [s].

    Raises
    ------
    ProtocolError
        If not even one cycle fits into the protocol's duration.
    """
    if protocol.averages is not None:
        return protocol.averages * protocol.n_steps
    duration = protocol.duration or 0.0
    cycles = math.floor(duration / cycle + 1e-9)
    if cycles < 1:
        raise ProtocolError(
            f"duration {duration:.6g} s is too short: one pass of each of the {protocol.n_steps} steps takes "
            f"{cycle:.6g} s: raise duration, or lower matrix, repetition_time or dummy_scans"
        )
    return cycles * protocol.n_steps


def _encoding(protocol: ImagingProtocol | PulseAcquire, gradients: GradientSystem) -> Encoding:
    if isinstance(protocol, PulseAcquire):
        return spectrum_encoding(protocol, gradients)
    axes = (protocol.slice_axis, protocol.phase_axis, protocol.readout_axis)
    phase, readout = axes[1], axes[2]
    return Encoding(
        kind="image",
        echo_times=protocol.echo_times,
        matrix=(1, protocol.n_lines, protocol.matrix[readout]),
        field_of_view=(protocol.depth, protocol.field_of_view[phase], protocol.field_of_view[readout]),
        axes=axes,
        samples=protocol.n_samples,
        center_sample=protocol.n_samples / 2,
        dwell_time=dwell_time_of(protocol, gradients),
        phase_cycle=protocol.phase_cycle,
        n_steps=protocol.n_steps,
        repetition_time=protocol.repetition_time,
    )


def export_seq(measurement: Measurement, path: Path, step: int = 0, *, overwrite: bool = False) -> Path:
    """Write the Pulseq text of one step to `path`, and return the path.

    Raises
    ------
    ProtocolError
        If there is no such step, or the file exists and `overwrite` is not set.
    StorageError
        If it cannot be written.
    """
    n_steps = len(measurement.programs)
    if not 0 <= step < n_steps:
        raise ProtocolError(f"step {step} does not exist: this protocol has steps 0 to {n_steps - 1}")
    if path.exists() and not overwrite:
        raise ProtocolError(f"{path} exists already: choose another name, or say that it may be overwritten")
    try:
        path.write_text(measurement.programs[step].pulseq, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}: choose another folder") from error
    return path
