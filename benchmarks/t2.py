"""Speed and quality of the T2 fit beside other programs: ``python benchmarks/t2.py [--voxels N]``.

Two speeds are printed: by the clock on the wall, and for each second of processor time (of both processors), which
hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import logging
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from t2_peers import PEERS, Peer, quiet

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


Found = TypeVar("Found")


def timed(work: Callable[[], Found], repeats: int = 3) -> tuple[Found, float, float]:
    """Return the result, and the shortest time of several runs: on the wall, and of the processors [s]."""
    wall, processor = [], []
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        result = work()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    return result, min(wall), min(processor)


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

    fit, seconds, processor = timed(work)
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
        f"{fit.t2.size / seconds:12.0f} {fit.t2.size / processor:12.0f} {1e3 * (middle - T2):+9.3f} "
        f"{5e2 * (high - low):8.3f} {1e3 * bound:8.3f}"
        f"{100 * (1 - fit.ok.mean()):9.2f} {peak_memory(work) / images.nbytes:8.1f}",
        flush=True,
    )


def report_peer(voxels: Voxels, peer: Peer) -> None:
    """Fit a part of the voxels with another program."""
    head = f"{len(voxels.echo_times):4d} {1 / voxels.noise_std:5.0f} {peer.name:27s}"
    try:
        with quiet():
            fit = peer.load()
    except ImportError as error:
        print(f"{head} skipped: {error}")
        return
    columns = np.abs(voxels.images).reshape(len(voxels.echo_times), -1)[:, : peer.n_voxels]
    with quiet():
        t2, seconds, processor = timed(lambda: fit(columns, voxels.echo_times), repeats=1)
    sound = np.isfinite(t2) & (t2 > 0) & (t2 < 50 * voxels.echo_times[-1])
    low, middle, high = np.quantile(t2[sound], [0.16, 0.5, 0.84])
    print(
        f"{head}{columns.shape[1] / seconds:12.0f} {columns.shape[1] / processor:12.0f} {1e3 * (middle - T2):+9.3f} "
        f"{5e2 * (high - low):8.3f} {'':8s}{100 * (1 - sound.mean()):9.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voxels", type=int, default=1_000_000)
    parser.add_argument("--echoes", type=int, nargs="+", default=[5, 16, 32], choices=sorted(ECHO_TIMES))
    parser.add_argument("--snr", type=float, nargs="+", default=[4.0, 10.0, 30.0, 100.0])
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # that a free offset is not identified is in the table
    print(f"T2 = {1e3 * T2:g} ms, {arguments.voxels} voxels; SNR at the first echo; peak memory over that of the input")
    print("echo   SNR estimator offset           voxels/s  per CPU s      bias/ms sigma/ms bound/ms failed/%   memory")
    for n_echoes in arguments.echoes:
        for snr in arguments.snr:
            voxels = make_voxels(arguments.voxels, n_echoes, snr)
            for estimator, offset in SETTINGS:
                report(voxels, estimator, offset)
            for peer in PEERS:
                report_peer(voxels, peer)


if __name__ == "__main__":
    main()
