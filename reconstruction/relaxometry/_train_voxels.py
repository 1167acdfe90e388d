"""Fit the voxels of an echo train one curve after the other, where B1 or T1 differ, or where B1 is fitted too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import BoolArray, IntArray, RealArray
from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.relaxometry._least_squares import Problem
from knightshift.reconstruction.relaxometry._voxelwise import MAPS, Judgement, StatusMap, fit_voxels
from knightshift.reconstruction.relaxometry.options import T2Options
from knightshift.reconstruction.relaxometry.result import T2Status, has_t2
from knightshift.reconstruction.relaxometry.train import EchoTrain
from knightshift.reconstruction.relaxometry.voxel_trains import B1_STEP, VoxelTrains, scaled_train

_LOWEST_B1 = 0.4
_GRIDS = ((50, 2000), (5, 45), (1, 4))
"""Of B1, each about the best of the one before: stride and reach in units of `B1_STEP`."""
_AMPLITUDE, _CHI2 = MAPS.index("amplitude"), MAPS.index("chi2")


def leave_out_unknown_trains(status: StatusMap, trains: VoxelTrains) -> None:
    """Mask voxels without a B1 or T1, and look at the others; `status` of shape ``image`` is changed in place.

    Raises
    ------
    ShapeError
        If the maps do not have the shape of an image.
    InputError
        If B1 or T1 of a voxel to be fitted cannot be.
    """
    if any(found != status.shape for found in trains.shapes):
        found = " and ".join(map(str, trains.shapes))
        raise ShapeError(f"maps of B1 or T1 of shape {found} do not match images of shape {status.shape}")
    status[~trains.known(status.shape) & (status == T2Status.OK)] = T2Status.MASKED
    trains.check(np.asarray(status == T2Status.OK))


def fit_image(
    signal: RealArray,
    status: StatusMap,
    problem: Problem,
    options: T2Options,
    judgement: Judgement | None,
    trains: VoxelTrains | None,
) -> tuple[RealArray, VoxelTrains | None]:
    """Fit every voxel whose status is OK, each with its own train where it has one, or B1 of every voxel too.

    Parameters
    ----------
    signal
        Shape ``(echo, *image)``.
    status, problem, options, judgement
        As of `_voxelwise.fit_voxels`.
    trains
        None: the one of the options everywhere.

    Returns
    -------
    tuple
        Maps as of `_voxelwise.fit_voxels`, and the trains, where B1 was fitted those found.

    Raises
    ------
    InputError
        If B1 is to be fitted and the noise is not known.
    """
    columns = signal.reshape(len(signal), -1)
    if options.fit_b1:
        return _fit_with_b1(columns, status, problem, options, judgement, trains, signal.shape[1:])
    if trains is None:
        return fit_voxels(columns, status, problem, options, judgement), None
    maps = _nothing(columns, judgement)
    for train, voxels in trains.groups((status == T2Status.OK).reshape(signal.shape[1:])):
        found = status[voxels]
        maps[:, voxels] = fit_voxels(columns[:, voxels], found, problem, _with(options, train), judgement)
        status[voxels] = found
    return maps, trains


def _fit_with_b1(
    signal: RealArray,
    status: StatusMap,
    problem: Problem,
    options: T2Options,
    judgement: Judgement | None,
    trains: VoxelTrains | None,
    shape: tuple[int, ...],
) -> tuple[RealArray, VoxelTrains]:
    """Fit B1 of every voxel too, with its own T1 where `trains` holds one."""
    if judgement is None:
        raise InputError("to fit B1 too the noise must be known: give noise_std (--noise)")
    assert options.train is not None
    trains = trains or VoxelTrains(options.train)
    maps, b1, price = _nothing(signal, judgement), np.full(status.size, np.nan), np.ones(status.size)
    for train, voxels in trains.groups((status == T2Status.OK).reshape(shape)):
        best = _best_b1(signal[:, voxels], problem, _with(options, train))
        factor = best.price()
        best.maps[1] *= factor
        found = judgement.status(best.status, best.maps)
        good = has_t2(found)
        status[voxels], kept = found, voxels[good]
        maps[:, kept], price[kept] = best.maps[: len(MAPS), good], factor[good]
        b1[kept] = best.step[good] * B1_STEP
    return maps, VoxelTrains(options.train, b1=b1.reshape(shape), t1=trains.t1, price=price.reshape(shape))


def _best_b1(signal: RealArray, problem: Problem, options: T2Options) -> _Best:
    """Find the B1 of each voxel that leaves least."""
    assert options.train is not None
    best = _Best.of(signal, problem, options)
    lowest, highest = _range_of(options.train)
    for stride, reach in _GRIDS:
        middle = best.step.copy()
        for step in range(lowest, highest + 1, stride):
            best.try_step(step, (np.abs(middle - step) <= reach) & (middle != step))
    best.status[best.step == lowest] = T2Status.NOT_CONVERGED  # B1 may be lower still, and T2 with it anything
    return best


def _range_of(train: EchoTrain) -> tuple[int, int]:
    """Least and largest step of B1: refocusing beyond 180 degrees cannot be told from as much below."""
    highest = max(1.0, np.pi / train.refocusing)
    return round(_LOWEST_B1 / B1_STEP), int(np.floor(min(2.0, highest) / B1_STEP + 1e-9))


@dataclass
class _Best:
    """The best fit of each voxel so far."""

    signal: RealArray
    problem: Problem
    options: T2Options
    maps: RealArray
    status: StatusMap
    step: IntArray

    @classmethod
    def of(cls, signal: RealArray, problem: Problem, options: T2Options) -> _Best:
        """Nothing fitted yet."""
        n_voxels = signal.shape[1]
        status, step = np.full(n_voxels, T2Status.OK, dtype=np.int8), np.zeros(n_voxels, dtype=int)
        return cls(signal, problem, options, _nothing(signal, None), status, step)

    def try_step(self, step: int, where: BoolArray) -> None:
        """Take over every voxel that this B1 fits better than what there is."""
        voxels = np.flatnonzero(where)
        if not voxels.size:
            return
        assert self.options.train is not None
        train = scaled_train(self.options.train, step * B1_STEP)
        status = np.full(voxels.size, T2Status.OK, dtype=np.int8)
        maps = fit_voxels(self.signal[:, voxels], status, self.problem, _with(self.options, train), None)
        good, before = _usable(maps, status), _usable(self.maps[:, voxels], self.status[voxels])
        with np.errstate(invalid="ignore"):
            better = np.where(good == before, ~(self.maps[_CHI2, voxels] <= maps[_CHI2]), good)
        taken = voxels[better]
        self.maps[:, taken], self.status[taken], self.step[taken] = maps[:, better], status[better], step

    def price(self) -> RealArray:
        """By which factor not knowing B1 widens the error of T2; one where there is no T2."""
        assert self.options.train is not None
        price, known = np.ones(self.step.size), np.isfinite(self.maps[0])
        for step in np.unique(self.step[known]):
            here = known & (self.step == step)
            b1 = float(step) * B1_STEP
            price[here] = price_of_b1(self.options.train, b1, self.maps[0, here], self.problem.noise_std)
        return price


def _usable(maps: RealArray, status: StatusMap) -> BoolArray:
    return np.asarray(has_t2(status) & (maps[_AMPLITUDE] > 0))


def _nothing(signal: RealArray, judgement: Judgement | None) -> RealArray:
    rows = len(MAPS) + (judgement is None)
    return np.full((rows, signal.shape[1]), np.nan, dtype=np.float32 if signal.dtype == np.float32 else float)


def _with(options: T2Options, train: EchoTrain) -> T2Options:
    return options.model_copy(update={"train": train, "fit_b1": False})


def price_of_b1(train: EchoTrain, b1: float, t2: RealArray, noise_std: RealArray) -> RealArray:
    """By which factor the standard deviation of T2 grows because B1 has to be found as well; shape ``(voxel,)``."""
    step, weight = 1e-3, 1 / noise_std[:, None]
    here, other = scaled_train(train, b1), scaled_train(train, b1 * (1 - step))
    decay = here.decays(t2) * weight
    along = decay / np.linalg.norm(decay, axis=0)
    changes = []
    for change in (here.decays(t2 * (1 + step)) * weight - decay, other.decays(t2) * weight - decay):
        rest = change - along * np.einsum("ev,ev->v", along, change)
        changes.append(rest / np.maximum(np.linalg.norm(rest, axis=0), np.finfo(float).tiny))
    correlation = np.einsum("ev,ev->v", *changes)
    return np.asarray(1 / np.sqrt(np.maximum(1 - correlation**2, 1e-6)))
