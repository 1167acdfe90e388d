"""What lies in the simulated magnet: compartments with shapes, or voxels from array files, read from YAML."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.nuclei import Isotope
from knightshift.core.quantities import Metres, PositiveMetres, PositiveSeconds, Ratio
from knightshift.core.yaml_files import find_config, read_config
from knightshift.hardware.simulated.shapes import Shape
from knightshift.hardware.simulated.voxel_map import VoxelMap, located


class RandomT2(BaseModel):
    """T2 that varies smoothly along y, as disorder does along an electrode."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: PositiveSeconds
    """Centre of the distribution [s]."""
    fwhm: PositiveSeconds
    """Full width at half maximum of the distribution [s]."""
    lowest: PositiveSeconds
    """Values below are set to this [s]."""
    highest: PositiveSeconds
    """Values above are set to this [s]."""
    correlation_length: PositiveMetres
    """Length over which it changes [m]."""
    seed: NonNegativeInt
    """Which field; each face of a plate has its own."""

    @model_validator(mode="after")
    def _in_order(self) -> RandomT2:
        if not self.lowest < self.mean < self.highest:
            raise ValueError(
                f"mean {self.mean * 1e3:g} ms must lie between lowest {self.lowest * 1e3:g} ms "
                f"and highest {self.highest * 1e3:g} ms"
            )
        return self


class BiexponentialT2(BaseModel):
    """T2 of I = 3/2 in slow motion: satellites decay fast, the central line slowly."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fast: PositiveSeconds
    """T2 of the satellite transitions [s]."""
    slow: PositiveSeconds
    """T2 of the central transition [s]."""
    fast_fraction: float = Field(default=0.6, gt=0, lt=1)
    """Part of the signal that decays fast: 60 % for I = 3/2."""

    @model_validator(mode="after")
    def _in_order(self) -> BiexponentialT2:
        if not self.fast < self.slow:
            raise ValueError(f"fast {self.fast * 1e3:g} ms must be shorter than slow {self.slow * 1e3:g} ms")
        return self


class Metal(BaseModel):
    """A conductor, seen to its skin depth only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    skin_depth: PositiveMetres
    """Depth at which B1 has fallen to 1/e and turned by 1 rad [m]."""


class Compartment(BaseModel):
    """One body of uniform material."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """What people call it."""
    nucleus: Isotope = "23Na"
    """Isotope that it holds."""
    shape: Shape
    """Cross-section in the (z, y) plane."""
    thickness: PositiveMetres
    """Extent along x, over which the image projects [m]."""
    center_x: Metres = 0.0
    """Middle along x [m]."""
    density: float = Field(default=1.0, gt=0)
    """Spin density over that of the metal."""
    t1: PositiveSeconds
    """Longitudinal relaxation time [s]."""
    t2: PositiveSeconds | RandomT2 | BiexponentialT2
    """Transverse relaxation time [s], a distribution of it, or two for I = 3/2 in slow motion."""
    t2_prime: PositiveSeconds | None = None
    """Decay time of the Lorentzian distribution of frequencies [s]; None for none."""
    shift: Ratio
    """Knight or chemical shift (a ratio)."""
    metal: Metal | None = None
    """Skin effect; None for an insulator or ion conductor."""
    nutation_factor: float = Field(default=1.0, ge=1, le=2)
    """Nutation of the observed transition over that of a free spin: 2 for the central line of I = 3/2 split wide."""
    spacing: PositiveMetres | None = None
    """Distance of sites, where it should differ from the scanner's setting [m]."""

    @model_validator(mode="after")
    def _t2_below_its_ceiling(self) -> Compartment:
        longest = self.longest_t2
        if longest > 2 * self.t1:
            raise ValueError(f"T2 {longest * 1e3:g} ms exceeds 2 T1 = {2e3 * self.t1:g} ms: no spin does that")
        return self

    @property
    def mean_t2(self) -> float:
        """T2, or the centre of its distribution, or the mean of the two [s]."""
        if isinstance(self.t2, BiexponentialT2):
            return self.t2.fast_fraction * self.t2.fast + (1 - self.t2.fast_fraction) * self.t2.slow
        return self.t2.mean if isinstance(self.t2, RandomT2) else self.t2

    @property
    def longest_t2(self) -> float:
        """The longest T2 that occurs [s]."""
        if isinstance(self.t2, BiexponentialT2):
            return self.t2.slow
        return self.t2.highest if isinstance(self.t2, RandomT2) else self.t2


@dataclass(frozen=True)
class Region:
    """Ground truth of one compartment, for comparison with what an analysis finds."""

    name: str
    center: tuple[float, float]
    """``(y, z)`` [m]."""
    extent: tuple[float, float]
    """Full extent along ``(y, z)`` [m]."""
    t2: float
    """T2, or the centre of its distribution [s]."""
    contains: Callable[[RealArray, RealArray], BoolArray]
    """Whether points ``(y, z)`` [m] lie inside."""


class Phantom(BaseModel):
    """Everything in the magnet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """What people call it."""
    compartments: tuple[Compartment, ...] = ()
    """Bodies; where a metal one overlaps another, the metal is there."""
    voxel_maps: tuple[VoxelMap, ...] = ()
    """Voxels from array files, beside the bodies."""
    notes: tuple[str, ...] = ()
    """What is known, what is assumed."""

    @model_validator(mode="after")
    def _names_differ(self) -> Phantom:
        names = [body.name for body in self.compartments] + [voxels.name for voxels in self.voxel_maps]
        if not names:
            raise ValueError("nothing is in the magnet: give compartments or voxel_maps")
        if len(set(names)) != len(names):
            raise ValueError(f"compartments need different names, not {names}")
        return self

    def regions(self) -> tuple[Region, ...]:
        """Ground truth, one region a compartment."""
        return tuple(
            Region(
                body.name,
                (body.shape.center_y, body.shape.center_z),
                (2 * body.shape.half_extent[0], 2 * body.shape.half_extent[1]),
                body.mean_t2,
                body.shape.contains,
            )
            for body in self.compartments
        )


def load_phantom(name_or_path: str | Path) -> Phantom:
    """Read a phantom: a path or a shipped name (``"pristine"``, ``"shorted"``).

    Raises
    ------
    ConfigError
        With one line for each mistake.
    """
    phantom: Phantom = read_config(Phantom, "phantoms", name_or_path)
    folder = find_config("phantoms", name_or_path).parent
    return phantom.model_copy(update={"voxel_maps": tuple(located(body, folder) for body in phantom.voxel_maps)})
