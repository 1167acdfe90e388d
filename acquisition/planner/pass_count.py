"""How many passes: from averages, a duration or a deadline to a measurement, and what could be done where it cannot."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import tzinfo
from typing import Self

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt, model_validator

from knightshift.acquisition.adjustments.schedule import SiteRules, as_site_wants, fit_into
from knightshift.acquisition.local_time import local_text
from knightshift.core.errors import InputError
from knightshift.core.limits import ScannerLimits
from knightshift.core.program import Measurement
from knightshift.core.quantities import PositiveSeconds
from knightshift.core.yaml_files import as_plain
from knightshift.sequences import ImagingProtocol, PulseAcquire, build

AnyProtocol = ImagingProtocol | PulseAcquire


class TimeWish(BaseModel):
    """How long to measure. Nothing given: as the protocol says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: float
    """When it begins, seconds since the Unix epoch (UTC)."""
    averages: PositiveInt | None = None
    """Passes per image."""
    duration: PositiveSeconds | None = None
    """Time to fill [s]."""
    until: float | None = None
    """Deadline, seconds since the Unix epoch (UTC)."""
    host_gap: NonNegativeFloat = 0.0
    """Time for which the scanner will stand still before each pass [s]."""

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        given = [name for name in ("averages", "duration", "until") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give only one of {', '.join(given)}")
        return self


def measurement_for(
    protocol: AnyProtocol, limits: ScannerLimits, wish: TimeWish, zone: tzinfo, site: SiteRules | None = None
) -> Measurement:
    """Build `protocol` with as many passes as `wish` says.

    Parameters
    ----------
    protocol
        Its own averages or duration count where `wish` gives none.
    limits
        Of the scanner.
    wish
        Averages, duration or deadline.
    zone
        For messages in local time.
    site
        Says what is played before and between the passes; None: nothing.

    Returns
    -------
    Measurement
        With a whole number of averages.

    Raises
    ------
    InputError
        If not even one average fits; the message says what would.
    LimitError, ProtocolError
        If the protocol cannot be played on this scanner.
    """
    if wish.averages is None and wish.duration is None and wish.until is None:
        return replace(_at_site(build(protocol, limits), site), host_gap=wish.host_gap)
    one = replace(build(_with_averages(protocol, 1), limits), host_gap=wish.host_gap)
    averages = wish.averages or averages_that_fit(one.duration, _room(wish), wish, zone)
    planned = _at_site(with_averages(one, protocol, averages), site)
    if wish.averages is not None:
        return planned
    fitted = fit_into(planned, _room(wish))
    return with_averages(fitted, protocol, fitted.n_passes // len(fitted.programs))


def _at_site(measurement: Measurement, site: SiteRules | None) -> Measurement:
    return measurement if site is None else as_site_wants(measurement, site)


def with_averages(measurement: Measurement, protocol: AnyProtocol, averages: int) -> Measurement:
    """Give the same measurement with another number of averages; the programs stay what they are."""
    plain = as_plain(_with_averages(protocol, averages))
    return replace(measurement, protocol=plain, n_passes=averages * len(measurement.programs))


def _with_averages(protocol: AnyProtocol, averages: int) -> AnyProtocol:
    return protocol.model_copy(update={"averages": averages, "duration": None})


def _room(wish: TimeWish) -> float:
    return wish.duration if wish.duration is not None else (wish.until or 0.0) - wish.start


def averages_that_fit(average: float, room: float, wish: TimeWish, zone: tzinfo) -> int:
    """Count the averages, each of `average` [s], that fit into `room` [s].

    Raises
    ------
    InputError
        If none does.
    """
    averages = math.floor(room / average + 1e-9)
    if averages >= 1:
        return averages
    earliest = local_text(wish.start + average, zone)
    if wish.until is not None:
        asked = f"until {local_text(wish.until, zone)} leaves {room:.0f} s"
    else:
        asked = f"duration {room:.6g} s is too short"
    raise InputError(
        f"{asked}: one average takes {average:.6g} s, so it could end at {earliest} at the earliest: "
        f"give --averages 1, --duration '{math.ceil(average)} s' or a later --until, or lower matrix, repetition_time "
        "or the number of echo_times"
    )
