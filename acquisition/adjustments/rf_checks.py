"""Checks with RF against what is remembered of the site: noise of the receiver, signal of one pass."""

from __future__ import annotations

from knightshift.acquisition.adjustments.baseline import Remembered
from knightshift.acquisition.adjustments.bench import Bench
from knightshift.acquisition.adjustments.measured_fid import MeasuredFid
from knightshift.acquisition.adjustments.schedule import brightest_program
from knightshift.acquisition.preflight_verdict import Check, Verdict
from knightshift.core.clock import iso_time
from knightshift.core.errors import AdjustmentError
from knightshift.core.kept_fids import FidKind
from knightshift.core.pass_quality import quality_of_pass
from knightshift.hardware.preflight_rules import CheckName

_NO_REFERENCE = "no reference yet: this one is remembered for the next run"


def noise_check(bench: Bench, found: MeasuredFid, tolerance: float) -> Check:
    """Compare the noise of an FID with the baseline; without one it becomes the baseline."""
    nucleus, memory = bench.measurement.programs[0].nucleus, bench.memory()
    density, baseline = found.noise_density, memory.noise.get(nucleus)
    value = f"{density:.3g} /√Hz at 0 dB (measured at {found.receiver_gain:g} dB, {found.dwell_time * 1e6:g} us)"
    if not density > 0:
        return Check(CheckName.NOISE, "receiver", "none", "any", Verdict.WARNING, "a receiver without noise is unusual")
    if baseline is None:
        bench.remember(
            memory.with_noise(nucleus, Remembered(value=density, measured_s=found.finished, origin=bench.origin))
        )
        return Check(CheckName.NOISE, "receiver", value, "no baseline", Verdict.WARNING, _NO_REFERENCE)
    good = abs(density / baseline.value - 1) <= tolerance
    remedy = "" if good else (
        "look at preamplifier, cables and gain; if it is right, measure a new baseline: knightshift adjust --baseline"
    )  # fmt: skip
    return Check(
        CheckName.NOISE,
        "receiver",
        f"{value}, {_percent(density / baseline.value)} of the baseline",
        f"{baseline.value:.3g} within {100 * tolerance:g} % ({_where(baseline)})",
        Verdict.OK if good else Verdict.FAILED,
        remedy,
        AdjustmentError,
    )


def dummy_pass_check(bench: Bench, tolerance: float, number: int) -> Check:
    """Play one pass and compare its signal with that of the last good run of the same program here."""
    program = brightest_program(bench.measurement)
    record, files = bench.play(program, FidKind.DUMMY_PASS, number)
    bench.log(bench.clock.now(), "fid_kept", files=files)
    quality = quality_of_pass(record.samples, record.counters)
    factor = 10 ** (record.receiver_gain / 20)
    signal, memory = quality.signal_rms / factor, bench.memory()
    error = quality.signal_std / factor
    value = f"{signal:.3g} ± {error:.1g} rms at 0 dB"
    if "overrange" in record.flags:
        return _dummy(f"{value}, the receiver overflows", "below the full scale", Verdict.FAILED, "lower the gain")
    expected = memory.signals.get(program.digest)
    entry = Remembered(value=max(signal, 1e-300), measured_s=record.finished, origin=bench.origin)
    if signal <= 3 * error:
        return _dummy(value, "a signal", Verdict.FAILED if expected else Verdict.WARNING, "one pass shows no signal")
    if expected is None:
        bench.remember(memory.with_signal(program.digest, entry))
        return _dummy(value, "no prediction", Verdict.WARNING, _NO_REFERENCE)
    good = abs(signal - expected.value) <= tolerance * expected.value + 3 * error
    if good:
        bench.remember(memory.with_signal(program.digest, entry))
    limit = f"{expected.value:.3g} within {100 * tolerance:g} % ({_where(expected)})"
    value += f", {_percent(signal / expected.value)} of the prediction"
    remedy = "" if good else "is it the same sample, in the same place, with the coil tuned?"
    return _dummy(value, limit, Verdict.OK if good else Verdict.FAILED, remedy)


def _dummy(value: str, limit: str, verdict: Verdict, remedy: str) -> Check:
    return Check(CheckName.DUMMY_PASS, "signal", value, limit, verdict, remedy, AdjustmentError)


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %"


def _where(entry: Remembered) -> str:
    return f"{entry.origin}, {iso_time(entry.measured_s)[:10]}"
