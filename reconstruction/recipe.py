"""The recipe of a reconstruction: which steps are taken, and how; read from YAML or made in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from knightshift.core.quantities import PositiveSeconds
from knightshift.core.yaml_files import read_config
from knightshift.reconstruction.gridding import Apodisation

_STRICT = ConfigDict(frozen=True, extra="forbid")

Voxels = Annotated[float, Field(ge=-10_000, le=10_000)]


class PartialFourierOptions(BaseModel):
    """How a k-space that was acquired in part is completed."""

    model_config = _STRICT

    method: Literal["console", "zero_filling", "homodyne", "pocs"] = "console"
    """``console``: as the console completed it, along the axes that it completed; own runs are filled with zeros."""
    iterations: Annotated[int, Field(ge=1, le=100)] = 20
    """Most rounds of ``pocs``."""
    tolerance: Annotated[float, Field(gt=0, le=1)] = 0.01
    """``pocs`` stops when a round changes k-space by less than this share of it."""


class Recipe(BaseModel):
    """How to reconstruct; the defaults change nothing that was measured."""

    model_config = _STRICT

    remove_dc_offset: bool = False
    """Subtract the constant that the receiver adds to every sample."""
    remove_spikes: bool = False
    """Set samples to zero that stand out of their surroundings."""
    whiten: bool = False
    """Make the noise of several receivers uncorrelated and equal."""
    correct_drift: bool = True
    """Follow phase and frequency through the run and correct what is significant (own runs)."""
    apodisation: Apodisation = "none"
    """Window over k-space: less ringing and noise for less resolution."""
    zero_fill: Annotated[int, Field(ge=1, le=8)] = 1
    """Factor by which the image is interpolated along phase_encode and readout."""
    crop_oversampling: bool = True
    """Keep the matrix that was asked for from the middle of an oversampled readout."""
    partial_fourier: PartialFourierOptions = PartialFourierOptions()
    """How a partial echo, or partial phase encoding, is completed."""
    shift: tuple[Voxels, Voxels] = (0.0, 0.0)
    """Cyclic shift of the image along phase_encode and readout [voxels of the interpolated image]."""
    align_even_echoes: bool = False
    """Give the even echoes of a train the phase of the odd ones."""
    combination: Literal["root_sum_of_squares", "adaptive"] = "root_sum_of_squares"
    """How several receivers are combined."""
    denoise: bool = False
    """Low-rank denoising along echoes."""
    repetitions: Literal["average", "separate"] = "average"
    """Average repetitions of a scan in the complex domain, or reconstruct each on its own (other consoles)."""
    echo_times: Annotated[tuple[PositiveSeconds, ...], Field(min_length=1, max_length=4096)] | None = None
    """Echo times of a scan of another console whose files do not hold them, or hold them wrong [s]."""

    @property
    def is_linear(self) -> bool:
        """Whether the noise of the image follows from that of k-space by the windows alone."""
        return not (self.remove_spikes or self.whiten or self.denoise or self.remove_dc_offset) and (
            self.partial_fourier.method in ("console", "zero_filling")
        )


def read_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe: a YAML file, or the name of a shipped one (``"plain"``).

    Raises
    ------
    ConfigError
        With one line for each mistake.
    """
    recipe: Recipe = read_config(Recipe, "recipes", name_or_path)
    return recipe
