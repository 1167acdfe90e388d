"""Hold rules against the images so far, and reckon when they will be met."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from knightshift.acquisition.stop_rules.rules import BoxRegion, Rule, SnrRule, StopRules
from knightshift.core.arrays import BoolArray
from knightshift.core.errors import InputError
from knightshift.core.program import Encoding
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.live import (
    RegionQuality,
    snr_of_region,
    t2_std_of_region,
    voxels_in_box,
    voxels_of_mask,
)
from knightshift.reconstruction.reconstruct import geometry_of


@dataclass(frozen=True)
class Standing:
    """How far one rule is."""

    rule: Rule
    """Which."""
    measured: RegionQuality
    """What the images so far give."""
    n_passes: int
    """Passes that they are made of, flagged ones included."""

    @property
    def met(self) -> bool:
        """Whether it is enough."""
        return self.shortfall <= 1

    @property
    def shortfall(self) -> float:
        """How many times as long it takes in all: noise falls with the square root of the passes."""
        value, goal = self.measured.value, self.rule.goal
        if isinstance(self.rule, SnrRule):
            return (goal / value) ** 2 if value else math.inf
        return (value / goal) ** 2

    def passes_needed(self, block: int) -> int | None:
        """Tell with how many passes it will be met, a whole number of blocks; None where there is nothing to go by."""
        if not math.isfinite(self.shortfall):
            return None
        return max(1, math.ceil(self.n_passes * self.shortfall / block - 1e-9)) * block

    @property
    def words(self) -> str:
        """The number beside its goal, for people."""
        value, goal = self.measured.value, self.rule.goal
        if isinstance(self.rule, SnrRule):
            return f"SNR {value:.2f} of {goal:g}"
        known = f"{value * 1e3:.2f}" if math.isfinite(value) else "unknown"
        return f"T2 to ±{known} of {goal * 1e3:g} ms"


@dataclass(frozen=True)
class AppliedRules:
    """Rules with the voxels of their regions."""

    rules: StopRules
    """What is wanted."""
    voxels: tuple[BoolArray, ...]
    """Of each rule, shape ``(slice, phase_encode, readout)``."""

    @classmethod
    def to(cls, rules: StopRules, encoding: Encoding) -> AppliedRules:
        """Find the voxels of the regions in the images of a run.

        Raises
        ------
        InputError
            If a rule cannot be held against these images: spectra, an echo that is not there, a region outside.
        """
        if encoding.kind != "image":
            raise InputError("stop rules are for images: this protocol gives spectra")
        return cls(rules, tuple(_voxels(rule, encoding) for rule in rules.rules))

    def stand(self, series: ImageSeries, n_passes: int) -> tuple[Standing, ...]:
        """Measure every rule. Raises `InputError` if the noise is not known yet."""
        pairs = zip(self.rules.rules, self.voxels, strict=True)
        return tuple(Standing(rule, _measure(rule, voxels, series), n_passes) for rule, voxels in pairs)


def _voxels(rule: Rule, encoding: Encoding) -> BoolArray:
    n_echoes = len(encoding.echo_times)
    if isinstance(rule, SnrRule) and rule.echo > n_echoes:
        raise InputError(f"stop rule '{rule}': there is no echo {rule.echo}, echoes are numbered 1 to {n_echoes}")
    if not isinstance(rule, SnrRule) and n_echoes < 2:
        raise InputError(f"stop rule '{rule}': a T2 needs two echo times, this protocol has {n_echoes}")
    geometry, region = geometry_of(encoding), rule.region
    try:
        if isinstance(region, BoxRegion):
            return voxels_in_box(geometry, encoding.matrix, region.sides)
        mask = np.zeros(math.prod(region.shape), bool)
        mask[list(region.voxels)] = True
        affine = None if region.affine is None else np.reshape(region.affine, (4, 4))
        return voxels_of_mask(geometry, encoding.matrix, mask.reshape(region.shape), affine)
    except InputError as error:
        raise InputError(f"stop rule '{rule}': {error}") from error


def _measure(rule: Rule, voxels: BoolArray, series: ImageSeries) -> RegionQuality:
    if isinstance(rule, SnrRule):
        return snr_of_region(series, rule.echo - 1, voxels)
    return t2_std_of_region(series, voxels, rule.statistic)
