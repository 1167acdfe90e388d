"""Stop rules as data: what is measured, where, and what is enough. Light to import: the queue keeps them."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from knightshift.core.quantities import Metres, PositiveSeconds

Interval: TypeAlias = tuple[Metres, Metres]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class BoxRegion(_Model):
    """Voxels whose centre lies in a box of the laboratory frame."""

    kind: Literal["box"] = "box"
    """Which sort of region this is."""
    x: Interval | None = None
    """Lowest and highest position along x [m]; None: all."""
    y: Interval | None = None
    """Lowest and highest position along y [m]; None: all."""
    z: Interval | None = None
    """Lowest and highest position along z [m]; None: all."""

    @model_validator(mode="after")
    def _is_a_box(self) -> Self:
        for axis, (low, high) in self.sides.items():
            if not low < high:
                raise ValueError(f"box {axis}=[{low * 1e3:g} mm, {high * 1e3:g} mm] is empty: give the lower end first")
        if not self.sides:
            raise ValueError("a box needs at least one side, such as z=[-0.4 mm, 0.1 mm]")
        return self

    @property
    def sides(self) -> dict[str, Interval]:
        """Lowest and highest position [m] of the axes that are given."""
        return {axis: side for axis in "xyz" if (side := getattr(self, axis)) is not None}

    def __str__(self) -> str:
        return "box " + ", ".join(
            f"{axis}=[{low * 1e3:g} mm, {high * 1e3:g} mm]" for axis, (low, high) in self.sides.items()
        )


class MaskRegion(_Model):
    """Voxels of a mask, read once: the file may change later."""

    kind: Literal["mask"] = "mask"
    """Which sort of region this is."""
    source: str = Field(min_length=1)
    """Where it came from, in the words of a rule: ``mask dendrite.nii.gz``, ``dendrite of results/report``."""
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Of the mask."""
    affine: tuple[float, ...] | None = None
    """From index of the mask to ``(x, y, z)`` [m], the 16 numbers of the matrix by rows; None: the mask has the voxels
    of the images, ``(slice, phase_encode, readout)``."""
    voxels: tuple[NonNegativeInt, ...] = Field(min_length=1, max_length=100_000)
    """Index of each voxel of the region in the flattened mask (last axis fastest)."""

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        if self.affine is not None and (len(self.affine) != 16 or not all(map(math.isfinite, self.affine))):
            raise ValueError(f"affine of a mask: {len(self.affine)} numbers, 16 finite ones were expected")
        if max(self.voxels) >= math.prod(self.shape):
            raise ValueError(f"voxel {max(self.voxels)} is outside a mask of shape {self.shape}")
        return self

    def __str__(self) -> str:
        return self.source


Region: TypeAlias = Annotated[BoxRegion | MaskRegion, Field(discriminator="kind")]


class SnrRule(_Model):
    """Enough signal over noise in an echo image."""

    kind: Literal["snr"] = "snr"
    """Which sort of rule this is."""
    echo: PositiveInt
    """Which echo, from 1."""
    region: Region
    """Where."""
    at_least: float = Field(gt=0, allow_inf_nan=False)
    """Root-mean-square signal of a voxel over the noise of the real part."""

    @property
    def goal(self) -> float:
        """The number to reach."""
        return self.at_least

    def __str__(self) -> str:
        return f"snr of echo {self.echo} in {self.region} >= {self.at_least:g}"


class T2StdRule(_Model):
    """T2 known well enough."""

    kind: Literal["t2_std"] = "t2_std"
    """Which sort of rule this is."""
    region: Region
    """Where."""
    statistic: Literal["median", "pooled"] = "median"
    """``median`` of the single voxels, or of one T2 for the whole region (``pooled``)."""
    at_most: PositiveSeconds
    """Standard deviation of T2 [s]."""

    @property
    def goal(self) -> float:
        """The number to reach [s]."""
        return self.at_most

    def __str__(self) -> str:
        return f"{self.statistic} t2 std in {self.region} <= {self.at_most * 1e3:g} ms"


Rule: TypeAlias = Annotated[SnrRule | T2StdRule, Field(discriminator="kind")]


class StopRules(_Model):
    """When a run has seen enough: all rules are met, and the fewest passes are there."""

    rules: tuple[Rule, ...] = Field(min_length=1)
    """All of them have to be met."""
    minimum_passes: PositiveInt = 1
    """Not before so many passes of the run, all echo times together."""

    def __str__(self) -> str:
        words = " and ".join(map(str, self.rules))
        return words if self.minimum_passes == 1 else f"{words}, after {self.minimum_passes} passes at least"
