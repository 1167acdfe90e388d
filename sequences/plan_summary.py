"""What a measurement will cost, before it starts: passes, time, gradients, RF, disk, T1 recovery."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.limits import ScannerLimits
from knightshift.core.passes import COUNTERS
from knightshift.core.program import Encoding, Measurement
from knightshift.sequences.duty import SequenceLoad, sequence_load
from knightshift.sequences.pulseq_system import sequence_of

_BYTES_PER_SAMPLE = 8  # complex64

ASSUMED_T1 = {"23Na": 17.1e-3, "7Li": 148e-3}
"""T1 of the metals at 298 K [s], from T1·T = 5.1 and 44 s·K (Anderson and Redfield, Phys. Rev. 116 (1959) 583)."""


@dataclass(frozen=True)
class PlanSummary:
    """Facts about a measurement, in SI units."""

    name: str
    """Name of the protocol."""
    kind: str
    """Protocol family."""
    nucleus: str
    """Isotope."""
    working_frequency_hz: float
    """Transmitter and receiver frequency [Hz]."""
    passes: int
    """Passes in all."""
    passes_per_image: int
    """Passes that each image averages over."""
    steps: int
    """Programs that alternate pass by pass."""
    pass_duration_s: float
    """Length of the longest pass [s]."""
    duration_s: float
    """Length of the whole measurement [s]."""
    echo_times_s: tuple[float, ...]
    """Echo times [s]."""
    voxel_size_m: tuple[float, float, float] | None
    """Voxel along slice, phase_encode, readout [m]; None for a spectrum."""
    axes: tuple[str, str, str]
    """Laboratory axis of slice, phase_encode, readout."""
    peak_gradient_t_per_m: dict[str, float]
    """Largest gradient along x, y, z [T/m]."""
    peak_gradient_fraction: dict[str, float]
    """The same as a fraction of the scanner's limit."""
    rms_gradient_t_per_m: dict[str, float]
    """Root mean square over the busiest pass [T/m]."""
    rms_gradient_fraction: dict[str, float]
    """The same as a fraction of the limit of the amplitude; the scanner allows `max_gradient_duty` of it."""
    peak_rf_hz: float
    """Largest nutation frequency [Hz]."""
    rf_duty: float
    """Fraction of the time during which RF is on, in the busiest pass."""
    bandwidth_per_pixel_hz: float
    """Inverse of the acquisition window [Hz]: a shift by this much moves the image by one pixel."""
    readouts_per_pass: int
    """Acquisition windows in one pass."""
    bytes_per_pass: int
    """Samples and counters of one pass and one channel [byte], before compression."""
    bytes_total: int
    """The same for all passes [byte]."""
    assumed_t1_s: float | None
    """T1 that the recovery was reckoned with [s]; None where none is known."""
    recovery_bias: float | None
    """Largest relative difference of the recovered magnetisation between echo times; None where it does not apply."""
    recovery_note: str
    """The same in words."""

    def as_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}


def describe(measurement: Measurement, limits: ScannerLimits) -> PlanSummary:
    """Sum up what `measurement` will do on a scanner with `limits`.

    Raises
    ------
    LimitError
        If a program holds gradients whose duty is not known.
    """
    loads = [sequence_load(sequence_of(program, limits)) for program in measurement.programs]
    first, encoding = measurement.programs[0], measurement.encoding
    peak, rms = (_tesla(loads, field, first.gyromagnetic_ratio) for field in ("peak_gradient", "rms_gradient"))
    bytes_per_pass = max(load.n_samples * _BYTES_PER_SAMPLE + load.n_readouts * COUNTERS.itemsize for load in loads)
    t1, bias, note = _recovery(measurement)
    return PlanSummary(
        name=str(measurement.protocol["name"]),
        kind=str(measurement.protocol["kind"]),
        nucleus=first.nucleus,
        working_frequency_hz=first.working_frequency,
        passes=measurement.n_passes,
        passes_per_image=measurement.n_passes // encoding.n_steps,
        steps=encoding.n_steps,
        pass_duration_s=max(program.duration for program in measurement.programs),
        duration_s=measurement.duration,
        echo_times_s=encoding.echo_times,
        voxel_size_m=_voxel_size(encoding),
        axes=encoding.axes,
        peak_gradient_t_per_m=peak,
        peak_gradient_fraction={axis: value / limits.max_gradient for axis, value in peak.items()},
        rms_gradient_t_per_m=rms,
        rms_gradient_fraction={axis: value / limits.max_gradient for axis, value in rms.items()},
        peak_rf_hz=max(load.peak_rf for load in loads),
        rf_duty=max(load.rf_duty for load in loads),
        bandwidth_per_pixel_hz=1.0 / (encoding.samples * encoding.dwell_time),
        readouts_per_pass=first.n_readouts,
        bytes_per_pass=bytes_per_pass,
        bytes_total=bytes_per_pass * measurement.n_passes,
        assumed_t1_s=t1,
        recovery_bias=bias,
        recovery_note=note,
    )


def _tesla(loads: list[SequenceLoad], field: str, gamma: float) -> dict[str, float]:
    largest: RealArray = np.max([getattr(load, field) for load in loads], axis=0) / gamma
    return dict(zip("xyz", (float(value) for value in largest), strict=True))


def _voxel_size(encoding: Encoding) -> tuple[float, float, float] | None:
    if encoding.kind == "spectrum":
        return None
    slice_, phase, readout = (extent / n for extent, n in zip(encoding.field_of_view, encoding.matrix, strict=True))
    return slice_, phase, readout


def spin_echo_recovery(echo_times: RealArray, repetition_time: float, t1: float) -> RealArray:
    """Steady-state magnetisation before a 90 degree pulse, T2 decay left out, 180 degree refocusing.

    ``1 - 2 exp(-(TR - TE/2) / T1) + exp(-TR / T1)``, for TR much longer than T2.

    Parameters
    ----------
    echo_times
        Echo times [s], shape ``(echo,)``.
    repetition_time
        Excitation to excitation [s].
    t1
        Longitudinal relaxation time [s].

    Returns
    -------
    RealArray
        Fraction of the equilibrium magnetisation, shape ``(echo,)``.
    """
    late = np.exp(-(repetition_time - np.asarray(echo_times) / 2) / t1)
    recovery: RealArray = 1 - 2 * late + np.exp(-repetition_time / t1)
    return recovery


def _recovery(measurement: Measurement) -> tuple[float | None, float | None, str]:
    """T1 assumed, largest relative difference between echo times, both in words."""
    nucleus, encoding = measurement.programs[0].nucleus, measurement.encoding
    t1 = ASSUMED_T1.get(nucleus)
    if t1 is None:
        return None, None, f"no T1 of {nucleus} is assumed: check that repetition_time is at least 5 T1"
    ratio = encoding.repetition_time / t1
    basis = f"repetition_time is {ratio:.2g} T1, assuming T1 {t1 * 1e3:.4g} ms (metal at 298 K)"
    if measurement.protocol["kind"] != "spin_echo_series":
        return t1, None, basis
    recovery = spin_echo_recovery(np.array(encoding.echo_times), encoding.repetition_time, t1)
    bias = float(recovery.max() / recovery.min() - 1)
    return t1, bias, f"{basis}: the echo times differ by {bias:.2%} in recovered magnetisation"
