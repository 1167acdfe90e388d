"""The one thing that every raw-data reader and every reconstruction ends in: a series of complex images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import InputError
from knightshift.core.geometry import ImageGeometry

ECHO_FORMATION = "echo_formation"
"""Key of `ImageSeries.provenance` that says how the echoes were made."""
SPIN_ECHO, GRADIENT_ECHO = "spin echo", "gradient echo"


@dataclass(frozen=True)
class SliceStack:
    """Slices of a series that are parallel and evenly spaced."""

    slices: tuple[int, ...]
    """Index of each slice along the slice axis of the series."""
    geometry: ImageGeometry
    """Where the voxels of this stack are."""


@dataclass(frozen=True)
class SharedExcitation:
    """How a train of echoes was made: all of them follow one excitation, so that stimulated echoes mix in."""

    echo_spacing: float
    """Time between two echoes; the first comes one spacing after the excitation [s]."""
    excitation: float
    """Nominal flip angle of the excitation [rad]."""
    refocusing: float
    """Nominal flip angle of the refocusing pulses [rad]."""
    shift: float
    """Knight or chemical shift that the pulses were set to (a ratio)."""


@dataclass(frozen=True)
class ImageSeries:
    """Complex images of one object at several echo times."""

    images: ComplexArray
    """Complex images, shape ``(echo, slice, phase_encode, readout)``, arbitrary but common units."""
    echo_times: RealArray
    """Echo times [s], shape ``(echo,)``."""
    geometry: ImageGeometry
    """Where the voxels are (where the slices are several stacks: those of the first stack)."""
    noise_std: RealArray
    """Standard deviation of the noise in the real (or imaginary) part of each image, shape ``(echo,)``."""
    axes: tuple[str, str, str] = ("x", "z", "y")
    """Laboratory axis of slice, phase_encode and readout, for labels of figures."""
    nucleus: str | None = None
    """Isotope, where the raw data say so."""
    working_frequency: float | None = None
    """Frequency of the receiver [Hz]."""
    methods: tuple[str, ...] = ()
    """What was done, one sentence a step, for the methods paragraph."""
    missing: tuple[str, ...] = ()
    """What the raw data did not say and had to be left open."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Source, digests, versions, and how many passes of each echo went in."""
    inversion_times: RealArray | None = None
    """Inversion times [s], shape ``(echo,)``, where these step along the echo axis; None: the echo times do."""
    train: SharedExcitation | None = None
    """The echo train that these are the echoes of; None: every echo has an excitation of its own, or it is unknown."""
    stacks: tuple[SliceStack, ...] = ()
    """Slices that do not lie in one stack (a tripilot), stack by stack; empty where `geometry` holds for all."""

    @property
    def slice_stacks(self) -> tuple[SliceStack, ...]:
        """`stacks`, or the one that all slices are in."""
        return self.stacks or (SliceStack(tuple(range(self.images.shape[1])), self.geometry),)

    @property
    def refocused(self) -> bool | None:
        """Whether the echoes are spin echoes (True: T2) or gradient echoes (False: T2*); None: not known."""
        return {SPIN_ECHO: True, GRADIENT_ECHO: False}.get(self.provenance.get(ECHO_FORMATION, ""))

    def with_noise(self, noise_std: float) -> ImageSeries:
        """Put a noise that was given [units of the images, of the real part] in the place of the measured one.

        Raises
        ------
        InputError
            If it is not above zero.
        """
        if not (np.isfinite(noise_std) and noise_std > 0):
            raise InputError(f"noise {noise_std:g}: give the standard deviation of the real part, above zero")
        methods = (*self.methods, f"The noise of the real part was given as {noise_std:g}.")
        return replace(self, noise_std=np.full(len(self.echo_times), noise_std), methods=methods)

    @property
    def are_magnitudes(self) -> bool:
        """Whether there is signal, but neither a phase nor a negative number, as in images that a console exported."""
        return bool(self.images.any()) and not self.images.imag.any() and not (self.images.real < 0).any()

    def split(self) -> tuple[ImageSeries, ...]:
        """One series for every stack of parallel, evenly spaced slices."""
        if not self.stacks:
            return (self,)
        return tuple(
            replace(self, images=self.images[:, list(stack.slices)], geometry=stack.geometry, stacks=())
            for stack in self.stacks
        )
