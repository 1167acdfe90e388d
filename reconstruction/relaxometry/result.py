"""What a T2 fit gives back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry.options import T2Options
from knightshift.reconstruction.relaxometry.train import EchoTrain
from knightshift.reconstruction.relaxometry.voxel_trains import VoxelTrains


class T2Status(IntEnum):
    """Why a voxel has a T2, or none."""

    OK = 0
    """T2 and its standard deviation are valid."""
    MASKED = 1
    """Outside the mask: not fitted."""
    INVALID_INPUT = 2
    """NaN, infinite or too large to be squared in at least one echo."""
    NO_SIGNAL = 3
    """Not to be told from noise, or no positive decay."""
    TOO_LONG = 4
    """Flat or growing with echo time: T2 is beyond the range."""
    TOO_SHORT = 5
    """Decayed before the first echo: T2 is below the range."""
    NOT_CONVERGED = 6
    """The optimum was not found within the allowed steps."""
    OFFSET_UNIDENTIFIED = 7
    """With a free offset the echoes leave T2 less certain than its own value."""

    ONE_SIDED = 8
    """There is a T2, but the data only say how long it is at most: the likelihood has no maximum (Rician, decayed
    before the second echo), and T2 is the most likely one with Jeffreys' prior."""

    @property
    def words(self) -> str:
        """The status as people read it."""
        return _WORDS[self]


_WORDS = {
    T2Status.OK: "T2 determined",
    T2Status.MASKED: "outside the mask",
    T2Status.INVALID_INPUT: "NaN or infinite input",
    T2Status.NO_SIGNAL: "no signal above the noise",
    T2Status.TOO_LONG: "T2 undetermined: decay too flat",
    T2Status.TOO_SHORT: "T2 undetermined: decayed before the first echo",
    T2Status.NOT_CONVERGED: "fit did not converge",
    T2Status.OFFSET_UNIDENTIFIED: "T2 undetermined: offset cannot be told from decay",
    T2Status.ONE_SIDED: "T2 determined, but only from above",
}


def has_t2(status: NDArray[np.int8]) -> BoolArray:
    """Whether voxels of a status have a T2; any shape."""
    return np.asarray((status == T2Status.OK) | (status == T2Status.ONE_SIDED))


@dataclass(frozen=True)
class T2Fit:
    """T2 of every voxel; maps are NaN where `ok` is False."""

    t2: RealArray
    """T2 [s], shape ``image``."""
    t2_std: RealArray
    """Standard deviation of `t2` from the Fisher information at the fit [s], shape ``image``."""
    amplitude: RealArray
    """Signal at echo time zero, units of the images, shape ``image``."""
    offset: RealArray
    """Constant added to the decay, units of the images, shape ``image``; zero where the model has none. The mean over
    echoes where the noise floor differs from echo to echo."""
    chi2: RealArray
    """Squared residuals over noise variance (Rician: twice the drop of log-likelihood against a decay that may take any
    value at every echo), shape ``image``."""
    status: NDArray[np.int8]
    """`T2Status` of each voxel, shape ``image``."""
    signal: RealArray
    """The real numbers that were fitted (phase removed, or magnitudes), shape ``(echo, *image)``."""
    echo_times: RealArray
    """Echo times [s], shape ``(echo,)``."""
    noise_std: RealArray
    """Noise in the real part of each image, units of the images, shape ``(echo,)``."""
    noise_source: Literal["given", "background", "residuals"]
    """Where `noise_std` comes from."""
    options: T2Options
    """How the fit was made."""
    engine: Literal["numpy", "numba"] = "numpy"
    """Which path made it."""
    trains: VoxelTrains | None = None
    """Train of each voxel, where B1 or T1 were given as maps or B1 was fitted; None: `options.train` everywhere."""

    @property
    def ok(self) -> BoolArray:
        """Voxels that have a T2, shape ``image``."""
        return has_t2(self.status)

    @property
    def snr(self) -> RealArray:
        """Fitted signal over noise at each echo, shape ``(echo, *image)``; NaN where there is no T2."""
        axes = (-1,) + (1,) * self.t2.ndim
        decay = np.exp(-self.echo_times.reshape(axes) / self.t2)
        if self.options.train is not None:
            decay[:, self.ok] = self.decays(self.t2[self.ok], self.ok)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.amplitude * decay / self.noise_std.reshape(axes))

    def decays(self, t2: RealArray, inside: BoolArray) -> RealArray:
        """Curves of some voxels without their amplitude and offset.

        Parameters
        ----------
        t2, inside
            As of `VoxelTrains.decays`.

        Returns
        -------
        RealArray
            Shape ``(echo, voxel)``.
        """
        if self.trains is not None:
            return self.trains.decays(t2, inside)
        if self.options.train is not None:
            return self.options.train.decays(t2)
        return np.asarray(np.exp(-np.divide.outer(self.echo_times, t2)))

    def typical_train(self, inside: BoolArray) -> EchoTrain | None:
        """Train with the median B1 and T1 of some voxels; None for separate echoes."""
        return self.options.train if self.trains is None else self.trains.typical(inside)

    def count(self, status: T2Status) -> int:
        """Count the voxels of one status."""
        return int(np.count_nonzero(self.status == status))

    def curve(self, voxel: tuple[int, ...], echo_times: RealArray) -> RealArray:
        """Evaluate the fitted decay of one voxel.

        Parameters
        ----------
        voxel
            Index into the maps.
        echo_times
            Echo times [s], shape ``(echo,)``.

        Returns
        -------
        RealArray
            Expected magnitude or real part, shape ``(echo,)``. The Rician fit gives the noise-free decay.

        Raises
        ------
        InputError
            If the fit is of an echo train and `echo_times` are not the train's: between its echoes there is no signal.
        """
        if self.options.train is not None:
            if not np.array_equal(echo_times, self.echo_times):
                raise InputError("the decay of an echo train is known at its own echo times only: give fit.echo_times")
            train = self.options.train if self.trains is None else self.trains.at(voxel)
            return np.asarray(self.amplitude[voxel] * train.decays(np.asarray(self.t2[voxel])))
        decay = self.amplitude[voxel] * np.exp(-np.asarray(echo_times, dtype=float) / self.t2[voxel])
        if self.options.offset == "noise-quadrature":
            return np.asarray(np.hypot(decay, self.offset[voxel]))
        return np.asarray(decay + self.offset[voxel])

    def _train_words(self, train: EchoTrain) -> str:
        field = {"uniform": "", "metal": " in the skin depth of a metal"}[train.field]
        held = "" if self.trains is not None and self.trains.t1 is not None else f"T1 held at {1e3 * train.t1:.3g} ms"
        found = "" if self.trains is None else self.trains.words(self.ok)
        told = "; ".join(filter(None, (held, found)))
        what = f"the extended-phase-graph decay of a spin-echo train{field} ({told or 'T1 from a map'}"
        if not self.ok.any():
            return f"{what})"
        typical = self.typical_train(self.ok) or train
        change = 10 * typical.t1_sensitivity(float(np.median(self.t2[self.ok])))
        depth = "; voxels that resolve the skin may read up to 10 % off" if train.field == "metal" else ""
        return f"{what}; 10 % of error in T1 would change the median T2 by {abs(change):.2g} %{depth})"

    def _way(self) -> str:
        """How the optimum is found."""
        is_linear = self.options.estimator != "rician" and self.options.offset != "noise-quadrature"
        if is_linear:
            return "variable projection"
        return "Newton steps from a grid" if self.options.train is None else "the profile of the likelihood"

    def methods_sentence(self) -> str:
        """One sentence for the methods paragraph of a report."""
        how = {
            "complex": "by least squares on the real part after removal of a phase smooth in space",
            "rician": "by Rician maximum likelihood on magnitudes",
            "gaussian": "by least squares on magnitudes",
        }[self.options.estimator]
        what = {
            "none": "a mono-exponential",
            "noise": "a mono-exponential plus a constant offset fixed at the noise floor",
            "noise-quadrature": "a mono-exponential added in quadrature to the noise floor",
            "free": "a mono-exponential plus a free constant offset",
        }[self.options.offset]
        if self.options.train is not None:
            what = self._train_words(self.options.train)
        times = ", ".join(f"{1e3 * t:g}" for t in self.echo_times)
        source = {
            "given": "as handed to the fit",
            "background": "measured in the image background",
            "residuals": "taken from the residuals of the fit",
        }[self.noise_source]
        return (
            f"T2 was fitted voxel by voxel with {what} {how} at echo times of {times} ms ({self._way()}, "
            f"each voxel checked for convergence); standard deviations come from the Fisher information with the "
            f"noise {source}."
        )
