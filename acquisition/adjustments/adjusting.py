"""The three adjustments, each with what it plays, what it sets, and the line it adds to the pre-flight."""

from __future__ import annotations

import math

import numpy as np

from knightshift.acquisition.adjustments.bench import Bench
from knightshift.acquisition.adjustments.extra_player import KeptFile
from knightshift.acquisition.adjustments.fid_line import FidTiming, find_line, mean_fid
from knightshift.acquisition.adjustments.measured_fid import MeasuredFid
from knightshift.acquisition.adjustments.nutation import Nutation, fit_nutation
from knightshift.acquisition.adjustments.receiver_gain import best_gain, largest_component, lower_gain
from knightshift.acquisition.preflight_verdict import Check, Verdict
from knightshift.core.arrays import ComplexArray
from knightshift.core.errors import AdjustmentError, OverrangeFault
from knightshift.core.kept_fids import FidKind
from knightshift.core.passes import PassRecord
from knightshift.core.program import PassProgram
from knightshift.hardware.adjustment_rules import ReceiverGainConfig, RfCalibrationConfig
from knightshift.hardware.preflight_rules import CheckName

_MOST_TRIES = 12


def adjust_frequency(bench: Bench, tolerance: float) -> Check:
    """Find the line twice, the second time on resonance, and tune to it.

    Raises
    ------
    NoSignalError
        If there is no line within the search range.
    """
    files: list[KeptFile] = []
    for number in range(2):
        found, kept = bench.measure(FidKind.CENTRE_FREQUENCY, number)
        files += kept
        bench.extra.player.tune(frequency=found.frequency)
    values = {
        key: value
        for key, value in found.for_journal().items()
        if key not in {"phase_rad", "phase_std_rad", "amplitude_std", "noise_std"}
    }
    values["offset_Hz"] = found.frequency - bench.working_frequency
    bench.adjusted(FidKind.CENTRE_FREQUENCY, values, files)
    return frequency_check(bench, found, tolerance, "tuned to it")


def frequency_check(bench: Bench, found: MeasuredFid, tolerance: float, done: str) -> Check:
    """Compare the line with the working frequency of the protocol."""
    offset = found.frequency - bench.working_frequency
    good = abs(offset) <= tolerance
    remedy = "" if good else "is this the sample, the field and the shift of the protocol? If so, widen the limit"
    return Check(
        CheckName.FREQUENCY,
        "line",
        f"{found.frequency / 1e6:.6f} MHz ± {found.line.frequency_std:.2g} Hz, {offset:+.1f} Hz from the protocol, "
        f"width {found.line.linewidth:.0f} Hz, {done}",
        f"within {tolerance:g} Hz",
        Verdict.OK if good else Verdict.FAILED,
        remedy,
        AdjustmentError,
    )


def calibrate_transmitter(bench: Bench, config: RfCalibrationConfig) -> Check:
    """Measure B1 by nutation. Nothing is set: the programs of a protocol stay as they are.

    Raises
    ------
    NoSignalError, AdjustmentError
        As `fit_nutation`.
    """
    flips = np.linspace(config.largest_flip / config.n_points, config.largest_flip, config.n_points)
    records: list[PassRecord] = []
    files: list[KeptFile] = []
    for number, flip in enumerate(flips.tolist()):
        fid = bench.fid(flip=flip, pulse_length=config.pulse_length)
        record, kept = bench.play(fid.program, FidKind.RF_CALIBRATION, number)
        _refuse_overrange(record)
        records.append(record)
        files += kept
    signals, noise = _amplitudes(records, fid.timing, bench)
    found = fit_nutation(signals, flips, noise, config.sample)
    bench.adjusted(FidKind.RF_CALIBRATION, _values(found, config), files)
    return transmitter_check(found, config)


def _amplitudes(records: list[PassRecord], timing: FidTiming, bench: Bench) -> tuple[ComplexArray, float]:
    """Amplitude of the line of the strongest FID in all of them, shape ``(point,)``, and its noise."""
    brightest = max(records, key=lambda record: float(np.linalg.norm(record.samples)))
    strongest = mean_fid(brightest.samples, bench.channel)
    fids = [mean_fid(record.samples, strongest.channel) for record in records]
    line = find_line(strongest, timing, bench.search_range)
    rate = 2j * math.pi * line.frequency + math.pi * line.linewidth
    shape = np.exp(-rate * timing.times(len(strongest.samples)))
    power = float(np.vdot(shape, shape).real)
    return np.array([np.vdot(shape, fid.samples) / power for fid in fids]), strongest.mean_noise / math.sqrt(power)


def _values(found: Nutation, config: RfCalibrationConfig) -> dict[str, str | float]:
    return {
        "model": found.sample,
        "scale": found.scale,
        "scale_std": found.scale_std,
        "amplitude_90_Hz": found.amplitude_for(math.pi / 2, config.pulse_length),
        "pulse_length_s": config.pulse_length,
        "flip_of_most_signal_rad": found.flip_of_most_signal,
        "misfit": found.misfit,
    }


def transmitter_check(found: Nutation, config: RfCalibrationConfig) -> Check:
    """Say how far flip angles are off; programs are hashed and are not changed behind anyone's back."""
    good = abs(found.scale - 1) <= config.tolerance
    where = " at the surface" if found.sample == "metal" else ""
    amplitude = found.amplitude_for(math.pi / 2, config.pulse_length)
    most = math.degrees(found.flip_of_most_signal * found.scale)
    power = -20 * math.log10(found.scale)
    remedy = (
        "" if good else f"change the transmitter power by {power:+.2f} dB at the console: programs stay as they are"
    )
    return Check(
        CheckName.TRANSMITTER,
        f"nutation, {found.sample}",
        f"B1{where} {found.scale:.3f} ± {found.scale_std:.1g} of the nominal one, 90 deg in "
        f"{config.pulse_length * 1e6:g} us at {amplitude / 1e3:.3f} kHz, most signal at {most:.0f} deg",
        f"within {100 * config.tolerance:g} %",
        Verdict.OK if good else Verdict.WARNING,
        remedy,
    )


def adjust_gain(bench: Bench, config: ReceiverGainConfig, program: PassProgram) -> Check:
    """Play `program`, lower the gain until nothing overflows, and set the best gain; then it is played once more.

    Raises
    ------
    AdjustmentError
        If no gain of the receiver will do.
    """
    full_scale = bench.scanner.capabilities().full_scale
    gain = min(max(bench.scanner.status().receiver_gain, config.lowest), config.highest)
    files: list[KeptFile] = []
    chosen = False
    for number in range(_MOST_TRIES):
        bench.extra.player.tune(receiver_gain=gain)
        largest = _largest(bench, program, number, files)
        if largest is None:
            gain, chosen = lower_gain(gain, config), False
            continue
        largest = max(largest, _largest_of_fid(bench, gain))
        best = best_gain(largest, gain, full_scale, config)
        if best == gain or (chosen and best > gain):
            break
        gain, chosen = best, True
    else:
        raise AdjustmentError(f"receiver gain: no gain was found in {_MOST_TRIES} passes: is the signal steady?")
    values = {"gain_dB": gain, "largest_sample": largest / full_scale}
    bench.adjusted(FidKind.RECEIVER_GAIN, values, files)
    return Check(
        CheckName.GAIN,
        "receiver",
        f"{gain:g} dB, largest sample {100 * largest / full_scale:.1f} % of the full scale",
        f"at most {100 * config.largest_sample:g} %",
        Verdict.OK,
    )


def _largest(bench: Bench, program: PassProgram, number: int, files: list[KeptFile]) -> float | None:
    """Largest sample of one pass; None if the receiver overflowed."""
    try:
        record, kept = bench.play(program, FidKind.RECEIVER_GAIN, number)
    except OverrangeFault:
        return None
    files += kept
    return None if "overrange" in record.flags else largest_component(record.samples)


def _largest_of_fid(bench: Bench, gain: float) -> float:
    """Largest sample that an FID will have at this gain, where there will be any."""
    fid = bench.last_fid
    if fid is None or not (bench.site.references or bench.site.preflight.with_rf):
        return 0.0
    scale = 10 ** ((gain - fid.receiver_gain) / 20)
    return float(scale * (fid.line.amplitude + 4 * fid.line.noise_std))


def _refuse_overrange(record: PassRecord) -> None:
    if "overrange" in record.flags:
        raise AdjustmentError(
            f"nutation: the receiver overflows at {record.receiver_gain:g} dB: lower the gain before the calibration"
        )
