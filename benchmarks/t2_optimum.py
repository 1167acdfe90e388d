"""Voxels whose T2 is not the best one: ``python benchmarks/t2_optimum.py [--voxels N]``.

Every estimator and offset, 5, 16 and 32 echoes, SNR of the first echo 4 to 100, T2 of 8 and 16 ms. The best T2 of each
voxel is found on a dense grid of ln T2 (all hills of the likelihood), with the best amplitude at each, and then by
golden section; Bessel functions are those of scipy. Counted are voxels with a T2 that is over 0.1 % off, and voxels
said to be out of range whose best T2 is inside.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import i0e, i1e
from t2 import ECHO_TIMES

from knightshift.reconstruction.relaxometry import T2Options, T2Status, fit_t2_maps
from knightshift.reconstruction.relaxometry.golden_section import golden_section

CASES = (
    ("complex", "none"),
    ("rician", "none"),
    ("gaussian", "none"),
    ("gaussian", "noise"),
    ("gaussian", "noise-quadrature"),
    ("gaussian", "free"),
)
STEP = 0.05
"""Of the grid in ln R."""
SECTIONS = 28
Profile = Callable[[np.ndarray], np.ndarray]


@dataclass
class Magnitudes:
    """Loss of magnitudes, over the noise, at given rates; the squared amplitude is found by safeguarded Newton.

    The loss is convex in the squared amplitude. The search starts where the last one ended.
    """

    m: np.ndarray
    delays: np.ndarray
    rician: bool
    square: np.ndarray
    steps: int = 8

    def __call__(self, log_rate: np.ndarray) -> np.ndarray:
        """Loss, shape ``(voxel,)``."""
        shape = np.exp(-np.exp(log_rate) * self.delays[:, None])
        low, high = np.zeros_like(self.square), np.full_like(self.square, np.inf)
        for _ in range(self.steps):
            slope, bend = self._derivatives(shape)
            high, low = np.where(slope > 0, self.square, high), np.where(slope < 0, self.square, low)
            step = self.square - slope / np.maximum(bend, 1e-300)
            middle = np.where(np.isinf(high), 4 * self.square, 0.5 * (low + np.where(np.isinf(high), 0, high)))
            self.square = np.maximum(np.where((step >= low) & (step <= high), step, middle), 1e-16)
        signal = np.sqrt(self.square) * shape
        if self.rician:
            return np.asarray((0.5 * (self.m - signal) ** 2 - np.log(i0e(self.m * signal))).sum(axis=0))
        return np.asarray((0.5 * (self.m - np.sqrt(signal**2 + 2)) ** 2).sum(axis=0))

    def _derivatives(self, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By the squared amplitude."""
        if not self.rician:
            expected = np.sqrt(self.square * shape**2 + 2)
            slope = 0.5 * shape**2 * (1 - self.m / expected)
            return slope.sum(axis=0), (0.25 * shape**4 * self.m / expected**3).sum(axis=0)
        z = np.maximum(self.m * shape * np.sqrt(self.square), 1e-12)
        ratio = i1e(z) / i0e(z)
        bent = np.where(z < 1e-3, -z / 8, (1 - ratio**2 - 2 * ratio / z) / z)
        product = self.m * shape
        slope = 0.5 * shape**2 - 0.5 * product**2 * ratio / z
        return slope.sum(axis=0), (-0.25 * product**3 * bent / np.sqrt(self.square)).sum(axis=0)


def squares(y: np.ndarray, delays: np.ndarray, free: bool) -> Profile:
    """Half the squared residuals with the best positive amplitude (and offset)."""

    def loss(log_rate: np.ndarray) -> np.ndarray:
        shape = np.exp(-np.exp(log_rate) * delays[:, None])
        data = y - y.mean(axis=0) if free else y
        shape = shape - shape.mean(axis=0) if free else shape
        amplitude = np.maximum((data * shape).sum(axis=0) / np.maximum((shape**2).sum(axis=0), 1e-300), 0)
        return np.asarray(0.5 * ((data - amplitude * shape) ** 2).sum(axis=0))

    return loss


def lowest(loss: Profile, bounds: tuple[float, float], count: int) -> tuple[np.ndarray, np.ndarray]:
    """``ln R`` of the least loss, and whether that is inside the bounds."""
    grid = np.linspace(*bounds, int(np.ceil((bounds[1] - bounds[0]) / STEP)) + 1)
    heights = np.array([loss(np.full(count, rate)) for rate in grid[::-1]])[::-1]
    around = np.pad(heights, ((1, 1), (0, 0)), constant_values=np.inf)
    hills = np.where((heights <= around[:-2]) & (heights <= around[2:]), heights, np.inf)
    first = hills.argmin(axis=0)
    hills[first, np.arange(count)] = np.inf
    tops = [top_of(loss, grid, index) for index in (first, hills.argmin(axis=0))]
    best = np.where(tops[1][1] < tops[0][1], tops[1][0], tops[0][0])
    return best, (best > bounds[0] + 2e-4) & (best < bounds[1] - 2e-4)


def top_of(loss: Profile, grid: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place and height of the top of a hill that a point of the grid is on."""
    bracket = grid[np.maximum(index - 1, 0)], grid[np.minimum(index + 1, grid.size - 1)]
    place = golden_section(loss, bracket, SECTIONS)
    return place, loss(place)


def check(setting: tuple[str, str], engine: str, n_echoes: int, snr: float, t2: float, n_voxels: int) -> str:
    """Fit voxels of one T2 and hold them against their best one."""
    estimator, offset = setting
    times, random = ECHO_TIMES[n_echoes], np.random.default_rng(n_echoes)
    delays = times - times[0]
    noise = random.normal(size=(2, n_echoes, n_voxels))
    signal = snr * np.exp(-delays / t2)[:, None] + noise[0] + 1j * noise[1]
    options = T2Options(estimator=estimator, offset=offset, engine=engine, phase_window=1)
    fit = fit_t2_maps(signal if estimator == "complex" else np.abs(signal), times, options, noise_std=1.0)
    bounds = (-np.log(50 * times[-1]), -np.log(0.1 * times[0]))
    if estimator == "rician" or offset == "noise-quadrature":
        loss: Profile = Magnitudes(fit.signal, delays, estimator == "rician", np.maximum(fit.signal[0] ** 2 - 1, 0.5))
    else:
        loss = squares(fit.signal - (np.sqrt(np.pi / 2) if offset == "noise" else 0), delays, offset == "free")
    best, inside = lowest(loss, bounds, n_voxels)
    off = (fit.status == T2Status.OK) & ~(np.abs(fit.t2 * np.exp(best) - 1) <= 1e-3)
    out = np.isin(fit.status, (T2Status.TOO_LONG, T2Status.TOO_SHORT, T2Status.ONE_SIDED)) & inside
    flagged = fit.status != T2Status.OK
    return f"{100 * off.mean():12.3f} {100 * out.mean():18.3f} {100 * flagged.mean():10.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voxels", type=int, default=10_000)
    parser.add_argument("--echoes", type=int, nargs="+", default=[5, 16, 32])
    parser.add_argument("--snr", type=float, nargs="+", default=[4.0, 10.0, 30.0, 100.0])
    arguments = parser.parse_args()
    print("estimator offset           engine echoes SNR T2/ms  over 0.1 %/%  out of range wrong/%  flagged/%")
    for setting in CASES:
        for engine in ("numpy", "numba") if setting[1] in {"none", "noise"} else ("numpy",):
            for n_echoes in arguments.echoes:
                for snr in arguments.snr:
                    for t2 in (8e-3, 16e-3):
                        words = check(setting, engine, n_echoes, snr, t2, arguments.voxels * 5 // n_echoes)
                        where = f"{setting[0]:9s} {setting[1]:16s} {engine:6s} {n_echoes:6d} {snr:3.0f} {1e3 * t2:5g}"
                        print(where, words, flush=True)


if __name__ == "__main__":
    main()
