"""Echo trains whose B1 or T1 differ from voxel to voxel: as maps give them, or as a fit has found them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from knightshift.core.arrays import BoolArray, IntArray, RealArray
from knightshift.core.errors import InputError
from knightshift.core.human_units import quantity
from knightshift.reconstruction.relaxometry.train import EchoTrain

_LOGGER = logging.getLogger(__name__)
B1_STEP = 0.001
"""Voxels whose B1 differs by less share one curve: it moves T2 by less than a thousandth for B1 from 0.8 on."""
_LOG_T1_STEP = 0.02
LARGEST_B1, LONGEST_T1 = 2.0, 1e3
"""B1 over the nominal one, and T1 [s]: anything beyond is a mistake of the unit."""
_UNLIKELY_T1 = 20.0
"""From here on a T1 is more likely to have been meant in ms [s]."""


@dataclass(frozen=True)
class VoxelTrains:
    """The train of each voxel of an image."""

    nominal: EchoTrain
    """The train as it was meant: its angles are those at a B1 of one, its T1 holds without a map."""
    b1: RealArray | None = None
    """B1 over the nominal one, shape ``image``; NaN where it is not known. None: one everywhere."""
    t1: RealArray | None = None
    """T1 [s], shape ``image``; NaN where it is not known. None: that of `nominal`."""
    price: RealArray | None = None
    """Where B1 was fitted along with T2: by which factor not knowing it widens the error of T2, shape ``image``. None:
    B1 was given."""

    @property
    def b1_is_fitted(self) -> bool:
        """Whether B1 was found together with T2."""
        return self.price is not None

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each map."""
        return tuple(values.shape for values in (self.b1, self.t1) if values is not None)

    def known(self, shape: tuple[int, ...]) -> BoolArray:
        """Voxels of an image of `shape` whose train is known."""
        inside = np.ones(shape, dtype=bool)
        for values in (self.b1, self.t1):
            if values is not None:
                inside &= np.isfinite(values)
        return inside

    def check(self, inside: BoolArray) -> None:
        """Look for what cannot be in the voxels to be fitted. Raises `InputError` with numbers."""
        if self.b1 is not None:
            _refuse(self.b1[inside], LARGEST_B1, "B1", "a ratio to the nominal one (percent divided by 100)")
        if self.t1 is None:
            return
        times = self.t1[inside]
        _refuse(times, LONGEST_T1, "T1", "seconds (milliseconds divided by 1000)")
        if times.size and np.median(times) > _UNLIKELY_T1:
            _LOGGER.warning("the median T1 is %g s: if that was meant in ms, divide by 1000", np.median(times))

    def groups(self, inside: BoolArray) -> Iterator[tuple[EchoTrain, IntArray]]:
        """Yield each train that occurs, with the places of its voxels in the flattened image."""
        voxels = np.flatnonzero(inside)
        if not voxels.size:
            return
        steps = np.zeros((2, voxels.size), dtype=int)
        if self.b1 is not None:
            steps[0] = np.maximum(1, np.round(self.b1.ravel()[voxels] / B1_STEP))
        if self.t1 is not None:
            steps[1] = np.round(np.log(self.t1.ravel()[voxels]) / _LOG_T1_STEP)
        found, which = np.unique(steps, axis=1, return_inverse=True)
        order = np.argsort(which.ravel(), kind="stable")
        ends = np.cumsum(np.bincount(which.ravel(), minlength=found.shape[1]))
        for step, group in zip(found.T, np.split(voxels[order], ends[:-1]), strict=True):
            yield self._train(*step), group

    @property
    def given(self) -> VoxelTrains:
        """What a fit was given: the maps but for a B1 that was fitted."""
        return replace(self, b1=None, price=None) if self.b1_is_fitted else self

    def part(self, inside: BoolArray) -> VoxelTrains:
        """Return the trains of some voxels, in the order of the image."""
        b1, t1, price = (None if values is None else values[inside] for values in (self.b1, self.t1, self.price))
        return VoxelTrains(self.nominal, b1, t1, price)

    def at(self, voxel: tuple[int, ...]) -> EchoTrain:
        """Return the train of one voxel."""
        alone = (None if values is None else values[voxel].reshape(1) for values in (self.b1, self.t1))
        ((train, _),) = VoxelTrains(self.nominal, *alone).groups(np.ones(1, dtype=bool))
        return train

    def typical(self, inside: BoolArray) -> EchoTrain:
        """Return a train with the median B1 and T1 of some voxels."""
        b1 = 1.0 if self.b1 is None else float(np.median(self.b1[inside]))
        t1 = self.nominal.t1 if self.t1 is None else float(np.median(self.t1[inside]))
        return scaled_train(self.nominal, b1, t1)

    def decays(self, t2: RealArray, inside: BoolArray) -> RealArray:
        """Size of the echoes of some voxels, as `EchoTrain.decays`.

        Parameters
        ----------
        t2
            [s], shape ``(voxel,)``.
        inside
            Which voxels these are, in the order of the image, shape ``image``.

        Returns
        -------
        RealArray
            Shape ``(echo, voxel)``.
        """
        curves = np.empty((self.nominal.n_echoes, t2.size))
        for train, voxels in self.part(inside).groups(np.ones(t2.size, dtype=bool)):
            curves[:, voxels] = train.decays(t2[voxels])
        return curves

    def words(self, inside: BoolArray) -> str:
        """Say where B1 and T1 of the voxels with a T2 come from, and what they are."""
        if not inside.any():
            return ""
        parts = []
        if self.b1 is not None:
            source = "fitted to each voxel" if self.b1_is_fitted else "given"
            parts.append(f"B1 {source}: {_spread_in_words(self.b1[inside])} of the nominal one")
        if self.t1 is not None:
            parts.append(f"T1 from a map: {_spread_in_words(self.t1[inside], 's')}")
        return "; ".join(parts)

    def _train(self, b1_step: int, t1_step: int) -> EchoTrain:
        b1 = 1.0 if self.b1 is None else float(b1_step) * B1_STEP
        return scaled_train(
            self.nominal, b1, self.nominal.t1 if self.t1 is None else float(np.exp(t1_step * _LOG_T1_STEP))
        )


def scaled_train(train: EchoTrain, b1: float, t1: float | None = None) -> EchoTrain:
    """Return a train with its angles as `b1`, a ratio to the nominal one, makes them, and with `t1` [s]."""
    changes = {"refocusing": train.refocusing * b1, "excitation": train.excitation * b1}
    return train.model_copy(update={**changes, "t1": train.t1 if t1 is None else t1})


def _refuse(values: RealArray, largest: float, name: str, unit: str) -> None:
    wrong = values[~((values > 0) & (values <= largest))]
    if wrong.size:
        low, high = float(wrong.min()), float(wrong.max())
        what = f"is {low:.4g}" if low == high else f"lies between {low:.4g} and {high:.4g}"
        raise InputError(
            f"{name} {what} in {wrong.size} of the {values.size} voxels "
            f"to be fitted: give it above 0 and up to {largest:g}, {unit}, and NaN where it is not known"
        )


def spread(values: RealArray) -> tuple[float, float, float]:
    """Return the lowest of some values, their median and the highest."""
    low, median, high = (float(value) for value in np.quantile(values, [0, 0.5, 1]))
    return low, median, high


def _spread_in_words(values: RealArray, unit: str = "") -> str:
    low, median, high = spread(values)
    told = [quantity(value, unit, 3) if unit else f"{value:.3g}" for value in (median, low, high)]
    return f"median {told[0]}, {told[1]} to {told[2]}"
