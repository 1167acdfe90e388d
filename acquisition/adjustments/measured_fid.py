"""One FID, measured: its line on the absolute scale, and its noise without gain and bandwidth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from knightshift.acquisition.adjustments.fid_line import FidLine, FidTiming, find_line, mean_fid
from knightshift.core.errors import AdjustmentError
from knightshift.core.passes import PassRecord


@dataclass(frozen=True)
class MeasuredFid:
    """The line of one FID, and the scanner when it was measured."""

    line: FidLine
    """Offset, amplitude, phase, width, as received."""
    started: float
    """Seconds since the Unix epoch (UTC)."""
    finished: float
    """Seconds since the Unix epoch (UTC)."""
    receiver_frequency: float
    """[Hz]."""
    receiver_gain: float
    """[dB]."""
    dwell_time: float
    """[s]."""

    @property
    def frequency(self) -> float:
        """Of the resonance [Hz]."""
        return self.receiver_frequency + self.line.frequency

    @property
    def gain_factor(self) -> float:
        """Amplitude at this gain over that at 0 dB."""
        return float(10 ** (self.receiver_gain / 20))

    @property
    def noise_density(self) -> float:
        """Noise of the real part at 0 dB per square root of the bandwidth [1/√Hz]."""
        return noise_density(self.line.noise_std, self.dwell_time, self.receiver_gain)

    def for_journal(self) -> dict[str, Any]:
        """Give it as plain JSON data, keys as in docs/reference/run-folder.md."""
        line = self.line
        return {
            "frequency_Hz": self.frequency,
            "frequency_std_Hz": line.frequency_std,
            "amplitude": line.amplitude / self.gain_factor,
            "amplitude_std": line.amplitude_std / self.gain_factor,
            "phase_rad": line.phase,
            "phase_std_rad": line.phase_std,
            "linewidth_Hz": line.linewidth,
            "noise_std": line.noise_std,
            "noise_density": self.noise_density,
            "snr": line.snr,
            "channel": line.channel,
        }


def noise_density(noise_std: float, dwell_time: float, receiver_gain: float) -> float:
    """Noise of the real part at 0 dB per √Hz, from that of a sample taken every `dwell_time` [s] at a gain [dB]."""
    return noise_std * math.sqrt(dwell_time) / float(10 ** (receiver_gain / 20))


def measure_fid(record: PassRecord, timing: FidTiming, search_range: float, channel: int | None = None) -> MeasuredFid:
    """Find the line in the readouts of one FID program; `channel` as for `mean_fid`.

    Raises
    ------
    NoSignalError
        If there is none within `search_range` [Hz] of the receiver.
    AdjustmentError
        If the receiver overflowed.
    """
    if "overrange" in record.flags:
        raise AdjustmentError(
            f"the FID overflows the receiver at {record.receiver_gain:g} dB: let the site file adjust the receiver "
            "gain (adjustments.receiver_gain), or lower it at the console"
        )
    line = find_line(mean_fid(record.samples, channel), timing, search_range)
    return MeasuredFid(line, record.started, record.finished, record.frequency, record.receiver_gain, timing.dwell_time)
