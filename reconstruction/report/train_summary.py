"""What ``summary.json`` says of the model of an echo train."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from knightshift.reconstruction.relaxometry import T2Fit
from knightshift.reconstruction.relaxometry.voxel_trains import spread


class TrainSummary(BaseModel):
    """How an echo train was modelled."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    field: Literal["uniform", "metal"]
    """``metal``: B1 falls off with depth below the surface."""
    refocusing_rad: float
    """Refocusing angle where B1 is one [rad]; in a metal that at the surface."""
    b1_source: Literal["nominal", "map", "fitted"]
    """``nominal``: one everywhere, or the number that was given, which `refocusing_rad` holds."""
    b1: tuple[float, float, float]
    """Lowest, median and highest B1 of the voxels with a T2, over the nominal one."""
    t1_source: Literal["one", "map"]
    """``one``: the same T1 everywhere, given or that of the metal."""
    t1_s: tuple[float, float, float]
    """Lowest, median and highest T1 of the voxels with a T2 [s]."""


def train_summary(fit: T2Fit) -> TrainSummary | None:
    """Collect what is known of the train; None for separate echoes, or where no voxel has a T2."""
    train, trains = fit.options.train, fit.trains
    if train is None or not fit.ok.any():
        return None
    b1, t1 = (None, None) if trains is None else (trains.b1, trains.t1)
    fitted = trains is not None and trains.b1_is_fitted
    return TrainSummary(
        field=train.field,
        refocusing_rad=train.refocusing,
        b1_source="fitted" if fitted else "nominal" if b1 is None else "map",
        b1=(1.0, 1.0, 1.0) if b1 is None else spread(b1[fit.ok]),
        t1_source="one" if t1 is None else "map",
        t1_s=(train.t1, train.t1, train.t1) if t1 is None else spread(t1[fit.ok]),
    )
