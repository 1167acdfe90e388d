"""Little recordings for the tests of replay, and a scanner that plays them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from knightshift.core.clock import VirtualClock
from knightshift.core.passes import COUNTERS
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.replay import RecordingDescription, write_kspace_recording
from knightshift.hardware.site import SiteConfig

DESCRIPTION = RecordingDescription(
    name="little", device="another console", nucleus="23Na", b0=9.3982, working_frequency=105.96e6,
    repetition_time=10e-3, dwell_time=8e-6, echo_times=(4e-3,), matrix=(1, 4, 8), field_of_view=(4e-3, 1e-3, 2e-3),
    center_sample=8,
)  # fmt: skip


def replayed(recording: Path, clock: Any = None, **settings: Any) -> Any:
    site = SiteConfig(
        backend="replay", limits="microimaging_9t4", settings={"recording": str(recording)} | settings, source="site"
    )
    return open_scanner(site, clock=clock or VirtualClock())


def exported(folder: Path, n_passes: int = 3, lost: int | None = None) -> tuple[Path, np.ndarray]:
    """Passes of four lines, two receivers; pass `lost` ends after its first readout."""
    counters = np.zeros((n_passes, 4), COUNTERS)
    counters["average"] = np.arange(n_passes)[:, np.newaxis]
    counters["kspace_encode_step_1"] = [2, 0, 1, 3]
    flat = counters.ravel()
    if lost is not None:
        flat = np.delete(flat, slice(lost * 4 + 1, lost * 4 + 4))
    values = np.random.default_rng(3).uniform(-0.7, 0.7, (len(flat), 2, 16, 2)).astype(np.float32)
    samples = values.view(np.complex64)[..., 0]
    write_kspace_recording(folder, DESCRIPTION, samples, flat)
    return folder, samples
