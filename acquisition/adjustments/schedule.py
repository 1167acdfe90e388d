"""What references cost: a measurement as the site wants it, with time for them."""

from __future__ import annotations

from dataclasses import replace

from knightshift.acquisition.adjustments.fid_program import build_fid, check_search_range
from knightshift.core.limits import ScannerLimits
from knightshift.core.program import Measurement, ReferencePlan
from knightshift.hardware.adjustment_rules import AdjustmentsConfig, CentreFrequencyConfig, ReferencesConfig


def with_references(
    measurement: Measurement,
    limits: ScannerLimits | None,
    adjustments: AdjustmentsConfig,
    references: ReferencesConfig | None,
) -> Measurement:
    """Plan the references of a site between the passes of a measurement.

    Where the protocol fills a duration, passes make room for them: as many whole cycles as still fit, at least one.

    Parameters
    ----------
    measurement
        Passes alone.
    limits
        Of the scanner; None where there is no site file.
    adjustments, references
        What the site file says.

    Raises
    ------
    ConfigError
        If the search range reaches another line.
    LimitError, ProtocolError
        If the scanner cannot play the FID.
    """
    if limits is None or references is None or measurement.references is not None:
        return measurement
    check_search_range(measurement, search_range_of(adjustments))
    fid = build_fid(measurement, limits, adjustments.fid)
    planned = replace(measurement, references=ReferencePlan(references.interval, fid.program.duration))
    room = measurement.protocol.get("duration")
    return planned if room is None else fit_into(planned, float(room))


def fit_into(measurement: Measurement, room: float) -> Measurement:
    """Take cycles away until passes and references fit into `room` [s]; one is left in any case."""
    cycle = len(measurement.programs)
    while measurement.duration > room * (1 + 1e-9) and measurement.n_passes > cycle:
        measurement = replace(measurement, n_passes=measurement.n_passes - cycle)
    return measurement


def search_range_of(adjustments: AdjustmentsConfig) -> float:
    """How far from the receiver a line is looked for [Hz]: what the site file says, or the default where it fits."""
    if adjustments.centre_frequency is not None:
        return adjustments.centre_frequency.search_range
    return min(CentreFrequencyConfig().search_range, 0.4 / adjustments.fid.dwell_time)
