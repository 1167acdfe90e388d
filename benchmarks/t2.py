"""Speed and quality of the T2 fit beside `scipy.optimize.curve_fit`: ``python benchmarks/t2.py [--voxels N]``."""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit

from knightshift.reconstruction.relaxometry import T2Fit, cramer_rao_t2, fit_t2

T2 = 16e-3
SETTINGS = (
    ("complex", "none"),
    ("gaussian", "none"),
    ("gaussian", "noise"),
    ("gaussian", "noise-quadrature"),
    ("gaussian", "free"),
    ("rician", "none"),
)
ECHO_TIMES = {
    5: 4e-3 * np.arange(1, 6),
    16: 2e-3 * np.arange(1, 17),
    32: 1.5e-3 * np.arange(1, 33),
}


@dataclass(frozen=True)
class Voxels:
    """A synthetic image of one T2; the signal at the first echo is one."""

    echo_times: np.ndarray
    images: np.ndarray
    noise_std: float


def make_voxels(n_voxels: int, n_echoes: int, snr: float) -> Voxels:
    random = np.random.default_rng(1)
    echo_times = ECHO_TIMES[n_echoes]
    side = int(np.sqrt(n_voxels))
    decay = np.exp(-(echo_times - echo_times[0]) / T2)[:, None, None]
    noise = random.normal(size=(2, n_echoes, side, n_voxels // side)) / snr
    return Voxels(echo_times, decay + noise[0] + 1j * noise[1], 1 / snr)


def timed(work: Callable[[], T2Fit], repeats: int = 3) -> tuple[T2Fit, float]:
    """Return the result, and the shortest time of several runs [s]."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return result, min(times)


def peak_memory(work: Callable[[], T2Fit]) -> int:
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def report(voxels: Voxels, estimator: str, offset: str) -> None:
    images = voxels.images if estimator == "complex" else np.abs(voxels.images)

    def work() -> T2Fit:
        return fit_t2(images, voxels.echo_times, estimator=estimator, offset=offset, noise_std=voxels.noise_std)

    fit, seconds = timed(work)
    low, middle, high = np.quantile(fit.t2[fit.ok], [0.16, 0.5, 0.84]) if fit.ok.any() else [np.nan] * 3
    bound = cramer_rao_t2(
        voxels.echo_times,
        T2,
        amplitude=np.exp(voxels.echo_times[0] / T2),
        noise_std=voxels.noise_std,
        free_offset=offset == "free",
        estimator="rician" if estimator == "rician" else "complex",
    )
    print(
        f"{len(voxels.echo_times):4d} {1 / voxels.noise_std:5.0f} {estimator:9s} {offset:17s}"
        f"{fit.t2.size / seconds / 1e6:8.2f} {1e3 * (middle - T2):+9.3f} {5e2 * (high - low):8.3f} {1e3 * bound:8.3f}"
        f"{100 * (1 - fit.ok.mean()):9.2f} {peak_memory(work) / images.nbytes:8.1f}"
    )


def report_curve_fit(voxels: Voxels, n_voxels: int = 2000) -> None:
    """One call of `curve_fit` for each voxel, on a part of them."""
    columns = np.abs(voxels.images).reshape(len(voxels.echo_times), -1)[:, :n_voxels]
    found = np.full(n_voxels, np.nan)
    start = time.perf_counter()
    for voxel, column in enumerate(columns.T):
        try:
            found[voxel] = curve_fit(
                lambda t, amplitude, rate: amplitude * np.exp(-rate * t), voxels.echo_times, column, (1.3, 60.0)
            )[0][1]
        except RuntimeError:
            continue
    seconds = time.perf_counter() - start
    print(
        f"{len(voxels.echo_times):4d} {1 / voxels.noise_std:5.0f} {'curve_fit':9s} {'none':17s}"
        f"{n_voxels / seconds / 1e6:8.4f} {1e3 * (np.nanmedian(1 / found) - T2):+9.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voxels", type=int, default=1_000_000)
    parser.add_argument("--echoes", type=int, nargs="+", default=[5, 16, 32], choices=sorted(ECHO_TIMES))
    parser.add_argument("--snr", type=float, nargs="+", default=[4.0, 10.0, 30.0, 100.0])
    arguments = parser.parse_args()
    print(f"T2 = {1e3 * T2:g} ms, {arguments.voxels} voxels; SNR at the first echo; peak memory over that of the input")
    print("echo   SNR estimator offset            M vox/s   bias/ms sigma/ms bound/ms failed/%   memory")
    for n_echoes in arguments.echoes:
        for snr in arguments.snr:
            voxels = make_voxels(arguments.voxels, n_echoes, snr)
            for estimator, offset in SETTINGS:
                report(voxels, estimator, offset)
            report_curve_fit(voxels)


if __name__ == "__main__":
    main()
