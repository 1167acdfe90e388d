"""Speed and quality of the T2 fit beside other programs: ``python benchmarks/t2.py [--voxels N] [--no-peers]``.

Voxels of one T2 with 5, 16 and 32 echoes, SNR of the first echo 4 to 100; with more echoes as many fewer voxels. Two
speeds are printed: by the clock on the wall, and for each second of processor time (of both processors), which hardly
depends on what else the machine does. Peers are installed into a scratch environment that is thrown away, or taken
from ``--environment FOLDER``; what cannot be installed is said, and why. They get the first voxels, as many as they fit
in a second or two. Scipy solves the problem of each of our estimators voxel by voxel (`t2_references.py`); the voxels
that are not at its optimum are counted. ``--coverage`` prints bias, intervals and flagged voxels for three T2 instead.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from t2_peers import N_REFERENCE, PEERS, t2_file
from t2_references import misfit_of_t2

from knightshift.reconstruction.relaxometry import T2Fit, T2Options, T2Status, cramer_rao_t2, fit_t2_maps, t2_interval

T2 = 16e-3
OURS = (
    ("complex", "none", "numpy"),
    ("complex", "none", "numba"),
    ("gaussian", "none", "numpy"),
    ("gaussian", "none", "numba"),
    ("rician", "none", "numpy"),
    ("rician", "none", "numba"),
)
OFFSETS = (
    ("gaussian", "noise", "numpy"),
    ("gaussian", "noise-quadrature", "numpy"),
    ("gaussian", "free", "numpy"),
)
"""Fitted with five echoes only."""
SAME_PROBLEM = {
    "gaussian": ("scipy curve_fit",),
    "complex": ("scipy curve_fit real part", "scipy curve_fit complex"),
    "rician": ("scipy Rician maximum",),
}
"""What solves the problem of each estimator; the first has the same optimum."""
ECHO_TIMES = {
    5: 4e-3 * np.arange(1, 6),
    16: 2e-3 * np.arange(1, 17),
    32: 1.5e-3 * np.arange(1, 33),
}
PATIENCE = 240.0
HEAD = (
    "echo   SNR program                      voxels/s  per CPU s  bias/ms sigma/ms  bound/ms failed/%  memory\n"
    "(bias: median error; sigma: half the 16 to 84 % range; memory: peak over the data handed in)"
)


@dataclass(frozen=True)
class Voxels:
    """A synthetic image of one T2; the signal at the first echo is one."""

    echo_times: np.ndarray
    images: np.ndarray
    noise_std: float
    t2: float

    @property
    def name(self) -> str:
        """Of the file."""
        return f"voxels-{len(self.echo_times)}-{1 / self.noise_std:g}"

    def bound(self, estimator: str, offset: str) -> float:
        """Cramér-Rao bound of T2 [s]."""
        law = "rician" if estimator == "rician" else "complex"
        return float(
            cramer_rao_t2(
                self.echo_times,
                self.t2,
                amplitude=np.exp(self.echo_times[0] / self.t2),
                noise_std=self.noise_std,
                free_offset=offset == "free",
                estimator=law,
            )
        )


@dataclass
class Speeds:
    """Voxels per second of processor time at five echoes and SNR 10, for the ratios at the end."""

    ours: dict[str, tuple[float, float]] = field(default_factory=dict)
    peers: dict[str, tuple[float, float]] = field(default_factory=dict)


def make_voxels(n_voxels: int, n_echoes: int, snr: float, t2: float = T2) -> Voxels:
    random = np.random.default_rng(1)
    echo_times = ECHO_TIMES[n_echoes]
    side = int(np.sqrt(n_voxels))
    decay = np.exp(-(echo_times - echo_times[0]) / t2)[:, None, None]
    images = np.empty((n_echoes, side, n_voxels // side), complex)
    images.real = decay + random.normal(size=images.shape) / snr
    images.imag = random.normal(size=images.shape) / snr
    return Voxels(echo_times, images, 1 / snr, t2)


Found = TypeVar("Found")


def timed(work: Callable[[], Found], repeats: int) -> tuple[Found, float, float]:
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


def row(voxels: Voxels, name: str, speeds: tuple[float, float], t2: np.ndarray, rest: tuple[float, float]) -> str:
    """One line of the table; `rest` is bound [s] and memory."""
    sound = np.isfinite(t2) & (t2 > 0) & (t2 < 50 * voxels.echo_times[-1])
    low, middle, high = np.quantile(t2[sound], [0.16, 0.5, 0.84]) if sound.any() else [np.nan] * 3
    return (
        f"{len(voxels.echo_times):4d} {1 / voxels.noise_std:5.0f} {name:27s}{speeds[0]:14.0f} {speeds[1]:10.0f} "
        f"{1e3 * (middle - voxels.t2):+8.3f} {5e2 * (high - low):8.3f} {1e3 * rest[0]:9.3f} "
        f"{100 * (1 - sound.mean()):8.2f} {rest[1]:7.1f}"
    )


def report(voxels: Voxels, setting: tuple[str, str, str], repeats: int) -> tuple[float, float]:
    """Fit by one of our ways and print its line; voxels per second on the wall and of the processors."""
    estimator, offset, engine = setting
    images = voxels.images if estimator == "complex" else np.abs(voxels.images)
    options = T2Options(estimator=estimator, offset=offset, engine=engine)

    def work() -> T2Fit:
        return fit_t2_maps(images, voxels.echo_times, options, noise_std=voxels.noise_std)

    if engine == "numba":
        work()  # compiled, or read from the disk
    fit, seconds, processor = timed(work, repeats)
    speeds = fit.t2.size / seconds, fit.t2.size / processor
    name = f"{estimator} {'' if offset == 'none' else offset} {engine}".replace("  ", " ")
    memory = peak_memory(work) / images.nbytes
    print(row(voxels, name, speeds, fit.t2.ravel(), (voxels.bound(estimator, offset), memory)), flush=True)
    return speeds


def run_peer(python: Path | str, name: str, folder: Path, every: dict[str, Voxels]) -> dict[str, tuple[float, float]]:
    """Let a peer fit all files of a folder in a process of its own, print its lines, return its speeds by file."""
    command = [python, Path(__file__).with_name("t2_peers.py"), name, folder]
    one_thread = {"OPENBLAS_NUM_THREADS": "1"} if name.startswith("scipy") else {}  # more are slower for single voxels
    settings = os.environ | one_thread
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True, env=settings)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        words = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
        print(f"{name}: skipped: {' '.join(words)}", flush=True)
        return {}
    speeds = {}
    for line in done.stdout.splitlines():
        record = json.loads(line)
        voxels, count = every[record["file"]], record["voxels"]
        speeds[record["file"]] = count / record["seconds"], count / record["busy"]
        t2 = np.load(folder / t2_file(record["file"], name))
        law = "rician" if PEERS[name].signal == "in_noise" else "gaussian"
        print(row(voxels, name, speeds[record["file"]], t2, (voxels.bound(law, "none"), record["memory"])))
    return speeds


@contextmanager
def environment(given: Path | None) -> Iterator[Path]:
    """Python of an environment that holds the peers that can be installed; a scratch one unless `given`."""
    if given is not None:
        yield given / "bin" / "python"
        return
    with tempfile.TemporaryDirectory(prefix="t2-peers-") as scratch:
        venv.create(scratch, with_pip=True)
        python = Path(scratch) / "bin" / "python"
        for peer in {peer.package: peer for peer in PEERS.values()}.values():
            wanted = [["--no-deps", peer.package], [*peer.needs]] if peer.needs else [[peer.package]]
            for packages in wanted:
                command = [python, "-m", "pip", "install", "--quiet", *packages]
                done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
                if done.returncode:
                    print(f"{peer.package} cannot be installed here: {reason(done.stderr)}")
        yield python


def reason(words: str) -> str:
    """Pick the first line in which pip, or a build that it ran, says what went wrong."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return next((line for line in lines if "ERROR" in line), " ".join(lines[-1:]))


def save_signals(voxels: Voxels, folder: Path) -> None:
    """Write what the peers fit; the real part is what our complex estimator fits."""
    options = T2Options(estimator="complex", engine="numpy")
    real = fit_t2_maps(voxels.images, voxels.echo_times, options, noise_std=voxels.noise_std).signal
    columns = voxels.images.reshape(len(real), -1)
    signals = {
        "magnitudes": np.abs(columns),
        "complex": columns[:, :N_REFERENCE],
        "real": real.reshape(len(real), -1)[:, :N_REFERENCE],
        "in_noise": np.abs(columns[:, :N_REFERENCE]) / voxels.noise_std,
    }
    np.savez(folder / f"{voxels.name}.npz", echo_times=voxels.echo_times, **signals)


def agreement(voxels: Voxels, folder: Path) -> None:
    """Print how many voxels are off the optimum that scipy found for them, or flagged."""
    for estimator, (reference, *_) in SAME_PROBLEM.items():
        theirs = np.load(folder / t2_file(voxels.name, reference))
        images = voxels.images if estimator == "complex" else np.abs(voxels.images)
        words = []
        for engine in ("numpy", "numba"):
            options = T2Options(estimator=estimator, engine=engine)
            fit = fit_t2_maps(images, voxels.echo_times, options, noise_std=voxels.noise_std)
            ours, status = fit.t2.ravel()[: theirs.size], fit.status.ravel()[: theirs.size]
            off = (status == T2Status.OK) & ~(np.abs(ours / theirs - 1) <= 1e-3)
            columns = fit.signal.reshape(len(fit.signal), -1)[:, : theirs.size][:, off] / voxels.noise_std
            mine, its = (
                misfit_of_t2(columns, voxels.echo_times, t2[off], rician=estimator == "rician") for t2 in (ours, theirs)
            )
            flagged = np.count_nonzero(status != T2Status.OK)
            better = np.count_nonzero(~(its < mine))
            words.append(f"{engine} {np.count_nonzero(off)} (ours fits better in {better}), {flagged} flagged")
        print(f"{voxels.name}: of {theirs.size} over 0.1 % off {reference}: {'; '.join(words)}", flush=True)


def ratios(speeds: Speeds) -> None:
    """Print how many times as fast ours is, per second of the wall and of the processors."""
    others = [name for name in speeds.peers if not (PEERS[name].is_linear or name.startswith("scipy"))]
    fastest = sorted(others, key=lambda name: speeds.peers[name][0])[-1:]
    print("Five echoes, SNR 10, times as fast on the wall (by processor) as scipy on the same problem, and as others:")
    for name, ours in speeds.ours.items():
        words = []
        for other in dict.fromkeys((*SAME_PROBLEM[name.split()[0]], "scipy curve_fit", *fastest)):
            wall, processor = (mine / its for mine, its in zip(ours, speeds.peers[other], strict=True))
            words.append(f"{wall:.0f} ({processor:.0f}) {other}")
        print(f"{name:15s} {', '.join(words)}")


def compare(arguments: argparse.Namespace) -> None:
    """Print the whole table."""
    print(f"T2 = {1e3 * T2:g} ms, {arguments.voxels} voxels of five echoes\n{HEAD}")
    speeds, every = Speeds(), {}
    with tempfile.TemporaryDirectory(prefix="t2-") as name:
        folder = Path(name)
        for n_echoes in arguments.echoes:
            for snr in arguments.snr:
                voxels = make_voxels(arguments.voxels * 5 // n_echoes, n_echoes, snr)
                every[voxels.name] = make_voxels(100_000, n_echoes, snr)
                save_signals(every[voxels.name], folder)
                for setting in (*OURS, *(OFFSETS if n_echoes == 5 else ())):
                    found = report(voxels, setting, arguments.repeats)
                    if (n_echoes, snr, setting[1]) == (5, 10.0, "none"):
                        speeds.ours[f"{setting[0]} {setting[2]}"] = found
        if arguments.no_peers:
            return
        names = [name for name in PEERS if name.startswith("scipy") or not arguments.scipy_only]
        with environment(Path(sys.prefix) if arguments.scipy_only else arguments.environment) as python:
            for peer in names:
                found = run_peer(sys.executable if peer.startswith("scipy") else python, peer, folder, every)
                if "voxels-5-10" in found:
                    speeds.peers[peer] = found["voxels-5-10"]
        for voxels in every.values():
            agreement(voxels, folder)
    if speeds.ours and speeds.peers:
        ratios(speeds)


def coverage(n_voxels: int) -> None:
    """Print bias, coverage of the likelihood intervals of all voxels, and those without a T2 by their status."""
    print("estimator T2/ms  SNR  bias/ms sigma/bound   95 %   68 %  95 % with T2  no T2/%  intervals/s  of which")
    for estimator in ("complex", "rician"):
        for t2 in (8e-3, 12e-3, 16e-3):
            for snr in (4.0, 6.0, 10.0, 30.0, 100.0):
                voxels = make_voxels(n_voxels, 5, snr, t2)
                images = voxels.images if estimator == "complex" else np.abs(voxels.images)
                options = T2Options(estimator=estimator)
                fit = fit_t2_maps(images, voxels.echo_times, options, noise_std=voxels.noise_std)
                low, middle, high = np.quantile(fit.t2[fit.ok], [0.16, 0.5, 0.84])
                within, start = {}, time.perf_counter()
                for level in (0.95, 0.683):
                    ends = t2_interval(fit, level)
                    within[level] = (ends[0] < t2) & (ends[1] > t2)
                speed = 2 * fit.t2.size / (time.perf_counter() - start)
                lost = {status.name: fit.count(status) for status in T2Status if status and fit.count(status)}
                spread = (high - low) / 2 / voxels.bound(estimator, "none")
                held = [100 * np.mean(one) for one in (within[0.95], within[0.683], within[0.95][fit.ok])]
                print(
                    f"{estimator:9s} {1e3 * t2:5g} {snr:4.0f} {1e3 * (middle - t2):+8.3f} {spread:11.3f} "
                    f"{held[0]:6.2f} {held[1]:6.2f} {held[2]:13.2f} {100 * (1 - fit.ok.mean()):8.2f} "
                    f"{speed:12.0f}  {lost}",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voxels", type=int, default=250_000)
    parser.add_argument("--echoes", type=int, nargs="+", default=[5, 16, 32], choices=sorted(ECHO_TIMES))
    parser.add_argument("--snr", type=float, nargs="+", default=[4.0, 10.0, 30.0, 100.0])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--environment", type=Path, help="an environment that has the peers already")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--scipy-only", action="store_true", help="no other peers, and nothing to be installed")
    parser.add_argument("--coverage", action="store_true")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # that a free offset is not identified is in the table
    if arguments.coverage:
        coverage(min(arguments.voxels, 40_000))
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
