"""What ``summary.json`` says of the residuals of a T2 fit."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from knightshift.reconstruction.relaxometry.misfit import Misfit


class ResidualsSummary(BaseModel):
    """What the residuals say of one exponential."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    systematic: bool
    """Whether they depart from it; wrong in one of a hundred maps of one exponential."""
    probability: float
    """That one exponential and noise leave residuals as systematic."""
    largest_share: float
    """Largest mean residual of the voxels, with its sign, as a share of the mean signal."""
    at_echo_time_s: float
    """At which echo that is [s]."""


def residuals_summary(misfit: Misfit) -> ResidualsSummary:
    """Collect the numbers of the test."""
    return ResidualsSummary(
        systematic=misfit.departs,
        probability=misfit.probability,
        largest_share=misfit.size,
        at_echo_time_s=misfit.delay,
    )
