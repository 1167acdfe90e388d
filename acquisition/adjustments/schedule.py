"""What adjustments and references cost: a measurement as the site wants it, with time for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from knightshift.acquisition.adjustments.fid_program import build_fid, check_search_range
from knightshift.core.limits import ScannerLimits
from knightshift.core.program import Measurement, PassProgram, ReferencePlan
from knightshift.hardware.adjustment_rules import AdjustmentsConfig, CentreFrequencyConfig, ReferencesConfig
from knightshift.hardware.preflight_rules import PreflightConfig

_PASSES_FOR_GAIN = 2
"""One to choose the gain, one to look at it; more only after an overflow."""


class SiteRules(Protocol):
    """What counts here of a site: a `SiteConfig`, or the `Surroundings` of a run."""

    @property
    def limits(self) -> ScannerLimits | None:
        """Of the scanner; None where there is no site file, and then nothing is played beside passes."""
        ...

    @property
    def adjustments(self) -> AdjustmentsConfig:
        """Before the first pass."""
        ...

    @property
    def references(self) -> ReferencesConfig | None:
        """Between passes."""
        ...

    @property
    def preflight(self) -> PreflightConfig:
        """With RF, perhaps."""
        ...


def as_site_wants(measurement: Measurement, site: SiteRules) -> Measurement:
    """Plan adjustments, checks with RF and references of a site around the passes of a measurement.

    Where the protocol fills a duration, passes make room for them: as many whole cycles as still fit, at least one.

    Parameters
    ----------
    measurement
        Its passes; what it says of another site is forgotten.
    site
        What the site file says.

    Raises
    ------
    ConfigError
        If the search range reaches another line.
    LimitError, ProtocolError
        If the scanner cannot play the FID.
    """
    alone = replace(measurement, references=None, lead=0.0)
    if site.limits is None or not (site.adjustments.any or site.references or site.preflight.with_rf):
        return alone
    check_search_range(measurement, search_range_of(site.adjustments))
    fid = build_fid(measurement, site.limits, site.adjustments.fid).program
    plan = None if site.references is None else _plan(site.references, fid)
    planned = replace(measurement, references=plan, lead=_lead(measurement, site, fid.duration))
    room = measurement.protocol.get("duration")
    return planned if room is None else fit_into(planned, float(room))


def _plan(references: ReferencesConfig, fid: PassProgram) -> ReferencePlan:
    return ReferencePlan(references.interval, fid.duration, fid.n_readouts * fid.samples)


def _lead(measurement: Measurement, site: SiteRules, fid: float) -> float:
    """How long the scanner plays before the first pass if nothing overflows [s]."""
    adjustments, checks = site.adjustments, site.preflight.with_rf
    program = brightest_program(measurement).duration
    looks = 2 if adjustments.centre_frequency else int(bool(checks or site.references))
    looks += bool(checks and adjustments.receiver_gain)  # the noise, once more at the gain that was chosen
    looks += adjustments.rf_calibration.n_points if adjustments.rf_calibration else 0
    passes = _PASSES_FOR_GAIN * bool(adjustments.receiver_gain) + bool(checks)
    return looks * fid + passes * program


def brightest_program(measurement: Measurement) -> PassProgram:
    """Give the program with the largest samples: that of the shortest echo time, where each has its own."""
    programs, echo_times = measurement.programs, measurement.encoding.echo_times
    if len(programs) != len(echo_times):
        return programs[0]
    return programs[echo_times.index(min(echo_times))]


def fit_into(measurement: Measurement, room: float) -> Measurement:
    """Take cycles away until all fits into `room` [s]; one is left in any case."""
    cycle = len(measurement.programs)
    while measurement.duration > room * (1 + 1e-9) and measurement.n_passes > cycle:
        measurement = replace(measurement, n_passes=measurement.n_passes - cycle)
    return measurement


def search_range_of(adjustments: AdjustmentsConfig) -> float:
    """How far from the receiver a line is looked for [Hz]: what the site file says, or the default where it fits."""
    if adjustments.centre_frequency is not None:
        return adjustments.centre_frequency.search_range
    return min(CentreFrequencyConfig().search_range, 0.4 / adjustments.fid.dwell_time)
