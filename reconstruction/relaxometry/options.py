"""What can be chosen in a T2 fit."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from knightshift.core.quantities import PositiveSeconds
from knightshift.reconstruction.relaxometry.train import EchoTrain

Model: TypeAlias = Literal["mono"]
Estimator: TypeAlias = Literal["complex", "rician", "gaussian"]
Engine: TypeAlias = Literal["auto", "numpy", "numba"]
Offset: TypeAlias = Literal["none", "noise", "noise-quadrature", "free"]

NOISE_RESEMBLANCE = 0.2
"""A voxel that pure noise would resemble more often than this has no signal, in every fit."""


class T2Options(BaseModel):
    """How T2 is fitted; the defaults are for complex images of separate spin echoes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Model = "mono"
    """Shape of the decay: ``mono`` is ``amplitude * exp(-TE / T2)``."""
    estimator: Estimator = "complex"
    """``complex``: least squares on the real part after the phase is removed; ``rician``: maximum likelihood on
    magnitudes; ``gaussian``: least squares on magnitudes (or on signed real data)."""
    offset: Offset = "none"
    """``noise``: add the mean of pure noise in a magnitude image, ``sigma * sqrt(pi / 2)`` (the paper's way);
    ``noise-quadrature``: ``magnitude**2 = S**2 + 2 sigma**2``; ``free``: one more parameter per voxel."""
    train: EchoTrain | None = None
    """Echoes of one excitation with imperfect refocusing; None: every echo has an excitation of its own, or refocusing
    is perfect. Amplitudes are then in units of a full excitation."""
    fit_b1: bool = False
    """Fit B1 of every voxel too, from 0.4 of the nominal one: needs a `train` of four echoes or more, and the noise."""
    t2_range: tuple[PositiveSeconds, PositiveSeconds] | None = None
    """Shortest and longest T2 looked for [s]; by default 1/10 of the first echo time, or of the time from the first to
    the second echo if that is longer, and 50 times the last echo time."""
    phase_window: PositiveInt = 5
    """Voxels along each in-plane axis over which the phase is averaged, odd; 1: every voxel has its own phase."""
    detection_level: float = Field(default=NOISE_RESEMBLANCE, ge=0, lt=1)
    """A voxel that pure noise would resemble more often than this is NO_SIGNAL; the default keeps weak voxels.
    0 switches the test off."""
    engine: Engine = "auto"
    """``numpy``; ``numba``: compiled, with the extra ``fast``; ``auto``: compiled where that is installed, pays
    (200,000 voxels or more) and can fit what is asked for. Both take the same steps."""
    max_iterations: PositiveInt = 60
    """Steps before a voxel is given up as NOT_CONVERGED."""
    chunk_voxels: PositiveInt = 32768
    """Most voxels fitted at once; with more than eight echoes as many fewer. Bounds the memory."""
    threads: PositiveInt = 2
    """Chunks fitted at the same time."""

    @model_validator(mode="after")
    def _combination_makes_sense(self) -> Self:
        if self.estimator == "complex" and self.offset.startswith("noise"):
            raise ValueError(
                f"offset {self.offset!r} belongs to magnitudes: the real part of complex data has noise of mean zero; "
                "use offset 'none', or estimator 'gaussian'"
            )
        if self.estimator == "rician" and self.offset != "none":
            raise ValueError(
                f"the Rician likelihood already holds the noise floor: use offset 'none' instead of {self.offset!r}"
            )
        if self.train is not None and self.offset != "none":
            raise ValueError("an echo train is fitted with offset 'none'")
        if self.phase_window % 2 == 0:
            raise ValueError(f"phase_window {self.phase_window} is even: use {self.phase_window + 1}")
        if self.t2_range is not None and self.t2_range[0] >= self.t2_range[1]:
            raise ValueError(f"t2_range {self.t2_range} is empty: give the shorter T2 first")
        return self

    @property
    def needs_noise(self) -> bool:
        """Whether the estimate of T2 itself, not only its error, depends on the noise."""
        return self.estimator == "rician" or self.offset.startswith("noise")
