"""What a site file says about this backend (``bench_console.yaml``)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from knightshift.core.quantities import Hertz, PositiveSeconds


class BenchSettings(BaseModel):
    """Settings of the backend ``bench_console``; unknown keys and bare numbers are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    serial_number: str
    """Of the console: a run is resumed on the same one only."""
    nuclei: tuple[str, ...] = ("23Na",)
    """Nuclei that the coil is tuned for."""
    tone: Hertz
    """Frequency of what the dummy console receives, from the working frequency [Hz]."""
    decay_time: PositiveSeconds
    """Time in which it decays to 1/e [s]."""
